package jitter_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	rate  = 48_000
	frame = 20 * time.Millisecond
	// transit is the fastest way that a trace's packets take.
	transit = 40 * time.Millisecond
	// traceLength of every trace: twelve of the oracle's windows.
	traceLength = 2 * time.Minute
)

// journey is one packet of a trace.
type journey struct {
	number        int // from 0: the sequence number before it wraps
	media         time.Duration
	sent, arrived time.Duration
	lost          bool
}

// trace is a path as it treats packets sent every 20 ms.
type trace struct {
	name, what string
	// ordered paths are queues: no packet overtakes another.
	ordered bool
	// loss is the share of packets that never come, independent of each other.
	loss float64
	// drift is how much slower the sender's clock runs, in parts of a million.
	drift float64
	// path returns what a packet sent at that time takes beyond transit. It is called in order.
	path func(r *rand.Rand) func(sent time.Duration) time.Duration
}

// journeys returns the packets in order of their arrival. The same seed, the same journeys.
func (t trace) journeys(seed uint64) []journey {
	r := rand.New(rand.NewPCG(seed, 11))
	beyond := t.path(r)
	var all []journey
	var last time.Duration
	for i := range int(traceLength / frame) {
		media := time.Duration(i) * frame
		sent := media + time.Duration(float64(media)*t.drift/1e6)
		j := journey{number: i, media: media, sent: sent, arrived: sent + transit + beyond(sent), lost: r.Float64() < t.loss}
		if t.ordered {
			j.arrived = max(j.arrived, last)
			last = j.arrived
		}
		all = append(all, j)
	}
	slices.SortStableFunc(all, func(a, b journey) int { return cmp.Compare(a.arrived, b.arrived) })
	return all
}

func still(*rand.Rand) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return 0 }
}

func uniform(most time.Duration) func(*rand.Rand) func(time.Duration) time.Duration {
	return func(r *rand.Rand) func(time.Duration) time.Duration {
		return func(time.Duration) time.Duration { return time.Duration(r.Float64() * float64(most)) }
	}
}

// stops is a sender or radio that stands still now and then; what was sent meanwhile comes at once when it goes on.
func stops(every, shortest, longest, noise time.Duration) func(*rand.Rand) func(time.Duration) time.Duration {
	return func(r *rand.Rand) func(time.Duration) time.Duration {
		var until time.Duration
		next := every / 2
		return func(sent time.Duration) time.Duration {
			if sent >= next {
				until = next + shortest + time.Duration(r.Float64()*float64(longest-shortest))
				next = until + time.Duration(r.ExpFloat64()*float64(every))
			}
			return max(until-sent, 0) + time.Duration(r.Float64()*float64(noise))
		}
	}
}

// handovers: LTE's 4 ms grid, and every 12 s another cell, 80 ms of standstill and another length of the path.
func handovers(r *rand.Rand) func(time.Duration) time.Duration {
	const every, gap, grid = 12 * time.Second, 80 * time.Millisecond, 4 * time.Millisecond
	var level time.Duration
	cell := time.Duration(0)
	return func(sent time.Duration) time.Duration {
		if c := sent / every; c != cell {
			cell, level = c, time.Duration(r.IntN(4))*20*time.Millisecond
		}
		wait := time.Duration(0)
		if into := sent % every; cell > 0 && into < gap {
			wait = gap - into
		}
		return level + wait + time.Duration(r.IntN(4))*grid
	}
}

// ramps: a queue that somebody else fills by 150 ms within 6 s and that is empty again after 6 more.
func ramps(r *rand.Rand) func(time.Duration) time.Duration {
	const half, height = 6 * time.Second, 150 * time.Millisecond
	return func(sent time.Duration) time.Duration {
		into := sent % (3 * half)
		level := time.Duration(0)
		switch {
		case into < half:
			level = height * into / half
		case into < 2*half:
			level = height * (2*half - into) / half
		}
		return level + time.Duration(r.Float64()*float64(5*time.Millisecond))
	}
}

var traces = []trace{
	{name: "clean", what: "nothing happens", path: still},
	{name: "jitter 10", what: "0 to 10 ms, uniform, with reordering", path: uniform(10 * time.Millisecond)},
	{name: "jitter 30", what: "0 to 30 ms, uniform, with reordering", path: uniform(30 * time.Millisecond)},
	{name: "jitter 80", what: "0 to 80 ms, uniform, with reordering", path: uniform(80 * time.Millisecond)},
	{
		name: "Wi-Fi", what: "stands still for 40 to 140 ms about every 3 s", ordered: true,
		path: stops(3*time.Second, 40*time.Millisecond, 140*time.Millisecond, 6*time.Millisecond),
	},
	{
		name: "busy Wi-Fi", what: "stands still for 10 to 60 ms about every 0.4 s", ordered: true,
		path: stops(400*time.Millisecond, 10*time.Millisecond, 60*time.Millisecond, 6*time.Millisecond),
	},
	{name: "LTE", what: "4 ms grid; every 12 s 80 ms of standstill, then a path of another length", ordered: true, path: handovers},
	{name: "ramps", what: "a queue grows by 150 ms in 6 s and shrinks again", ordered: true, path: ramps},
	{name: "loss 5 %", what: "5 % lost, 0 to 20 ms of jitter", loss: 0.05, path: uniform(20 * time.Millisecond)},
	{name: "loss 20 %", what: "20 % lost, 0 to 20 ms of jitter", loss: 0.2, path: uniform(20 * time.Millisecond)},
	{name: "drift +200", what: "the sender's clock 200 ppm slow, 0 to 10 ms of jitter", drift: 200, path: uniform(10 * time.Millisecond)},
	{name: "drift -200", what: "200 ppm fast", drift: -200, path: uniform(10 * time.Millisecond)},
}

// stepping changes the path once, at stepAt.
func stepping(s step) func(*rand.Rand) func(time.Duration) time.Duration {
	return func(r *rand.Rand) func(time.Duration) time.Duration {
		return func(sent time.Duration) time.Duration {
			if sent < stepAt {
				return s.before(r.Float64())
			}
			return s.after(r.Float64())
		}
	}
}
