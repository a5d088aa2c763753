//go:build !race

// One goroutine plays: there is nothing to race with. Tests of what several play at once have the race detector.

package cc

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

func TestFixedRateOnOneLink(t *testing.T) {
	c, ok := Find("const-1M")
	require.True(t, ok)
	r := Run(c, at(900*bwe.Kbps), 1)
	require.InDelta(t, 0.9, r.Metrics[UtilSteady], 0.02)
	require.Less(t, r.Metrics[QueueMean], 20.0)
	require.Zero(t, r.Metrics[Loss])
	require.Less(t, r.Metrics[Conv], 2.0)

	r = Run(c, at(1100*bwe.Kbps), 1)
	require.InDelta(t, 1, r.Metrics[UtilSteady], 0.01)
	require.InDelta(t, 0.075, r.Metrics[Loss], 0.025, "small packets of audio find room where large ones do not")
	require.Greater(t, r.Metrics[QueueMean], 250.0)
}

// What a controller is told: each packet as it leaves, each once, in order; results one way and back after it left, by the
// rule of 50 to 250 ms; what the source wants.
func TestControllerIsTold(t *testing.T) {
	s := &scripted{rate: 600 * bwe.Kbps}
	r := Run(short(), s.makers(), 1)
	for i, p := range s.sent {
		require.EqualValues(t, i+1, p.Number)
		require.Zero(t, p.Probe)
		require.LessOrEqual(t, p.Size, maxPacket)
	}
	require.Greater(t, s.feedback[0], 100*ms)
	for i := 20; i < len(s.feedback); i++ {
		require.InDelta(t, 50, (s.feedback[i] - s.feedback[i-1]).Milliseconds(), 1)
	}
	for i, result := range s.results {
		require.EqualValues(t, i+1, result.Number)
		require.True(t, result.Received)
		require.False(t, result.Marked)
	}
	require.InEpsilon(t, 1_608_000, float64(s.wants), 0.01)
	require.Zero(t, r.Metrics[ProbeShare])

	c := short()
	c.Flows[0].Untold = true
	s = &scripted{rate: 600 * bwe.Kbps}
	Run(c, s.makers(), 1)
	require.Zero(t, s.wants)
}

// A probe is sent at its rate, of media first and padding for the rest, once; padding does not count as use.
func TestProbe(t *testing.T) {
	s := &scripted{rate: 300 * bwe.Kbps, probe: bwe.Probe{ID: 9, Rate: 3 * bwe.Mbps, Bytes: 15_000}}
	r := Run(short(), s.makers(), 1)
	bytes := 0
	for _, p := range s.sent {
		if p.Probe == 9 {
			bytes += p.Size
		}
	}
	require.InDelta(t, 15_000, bytes, maxPacket)
	total := 0
	for _, p := range s.sent {
		total += p.Size
	}
	require.InDelta(t, float64(bytes)/float64(total), r.Metrics[ProbeShare], 0.02)
	plain := Run(short(), at(300*bwe.Kbps), 1)
	require.InDelta(t, plain.Metrics[Util], r.Metrics[Util], 0.005)
}

func TestLossBeforeTheBottleneck(t *testing.T) {
	c := short()
	c.Flows[0].Before.Loss = 0.2
	s := &scripted{rate: 600 * bwe.Kbps}
	r := Run(c, s.makers(), 1)
	require.InDelta(t, 0.2, r.Metrics[Loss], 0.03)
	require.InDelta(t, 0.6, r.Metrics[UtilSteady], 0.05, "÷ (1 − p): what was sent, not what arrived")
	lost := 0
	for _, result := range s.results {
		if !result.Received {
			lost++
		}
	}
	require.InDelta(t, 0.2, float64(lost)/float64(len(s.results)), 0.03)
}

// Marks reach the controller of a flow that is capable of them, by RFC 8888.
func TestMarks(t *testing.T) {
	for _, capable := range []bool{false, true} {
		c := short()
		c.Links[0] = marking(c.Links[0], netsim.Marking{From: 5 * ms, To: 5 * ms})
		c.Flows[0].ECN = capable
		s := &scripted{rate: 1100 * bwe.Kbps}
		Run(c, s.makers(), 1)
		marked := 0
		for _, result := range s.results {
			if result.Marked {
				marked++
			}
		}
		require.Equal(t, capable, marked > len(s.results)/2)
	}
}

func TestSilence(t *testing.T) {
	c := short()
	c.Flows[0].Silences = []Span{{4 * second, 6 * second}}
	s := &scripted{rate: 600 * bwe.Kbps}
	Run(c, s.makers(), 1)
	longest := time.Duration(0)
	for i := 1; i < len(s.feedback); i++ {
		longest = max(longest, s.feedback[i]-s.feedback[i-1])
	}
	require.InDelta(t, 2, longest.Seconds(), 0.2)
	require.Less(t, len(s.results), len(s.sent)*9/10, "what was reported in it is lost")
}

// In 5.3 feedback waits behind the other direction's media.
func TestFeedbackSharesItsLink(t *testing.T) {
	spread := func(back bwe.Bitrate) time.Duration {
		c, ok := Find("5.3")
		require.True(t, ok)
		c.Duration = 20 * second
		c.Flows[1].Source.Max = 3 * bwe.Mbps
		forth := &scripted{rate: 500 * bwe.Kbps}
		Run(c, []Maker{forth.makers()[0], at(back)[0]}, 1)
		return slices.Max(forth.lags) - slices.Min(forth.lags)
	}
	require.Less(t, spread(300*bwe.Kbps), 100*ms)
	require.Greater(t, spread(2200*bwe.Kbps), 250*ms, "more than the link back carries: its queue is full")
}

func TestPauseAndStop(t *testing.T) {
	c := short()
	c.Flows[0].Start, c.Flows[0].Stop = second, 8*second
	c.Flows[0].Pauses = []Span{{4 * second, 5 * second}}
	s := Run(c, at(600*bwe.Kbps), 1).Series.Flows[0].Sent
	require.Zero(t, s[9])
	require.NotZero(t, s[11])
	require.NotZero(t, s[38])
	require.Zero(t, s[45])
	require.NotZero(t, s[52])
	require.Zero(t, s[85])
}

// A TCP flow beside a quiet call fills the link, and the call's packets meet its queue.
func TestTCPFillsTheLink(t *testing.T) {
	for _, a := range []tcp.Algorithm{tcp.Reno, tcp.Cubic} {
		c := against("tcp", a, queue, 119*second, "", Goal{})
		r := Run(c, at(300*bwe.Kbps), 1)
		require.InDelta(t, 0.15, r.Metrics[Share], 0.01)
		require.InDelta(t, 0.85, r.Metrics[TCPShare], 0.04, a)
		require.Greater(t, r.Metrics[QueueMean], 100.0)
	}
	users, ok := Find("5.7")
	require.True(t, ok)
	r := Run(users, at(300*bwe.Kbps), 1)
	require.InDelta(t, 0.15, r.Metrics[TCPShare], 0.08, "ten users of 40 kB each 10 s")
}

func TestEqualSeedsAreEqual(t *testing.T) {
	for _, name := range []string{"5.4", "loss-10", "5.6-reno-300", "6.3", "8869-wired"} {
		c, ok := Find(name)
		require.True(t, ok)
		c.Duration = 30 * second
		c.Fair = Span{}
		first := Run(c, []Maker{Tolkyn}, 5)
		require.Equal(t, first, Run(c, []Maker{Tolkyn}, 5), name)
		require.NotEqual(t, first.Metrics, Run(c, []Maker{Tolkyn}, 6).Metrics, name)
	}
}

// Two links one behind the other: the slower one is the bottleneck, and a flow beside on the other has the rest of that.
func TestRouteOverTwoLinks(t *testing.T) {
	c := short()
	c.Links = append(c.Links, link(queue, phase{0, 500 * bwe.Kbps}))
	c.Flows[0].Route = []int{0, 1}
	r := Run(c, at(900*bwe.Kbps), 1)
	require.InDelta(t, 1, r.Metrics[UtilSteady], 0.02)
	require.Greater(t, r.Metrics[Loss], 0.3)
	require.Greater(t, r.Metrics[QueueP99], 250.0)
}

func TestLies(t *testing.T) {
	honest := []bwe.Result{{Number: 1, Received: true, Arrival: second}, {Number: 2}, {Number: 3, Received: true, Arrival: 2 * second}}
	tell := func(l Lie) (calls int, last []bwe.Result) {
		random := newEncoder(Source{}, 0, 1).random
		for range 5 { // a clock jumps in one of three
			l.tell(random, append([]bwe.Result(nil), honest...), func(r []bwe.Result) {
				calls++
				last = append([]bwe.Result(nil), r...)
				if l == Future && r[0].Arrival != second {
					require.Equal(t, second, r[2].Arrival-r[0].Arrival)
				}
			})
		}
		return calls / 5, last
	}
	calls, last := tell(Honest)
	require.Equal(t, 1, calls)
	require.Equal(t, honest, last)
	_, last = tell(Boasts)
	require.True(t, last[1].Received)
	require.Equal(t, 20*time.Microsecond, last[2].Arrival-last[0].Arrival)
	calls, last = tell(Repeats)
	require.Equal(t, repeats, calls)
	require.Equal(t, honest, last)
	_, last = tell(Invents)
	require.Len(t, last, 3+invents)
	require.EqualValues(t, 3+invents, last[len(last)-1].Number)
}
