package cc

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	ms     = time.Millisecond
	second = time.Second

	// owd is the one-way delay of RFC 8867 section 4, queue what its drop-tail queue holds.
	owd   = 50 * ms
	queue = 300 * ms
)

// Goal is what a metric of a case must be: at least, or at most.
type Goal struct {
	Metric  Metric
	AtLeast bool // else at most
	Value   float64
}

func atLeast(m Metric, v float64) Goal { return Goal{m, true, v} }
func atMost(m Metric, v float64) Goal  { return Goal{m, false, v} }

// Met says whether a figure meets the goal.
func (g Goal) Met(v float64) bool {
	if g.AtLeast {
		return v >= g.Value
	}
	return v <= g.Value
}

// phase is a capacity from a time on.
type phase struct {
	at   time.Duration
	rate bwe.Bitrate
}

func link(queue time.Duration, phases ...phase) netsim.Trace {
	var t netsim.Trace
	for _, p := range phases {
		t.Steps = append(t.Steps, netsim.Step{At: p.at, Link: netsim.LinkConfig{Rate: int64(p.rate), QueueTime: queue}})
	}
	return t
}

func constant(queue time.Duration, rate bwe.Bitrate) []netsim.Trace {
	return []netsim.Trace{link(queue, phase{0, rate})}
}

// one is a flow of RFC 8867's source over the first bottleneck.
func one(delay time.Duration) Flow { return Flow{Route: []int{0}}.delays(delay) }

// upTo is one with another range of its source.
func upTo(delay time.Duration, most bwe.Bitrate) []Flow {
	f := one(delay)
	f.Source.Max = most
	return []Flow{f}
}

// jittered is the jitter of RFC 8868 section 4.5: |N(0, 5 ms)| cut at 3 σ, in order.
func jittered(f Flow) Flow {
	f.After.Jitter, f.After.Spread = 15*ms, netsim.HalfNormal
	f.Return.Jitter, f.Return.Spread = 15*ms, netsim.HalfNormal
	return f
}

// limits are every flow's: a minimum that no controller may go below, and no maximum that a case could meet.
var limits = bwe.Config{Start: 150 * bwe.Kbps, Min: 100 * bwe.Kbps, Max: 50 * bwe.Mbps}

// Cases are all there are, in the order of tables.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{constants(), variable(), shared(), beyond(), lossy(), shallow(), marked(), limited(), mobile(), wireless(), broken(), downlinks(), grid()} {
		all = append(all, group...)
	}
	for i := range all {
		c := &all[i]
		if c.Play != nil {
			continue
		}
		if c.Config == (bwe.Config{}) {
			c.Config = limits
		}
		c.Goals = append(slices.Clip(c.Goals), atMost(UnderMin, 0)) // never, anywhere
	}
	return all
}

// Find returns a case by its name.
func Find(name string) (Case, bool) {
	for _, c := range Cases() {
		if c.Name == name {
			return c, true
		}
	}
	return Case{}, false
}
