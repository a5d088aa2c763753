package bwe

import (
	"math"
	"slices"
	"time"
)

const (
	// 24 s in eight parts: longer than a queue of our own making stands, and 100 ppm of clock skew are 2.4 ms in it.
	baseBucket  = 3 * time.Second
	baseBuckets = 8

	// 10 s: delays that are further apart are none: the receiver's clock was set, or lies.
	clockJump = 10 * time.Second

	// Reports that come more often are taken together, so that a second of history needs no more room.
	sampleEvery = 20 * time.Millisecond
	samples     = 20

	// 60 ms: a queue that was empty once in two frame intervals does not stand. Bursts come and go in one.
	standing = 60 * time.Millisecond
	// 2 ms: above the rounding of arrival times, 250 µs and 1/1024 s, and what a packet of audio takes beside one of video.
	standLeast = 2 * time.Millisecond
	// 400 ms: what the bottleneck passes is measured over no more, for it changes.
	passLongest = 400 * time.Millisecond

	// Delay that wavers by less is the bursts of video, the rest is the path's jitter.
	noiseFloor = 0.003
	noiseFade  = 1.0 / 16 // reports: about a second
	// What is farther off than twice the usual counts as that and 1 ms: jitter is in each report, and a keyframe's queue in some.
	noiseTimes, noiseMore = 2.0, 0.001

	unknownDelay = time.Duration(math.MaxInt64)
)

// sample is how far arrivals had come with one report.
type sample struct {
	sent, arrived time.Duration // of the newest packet until then, by the sender's clock and a constant
	bytes         uint32        // arrived in all until then; it wraps
	busy          passage       // what the bottleneck had passed back to back
	least         short         // shortest one-way delay since the sample before, by the same constant
}

// short is a one-way delay in microseconds: none is beyond clockJump.
type short int32

func shorten(d time.Duration) short { return short(d / time.Microsecond) }

func (s short) duration() time.Duration { return time.Duration(s) * time.Microsecond }

// delay turns send and arrival times into the queue that stands in the bottleneck, and the rate that passes it.
//
//	one-way delay │      ╭╮  ╭╮              least of 60 ms − least of 24 s = standing queue
//	              │  ╭╮ ╭╯╰──╯╰╮  ╭╮
//	              │──╯╰─╯ ▲    ╰──╯╰──       bursts pass below the least, clock skew moves both
//	              └────────────────────► t
type delay struct {
	known  bool
	head   int32         // of the newest in ring
	offset time.Duration // takes an arrival to the sender's clock, the delay of the first packet taken off
	ring   [samples]sample
	count  int

	base   [baseBuckets]time.Duration // shortest delays, a ring
	bucket int64                      // number of the newest of them
	lowest time.Duration              // of them all
	owd    time.Duration              // of the newest packet

	noise float64    // s: how far delays are off the line through their neighbours, mean
	least [2]float64 // s: of the last two samples, the newest first
}

// local takes an arrival to the sender's clock; false if the receiver's has jumped.
func (d *delay) local(sentAt, arrival time.Duration) (at time.Duration, ok bool) {
	if !d.known {
		d.reset(sentAt, arrival)
		return sentAt, true
	}
	at = arrival - d.offset
	owd := at - sentAt
	return at, -clockJump < owd && owd < clockJump
}

// reset begins anew with one packet.
func (d *delay) reset(sentAt, arrival time.Duration) {
	*d = delay{known: true, offset: arrival - sentAt, lowest: unknownDelay}
	for i := range d.base {
		d.base[i] = unknownDelay
	}
}

// report notes a report, and what the bottleneck has passed back to back until then.
func (d *delay) report(m message, busy passage) {
	d.owd = m.owd
	d.note(m.sent, m.least)
	if newest := &d.ring[d.head]; d.count > 1 && newest.arrived-d.back(1).arrived < sampleEvery {
		newest.sent, newest.arrived = max(newest.sent, m.sent), max(newest.arrived, m.arrived)
		newest.bytes += uint32(m.bytes)
		newest.busy = busy
		newest.least = min(newest.least, shorten(m.least))
		return
	}
	d.wobble(m.least.Seconds())
	next := sample{m.sent, m.arrived, uint32(m.bytes), busy, shorten(m.least)}
	if d.count > 0 {
		newest := &d.ring[d.head]
		next.sent, next.arrived = max(next.sent, newest.sent), max(next.arrived, newest.arrived)
		next.bytes += newest.bytes
	}
	d.head = (d.head + 1) % samples
	d.count = min(d.count+1, samples)
	d.ring[d.head] = next
}

// back is the sample so many before the newest.
func (d *delay) back(i int) *sample {
	at := int(d.head) - i
	if at < 0 {
		at += samples
	}
	return &d.ring[at]
}

// note keeps the shortest delay of each bucket.
func (d *delay) note(now, least time.Duration) {
	if n := int64(max(now, 0) / baseBucket); d.bucket < n {
		d.turn(n)
	}
	b := &d.base[d.bucket%baseBuckets]
	*b = min(*b, least)
	d.lowest = min(d.lowest, least)
}

// turn goes on to bucket n, and forgets the oldest.
func (d *delay) turn(n int64) {
	d.bucket = max(d.bucket, n-baseBuckets)
	for d.bucket < n {
		d.bucket++
		d.base[d.bucket%baseBuckets] = unknownDelay
	}
	d.lowest = slices.Min(d.base[:])
}

// wobble follows how much the least delay differs from the line through its neighbours: noise, not a queue that grows.
func (d *delay) wobble(least float64) {
	if d.count > 2 {
		off := math.Abs(least-2*d.least[0]+d.least[1]) / 2
		d.noise += float64((min(off, noiseTimes*d.noise+noiseMore) - d.noise) * noiseFade)
	}
	d.least[1], d.least[0] = d.least[0], least
}

// empty is the one-way delay through an empty queue.
func (d *delay) empty() time.Duration {
	if !d.known {
		return unknownDelay
	}
	return d.lowest
}

// jitter is how much later than through an empty queue a packet may come without one.
func (d *delay) jitter() time.Duration {
	return time.Duration(max(0, 2*d.noise-noiseFloor) * float64(time.Second))
}

// now is when the newest packet arrived, by the sender's clock and a constant.
func (d *delay) now() time.Duration { return d.ring[d.head].arrived }

// queue is what stands in the bottleneck.
func (d *delay) queue() time.Duration { return d.stood(standing) }

// stood is the shortest queue of the last window: more than nothing, and the bottleneck never waited for us.
func (d *delay) stood(window time.Duration) time.Duration {
	if d.count == 0 {
		return 0
	}
	least := d.back(0).least.duration()
	for i := 1; i < d.count; i++ {
		s := d.back(i)
		if d.now()-s.arrived >= window {
			break
		}
		least = min(least, s.least.duration())
	}
	return max(0, least-d.empty())
}

// passed is the rate that arrived since a queue stands, or in the last window if that is longer: what the bottleneck passes of
// ours, in bits a second; and what of that passed back to back. 0: not known.
func (d *delay) passed(window time.Duration) (rate, bursts float64) {
	empty := d.empty() + standLeast
	newest := d.back(0)
	stands := newest.least.duration() > empty
	for i := 1; i < d.count; i++ {
		s := d.back(i)
		span := newest.arrived - s.arrived
		if span >= 2*sampleEvery {
			rate = float64(newest.bytes-s.bytes) * 8 / span.Seconds()
			bursts = newest.busy.since(s.busy)
		}
		stands = stands && s.least.duration() > empty
		if span >= passLongest || span >= window && !stands {
			break
		}
	}
	return rate, bursts
}

// newest is the rate at which packets passed back to back last, over the fewest reports that make a measure; 0: not known.
func (d *delay) newest() float64 {
	for i := 1; i < d.count; i++ {
		if rate := d.back(0).busy.since(d.back(i).busy); rate > 0 {
			return rate
		}
	}
	return 0
}

// recent is the rate that arrived in the last window.
func (d *delay) recent(window time.Duration) float64 {
	newest := d.back(0)
	rate := 0.0
	for i := 1; i < d.count; i++ {
		s := d.back(i)
		if span := newest.arrived - s.arrived; span > 0 {
			if rate = float64(newest.bytes-s.bytes) * 8 / span.Seconds(); span >= window {
				break
			}
		}
	}
	return rate
}

// delivered is the rate that is proved over at least a window: bytes that we sent and that arrived, over the time that they
// took to arrive or that we took to send them, whichever is longer. No receiver can lie that up beyond what we sent. 0: not
// known.
func (d *delay) delivered(window time.Duration) float64 {
	rate, _ := d.deliveredFrom(1, window)
	return rate
}

// deliveredFrom is delivered for a window whose beginning is no later than so many samples before the newest; and at which it
// begins, for the next longer window.
func (d *delay) deliveredFrom(from int, window time.Duration) (rate float64, at int) {
	newest := d.back(0)
	for i := from; i < d.count; i++ {
		s := d.back(i)
		span := max(newest.arrived-s.arrived, newest.sent-s.sent)
		if span >= window || i == d.count-1 && span >= window/2 {
			return float64(newest.bytes-s.bytes) * 8 / span.Seconds(), i
		}
	}
	return 0, d.count
}
