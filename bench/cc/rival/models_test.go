package rival

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// A queue that grows by 1 ms a group is overuse within the detector's time, one that shrinks underuse, one that stands nothing.
func TestTrendline(t *testing.T) {
	for _, test := range []struct {
		name string
		more time.Duration
		want usage
	}{
		{"grows", time.Millisecond, over}, {"shrinks", -time.Millisecond, under}, {"stands", 0, normal},
	} {
		trend := newTrendline()
		seen := map[usage]bool{}
		at := time.Hour
		for i := range 60 {
			at += 10*time.Millisecond + test.more
			trend.update(time.Duration(i)*10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond+test.more, at)
			seen[trend.usage] = true
		}
		require.True(t, seen[test.want], test.name)
		require.Equal(t, test.want == normal, len(seen) == 1, "%s: %v", test.name, seen)
	}
}

// Packets sent within 5 ms are one group, and so are those that caught up with each other.
func TestGroups(t *testing.T) {
	ms := func(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
	var g groups
	_, _, ok := g.add(outcome{sent: ms(0), arrival: ms(50)})
	require.False(t, ok)
	_, _, ok = g.add(outcome{sent: ms(4), arrival: ms(54)})
	require.False(t, ok)
	_, _, ok = g.add(outcome{sent: ms(20), arrival: ms(72)})
	require.False(t, ok, "there is one whole group only")
	_, _, ok = g.add(outcome{sent: ms(28), arrival: ms(73)})
	require.False(t, ok, "it caught up")
	sent, arrival, ok := g.add(outcome{sent: ms(40), arrival: ms(100)})
	require.True(t, ok)
	require.Equal(t, ms(24), sent)
	require.Equal(t, ms(19), arrival)
}

func TestThroughput(t *testing.T) {
	var tp throughput
	for i := range 100 {
		at := time.Duration(i) * 10 * time.Millisecond
		if i >= 50 {
			at += 200 * time.Millisecond // one pause is forgiven
		}
		tp.add(outcome{size: 1250, sent: time.Duration(i) * 10 * time.Millisecond, arrival: at})
	}
	rate, ok := tp.rate()
	require.True(t, ok)
	require.InDelta(t, 1e6, rate, 0.02e6)
}

// A probe proves what arrived of it, a little less when the link was slower.
func TestProbeResults(t *testing.T) {
	for _, test := range []struct{ every, want float64 }{{8, 1e6}, {16, 0.95 * 0.5e6}} {
		var r probeResults
		probe := bwe.Probe{ID: 3, Rate: bwe.Mbps, Bytes: 8000}
		for i := range 8 {
			r.add(outcome{
				probe: 3, size: 1000, sent: time.Duration(i) * 8 * time.Millisecond,
				arrival: time.Hour + time.Duration(float64(i)*test.every*1e6),
			}, probe)
		}
		rate, ok := r.take()
		require.True(t, ok)
		require.InDelta(t, test.want, rate, 1)
		_, ok = r.take()
		require.False(t, ok)
	}
}

// The loss model keeps a rate whose loss does not depend on it, and leaves one whose loss does.
func TestLossModel(t *testing.T) {
	for _, test := range []struct {
		name  string
		every int     // one of so many is lost …
		above float64 // … and all above this rate
		low   float64
		high  float64
	}{
		{"none", 1 << 30, 1e9, 1e6, 1e6}, {"random 5 %", 20, 1e9, 0.95e6, 1e6}, {"half of it", 1 << 30, 0.5e6, 0.4e6, 0.62e6},
	} {
		m := newLossModel()
		target, n := 1e6, 0
		for i := range 100 {
			var told []outcome
			packets := int(target / 8 / 1000 / 10) // in 100 ms
			for j := range packets {
				n++
				lost := n%test.every == 0 || float64(j) >= test.above/8/1000/10
				told = append(told, outcome{
					size: 1000, received: !lost,
					sent: time.Duration(i)*100*time.Millisecond + time.Duration(j)*100*time.Millisecond/time.Duration(packets),
				})
			}
			target = m.update(told, 1e6, min(target, test.above), true, false)
		}
		require.GreaterOrEqual(t, target, test.low, test.name)
		require.LessOrEqual(t, target, test.high, test.name)
	}
}

// What is sent under 65 % of the target for long is limited by the application.
func TestLimit(t *testing.T) {
	l := newLimit()
	send := func(rate float64, from, to time.Duration) {
		for at := from; at < to; at += 10 * time.Millisecond {
			l.sent(at, int(rate/8/100), 1e6)
		}
	}
	send(0.4e6, 0, 3*time.Second)
	require.True(t, l.on)
	send(0.9e6, 3*time.Second, 6*time.Second)
	require.False(t, l.on)
}

// Results come through once, and what feedback left out is not in flight any more.
func TestHistory(t *testing.T) {
	var h history
	for n := uint64(1); n <= 10; n++ {
		h.add(time.Duration(n), bwe.Packet{Number: n, Size: 100})
	}
	require.Equal(t, 1000, h.inFlight)
	told := h.take([]bwe.Result{{Number: 2, Received: true}, {Number: 4}})
	require.Len(t, told, 2)
	require.Equal(t, uint64(2), told[0].number)
	require.Equal(t, 600, h.inFlight)
	require.Empty(t, h.take([]bwe.Result{{Number: 2, Received: true}, {Number: 4, Received: true}, {Number: 77}}))
	require.Len(t, h.take([]bwe.Result{{Number: 10}}), 1)
	require.Zero(t, h.inFlight)
}

// pion hears of each packet what happened, and its clock is the case's: on an empty link its target grows by 8 % a second, past
// all that is sent (pion/interceptor issue 299).
func TestPionLivesInTheCasesTime(t *testing.T) {
	c := PionGCC.New(time.Hour, bwe.Config{Start: 150 * bwe.Kbps}).(*pionGCC)
	defer PionGCC.Close(c)
	began := time.Now()
	for n := uint64(1); n <= 2000; n++ {
		now := time.Hour + time.Duration(n)*10*time.Millisecond
		c.Sent(now, bwe.Packet{Number: n, Size: 250})
		if n%10 == 0 {
			var results []bwe.Result
			for m := n - 9; m <= n; m++ {
				results = append(results, bwe.Result{Number: m, Received: true, Arrival: time.Duration(m)*10*time.Millisecond + 20*time.Millisecond})
			}
			c.Feedback(now, results)
		}
	}
	require.InEpsilon(t, 150e3*math.Pow(1.08, 20), float64(c.Poll(0).Target), 0.1)
	require.Less(t, time.Since(began), 10*time.Second, "20 s of its time")
}
