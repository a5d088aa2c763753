package cc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// bins100 repeats values over bins.
func bins100(parts ...[2]float64) []float64 {
	var all []float64
	for _, p := range parts {
		for range int(p[0]) {
			all = append(all, p[1])
		}
	}
	return all
}

func TestReached(t *testing.T) {
	want := [][]float64{bins100([2]float64{100, 10})}
	for name, test := range map[string]struct {
		got  []float64
		span Span
		want float64
	}{
		"at once":            {bins100([2]float64{100, 9}), Span{0, 10 * second}, 1},
		"never":              {bins100([2]float64{100, 8.9}), Span{0, 10 * second}, 10},
		"after two seconds":  {bins100([2]float64{20, 0}, [2]float64{80, 10}), Span{0, 10 * second}, 2.9},
		"since the span":     {bins100([2]float64{20, 0}, [2]float64{80, 10}), Span{second, 10 * second}, 1.9},
		"a burst is no rate": {bins100([2]float64{20, 0}, [2]float64{4, 20}, [2]float64{76, 0}), Span{0, 10 * second}, 10},
	} {
		require.InDelta(t, test.want, reached([][]float64{test.got}, want, test.span, enough), 1e-9, name)
	}
}

func TestFairness(t *testing.T) {
	want := [][]float64{bins100([2]float64{10, 10}), bins100([2]float64{10, 10}), bins100([2]float64{10, 5})}
	require.InDelta(t, 1, fairness([][]float64{want[0], want[1], want[2]}, want, Span{0, second}), 1e-9, "by what is fair to each")
	none := bins100([2]float64{10, 0})
	require.InDelta(t, 1.0/3, fairness([][]float64{want[0], none, none}, want, Span{0, second}), 1e-9, "one has all")
	require.InDelta(t, 0.9, fairness([][]float64{bins100([2]float64{10, 20}), want[1], none}, [][]float64{want[0], want[1], none}, Span{0, second}), 1e-9,
		"who should have nothing does not count")
}

func TestSettle(t *testing.T) {
	l := newLog(Case{Duration: 10 * second, Links: make([]netsim.Trace, 1)})
	for b := 20; b < 33; b++ {
		l.waited(0, time.Duration(b)*bin, 60*ms)
	}
	l.waited(0, 3600*ms, 55*ms) // again before half a second without
	require.InDelta(t, 1.7, l.settle(Span{2 * second, 10 * second}), 1e-9)
	require.InDelta(t, 0, l.settle(Span{5 * second, 10 * second}), 1e-9)
	for b := 20; b < 100; b++ {
		l.waited(0, time.Duration(b)*bin, 60*ms)
	}
	require.InDelta(t, 8, l.settle(Span{2 * second, 10 * second}), 1e-9, "never")
}

func TestDelays(t *testing.T) {
	var d delays
	require.Zero(t, d.mean())
	require.Zero(t, d.quantile(0.95))
	for i := range 100 {
		d.add(time.Duration(i) * ms)
	}
	require.InDelta(t, 49.5, d.mean(), 1e-9)
	require.InDelta(t, 94.1, d.quantile(0.95), 1e-9, "94 ms, at most 0.1 too high")
	require.InDelta(t, 0.1, d.quantile(0.01), 1e-9)
}

// A target may be twice what was sent, or what a probe has proved; of a liar's probes, what was sent for them.
func TestOver(t *testing.T) {
	over := func(lie Lie, probe bool) float64 {
		f := Flow{Untold: true, Liar: lie}
		l := newLog(Case{Duration: 20 * second, Flows: []Flow{f}})
		for i := range 100 {
			l.sent(0, time.Duration(i)*bin, 12_500, video, 0) // 1 Mbit/s
		}
		if probe { // sent at 8 Mbit/s, arrives at 4
			for i := range 10 {
				l.sent(0, 9*second+time.Duration(i)*ms, 1000, padding, 7)
				l.arrived(0, 9*second+2*time.Duration(i)*ms, packet{size: 1000, kind: padding, probe: 7})
			}
		}
		l.estimated(0, 10*second, bwe.Estimate{Target: 4 * bwe.Mbps})
		return l.flows[0].over
	}
	require.InDelta(t, 2, over(Honest, false), 0.01)
	require.InDelta(t, 1, over(Honest, true), 0.01)
	require.InDelta(t, 0.5, over(Boasts, true), 0.01)
}

// The second flow has paused: the others take what it leaves a second later, and it is back after three.
func TestPauseIsMeasured(t *testing.T) {
	flows := together(2, 0)
	flows[1].Pauses = []Span{{10 * second, 20 * second}}
	e := &engine{c: Case{Duration: 40 * second, Flows: flows}}
	want := [][]float64{
		bins100([2]float64{100, 10}, [2]float64{100, 16}, [2]float64{200, 10}), bins100([2]float64{100, 10}, [2]float64{100, 0}, [2]float64{200, 10}),
	}
	got := [][]float64{
		bins100([2]float64{110, 10}, [2]float64{290, 16}), bins100([2]float64{100, 10}, [2]float64{100, 0}, [2]float64{20, 1}, [2]float64{180, 10}),
	}
	m := map[Metric]float64{}
	e.pauses(m, got, want)
	require.InDelta(t, 1.8, m[Refill], 0.11)
	require.InDelta(t, 2.8, m[Rejoin], 0.11)
}
