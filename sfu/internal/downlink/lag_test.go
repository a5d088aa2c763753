package downlink

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// paced drives a slot that is held back: it sends only as many packets as the test lets pass.
type paced struct {
	*layered
}

func newPaced(t *testing.T) *paced {
	s := &paced{newLayered(t)}
	s.d.SetRepair(0.05)
	return s
}

// come lets pictures of two packets arrive, 30 a second, of which none is sent.
func (s *paced) come(pictures int, key bool) {
	for i := range pictures {
		s.p.arrive(s.now, s.p.next(key && i == 0, 2)...)
		s.wait(33 * ms)
	}
}

// pass sends n packets.
func (s *paced) pass(n int) (all []got) {
	s.Helper()
	for len(all) < n {
		b := make([]byte, 1500)
		out, state := s.d.Next(s.now, b, s.tseq)
		require.NotEqual(s, Empty, state)
		if state == Sent {
			s.tseq++
			all = append(all, read(s, b, out, s.c))
		}
	}
	return all
}

func TestBacklog(t *testing.T) {
	s := newPaced(t)
	bytes, age := s.d.Backlog(s.now)
	require.Zero(t, bytes)
	require.Zero(t, age)
	s.come(1, true)
	first := s.pass(1)[0]
	_, age = s.d.Backlog(s.now)
	require.Zero(t, age, "what came before it began waits from then on")
	s.come(3, false)
	bytes, age = s.d.Backlog(s.now)
	require.Equal(t, 99*ms, age)
	require.InDelta(t, 7*(wireOverhead+19), bytes, 20, "seven packets")
	s.pass(7)
	bytes, age = s.d.Backlog(s.now)
	require.Zero(t, bytes)
	require.Zero(t, age)
	require.True(t, first.First)

	s.d.SetLayer(s.now, codec.Layer{})
	for range 12 {
		s.come(4, false)
		s.drain()
	}
	s.come(4, false)
	bytes, _ = s.d.Backlog(s.now)
	require.InDelta(t, 2*(wireOverhead+19), bytes, 60, "a quarter of them, by experience")
}

func TestLagLeavesOutTemporalLayersFirst(t *testing.T) {
	s := newPaced(t)
	all := s.show(4, true) // 0 2 1 2
	s.come(4, false)       // 0 2 1 2
	all = append(all, s.pass(8)...)
	require.Equal(t, []uint8{0, 2, 1, 2, 0, 2, 1, 2}, temporal(all), "132 ms")

	s.come(5, false) // 0 2 1 2 0
	more := s.pass(6)
	require.Equal(t, []uint8{0, 1, 0}, temporal(more), "165 ms: without the highest")
	require.Equal(t, uint64(1), s.d.Stats().Thinnings)
	require.Zero(t, s.d.Stats().Stale)
	all = append(all, more...)

	s.come(7, false) // 2 1 2 0 2 1 2: 231 ms
	more = s.pass(2)
	require.Equal(t, []uint8{0}, temporal(more), "and without the next")
	require.Equal(t, uint8(0), s.d.want.Temporal)
	require.Equal(t, codec.Everything, s.d.asked)
	all = append(all, more...)
	all = append(all, s.drain()...)

	// Nobody is behind for 2 s: all layers come back, where the stream lets them in.
	more = s.show(56, false)
	require.NotContains(t, temporal(more), uint8(1))
	all = append(all, more...)
	more = s.show(24, false)
	require.Contains(t, temporal(more), uint8(2))
	continuous(t, append(all, more...))
}

func TestLagGoesOnAtAKeyframeThatHasCome(t *testing.T) {
	s := newPaced(t)
	all := s.show(4, true)
	s.come(3, false)
	all = append(all, s.pass(1)...) // the picture has begun
	s.come(2, false)
	s.come(2, true)
	all = append(all, s.pass(1)...) // and ends
	require.Zero(t, s.d.Stats().Stale)
	more := s.drain()
	require.Len(t, more, 4, "the keyframe and what came since")
	require.True(t, more[0].First)
	require.True(t, more[0].meta.Keyframe)
	require.Equal(t, uint64(8), s.d.Stats().Stale)
	require.Equal(t, all[len(all)-1].h.Timestamp+5*3000, more[0].h.Timestamp, "the clock is the publisher's")
	continuous(t, append(all, more...))
	require.Zero(t, s.d.Stats().Thinnings)
}

// One that is too old to begin with is reached in its turn.
func TestLagDoesNotGoBackToAnOldKeyframe(t *testing.T) {
	s := newPaced(t)
	all := s.show(4, true)
	s.come(1, false)
	s.come(10, true)
	more := s.drain()
	require.Zero(t, s.d.Stats().Stale)
	require.False(t, s.d.WantsKeyframe(s.now))
	continuous(t, append(all, more...))
	require.Contains(t, temporal(more), uint8(0))
}

// A keyframe that is gone on to does not bring back the layers that were too much.
func TestLagIsRememberedBeyondAKeyframe(t *testing.T) {
	s := newPaced(t)
	all := s.show(4, true)
	s.come(6, false)
	all = append(all, s.drain()...)
	require.Equal(t, uint64(1), s.d.Stats().Thinnings)
	s.come(6, false)
	s.come(4, true)
	more := s.drain()
	require.True(t, more[0].First)
	require.Equal(t, []uint8{0, 1}, temporal(more))
	continuous(t, append(all, more...))
}

func TestLagWaitsForAKeyframe(t *testing.T) {
	s := newPaced(t)
	base := func(n int) { // nothing can be left out
		for range n {
			s.p.n = 0
			s.p.arrive(s.now, s.p.next(false, 2)...)
			s.wait(33 * ms)
		}
	}
	all := s.show(1, true)
	base(1)
	all = append(all, s.drain()...)
	base(12)
	all = append(all, s.pass(2)...)
	require.False(t, s.d.WantsKeyframe(s.now), "396 ms")
	base(1)
	s.wait(7 * ms)
	require.Empty(t, s.drain(), "403 ms")
	require.True(t, s.d.WantsKeyframe(s.now))
	require.Equal(t, uint64(24), s.d.Stats().Stale)
	current, next := s.d.Sources()
	require.Nil(t, current)
	require.Equal(t, s.p.Uplink, next)
	require.Empty(t, s.show(3, false))
	more := s.show(2, true)
	require.Len(t, more, 4)
	require.False(t, s.d.WantsKeyframe(s.now))
	continuous(t, append(all, more...))
}

// A keyframe that takes long on a thin path is sent to its end, and is not answered by another one.
func TestLagOfAKeyframeIsForgiven(t *testing.T) {
	s := newPaced(t)
	var all []got
	s.p.arrive(s.now, s.p.next(true, 30)...)
	base := func(n int) {
		for range n {
			s.p.n = 0
			s.p.arrive(s.now, s.p.next(false, 1)...)
			s.wait(33 * ms)
		}
	}
	for range 15 {
		base(1)
		all = append(all, s.pass(2)...) // in half a second
	}
	require.True(t, all[29].h.Marker)
	for range 10 { // 495 ms behind; a picture goes out for each that comes
		base(1)
		all = append(all, s.pass(1)...)
	}
	require.False(t, s.d.WantsKeyframe(s.now))
	require.Zero(t, s.d.Stats().Stale)
	base(7) // but to fall further behind is too much
	require.Empty(t, s.drain())
	require.True(t, s.d.WantsKeyframe(s.now))
}

// The picture that takes over does not wait for what was held back of the old encoding.
func TestASwitchPassesOverWhatWaits(t *testing.T) {
	for _, paced := range []bool{true, false} {
		s := newPaced(t)
		if !paced {
			s.d.SetRepair(0)
		}
		s.show(2, true)
		s.come(3, false)
		low := newPublisher(codec.VP8, 2)
		s.d.Assign(s.now, low.Uplink, 2)
		low.arrive(s.now, low.frame(true, 1)...)
		all := s.drain()
		if paced {
			require.Len(t, all, 1)
		} else {
			require.Len(t, all, 7)
		}
		require.Equal(t, uint32(2), all[len(all)-1].source)
	}
}

// Of an encoding that is more than the path carries goes out what need not wait, and no more of it once something has: not the rest of
// a picture either, nor what was lost of it. The slot goes on at the smaller one's keyframe.
func TestWhatIsShedDoesNotWait(t *testing.T) {
	s := newPaced(t)
	all := s.show(2, true)
	low := newPublisher(codec.VP8, 2)
	s.d.Assign(s.now, low.Uplink, 2)
	s.d.Shed()
	more := s.show(3, false)
	require.Len(t, more, 6, "nothing waits")
	all = append(all, more...)
	_, ok := s.resend(all[len(all)-1].h.Sequence)
	require.True(t, ok)

	s.p.arrive(s.now, s.p.next(false, 3)...)
	all = append(all, s.pass(1)...)
	s.wait(41 * ms)
	_, ok = s.resend(all[len(all)-2].h.Sequence)
	require.False(t, ok)
	require.Empty(t, s.drain())
	require.Equal(t, uint64(2), s.d.Stats().Stale)
	require.Empty(t, s.show(2, false))
	_, ok = s.resend(all[len(all)-3].h.Sequence)
	require.False(t, ok)
	require.Equal(t, uint64(2), s.d.Stats().ResendUseless)
	require.True(t, s.d.WantsKeyframe(s.now))

	low.arrive(s.now, low.frame(true, 1)...)
	require.False(t, s.d.WantsKeyframe(s.now))
	more = s.drain()
	require.Len(t, more, 1)
	require.Equal(t, uint32(2), more[0].source)
	require.Equal(t, all[len(all)-1].h.Sequence+1, more[0].h.Sequence, "no hole, though the last picture has no end")

	// It ends with the switch, or with another source; and without an estimate nothing waits for the path.
	low.arrive(s.now, low.frame(false, 1)...)
	s.wait(50 * ms)
	require.Len(t, s.drain(), 1)
	s.d.Shed()
	low.arrive(s.now, low.frame(false, 1)...)
	s.wait(50 * ms)
	require.Len(t, s.drain(), 1, "there is no other")
	s.d.Assign(s.now, s.p.Uplink, 1)
	s.d.Shed()
	s.d.Assign(s.now, low.Uplink, 2)
	low.arrive(s.now, low.frame(false, 1)...)
	s.wait(50 * ms)
	require.Len(t, s.drain(), 1, "it was taken back")
	s.d.SetRepair(0)
	s.d.Assign(s.now, s.p.Uplink, 1)
	s.d.Shed()
	low.arrive(s.now, low.frame(false, 1)...)
	s.wait(50 * ms)
	require.Len(t, s.drain(), 1)
}

func TestAudioNeverWaits(t *testing.T) {
	s := newTest(t, codec.Opus, nil)
	s.d.SetRepair(0.05)
	p := newPublisher(codec.Opus, 1)
	s.d.Assign(s.now, p.Uplink, 1)
	p.arrive(s.now, p.frame(false, 1)...)
	s.d.SetPaused(s.now, true)
	require.False(t, s.d.Paused())
	s.wait(450 * ms)
	require.Len(t, s.drain(), 1)
}

func TestPause(t *testing.T) {
	s := newPaced(t)
	all := s.show(4, true)
	s.d.SetPaused(s.now, true)
	require.True(t, s.d.Paused())
	require.Empty(t, s.show(4, false))
	bytes, age := s.d.Backlog(s.now)
	require.Zero(t, bytes)
	require.Zero(t, age)
	s.d.SetPaused(s.now, false)
	more := s.show(1, false)
	require.Len(t, more, 10, "132 ms later it goes on where it was")
	all = append(all, more...)
	continuous(t, all)

	s.d.SetPaused(s.now, true)
	s.come(40, false)
	require.False(t, s.d.WantsKeyframe(s.now))
	r, ok := s.resend(all[len(all)-1].h.Sequence)
	require.Equal(t, ok, r.RTX, "what is lost of it is still repaired, if it is held")
	s.d.SetPaused(s.now, false)
	require.True(t, s.d.WantsKeyframe(s.now))
	require.Empty(t, s.show(2, false))
	more = s.show(2, true)
	require.Len(t, more, 4)
	require.False(t, s.d.WantsKeyframe(s.now))
	continuous(t, append(all, more...))

	// Meanwhile the slot is given another source: its keyframe is not used up.
	s.d.SetPaused(s.now, true)
	other := newPublisher(codec.VP8, 2)
	s.d.Assign(s.now, other.Uplink, 2)
	other.arrive(s.now, other.frame(true, 1)...)
	require.Empty(t, s.drain())
	s.d.SetPaused(s.now, false)
	more = s.drain()
	require.Len(t, more, 1)
	require.Equal(t, uint32(2), more[0].source)
}

// Who is away for longer than the history holds goes on at a keyframe, not in the middle of something.
func TestLagBehindTheHistory(t *testing.T) {
	s := newPaced(t)
	s.show(1, true)
	s.come(600, false)
	require.Empty(t, s.drain())
	require.Positive(t, s.d.Stats().Overrun)
	require.True(t, s.d.WantsKeyframe(s.now))
	require.Len(t, s.show(1, true), 2)
}

// What a path of half the stream's rate gets, with a packet each so often: never more than a second behind, and no keyframe asked
// for as long as layers can be left out.
func TestHalfThePath(t *testing.T) {
	s := newPaced(t)
	start := s.now
	var sent []got
	next, keyframes := start, 0
	for i := range 900 {
		s.p.arrive(s.now, s.p.next(i == 0, 2)...)
		until := s.now + 33*ms
		for ; next < until; next += 27 * ms {
			s.now = max(next, s.now)
			b := make([]byte, 1500)
			for {
				out, state := s.d.Next(s.now, b, s.tseq)
				if state == Sent {
					s.tseq++
					sent = append(sent, read(t, b, out, s.c))
				}
				if state != Dropped {
					break
				}
			}
			_, age := s.d.Backlog(s.now)
			require.LessOrEqual(t, age, lagMost+100*ms)
			if s.d.WantsKeyframe(s.now) {
				keyframes++
			}
		}
		s.now = until
	}
	continuous(t, sent)
	require.Zero(t, keyframes)
	require.Greater(t, len(sent), 850, "the path is used")
}
