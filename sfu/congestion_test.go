package sfu_test

import (
	"slices"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// narrow is a call of a publisher with a simulcast and a voice, and of a viewer behind a bottleneck.
type narrow struct {
	*world
	anna, viewer *client
	lenses       []*lens
	link         netsim.LinkConfig // from the server to the viewer
}

// newNarrow joins both; 25 ms each way, so that a round trip from the server to the viewer and back is 50 ms.
func newNarrow(t *testing.T, seed uint64, rate int64) *narrow {
	n := &narrow{world: newWorld(t, seed, netsim.LinkConfig{Delay: 25 * time.Millisecond})}
	n.link = netsim.LinkConfig{Delay: 25 * time.Millisecond, Rate: rate, QueueTime: 300 * time.Millisecond}
	n.anna = n.newClient("anna")
	n.lenses = n.anna.simulcast()
	n.anna.tracks = []sfu.Track{{ID: "sim", Kind: sfu.Video, Source: sfu.Screen, MID: "14"}}
	n.anna.join("demo").talk()
	n.viewer = n.newClientAt("viewer", n.net.Host(viewerAddr), 1, 1)
	n.net.SetLink(n.viewer.host, n.host, netsim.LinkConfig{Delay: 25 * time.Millisecond})
	n.carry(rate)
	n.viewer.join("demo")
	n.eventually(5*time.Second, "both are connected", func() bool { return n.anna.isConnected() && n.viewer.isConnected() })
	return n
}

// carry changes what the viewer's path carries from now on.
func (n *narrow) carry(rate int64) {
	n.link.Rate = rate
	n.net.SetLink(n.host, n.viewer.host, n.link)
}

// live lets time pass while anna does as she is told.
func (n *narrow) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		n.anna.obey(n.lenses)
	}
}

// until lets time pass until ok, and returns how long that took.
func (n *narrow) until(limit time.Duration, what string, ok func() bool) time.Duration {
	n.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			st, _ := n.sfu.Stats()
			path, _ := n.viewer.peer.Path()
			n.t.Fatalf("not within %v: %s; path: %+v; server: %+v", limit, what, path, st)
		}
		n.live(10 * time.Millisecond)
	}
	return time.Since(start)
}

// arrival is one packet of the simulcast as the viewer got it.
type arrival struct {
	at    time.Time
	lens  byte // its mark; 0: of a keyframe's first packet, which has none
	again bool // it comes behind one that left later: it was lost, and sent again
}

func (n *narrow) arrivals(since time.Time) (all []arrival) {
	mid := n.viewer.slotOf(n.anna.peer.ID(), true)
	n.viewer.mu.Lock()
	defer n.viewer.mu.Unlock()
	if r := n.viewer.heard[mid]; r != nil {
		for i, highest := 0, r.packets[0].SequenceNumber; i < len(r.packets); i++ {
			p := &r.packets[i]
			again := int16(p.SequenceNumber-highest) < 0
			if !again {
				highest = p.SequenceNumber
			}
			if r.at[i].After(since) && len(p.Payload) > 15 && !isKeyframe(p.Payload) {
				all = append(all, arrival{r.at[i], p.Payload[15], again})
			}
		}
	}
	return all
}

// shows is the encoding of the newest packet.
func (n *narrow) shows() byte {
	all := n.arrivals(time.Now().Add(-300 * time.Millisecond))
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].lens
}

// requireVoice: every packet of anna's voice since then came, in order, and at most so long after it was sent.
func (n *narrow) requireVoice(since time.Time, gap time.Duration) {
	n.t.Helper()
	requireSmooth(n.t, n.viewer, n.viewer.slotOf(n.anna.peer.ID(), false), since, gap)
}

// queues is how long each packet of anna's voice stood in the viewer's bottleneck, beyond the least of all.
func (n *narrow) queues(from, to time.Time) (waited []time.Duration) {
	mid := n.viewer.slotOf(n.anna.peer.ID(), false)
	n.viewer.mu.Lock()
	defer n.viewer.mu.Unlock()
	r := n.viewer.heard[mid]
	least := time.Duration(1<<63 - 1)
	for i := range r.packets {
		age := r.at[i].Sub(r.at[0]) - time.Duration(int32(r.packets[i].Timestamp-r.packets[0].Timestamp))*time.Second/48000
		least = min(least, age)
		if r.at[i].After(from) && r.at[i].Before(to) {
			waited = append(waited, age)
		}
	}
	for i := range waited {
		waited[i] -= least
	}
	slices.Sort(waited)
	return waited
}

// TestAPathThatGetsThinAndWideAgain: 2.5, 0.6, 2.5 Mbit/s, over a round trip of 50 ms with a queue of 300 ms.
func TestAPathThatGetsThinAndWideAgain(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			n := newNarrow(t, seed+1, 2_500_000)
			defer n.close()
			start := time.Now()
			took := n.until(2*time.Second, "the largest picture on a path that carries it", func() bool { return n.shows() == 'f' })
			t.Logf("720 lines after %v", took)
			n.live(10 * time.Second)
			require.Equal(t, byte('f'), n.shows())

			n.carry(600_000)
			fell := time.Now()
			n.live(20 * time.Second)
			last := fell
			for _, a := range n.arrivals(fell) {
				if a.lens == 'f' {
					last = a.at
				}
			}
			t.Logf("last packet of 720 lines came after %v", last.Sub(fell))
			// A round trip, two intervals of feedback and a picture; what has left by then stands in a queue of 300 ms.
			require.Less(t, last.Sub(fell), (50+2*100+34+25+300)*time.Millisecond)
			waited := n.queues(fell.Add(1400*time.Millisecond), fell.Add(1500*time.Millisecond))
			require.Less(t, waited[0], 50*time.Millisecond, "the queue is gone")
			waited = n.queues(fell.Add(1500*time.Millisecond), time.Now())
			t.Logf("then a queue of %v, p95 %v, at most %v", waited[len(waited)/2], waited[len(waited)*95/100], waited[len(waited)-1])
			require.Less(t, waited[len(waited)/2], 25*time.Millisecond)
			require.Less(t, waited[len(waited)*95/100], 100*time.Millisecond)
			small, all := 0, 0
			for _, a := range n.arrivals(fell.Add(3 * time.Second)) {
				if all++; a.lens == 'q' {
					small++
				}
			}
			t.Logf("%d of %d pictures then of 180 lines", small, all)
			require.Greater(t, small, all*9/10, "what was measured to be too much is not tried again and again")
			for _, a := range n.arrivals(fell.Add(time.Second)) {
				require.NotEqual(t, byte('f'), a.lens, "180 lines take 0.37 Mbit/s, 360 lines 0.74")
			}
			for at := fell.Add(1500 * time.Millisecond); at.Before(fell.Add(19 * time.Second)); at = at.Add(time.Second) {
				require.True(t, slices.ContainsFunc(n.arrivals(at), func(a arrival) bool { return a.at.Before(at.Add(500 * time.Millisecond)) }),
					"pictures go on at %v", at.Sub(fell))
			}
			layers, ok := lastEvent[sfu.LayersChanged](n.viewer)
			require.True(t, ok)
			require.Equal(t, sfu.BandwidthLimit, layers.Slots[0].Limit)
			e, ok := lastEvent[sfu.LayersWanted](n.anna)
			require.True(t, ok)
			require.False(t, e.Encodings[2].Wanted, "nobody can receive 720 lines")

			n.carry(2_500_000)
			took = n.until(8*time.Second, "the largest picture again", func() bool { return n.shows() == 'f' })
			t.Logf("720 lines again after %v", took)
			n.requireVoice(start.Add(time.Second), 400*time.Millisecond)
			n.live(10 * time.Second)
			require.Equal(t, byte('f'), n.shows())
		})
	}
}

// reel is six seconds of pictures of so many bytes, with a keyframe each second: seven times as large, the first fourteen times. So are
// the clips of bench/source.
func reel(size int) []int {
	all := make([]int, 180)
	for i := range all {
		all[i] = size * (70 + i*37%61) / 100
		if i%30 == 0 {
			all[i] = 7 * size
		}
	}
	all[0] = 14 * size
	return all
}

// TestKeyframesOnAPathThatGetsThin: 2.5 and 0.6 Mbit/s in turn, and encodings of 0.12, 0.4 and 1.2 Mbit/s with a keyframe each second.
// Two of them fit the thin path, each keyframe for itself takes a quarter of a second of it. They wait at the server, not in front of
// the voice, and no layer goes or comes for them.
func TestKeyframesOnAPathThatGetsThin(t *testing.T) {
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			n := newNarrow(t, seed+1, 2_500_000)
			defer n.close()
			for i, size := range []int{365, 1300, 3900} {
				n.lenses[i].reel.Store(new(reel(size)))
			}
			n.until(10*time.Second, "the largest picture", func() bool { return n.shows() == 'f' })
			n.live(6 * time.Second)
			switches, long, all := 0, 0, 0
			for range 3 {
				fell := time.Now()
				n.carry(600_000)
				n.live(10 * time.Second)
				waited := n.queues(fell.Add(1500*time.Millisecond), time.Now())
				all += len(waited)
				long += len(waited) - sort.Search(len(waited), func(i int) bool { return waited[i] > 50*time.Millisecond })
				before := byte('f')
				for _, a := range n.arrivals(fell.Add(1100 * time.Millisecond)) { // what waited at the fall has come by then
					if a.lens != before {
						switches++
						before = a.lens
					}
				}
				n.carry(2_500_000)
				back := n.until(8*time.Second, "the largest picture again", func() bool { return n.shows() == 'f' })
				n.live(15*time.Second - back)
				for _, a := range n.arrivals(time.Now().Add(-11 * time.Second)) {
					require.Equal(t, byte('f'), a.lens, "which fits")
				}
			}
			t.Logf("%d of %d packets of the voice waited for more than 50 ms, %d switches on the thin path", long, all, switches)
			require.Less(t, long, all/50, "behind keyframes")
			require.LessOrEqual(t, switches, 3+1, "one at each fall, and one more in half a minute of it")
			require.Greater(t, all, 3*8500/20*99/100, "the voice, from 1.5 s after each fall on")
		})
	}
}

// TestTheOldEncodingLeavesAtOnce: the path falls from 2.5 to 0.6 Mbit/s shortly before a keyframe of what flows, which fills the
// bottleneck for 0.3 s. Nothing may leave for as long, and a keyframe of what fits that has come meanwhile is too old by then. The old
// encoding does not go on for that, nor is what was lost of it sent again: its last packet comes when the queue of the fall has
// passed, and the picture goes on within 200 ms.
func TestTheOldEncodingLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t, 1, 2_500_000)
		defer n.close()
		n.net.SetPath(n.host, n.anna.host, netsim.LinkConfig{Delay: time.Millisecond})
		for i, size := range []int{365, 1300, 3900} {
			n.lenses[i].reel.Store(new(reel(size)))
		}
		fall := func(before time.Duration, together bool) {
			n.until(8*time.Second, "the largest picture", func() bool { return n.shows() == 'f' })
			n.live(4 * time.Second)
			for i, l := range n.lenses {
				if together || i < 2 {
					l.keyframe.Store(true) // and each second from then on
				}
			}
			n.live(500 * time.Millisecond)
			if !together {
				n.lenses[2].keyframe.Store(true)
				n.live(500 * time.Millisecond)
			}
			n.live(500*time.Millisecond - before)
			n.carry(600_000)
			n.live(3 * time.Second)
			n.carry(2_500_000)
		}
		fall(0, true) // from now on the smaller ones are sent too, so that a fall costs no encoder a start
		for i := range 14 {
			before, together := time.Duration(i/2+1)*50*time.Millisecond, i%2 == 0
			fall(before, together)
			fell := time.Now().Add(-3 * time.Second)
			last, gap, at := fell, time.Duration(0), fell
			for _, a := range n.arrivals(fell) {
				if a.lens == 'f' && !a.again {
					last = a.at
				}
				gap, at = max(gap, a.at.Sub(at)), a.at
			}
			t.Logf("%v before keyframes (together: %v): the old encoding came until %v after the fall, the longest gap was %v", before, together, last.Sub(fell), gap)
			// A round trip, two intervals of feedback and a picture until it leaves, 100 ms more where a keyframe hides the fall; what has left
			// by then stands in a queue of 300 ms.
			require.Less(t, last.Sub(fell), (50+2*100+34+100+25+300)*time.Millisecond)
			require.Less(t, gap, 200*time.Millisecond, "pictures")
		}
	})
}

// TestVoiceGoesOnWhereNoPictureFits: 100 kbit/s carry a voice, and none of the pictures. The slot says so, and shows pictures
// again as soon as they fit.
func TestVoiceGoesOnWhereNoPictureFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t, 1, 2_500_000)
		defer n.close()
		n.until(2*time.Second, "a picture", func() bool { return n.shows() != 0 })
		n.live(5 * time.Second)
		n.carry(100_000)
		fell := time.Now()
		n.live(20 * time.Second)
		layers, ok := lastEvent[sfu.LayersChanged](n.viewer)
		require.True(t, ok)
		require.Equal(t, sfu.SlotLayer{MID: layers.Slots[0].MID, Limit: sfu.BandwidthLimit}, layers.Slots[0])
		require.Empty(t, n.arrivals(time.Now().Add(-2*time.Second)))
		n.requireVoice(fell.Add(2*time.Second), 150*time.Millisecond)
		require.Equal(t, 1, n.shard().Paths.Paused)
		n.carry(2_500_000)
		n.until(8*time.Second, "a picture again", func() bool { return n.shows() != 0 })
	})
}

// TestVoiceGoesOnThroughLoss: of 30 % that is lost by chance nobody's rate is to blame. Seven tenths of the voice come, and pictures
// go on.
func TestVoiceGoesOnThroughLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t, 1, 2_500_000)
		defer n.close()
		n.until(2*time.Second, "a picture", func() bool { return n.shows() != 0 })
		n.link.Loss = 0.3
		n.carry(2_500_000)
		since := time.Now()
		n.live(20 * time.Second)
		came := len(n.queues(since, time.Now()))
		require.InDelta(t, 0.7*20*50, came, 40, "packets of voice")
		late := n.arrivals(since.Add(15 * time.Second))
		require.Greater(t, len(late), 5*30, "pictures")
		path, ok := n.viewer.peer.Path()
		require.True(t, ok)
		require.InDelta(t, 0.3, path.Loss, 0.1)
		require.False(t, path.Congested)
	})
}

// TestASubscriberWhoLiesMovesItself: boris tells that all has come, and gets no more than his slots want; what others get does
// not change.
func TestASubscriberWhoLiesMovesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNarrow(t, 1, 600_000)
		defer n.close()
		liar := n.newByHand("liar", "demo", "audio recvonly", "video recvonly")
		n.live(5 * time.Second)
		before, _ := n.viewer.peer.Path()
		for range 300 { // 3 s of 1,000 a second
			for range 10 {
				liar.lie()
			}
			n.live(10 * time.Millisecond)
		}
		st := n.shard()
		require.Positive(t, st.Drops.FeedbackFlood)
		require.Zero(t, st.Faults)
		after, _ := n.viewer.peer.Path()
		require.Less(t, after.Estimate, 2*before.Estimate)
		require.Less(t, before.Estimate, 2*after.Estimate)
		require.NotZero(t, n.shows())
		lied, ok := liar.peer.Path()
		require.True(t, ok)
		require.LessOrEqual(t, lied.Estimate, 50*bwe.Mbps, "whatever it says")
	})
}
