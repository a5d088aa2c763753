package sfu_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
)

// besideACall runs an attack of mallory, who has joined the room with valid keys, and requires that anna and boris notice
// nothing. It returns what the server counted meanwhile.
func besideACall(t *testing.T, attack func(w *world, mallory *byHand, anna *client)) (drops shard.Drops) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		anna.hears(5*time.Second, boris)
		boris.hears(5*time.Second, anna)
		mallory := w.newByHand("mallory", "demo")
		time.Sleep(time.Second)
		before, since := w.shard().Drops, time.Now()
		attack(w, mallory, anna)
		time.Sleep(300 * time.Millisecond)
		for _, video := range []bool{false, true} {
			requireSmooth(t, boris, boris.slotOf(anna.peer.ID(), video), since, 120*time.Millisecond)
			requireSmooth(t, anna, anna.slotOf(boris.peer.ID(), video), since, 120*time.Millisecond)
		}
		st := w.shard()
		require.Zero(t, st.Faults)
		require.Equal(t, 3, st.Peers)
		drops = counted(st.Drops, before)
	})
	return drops
}

// counted is what was counted between two moments.
func counted(now, before shard.Drops) shard.Drops {
	now.Malformed -= before.Malformed
	now.UnknownSource -= before.UnknownSource
	now.UnknownUfrag -= before.UnknownUfrag
	now.ForgedSTUN -= before.ForgedSTUN
	now.Forged -= before.Forged
	now.Replayed -= before.Replayed
	now.UnknownSSRC -= before.UnknownSSRC
	now.TooManySSRCs -= before.TooManySSRCs
	now.BeforeKeys -= before.BeforeKeys
	now.Duplicate -= before.Duplicate
	now.TooOld -= before.TooOld
	now.GateFull -= before.GateFull
	now.NACKFlood -= before.NACKFlood
	now.TrackFlood -= before.TrackFlood
	now.PeerFlood -= before.PeerFlood
	return now
}

// TestLyingPacketsAreDropped: sealed with valid keys, so that only the parsers stand between them and the decoders.
func TestLyingPacketsAreDropped(t *testing.T) {
	cases := []struct {
		name string
		lie  func(c *byHand) (plain []byte, header int)
	}{
		{"CSRCs beyond the end", func(c *byHand) ([]byte, int) {
			b := marshal(&rtp.Packet{Header: c.voice(0).Header, Payload: []byte{1, 2}})
			b[0] |= 15
			return b, 12
		}},
		{"extension beyond the end", func(c *byHand) ([]byte, int) {
			b := marshal(c.voice(0))
			b[0] |= 0x10
			binary.BigEndian.PutUint32(b[12:], 0xbede<<16|0xffff)
			return b, 16
		}},
		{"padding longer than the payload", func(c *byHand) ([]byte, int) {
			b := marshal(c.voice(0))
			b[0] |= 0x20
			b[len(b)-1] = 200
			return b, 12
		}},
		{"padding of nothing", func(c *byHand) ([]byte, int) {
			b := marshal(c.voice(0))
			b[0] |= 0x20
			b[len(b)-1] = 0
			return b, 12
		}},
		{"VP8 descriptor beyond the end", func(c *byHand) ([]byte, int) {
			p := c.frame(0, false)
			p.Payload = []byte{0x90, 0xff, 0x80}
			return marshal(p), 12
		}},
		{"longer than any path", func(c *byHand) ([]byte, int) {
			p := c.frame(0, false)
			p.Payload = append(p.Payload, make([]byte, 460)...)
			return marshal(p), 12
		}},
		{"RTX without a number", func(c *byHand) ([]byte, int) {
			p := c.frame(0, false)
			p.SSRC, p.PayloadType, p.Payload = c.ssrcCam+1, 97, []byte{7}
			return marshal(p), 12
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			const n = 100
			drops := besideACall(t, func(w *world, mallory *byHand, _ *client) {
				mallory.send(mallory.frame(0, true))
				for i := range n {
					plain, header := c.lie(mallory)
					binary.BigEndian.PutUint16(plain[2:], uint16(3000+i))
					mallory.sendRaw(plain, header, 1<<16|seq.Extended(3000+i))
					time.Sleep(5 * time.Millisecond)
				}
			})
			require.EqualValues(t, n, drops.Malformed)
		})
	}
}

func marshal(p *rtp.Packet) []byte {
	b, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return b
}

func TestReplayedPacketsAreDropped(t *testing.T) {
	drops := besideACall(t, func(w *world, mallory *byHand, _ *client) {
		first := mallory.send(mallory.voice(0))
		mallory.conn.WriteTo(first, mallory.server) // in the window
		for n := 1; n < 1500; n++ {
			mallory.send(mallory.voice(n))
			if n%100 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		time.Sleep(50 * time.Millisecond)
		mallory.conn.WriteTo(first, mallory.server) // behind it
		report := mallory.sendRTCP(&pionrtcp.ReceiverReport{SSRC: mallory.ssrcAudio})
		mallory.conn.WriteTo(report, mallory.server)
	})
	require.EqualValues(t, 3, drops.Replayed)
}

func TestForgedPacketsAreDropped(t *testing.T) {
	drops := besideACall(t, func(w *world, mallory *byHand, _ *client) {
		good := mallory.send(mallory.voice(0))
		for n := range 50 {
			b := append([]byte(nil), good...)
			binary.BigEndian.PutUint16(b[2:], uint16(1001+n)) // not yet seen
			b[len(b)-1-rand.IntN(20)] ^= 1 << rand.IntN(8)
			mallory.conn.WriteTo(b, mallory.server)
		}
		report := mallory.sendRTCP(&pionrtcp.ReceiverReport{SSRC: mallory.ssrcAudio})
		for n := range 50 {
			b := append([]byte(nil), report...)
			b[len(b)-1] += uint8(1 + n) // the index: not yet seen
			b[8+rand.IntN(len(b)-12)] ^= 1 << rand.IntN(8)
			mallory.conn.WriteTo(b, mallory.server)
		}
	})
	require.EqualValues(t, 100, drops.Forged, "%+v", drops)
}

func TestStrangersAreDropped(t *testing.T) {
	drops := besideACall(t, func(w *world, mallory *byHand, anna *client) {
		stranger, err := w.newHost().ListenUDP(0)
		require.NoError(t, err)
		defer stranger.Close()
		to := func(b []byte) { stranger.WriteTo(b, mallory.server) }
		for n := range 100 {
			to(marshal(mallory.voice(n)))          // never sealed
			to(marshal(mallory.frame(n, true)))    // likewise
			to([]byte{0x80, 200, 0, 1, 1, 2, 3})   // RTCP
			to([]byte{22, 0xfe, 0xfd, 1, 2, 3, 4}) // DTLS from an address that no check has proved
			to(mallory.checkBytes("nobody:"+mallory.ufrag, mallory.toPwd, true))
			to(mallory.checkBytes(mallory.toUfrag+":"+mallory.ufrag, "wrong password, though long enough", true))
			time.Sleep(5 * time.Millisecond)
		}
	})
	require.EqualValues(t, 100, drops.UnknownUfrag)
	require.EqualValues(t, 100, drops.ForgedSTUN)
	require.EqualValues(t, 400, drops.UnknownSource)
}

// TestAnothersSSRCIsOfNoUse: mallory sends and even offers under anna's SSRCs.
func TestAnothersSSRCIsOfNoUse(t *testing.T) {
	drops := besideACall(t, func(w *world, mallory *byHand, anna *client) {
		for _, sender := range anna.pc.GetSenders() {
			if track := sender.Track(); track == nil {
				continue
			}
			p := mallory.voice(0)
			p.SSRC = uint32(sender.GetParameters().Encodings[0].SSRC)
			mallory.ssrcAudio = p.SSRC
			for n := range 100 {
				p.SequenceNumber = uint16(n)
				mallory.send(p)
				mallory.sendRTCP(&pionrtcp.SenderReport{SSRC: p.SSRC, NTPTime: rand.Uint64()}, &pionrtcp.Goodbye{Sources: []uint32{p.SSRC}})
				time.Sleep(5 * time.Millisecond)
			}
		}
		_, err := mallory.peer.Negotiate(context.Background(), mallory.offer(mallory.print, mallory.offered), []sfu.Track{
			{ID: "mine", Kind: sfu.Audio, Source: sfu.Microphone, MID: "0"},
		}, 0)
		_ = err // whether the offer may change its SSRC is not the question here
		for n := range 100 {
			p := mallory.voice(200 + n)
			mallory.send(p)
			time.Sleep(5 * time.Millisecond)
		}
	})
	require.GreaterOrEqual(t, drops.UnknownSSRC, uint64(195), "the last few arrive after the offer: %+v", drops)
	require.Zero(t, drops.Forged)
}

// TestNACKFloodsAreAnsweredWithinBudget: repairs take at most half of what the media takes, and 16 kB a second.
func TestNACKFloodsAreAnsweredWithinBudget(t *testing.T) {
	drops := besideACall(t, func(w *world, mallory *byHand, _ *client) {
		count := func(d time.Duration, flood bool) int {
			mallory.mu.Lock()
			before := mallory.bytes
			mallory.mu.Unlock()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
				if flood {
					mallory.nackEverything()
				}
			}
			mallory.mu.Lock()
			defer mallory.mu.Unlock()
			return mallory.bytes - before
		}
		time.Sleep(time.Second)
		quiet := count(3*time.Second, false)
		flooded := count(3*time.Second, true)
		require.Greater(t, flooded, quiet)
		require.Less(t, flooded, quiet+quiet/2+4*(16<<10)+quiet/10)
	})
	require.Positive(t, drops.NACKFlood)
}

// nackEverything asks for the last 200 packets of every stream.
func (c *byHand) nackEverything() {
	c.mu.Lock()
	last := map[uint32]uint16{}
	for _, p := range c.rtp[max(0, len(c.rtp)-50):] {
		last[p.SSRC] = p.SequenceNumber
	}
	c.mu.Unlock()
	for ssrc, n := range last {
		var pairs []pionrtcp.NackPair
		for i := range uint16(12) {
			pairs = append(pairs, pionrtcp.NackPair{PacketID: n - 17*i - 17, LostPackets: 0xffff})
		}
		c.sendRTCP(&pionrtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: pairs})
	}
}

// TestKeyframeFloodsReachThePublisherTwiceASecond: a keyframe costs it as much as half a second of frames.
func TestKeyframeFloodsReachThePublisherTwiceASecond(t *testing.T) {
	besideACall(t, func(w *world, mallory *byHand, anna *client) {
		before := anna.asked()
		mallory.mu.Lock()
		ssrcs := map[uint32]bool{}
		for _, p := range mallory.rtp {
			ssrcs[p.SSRC] = true
		}
		mallory.mu.Unlock()
		for range 1000 {
			for ssrc := range ssrcs {
				mallory.sendRTCP(&pionrtcp.PictureLossIndication{MediaSSRC: ssrc},
					&pionrtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []pionrtcp.FIREntry{{SSRC: ssrc}}})
			}
			time.Sleep(5 * time.Millisecond)
		}
		require.Greater(t, anna.asked(), before)
		require.LessOrEqual(t, anna.asked()-before, 11, "in 5 s")
	})
}

// TestAPublisherThatFloodsIsHeldToItsRate: 5,000 authentic packets of voice a second, for two seconds.
func TestAPublisherThatFloodsIsHeldToItsRate(t *testing.T) {
	const sent = 10_000
	var got int
	drops := besideACall(t, func(w *world, mallory *byHand, anna *client) {
		before := w.shard().PacketsOut
		for n := range sent {
			mallory.send(mallory.voice(n))
			if n%25 == 24 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		time.Sleep(100 * time.Millisecond)
		got = anna.got(&client{name: "mallory", peer: mallory.peer}, false)
		require.Less(t, w.shard().PacketsOut-before, uint64(2*1500+2*3*400), "two others get each of mallory's packets, and the call's")
	})
	require.InDelta(t, 500+2*500, got, 20, "a second's worth at once, and 500 a second")
	require.InDelta(t, sent-1500, drops.TrackFlood, 20)
	require.Zero(t, drops.PeerFlood)
}

// TestAPeerThatFloodsOnManyTracksIsHeldToItsRate: each track within its own rate, all of them together not.
func TestAPeerThatFloodsOnManyTracksIsHeldToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{
			MaxPeerRate: sfu.Rate{PacketsPerSecond: 200}, MaxVideoRate: sfu.Rate{PacketsPerSecond: 1000},
		})
		defer w.close()
		mallory, anna := w.newByHand("mallory", "demo"), w.newByHand("anna", "demo")
		for n := range 400 { // 4 seconds of 200 packets a second
			mallory.send(mallory.voice(n))
			mallory.send(mallory.frame(n, n == 0))
			anna.send(anna.voice(n))
			time.Sleep(10 * time.Millisecond)
		}
		require.Zero(t, w.shard().Drops.PeerFlood, "within the rate")
		for n := 400; n < 1200; n++ { // 4 seconds of 400
			mallory.send(mallory.voice(n))
			mallory.send(mallory.frame(n, false))
			anna.send(anna.voice(n))
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		drops := w.shard().Drops
		require.InDelta(t, 800-200, drops.PeerFlood, 20, "all but a second's worth at once")
		require.Zero(t, drops.TrackFlood)
		require.InDelta(t, 1200, mallory.got("anna"), 5, "another peer's rate is its own")
	})
}

// TestAnOfferAimsNoChecksAtOthers: a client names addresses in its offer that are not its own.
func TestAnOfferAimsNoChecksAtOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		host := w.newHost()
		victim, err := host.ListenUDP(4000)
		require.NoError(t, err)
		defer victim.Close()
		c := &byHand{ufrag: "abcd", pwd: "0123456789abcdef01234567", ssrcAudio: 1, ssrcCam: 3}
		offer := c.offer(strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), []string{"audio sendonly"}) +
			fmt.Sprintf("a=candidate:1 1 udp 2130706431 %s 4000 typ host\r\n", host.Addr())
		_, _, err = w.sfu.Join(t.Context(), sfu.JoinRequest{Room: "demo", Identity: "mallory", Publish: true, Offer: offer, Events: func(sfu.Event) {}})
		require.NoError(t, err)
		require.NoError(t, victim.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, from, err := victim.ReadFrom(make([]byte, 1500))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "heard from %v", from)
	})
}

// TestABadPacketFloodLeavesTheCallUp: 50,000 bad packets a second at a live port, from a validated address and from
// others, for a second of the call.
func TestABadPacketFloodLeavesTheCallUp(t *testing.T) {
	drops := besideACall(t, func(w *world, mallory *byHand, anna *client) {
		stranger, err := w.newHost().ListenUDP(0)
		require.NoError(t, err)
		defer stranger.Close()
		forged := mallory.send(mallory.voice(0))
		stray := append([]byte(nil), forged...)
		binary.BigEndian.PutUint32(stray[8:], uint32(anna.pc.GetSenders()[0].GetParameters().Encodings[0].SSRC))
		for n := range 200 {
			for i := range 125 {
				binary.BigEndian.PutUint16(forged[2:], uint16(n*125+i))
				mallory.conn.WriteTo(forged, mallory.server)
				stranger.WriteTo(stray, mallory.server)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	require.GreaterOrEqual(t, drops.Forged, uint64(24_999))
	require.EqualValues(t, 25_000, drops.UnknownSource)
}

func TestBadOffersGetTypedErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{}, sfu.Config{MaxPeers: 1})
		defer w.close()
		c := &byHand{ufrag: "abcd", pwd: "0123456789abcdef01234567", ssrcAudio: 1, ssrcCam: 3}
		print := strings.TrimSuffix(strings.Repeat("AB:", 32), ":")
		good := c.offer(print, []string{"audio sendonly", "video recvonly"})
		var lines []string
		for range 129 {
			lines = append(lines, "audio recvonly")
		}
		crowd := good
		for n := range 5000 {
			crowd += fmt.Sprintf("a=candidate:%d 1 udp 1 10.9.%d.%d 40 typ host\r\n", n, n/250, n%250+1)
		}
		join := func(room, offer string) error {
			p, _, err := w.sfu.Join(t.Context(), sfu.JoinRequest{Room: room, Identity: "x", Publish: true, Subscribe: true, Offer: offer, Events: func(sfu.Event) {}})
			if err == nil {
				require.NoError(t, p.Leave(t.Context()))
			}
			return err
		}
		require.NoError(t, join("a", good))
		require.NoError(t, join("a", crowd), "5,000 candidates: none is checked")
		require.ErrorIs(t, join("a", c.offer(print, lines)), sfu.ErrBadOffer)
		require.ErrorIs(t, join("a", ""), sfu.ErrBadOffer)
		require.ErrorIs(t, join("a", "v=0\r\n"+strings.Repeat("a=x\r\n", 1<<16)), sfu.ErrBadOffer)
		require.ErrorIs(t, join("a", strings.NewReplacer("VP8", "H265", "opus", "L24").Replace(good)), sfu.ErrUnsupportedCodec)
		st, ok := w.sfu.Stats()
		require.True(t, ok)
		require.Zero(t, st.Peers, "a refused join leaves nothing")
		require.Zero(t, st.Rooms)

		first, _, err := w.sfu.Join(t.Context(), sfu.JoinRequest{Room: "a", Identity: "first", Offer: good, Events: func(sfu.Event) {}})
		require.NoError(t, err)
		require.ErrorIs(t, join("a", good), sfu.ErrRoomFull)
		require.NoError(t, join("b", good))
		require.NoError(t, first.Leave(t.Context()))
		require.NoError(t, join("a", good))
	})
}

// TestJoinsEndCleanlyUnderAReplacementAndAtTheEnd: joins of one identity race with each other and with Close.
func TestJoinsEndCleanlyUnderAReplacementAndAtTheEnd(t *testing.T) {
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1, netsim.LinkConfig{})
			c := &byHand{ufrag: "abcd", pwd: "0123456789abcdef01234567", ssrcAudio: 1, ssrcCam: 3}
			offer := c.offer(strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), []string{"audio sendonly", "video recvonly"})
			var wg sync.WaitGroup
			for n := range 12 {
				wg.Go(func() {
					p, _, err := w.sfu.Join(t.Context(), sfu.JoinRequest{Room: "a", Identity: fmt.Sprint(n % 2), Publish: true, Offer: offer, Events: func(sfu.Event) {}})
					if err == nil && n%3 == 0 {
						p.Leave(t.Context())
					}
				})
			}
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			w.close()
			wg.Wait()
			st, ok := w.sfu.Stats()
			require.False(t, ok)
			require.Zero(t, st.Peers)
			require.Zero(t, st.Rooms)
		})
	}
}
