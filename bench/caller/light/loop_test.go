package light

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/rtcp"
)

// A loop that was held up goes on as if its callers' clocks had stood still: nothing is made up for, and nobody loses the place
// between the others.
func TestMediaIsPutOffNotSentAtOnce(t *testing.T) {
	const every = 20 * ms
	l := &loop{devices: map[*device]struct{}{}}
	began := map[*published]time.Duration{}
	for i := range 10 {
		d := &device{}
		p := &published{began: time.Duration(i) * tick}
		p.timer = timer{device: d, track: p}
		d.published = []*published{p}
		l.devices[d] = struct{}{}
		began[p] = p.began
		l.wheel.arm(&p.timer, p.began+every)
	}
	sent := map[time.Duration]int{}
	send := func(now time.Duration) func(*timer) {
		return func(due *timer) {
			sent[now]++
			l.wheel.arm(due, max(due.at+every, now+tick))
		}
	}
	for now := tick; now <= 40*ms; now += tick {
		l.wheel.turn(now, send(now))
	}
	clear(sent)
	const held = 300 * ms
	l.slip(held)
	for now := 40*ms + held + tick; now <= 140*ms+held; now += tick {
		l.wheel.turn(now, send(now))
	}
	require.Len(t, sent, 50, "one in each turn")
	for now, n := range sent {
		require.Equal(t, 1, n, now)
	}
	for p, before := range began {
		require.Equal(t, before+held, p.began)
	}
	require.EqualValues(t, 1, l.slips.Load())
}

func TestWhatIsDueKeepsItsPlace(t *testing.T) {
	require.Equal(t, 130*ms, after(30*ms, 100*ms, 30*ms))
	require.Equal(t, 130*ms, after(30*ms, 100*ms, 129*ms))
	require.Equal(t, 230*ms, after(30*ms, 100*ms, 130*ms))
	require.Equal(t, 1030*ms, after(30*ms, 100*ms, 999*ms))
}

// Only what is transport-wide feedback to its end is passed over unopened: a wish for a packet behind it must be read.
func TestFeedbackAloneIsToldInClear(t *testing.T) {
	var recorder rtcp.TransportRecorder
	for i := range uint16(20) {
		recorder.Handle(time.Duration(i)*ms, i)
	}
	seal := func(compound []byte) []byte { return append(compound, make([]byte, srtcpOverhead)...) }
	feedback := recorder.Append(nil, 1, 2)
	wish := rtcp.AppendNACK(nil, 1, 2, []uint16{7})
	require.True(t, feedbackAlone(seal(feedback)))
	require.False(t, feedbackAlone(seal(wish)))
	require.False(t, feedbackAlone(seal(append(feedback[:len(feedback):len(feedback)], wish...))))
	require.False(t, feedbackAlone(seal(append(wish[:len(wish):len(wish)], feedback...))))
	require.False(t, feedbackAlone(feedback[:7]))
	require.False(t, feedbackAlone(nil))
}

// Feedback takes a twentieth of what comes: of a voice each 250 ms, of pictures each 50 ms, and where nothing comes it is looked for
// as seldom as that.
func TestFeedbackFollowsWhatComes(t *testing.T) {
	for _, c := range []struct {
		kbit int64
		want time.Duration
	}{{0, 250 * ms}, {32, 250 * ms}, {68, 160 * ms}, {200, 54400 * time.Microsecond}, {1200, 50 * ms}} {
		d := &device{feedbackTook: feedbackSlowest}
		for range 20 {
			d.receivedBytes += c.kbit * int64(d.feedbackTook) / 8 / int64(ms)
			d.feedbackEvery()
		}
		require.InDelta(t, c.want, d.feedbackTook, float64(ms), "%d kbit/s", c.kbit)
	}
}
