//go:build linux

package main

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/source"
)

const (
	// queueGoal is what the bottleneck's queue must be below, 1.5 s after a drop.
	queueGoal = 50 * time.Millisecond
	// tooOld is from when on a sound is of no use any more: no playout buffer of a call waits longer.
	tooOld = 200 * time.Millisecond
)

// cycle is what one drop and one return did.
type cycle struct {
	lastOld   time.Duration // after the drop: when the last packet of the largest layer left, while the link was narrow
	queueLow  time.Duration // after the drop: when the queue was at queueGoal or above until it was below it for a second
	queueLast time.Duration // the same for the last time while the link was narrow
	back      time.Duration // after the return: when the first packet of the largest layer came; all the time there was: it did not
	flaps     int           // changes of layer beyond the way down and the way up
	silence   time.Duration // the longest that no picture came
}

// each describes every cycle.
func (d *dropped) each() []cycle {
	var out []cycle
	for i := range d.cycles {
		begin := time.Duration(i) * d.cycle()
		out = append(out, d.describe(begin, begin+d.low, begin+d.cycle()))
	}
	return out
}

func (d *dropped) describe(drop, rise, end time.Duration) cycle {
	c := cycle{back: end - rise}
	layer, last := int(source.High), drop
	lowest := int(source.High)
	downs, ups := 0, 0
	for _, a := range d.frames {
		if a.at < drop || a.at >= end || a.repaired {
			continue
		}
		c.silence = max(c.silence, a.at-last)
		last = a.at
		unknown := a.layer < 0 // the end of its frame was lost: of the layer before, for all that we know
		if unknown {
			a.layer = layer
		}
		if a.at < rise && a.layer == int(source.High) {
			c.lastOld = max(c.lastOld, a.left-drop)
		}
		if a.at >= rise && a.layer == int(source.High) && !unknown {
			c.back = min(c.back, a.at-rise)
		}
		switch {
		case a.layer < layer:
			downs++
		case a.layer > layer:
			ups++
		}
		layer, lowest = a.layer, min(lowest, a.layer)
	}
	c.silence = max(c.silence, end-last)
	for _, p := range d.passages {
		if p.at >= drop && p.at < rise && (p.dropped || p.queue >= queueGoal) {
			c.queueLast = max(c.queueLast, p.at-drop)
		}
	}
	c.queueLow = d.firstLow(drop)
	// Down to where it stays and up again, with a step at each layer, is what the link asks for.
	needed := int(source.High) - lowest
	c.flaps = max(0, downs-needed) + max(0, ups-needed)
	return c
}

// firstLow is when the queue was below queueGoal for the first time after the drop, for a second at least.
func (d *dropped) firstLow(drop time.Duration) time.Duration {
	high := time.Duration(0)
	for _, p := range d.passages {
		since := p.at - drop
		if since < 0 || since >= d.low || !p.dropped && p.queue < queueGoal {
			continue
		}
		if since-high >= time.Second && high > 0 {
			break
		}
		high = since
	}
	return high
}

// sound is the share of it that was lost or came too late, and the longest gap in what came.
func (d *dropped) sound() (bad float64, gap time.Duration) {
	if len(d.sounds) == 0 {
		return 1, 0
	}
	least := d.sounds[0].age
	for _, a := range d.sounds {
		if a.age > 0 {
			least = min(least, a.age)
		}
	}
	came, late := map[uint16]bool{}, 0
	expected := int(d.sounds[len(d.sounds)-1].number-d.sounds[0].number) + 1 // minutes of 50 a second fit
	for i, a := range d.sounds {
		if !came[a.number] && a.age-least > tooOld {
			late++
		}
		came[a.number] = true
		if i > 0 {
			gap = max(gap, a.at-d.sounds[i-1].at)
		}
	}
	return float64(max(expected-len(came), 0)+late) / float64(max(expected, 1)), gap
}

// rows are of all cycles.
func (d *dropped) rows(command, name string) []report.Result {
	cycles := d.each()
	var old, queues, last, back, silence []float64
	flaps := 0
	for _, c := range cycles {
		old = append(old, milliseconds(c.lastOld))
		queues = append(queues, milliseconds(c.queueLow))
		last = append(last, milliseconds(c.queueLast))
		back = append(back, c.back.Seconds())
		silence = append(silence, milliseconds(c.silence))
		flaps += c.flaps
	}
	minutes := d.length().Minutes()
	bad, gap := d.sound()
	lost := 0
	for _, p := range d.passages {
		if p.dropped {
			lost++
		}
	}
	var out []report.Result
	add := func(figure, unit string, value float64, runs int) {
		r := report.New(command, name+"_"+figure, unit, []float64{value}, nil)
		r.Runs = runs
		out = append(out, r)
	}
	for _, v := range []struct {
		name, unit string
		values     []float64
	}{
		{"old_layer_left", "ms", old},
		{"queue_below_50ms_after", "ms", queues},
		{"queue_last_above_50ms", "ms", last},
		{"back_up", "s", back},
		{"no_picture", "ms", silence},
	} {
		sorted := slices.Sorted(slices.Values(v.values))
		add(v.name+"_p50", v.unit, report.Median(v.values), len(cycles))
		add(v.name+"_p95", v.unit, sorted[min(len(sorted)*95/100, len(sorted)-1)], len(cycles))
	}
	add("first_up", "s", d.firstUp.Seconds(), 1)
	add("emulator_late_p99", "ms", milliseconds(d.late), 1)
	add("flaps", "1/min", float64(flaps)/minutes, len(cycles))
	add("audio_lost_or_late", "share", bad, len(cycles))
	add("audio_gap", "ms", milliseconds(gap), len(cycles))
	add("lost", "share", float64(lost)/float64(max(len(d.passages), 1)), len(cycles))
	return out
}
