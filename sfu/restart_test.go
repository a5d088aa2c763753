package sfu_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

// negotiate takes a new offer through the server, half a round trip each way.
func (c *client) negotiate(options *webrtc.OfferOptions, tracks ...sfu.Track) {
	t := c.w.t
	t.Helper()
	offer, err := c.pc.CreateOffer(options)
	require.NoError(t, err)
	require.NoError(t, c.pc.SetLocalDescription(offer))
	time.Sleep(c.w.link.Delay)
	answer, err := c.peer.Negotiate(context.Background(), c.pc.LocalDescription().SDP, tracks, 0)
	require.NoError(t, err)
	time.Sleep(c.w.link.Delay)
	require.NoError(t, c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
}

// requireSmooth checks that one slot's stream has run since a moment without loss, repetition or a gap.
func requireSmooth(t *testing.T, c *client, mid string, since time.Time, gap time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.heard[mid]
	require.NotNil(t, r)
	last := -1
	for i := range r.packets {
		if r.at[i].Before(since) {
			continue
		}
		if last >= 0 {
			require.Equal(t, r.packets[last].SequenceNumber+1, r.packets[i].SequenceNumber)
			require.Less(t, r.at[i].Sub(r.at[last]), gap)
		}
		last = i
	}
	require.Positive(t, last)
	require.Less(t, time.Since(r.at[last]), gap)
}

// TestAnICERestartLosesNothing: a client that keeps its old path until the new one is checked, as browsers do.
func TestAnICERestartLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		boris := w.newClient("boris").join("demo").talk()
		anna := w.newByHand("anna", "demo")
		sent := 0
		talk := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); sent++ {
				anna.send(anna.voice(sent))
				time.Sleep(20 * time.Millisecond)
			}
		}
		talk(time.Second)
		first := anna.toUfrag
		since := time.Now()
		for range 3 {
			anna.ufrag, anna.pwd = randomHex(4), randomHex(16)
			answer, err := anna.peer.Negotiate(t.Context(), anna.offer(anna.print, anna.offered), nil, 0)
			require.NoError(t, err)
			talk(100 * time.Millisecond) // the answer is on its way; the server has new credentials already
			anna.readAnswer(answer)
			require.NotEqual(t, first, anna.toUfrag)
			anna.check(true)
			talk(time.Second)
		}
		time.Sleep(30 * time.Millisecond)
		heard := anna.heardFrom("boris")
		last := heard[len(heard)-1]
		require.Less(t, time.Since(last.at), 100*time.Millisecond)
		requireSmooth(t, boris, boris.slotOf(anna.peer.ID(), false), since, 80*time.Millisecond)
		require.Empty(t, holes(heard), "sequence numbers that anna did not get")
		st := w.shard()
		require.Zero(t, st.Drops.Forged, "the keys are the same")
		require.Zero(t, st.Drops.ForgedSTUN)
	})
}

// holes returns the sequence numbers missing in what came in on each SSRC.
func holes(heard []heardRTP) (missing []uint16) {
	last := map[uint32]uint16{}
	for _, p := range heard {
		if n, ok := last[p.SSRC]; ok {
			for s := n + 1; s != p.SequenceNumber; s++ {
				missing = append(missing, s)
			}
		}
		last[p.SSRC] = p.SequenceNumber
	}
	return missing
}

// TestAnICERestartOfPionKeepsKeys: pion's agent forgets its old pairs when it makes the offer, so that a gap from there
// to the first new check is its own.
func TestAnICERestartOfPionKeepsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		anna.hears(5*time.Second, boris)
		boris.hears(5*time.Second, anna)
		time.Sleep(time.Second)
		handshakes := 0
		anna.pc.GetSenders()[0].Transport().OnStateChange(func(webrtc.DTLSTransportState) { handshakes++ })
		for range 3 {
			since := time.Now()
			anna.negotiate(&webrtc.OfferOptions{ICERestart: true})
			time.Sleep(2 * time.Second)
			// Offer and answer take a round trip, a check another, and pion looks at its list every 200 ms.
			for _, video := range []bool{false, true} {
				require.LessOrEqual(t, gapAfter(anna, boris, video, since), 400*time.Millisecond)
				require.LessOrEqual(t, gapAfter(boris, anna, video, since), 400*time.Millisecond)
			}
		}
		require.Zero(t, handshakes)
		require.Equal(t, webrtc.PeerConnectionStateConnected, anna.pc.ConnectionState())
		require.Zero(t, w.shard().Drops.Forged)
	})
}

// TestAnICERestartBringsACutClientBack: nothing of the old path works any more, and the client sends nothing that would
// show its new address but the checks of the restart.
func TestAnICERestartBringsACutClientBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		nat := w.net.NAT(netip.MustParseAddr("198.51.100.7"))
		home := nat.Host(netip.MustParseAddr("192.168.1.2"))
		w.net.SetPath(w.host, home, w.link)
		anna := w.newClientAt("anna", home, 3, 9).join("demo")
		boris := w.newClient("boris").join("demo").talk()
		anna.hears(5*time.Second, boris)
		time.Sleep(time.Second)
		since := time.Now()
		nat.Rebind()
		anna.negotiate(&webrtc.OfferOptions{ICERestart: true})
		time.Sleep(5 * time.Second)
		require.LessOrEqual(t, gapAfter(anna, boris, false, since), 1500*time.Millisecond)
	})
}

func TestRenegotiationAddsSlotsAndAScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		small := w.newClientAt("boris", w.newHost(), 1, 1).join("demo").talk()
		chingiz := w.newClient("chingiz").join("demo").talk()
		small.hears(5*time.Second, anna)
		chingiz.hears(5*time.Second, anna, small)
		require.Empty(t, small.slotOf(chingiz.peer.ID(), true), "one slot, taken")
		since := time.Now()

		// Anna shows her screen.
		screen, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "screen", "anna")
		require.NoError(t, err)
		tr, err := anna.pc.AddTransceiverFromTrack(screen, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(t, err)
		anna.negotiate(nil, sfu.Track{ID: "screen", Kind: sfu.Video, Source: sfu.Screen, MID: "14"})
		require.Equal(t, "14", tr.Mid())
		shot := &camera{}
		shot.keyframe.Store(true)
		anna.wg.Go(func() { anna.film(screen, shot, 'S') })
		anna.wg.Go(func() { anna.watch(tr.Sender(), shot) })
		published, told := lastEvent[sfu.TrackPublished](chingiz)
		require.True(t, told)
		require.Equal(t, "screen", published.Track.ID)
		w.eventually(2*time.Second, "chingiz sees the screen", func() bool { return chingiz.sees('S') })

		// Boris asks for more slots.
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeVideo} {
			_, err := small.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			require.NoError(t, err)
		}
		small.negotiate(nil)
		small.hears(2*time.Second, anna, chingiz)
		w.eventually(2*time.Second, "boris sees the screen", func() bool { return small.sees('S') })

		// All this time the old slots ran on.
		time.Sleep(time.Second)
		requireSmooth(t, chingiz, chingiz.slotOf(small.peer.ID(), true), since, 100*time.Millisecond)
		requireSmooth(t, chingiz, chingiz.slotOf(anna.peer.ID(), false), since, 100*time.Millisecond)
		requireSmooth(t, small, small.slotOf(anna.peer.ID(), false), since, 100*time.Millisecond)
	})
}

func TestATrackIsUnpublishedAndPublishedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(5*time.Second, anna)
		since := time.Now()
		camera := sfu.Track{ID: "cam", Kind: sfu.Video, Source: sfu.Camera, MID: "1"}
		for range 3 {
			require.NoError(t, anna.peer.Unpublish(t.Context(), []string{"cam"}))
			w.eventually(100*time.Millisecond, "boris is told", func() bool {
				_, told := lastEvent[sfu.TrackUnpublished](boris)
				return told && boris.cameraSlot(anna) == ""
			})
			require.Equal(t, 3, w.shard().Uplinks)
			before := boris.marked('a')
			time.Sleep(500 * time.Millisecond)
			require.LessOrEqual(t, boris.marked('a')-before, 12, "what was under way")
			// The same m-line with the same SSRC carries it again.
			anna.negotiate(nil, camera)
			require.Equal(t, 4, w.shard().Uplinks)
			before = boris.marked('a')
			w.eventually(time.Second, "boris sees anna again", func() bool { return boris.marked('a') > before+10 })
		}
		// A track published over itself, as by a client that lost the answer, takes the old one's place.
		anna.negotiate(nil, camera)
		require.Equal(t, 4, w.shard().Uplinks)
		before := boris.marked('a')
		w.eventually(time.Second, "boris still sees anna", func() bool { return boris.marked('a') > before+10 })
		// So does one on its m-line: a client that never ends its tracks holds no more than its offer has lines.
		for n := range 10 {
			camera.ID = fmt.Sprint("cam", n)
			anna.negotiate(nil, camera)
		}
		require.Equal(t, 4, w.shard().Uplinks)
		before = boris.marked('a')
		w.eventually(time.Second, "boris sees anna all the same", func() bool { return boris.marked('a') > before+10 })
		requireSmooth(t, boris, boris.slotOf(anna.peer.ID(), false), since, 100*time.Millisecond)
		require.ErrorIs(t, anna.peer.Unpublish(t.Context(), []string{"nothing"}), sfu.ErrNotFound)
	})
}

// cameraSlot is the video slot that shows a peer; empty when none does.
func (c *client) cameraSlot(from *client) string { return c.slotOf(from.peer.ID(), true) }

// marked counts video packets with a mark, in any slot.
func (c *client) marked(mark byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for mid, r := range c.heard {
		if !c.isVideo(mid) {
			continue
		}
		for _, p := range r.packets {
			if len(p.Payload) == 16 && p.Payload[15] == mark {
				n++
			}
		}
	}
	return n
}

func (c *client) sees(mark byte) bool { return c.marked(mark) > 0 }

// TestARefusedOfferLeavesTheNextOneFree: the tracks of an offer do not fit it. The client takes it back and offers something
// else in its place.
func TestARefusedOfferLeavesTheNextOneFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		boris := w.newClient("boris").join("demo").talk()
		anna := w.newByHand("anna", "demo", "audio sendonly", "audio recvonly", "video recvonly")
		n := 0
		talk := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); n++ {
				anna.send(anna.voice(n))
				time.Sleep(20 * time.Millisecond)
			}
		}
		talk(time.Second)
		since := time.Now()
		slots := append(slices.Clone(anna.offered), "video sendonly")
		screen := sfu.Track{ID: "screen", Kind: sfu.Video, Source: sfu.Screen, MID: "3"}
		for _, tracks := range [][]sfu.Track{
			{{ID: "screen", Kind: sfu.Video, Source: sfu.Screen, MID: "9"}},
			{{ID: "screen", Kind: sfu.Audio, Source: sfu.ScreenAudio, MID: "3"}},
			{screen, screen},
		} {
			_, err := anna.peer.Negotiate(t.Context(), anna.offer(anna.print, slots), tracks, 0)
			require.ErrorIs(t, err, sfu.ErrBadOffer)
			talk(200 * time.Millisecond)
		}
		require.Equal(t, 3, w.shard().Uplinks, "nothing came of them")
		// As if none of them had been: fewer m-lines, then others in their places.
		_, err := anna.peer.Negotiate(t.Context(), anna.offer(anna.print, anna.offered), nil, 0)
		require.NoError(t, err)
		_, err = anna.peer.Negotiate(t.Context(), anna.offer(anna.print, append(slices.Clone(anna.offered), "audio recvonly", "video sendonly")),
			[]sfu.Track{{ID: "screen", Kind: sfu.Video, Source: sfu.Screen, MID: "4"}}, 0)
		require.NoError(t, err)
		require.Equal(t, 4, w.shard().Uplinks)
		talk(time.Second)
		requireSmooth(t, boris, boris.slotOf(anna.peer.ID(), false), since, 80*time.Millisecond)
		require.Empty(t, holes(anna.heardFrom("boris")))
	})
}

// TestRecycledSlotsTakeThePlacesOfStoppedOnes: a client that stops its receiving m-line and offers another in its place,
// over and over, sees what it saw before and holds no more slots than it offers.
func TestRecycledSlotsTakeThePlacesOfStoppedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		defer w.close()
		w.newClient("boris").join("demo").talk()
		anna := w.newByHand("anna", "demo", "audio sendonly", "audio recvonly", "video recvonly")
		time.Sleep(time.Second)
		recycle := func(offer, mid string) string {
			return strings.NewReplacer("a=mid:2\r\n", "a=mid:"+mid+"\r\n", "BUNDLE 0 1 2", "BUNDLE 0 1 "+mid).Replace(offer)
		}
		for round := range 70 { // more than there are video slots
			mid := fmt.Sprint("r", round)
			offer := recycle(anna.offer(anna.print, anna.offered), mid)
			if round%2 == 1 { // stopped in one offer, recycled in the next
				stopped := strings.Replace(strings.Replace(offer, "m=video 9", "m=video 0", 1), "BUNDLE 0 1 "+mid, "BUNDLE 0 1", 1)
				_, err := anna.peer.Negotiate(t.Context(), stopped, nil, 0)
				require.NoError(t, err)
				state, err := anna.peer.State(t.Context())
				require.NoError(t, err)
				require.Len(t, state.Slots, 1, "no video slot any more")
				time.Sleep(2 * w.link.Delay) // what was under way
				before := len(anna.heardFrom("boris"))
				time.Sleep(300 * time.Millisecond)
				require.Greater(t, len(anna.heardFrom("boris")), before, "the voice goes on")
				for _, p := range anna.heardFrom("boris")[before:] {
					require.NotEqual(t, uint8(96), p.PayloadType, "video to an m-line that is stopped")
				}
			}
			since := time.Now()
			answer, err := anna.peer.Negotiate(t.Context(), offer, nil, 0)
			require.NoError(t, err)
			state, err := anna.peer.State(t.Context())
			require.NoError(t, err)
			require.Len(t, state.Slots, 2)
			require.Equal(t, mid, state.Slots[1].MID)
			require.NotEmpty(t, state.Slots[1].PeerID, "it shows boris again")
			_, video, _ := strings.Cut(answer, "a=mid:"+mid)
			_, video, _ = strings.Cut(video, "a=ssrc:")
			ssrc, _, _ := strings.Cut(video, " ")
			w.eventually(time.Second, "boris is seen on the new m-line", func() bool {
				return slices.ContainsFunc(anna.heardFrom("boris"), func(p heardRTP) bool {
					return p.at.After(since) && fmt.Sprint(p.SSRC) == ssrc
				})
			})
		}
		require.Zero(t, w.shard().Faults)
	})
}
