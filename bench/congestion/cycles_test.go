//go:build linux

package main

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/source"
)

// oneCycle has a picture every 40 ms: the largest layer until 300 ms after the drop, the middle one from 500 ms on, the largest
// again 2 s after the return. The queue is full for 800 ms after the drop and once more at 6 s.
func oneCycle() *dropped {
	d := &dropped{plan: usualPlan(1)}
	for at := time.Duration(0); at < d.cycle(); at += 40 * time.Millisecond {
		layer := int(source.Mid)
		switch {
		case at <= 300*time.Millisecond || at >= d.low+2*time.Second:
			layer = int(source.High)
		case at < 500*time.Millisecond:
			continue
		}
		d.frames = append(d.frames, arrived{at: at, left: at - 30*time.Millisecond, layer: layer})
	}
	for at := time.Duration(0); at < d.cycle(); at += 20 * time.Millisecond {
		p := passage{at: at, size: 1000, queue: 10 * time.Millisecond}
		if at <= 800*time.Millisecond || at == 6*time.Second {
			p.queue, p.dropped = 0, true
		}
		d.passages = append(d.passages, p)
		d.sounds = append(d.sounds, arrived{at: at, number: uint16(at / (20 * time.Millisecond)), age: 40 * time.Millisecond})
	}
	return d
}

func TestCycle(t *testing.T) {
	c := oneCycle().each()[0]
	require.Equal(t, 250*time.Millisecond, c.lastOld, "the last of 280 ms, as it left")
	require.Equal(t, 800*time.Millisecond, c.queueLow)
	require.Equal(t, 6*time.Second, c.queueLast)
	require.Equal(t, 2*time.Second, c.back)
	require.Equal(t, 240*time.Millisecond, c.silence)
	require.Zero(t, c.flaps)
}

// A frame whose end the full queue has dropped is of the layer before it: the last ones of the old layer meet that most of all.
func TestPartOfAFrameOfTheOldLayer(t *testing.T) {
	d := oneCycle()
	d.frames = append(d.frames, arrived{at: 440 * time.Millisecond, left: 410 * time.Millisecond, layer: -1})
	slices.SortFunc(d.frames, func(a, b arrived) int { return cmp.Compare(a.at, b.at) })
	require.Equal(t, 410*time.Millisecond, d.each()[0].lastOld)
	d.frames[slices.IndexFunc(d.frames, func(a arrived) bool { return a.layer < 0 })].at = d.low + time.Second
	c := d.each()[0]
	require.Equal(t, 2*time.Second, c.back, "it says nothing of what is back")
	require.Zero(t, c.flaps)
}

func TestFlaps(t *testing.T) {
	d := oneCycle()
	for i, a := range d.frames {
		if a.at >= 4*time.Second && a.at < 5*time.Second {
			d.frames[i].layer = int(source.High)
		}
	}
	require.Equal(t, 2, d.each()[0].flaps, "up and down once more than the link asked for")
	require.Greater(t, d.each()[0].lastOld, 4*time.Second)
}

// A largest layer that was sent again says nothing of what is chosen now, and one that does not come back is not called back.
func TestNeverBack(t *testing.T) {
	d := oneCycle()
	for i, a := range d.frames {
		d.frames[i].repaired = a.layer == int(source.High)
	}
	c := d.each()[0]
	require.Equal(t, d.high, c.back)
	require.Zero(t, c.lastOld)
}

func TestSound(t *testing.T) {
	d := oneCycle()
	bad, gap := d.sound()
	require.Zero(t, bad)
	require.Equal(t, 20*time.Millisecond, gap)
	n := len(d.sounds)
	d.sounds[100].age += 201 * time.Millisecond
	d.sounds = append(d.sounds[:200], d.sounds[204:]...)
	d.sounds[300] = d.sounds[299] // one twice, and another not
	bad, gap = d.sound()
	require.InDelta(t, 6/float64(n), bad, 1e-9)
	require.Equal(t, 100*time.Millisecond, gap)
	bad, _ = (&dropped{}).sound()
	require.Equal(t, 1.0, bad)
}
