package sfu_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// TestAThinPathOnAnotherShard: whom the packets reach through a pipe gets what its path carries, and its neighbour all there is.
func TestAThinPathOnAnotherShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{world: newWorldOf(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond}, sfu.Config{Sockets: make([]udp.Socket, 2)})}
		defer n.close()
		n.link = netsim.LinkConfig{Delay: 25 * time.Millisecond, QueueTime: 300 * time.Millisecond}
		n.anna = n.newClient("anna")
		n.lenses = n.anna.simulcast()
		n.anna.tracks = []sfu.Track{{ID: "sim", Kind: sfu.Video, Source: sfu.Screen, MID: "14"}}
		n.anna.join("hall").talk()
		for i := range 49 {
			n.newGuest(fmt.Sprintf("g%d", i), sfu.Device{}, "audio recvonly")
		}
		n.viewer = n.newClientAt("viewer", n.net.Host(viewerAddr), 1, 1)
		n.net.SetLink(n.viewer.host, n.host, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		n.carry(600_000)
		n.viewer.join("hall")
		host := n.net.Host(netip.MustParseAddr("10.0.2.2"))
		n.net.SetPath(n.host, host, n.world.link)
		other := *n
		other.viewer = n.newClientAt("other", host, 1, 1).join("hall")
		n.eventually(5*time.Second, "all are connected", func() bool {
			return n.anna.isConnected() && n.viewer.isConnected() && other.viewer.isConnected()
		})
		st, _ := n.sfu.Stats()
		require.Equal(t, 2, st.Shards[1].Peers, "both viewers")

		start := time.Now()
		other.until(3*time.Second, "the largest picture", func() bool { return other.shows() == 'f' })
		n.live(10 * time.Second)
		require.Equal(t, byte('f'), other.shows())
		require.NotZero(t, n.shows())
		late := start.Add(5 * time.Second)
		for _, a := range n.arrivals(late) {
			require.NotEqual(t, byte('f'), a.lens, "720 lines take 1.5 Mbit/s")
		}
		require.Greater(t, len(n.arrivals(late)), 5*25)
		waited := n.queues(late, time.Now())
		require.Less(t, waited[len(waited)*95/100], 100*time.Millisecond)
		n.requireVoice(start.Add(time.Second), 400*time.Millisecond)
		other.requireVoice(start.Add(time.Second), 60*time.Millisecond)
		layers, ok := lastEvent[sfu.LayersChanged](n.viewer)
		require.True(t, ok)
		require.Equal(t, sfu.BandwidthLimit, layers.Slots[0].Limit)

		n.carry(2_500_000)
		n.until(8*time.Second, "the largest picture here too", func() bool { return n.shows() == 'f' })
		st, _ = n.sfu.Stats()
		for _, s := range st.Shards {
			require.Zero(t, s.Faults)
			require.Zero(t, s.Drops.PipeOverflow)
		}
	})
}

// TestAReboundViewerKeepsItsEstimate: while its NAT gives it another port nothing reaches it. That silence is no path that carries
// less.
func TestAReboundViewerKeepsItsEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{world: newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})}
		defer n.close()
		n.anna = n.newClient("anna")
		n.lenses = n.anna.simulcast()
		n.anna.tracks = []sfu.Track{{ID: "sim", Kind: sfu.Video, Source: sfu.Screen, MID: "14"}}
		n.anna.join("demo").talk()
		nat := n.net.NAT(netip.MustParseAddr("198.51.100.7"))
		home := nat.Host(netip.MustParseAddr("192.168.1.2"))
		far := netsim.LinkConfig{Delay: 300 * time.Millisecond}
		n.net.SetPath(n.host, home, far)
		n.viewer = n.newClientAt("viewer", home, 1, 1).join("demo").talk()
		n.until(20*time.Second, "the largest picture", func() bool { return n.shows() == 'f' })
		n.live(10 * time.Second)
		require.Equal(t, byte('f'), n.shows())
		before, ok := n.viewer.peer.Path()
		require.True(t, ok)

		rebound := time.Now()
		nat.Rebind()
		n.live(10 * time.Second)
		t.Logf("gap %v", gapAfter(n.viewer, n.anna, true, rebound))
		require.Less(t, gapAfter(n.viewer, n.anna, true, rebound), 2*time.Second)
		require.EqualValues(t, 1, n.shard().PathChanges)
		for _, a := range n.arrivals(rebound.Add(4 * time.Second)) {
			require.NotEqual(t, byte('q'), a.lens)
		}
		after, ok := n.viewer.peer.Path()
		require.True(t, ok)
		t.Logf("estimate %v, then %v", before.Estimate, after.Estimate)
		require.Greater(t, after.Estimate, before.Estimate/2)
		require.Equal(t, byte('f'), n.shows())
	})
}

// showFor has a client made by hand send 50 packets of sound and 30 of picture, of 1,000 bytes, a second.
func showFor(d time.Duration, anna *byHand, first int, each func()) {
	for n := first; n < first+int(d/(20*time.Millisecond)); n++ {
		anna.send(anna.voice(n))
		if n%5 < 3 {
			anna.send(anna.frame(n/5*3+n%5, n%50 == 0))
		}
		each()
		time.Sleep(20 * time.Millisecond)
	}
}

// TestWhoTellsNothingIsNotStarved: a client that never sends RTCP, or receiver reports alone, has voice and picture, whatever it has
// negotiated. One that has told of packets and falls silent keeps its voice: its path may be gone (RFC 8083).
func TestWhoTellsNothingIsNotStarved(t *testing.T) {
	cases := map[string]struct {
		plain    bool // transport-wide feedback was not negotiated
		reports  bool
		told     bool // at first
		pictures float64
	}{
		"nothing negotiated, silent":         {plain: true, pictures: 150},
		"nothing negotiated, reports":        {plain: true, reports: true, pictures: 150},
		"negotiated, silent":                 {pictures: 150},
		"negotiated, reports":                {reports: true, pictures: 150},
		"negotiated, silent after the first": {told: true, pictures: 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
				defer w.close()
				anna := w.newByHand("anna", "demo")
				w.plain, w.mute = c.plain, !c.told
				boris := w.newByHand("boris", "demo", "audio recvonly", "video recvonly")
				if c.told {
					boris.tellArrivals()
					boris.quiet.Store(true)
				}
				sent := 0
				showFor(20*time.Second, anna, 0, func() {
					if sent++; c.reports && sent%50 == 0 {
						boris.report()
					}
				})
				time.Sleep(time.Second)
				heard := map[uint8]int{}
				for _, p := range boris.heardFrom("anna") {
					if time.Since(p.at) < 6*time.Second {
						heard[p.PayloadType]++
					}
				}
				t.Logf("of the last 5 s: %v", heard)
				require.InDelta(t, 250, heard[111], 5, "voice")
				require.InDelta(t, c.pictures, heard[96], 5, "pictures")
			})
		})
	}
}

// report sends a receiver report without loss on all that has come.
func (c *byHand) report() {
	c.mu.Lock()
	last := map[uint32]uint32{}
	for _, p := range c.rtp {
		last[p.SSRC] = uint32(p.SequenceNumber)
	}
	c.mu.Unlock()
	rr := &pionrtcp.ReceiverReport{SSRC: 1}
	for ssrc, n := range last {
		rr.Reports = append(rr.Reports, pionrtcp.ReceptionReport{SSRC: ssrc, LastSequenceNumber: n})
	}
	c.sendRTCP(rr)
}

// TestREMBOfAnySizeMovesTheClientAlone: none and more than any path has.
func TestREMBOfAnySizeMovesTheClientAlone(t *testing.T) {
	for _, bits := range []float32{0, 1 << 62} {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})
				defer w.close()
				anna, other := w.newByHand("anna", "demo"), w.newByHand("other", "demo", "audio recvonly", "video recvonly")
				w.plain = true
				boris := w.newByHand("boris", "demo", "audio recvonly", "video recvonly")
				boris.quiet.Store(true)
				sent := 0
				showFor(10*time.Second, anna, 0, func() {
					if sent++; sent%10 == 0 {
						boris.sendRTCP(&pionrtcp.ReceiverEstimatedMaximumBitrate{Bitrate: bits})
						boris.report()
					}
				})
				time.Sleep(time.Second)
				path, ok := boris.peer.Path()
				require.True(t, ok)
				require.Positive(t, path.Estimate)
				require.LessOrEqual(t, path.Estimate, 50*bwe.Mbps)
				require.InDelta(t, 500+300, other.got("anna"), 10)
				voices := 0
				for _, p := range boris.heardFrom("anna") {
					if p.PayloadType == 111 {
						voices++
					}
				}
				require.InDelta(t, 500, voices, 5)
				require.Zero(t, w.shard().Faults)
			})
		})
	}
}

// TestASlowTCPConnectionKeepsTheVoice: what TCP carries is measured as of any path, and nothing piles up in front of it.
func TestASlowTCPConnectionKeepsTheVoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, port := newTCPWorld(t)
		defer w.close()
		anna := w.newByHand("anna", "demo")
		end := &slowEnd{tcpEnd: port.dial(netip.MustParseAddr("10.0.2.1"))}
		boris := w.byHandOver(end, "boris", "demo", "audio recvonly", "video recvonly")
		sent := 0
		tick := func() {
			if sent++; sent%125 == 0 {
				anna.check(true)
				boris.check(true)
			}
		}
		showFor(5*time.Second, anna, 0, tick)
		end.rate.Store(150_000) // of 290 kbit/s
		showFor(15*time.Second, anna, 250, tick)
		voices, pictures := 0, 0
		for _, p := range boris.heardFrom("anna") {
			if time.Since(p.at) < 5*time.Second {
				if p.PayloadType == 111 {
					voices++
				} else {
					pictures++
				}
			}
		}
		path, ok := boris.peer.Path()
		t.Logf("%d voices, %d pictures, path %+v, drops %+v", voices, pictures, path, w.shard().Drops)
		require.True(t, ok)
		require.Less(t, path.Estimate, 400*bwe.Kbps)
		require.Greater(t, voices, 235)
	})
}
