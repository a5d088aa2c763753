package jitter_test

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu/jitter"
)

const (
	// oracleWindow is for how long the oracle keeps a delay.
	oracleWindow = 10 * time.Second
	// oracleLate is the share of the packets that came which it lets be late.
	oracleLate = 0.01
)

// window is 10 s of a trace: what the oracle, which knows all of it, needed there, and what a buffer did.
type window struct {
	// free is the smallest fixed delay above the fastest packet of the window with which at most 1 % of the packets that
	// came were late.
	free time.Duration
	// oracle is the same for one that plays with the buffer's pulls, as every sound card does: packets begin with a pull,
	// and a pull is 10 ms, so that its delay is the next such moment and at least one pull.
	oracle time.Duration
	// added is by how much later, in the mean, the packets heard were played than the fastest of the window came.
	added time.Duration
}

func windows(journeys []journey, played []heard, phase time.Duration) []window {
	var all []window
	for from := time.Duration(0); from < traceLength; from += oracleWindow {
		all = append(all, look(journeys, played, phase, from, from+oracleWindow))
	}
	return all
}

func look(journeys []journey, played []heard, phase, from, to time.Duration) window {
	var transits []time.Duration
	for _, j := range journeys {
		if j.sent >= from && j.sent < to && !j.lost {
			transits = append(transits, j.arrived-j.sent)
		}
	}
	slices.Sort(transits)
	fastest := transits[0]
	var w window
	w.free = transits[len(transits)-1-int(oracleLate*float64(len(transits)))] - fastest
	pulls := (fastest + w.free - phase + jitter.Period - 1) / jitter.Period
	w.oracle = max(pulls*jitter.Period+phase-fastest, jitter.Period)
	w.added = meanAdded(played, from, to, fastest)
	return w
}

func meanAdded(played []heard, from, to, fastest time.Duration) time.Duration {
	var sum time.Duration
	n := 0
	for _, h := range played {
		if h.sent >= from && h.sent < to {
			sum += h.played - h.sent - fastest
			n++
		}
	}
	return sum / time.Duration(max(n, 1))
}

// comparison is a playback beside the oracle.
type comparison struct {
	free, oracle, added time.Duration // means over the windows
	freeP95, oracleP95  time.Duration // 95th percentiles over them
}

func compare(journeys []journey, played []heard, phase time.Duration) comparison {
	var c comparison
	ws := windows(journeys, played, phase)
	n := time.Duration(len(ws))
	for _, w := range ws {
		c.free += w.free / n
		c.oracle += w.oracle / n
		c.added += w.added / n
	}
	p95 := int(math.Ceil(0.95*float64(len(ws)))) - 1
	slices.SortFunc(ws, func(a, b window) int { return cmp.Compare(a.oracle, b.oracle) })
	c.oracleP95 = ws[p95].oracle
	slices.SortFunc(ws, func(a, b window) int { return cmp.Compare(a.free, b.free) })
	c.freeP95 = ws[p95].free
	return c
}

func (c comparison) ratio() float64 { return float64(c.added) / float64(c.oracleP95) }
