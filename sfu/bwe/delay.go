package bwe

import (
	"math"
	"time"
)

const (
	baseBucket  = 3 * time.Second
	baseBuckets = 8 // 24 s: longer than any cycle of ours leaves a queue standing, and 100 ppm of skew are 2.4 ms in it

	// Delays that are further apart than this are no delays: the receiver's clock was set, or lies.
	clockJump = 10 * time.Second

	sampleEvery = 20 * time.Millisecond // reports that come more often are taken together
	samples     = 24
	standing    = 60 * time.Millisecond // a queue that was empty once in two frame intervals does not stand
)

// sample is how far arrivals had come with one report.
type sample struct {
	sent, arrived time.Duration // of the newest packet that had arrived, by the sender's clock (arrived plus an unknown constant)
	bytes         int64         // that had arrived in all
	least         time.Duration // shortest one-way delay since the sample before, plus the same constant
}

// delay turns send and arrival times into the queue that stands in the bottleneck, and the rate that passes it.
type delay struct {
	known  bool
	offset time.Duration // takes an arrival to the sender's clock
	ring   [samples]sample
	head   int // of the newest
	count  int

	base   [baseBuckets]time.Duration
	bucket int64 // number of the newest base bucket
	owd    time.Duration
	noise  float64 // s: mean deviation of the standing queue from report to report
	least  [2]float64
}

// arrive takes one packet; it returns the arrival by the sender's clock and false if the clock jumped.
func (d *delay) toSender(sentAt, arrival time.Duration) (at time.Duration, ok bool) {
	if !d.known {
		d.reset(sentAt, arrival)
		return sentAt, true
	}
	at = arrival - d.offset
	if owd := at - sentAt; owd > clockJump || owd < -clockJump {
		return 0, false
	}
	return at, true
}

// reset begins anew with one packet.
func (d *delay) reset(sentAt, arrival time.Duration) {
	*d = delay{known: true, offset: arrival - sentAt}
	for i := range d.base {
		d.base[i] = math.MaxInt64
	}
}

// report closes a report: its newest packet, its bytes, its shortest delay.
func (d *delay) report(sentAt, arrived time.Duration, bytes int, least, owd time.Duration) {
	d.owd = owd
	d.note(sentAt, least)
	newest := &d.ring[d.head]
	if d.count > 0 && arrived-newest.arrived < sampleEvery && d.count > 1 &&
		newest.arrived-d.ring[(d.head+samples-1)%samples].arrived < sampleEvery {
		newest.sent, newest.arrived = max(newest.sent, sentAt), max(newest.arrived, arrived)
		newest.bytes += int64(bytes)
		newest.least = min(newest.least, least)
		return
	}
	total := newest.bytes
	prev := *newest
	d.wobble(least.Seconds())
	d.head = (d.head + 1) % samples
	d.count = min(d.count+1, samples)
	if d.count == 1 {
		prev = sample{sent: sentAt, arrived: arrived}
	}
	d.ring[d.head] = sample{max(prev.sent, sentAt), max(prev.arrived, arrived), total + int64(bytes), least}
}

// wobble follows how much the least delay differs from the line through its neighbours: noise, not a queue that grows.
func (d *delay) wobble(least float64) {
	if d.count > 2 {
		off := math.Abs(least-2*d.least[0]+d.least[1]) / 2
		d.noise += (off - d.noise) / 16
	}
	d.least[1], d.least[0] = d.least[0], least
}

// note keeps the least delay of the last baseBuckets buckets.
func (d *delay) note(now, least time.Duration) {
	n := int64(now / baseBucket)
	if d.bucket < n-baseBuckets {
		d.bucket = n - baseBuckets
	}
	for d.bucket < n {
		d.bucket++
		d.base[d.bucket%baseBuckets] = math.MaxInt64
	}
	b := &d.base[d.bucket%baseBuckets]
	*b = min(*b, least)
}

// empty is the one-way delay of an empty queue.
func (d *delay) empty() time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, b := range d.base {
		least = min(least, b)
	}
	return least
}

// emptyOr is empty, or owd if that is less.
func (d *delay) emptyOr(owd time.Duration) time.Duration { return min(d.empty(), owd) }

// jitter is how much later than in an empty queue a packet may come without one.
func (d *delay) jitter() time.Duration {
	return time.Duration(max(0, 2*d.noise-0.003) * float64(time.Second))
}

// queue is what stands in the bottleneck: the least of the last two frame intervals.
func (d *delay) queue() time.Duration {
	if d.count == 0 {
		return 0
	}
	return d.stood(standing)
}

// stood is the shortest queue of the last window: more than nothing, and the bottleneck never waited for us.
func (d *delay) stood(window time.Duration) time.Duration {
	newest := &d.ring[d.head]
	least := newest.least
	for i := 1; i < d.count; i++ {
		s := &d.ring[(d.head+samples-i)%samples]
		if newest.arrived-s.arrived >= window {
			break
		}
		least = min(least, s.least)
	}
	return max(0, least-d.empty())
}

// delivered is the rate that arrived in at least the last window, in bits a second, and never more than was sent in its time;
// 0: not known.
func (d *delay) delivered(window time.Duration) float64 {
	newest := &d.ring[d.head]
	for i := 1; i < d.count; i++ {
		s := &d.ring[(d.head+samples-i)%samples]
		span := max(newest.arrived-s.arrived, newest.sent-s.sent)
		if newest.arrived-s.arrived >= window || i == d.count-1 && span >= window/2 {
			return float64((newest.bytes-s.bytes)*8) / span.Seconds()
		}
	}
	return 0
}

// passed is the rate that arrived since a queue stands, or in the last window if that is longer: what the bottleneck passes of
// ours, in bits a second; 0: not known.
func (d *delay) passed(window time.Duration) float64 {
	const longest = 400 * time.Millisecond
	empty := d.empty() + 2*time.Millisecond
	newest := &d.ring[d.head]
	stands := newest.least > empty
	rate := 0.0
	for i := 1; i < d.count; i++ {
		s := &d.ring[(d.head+samples-i)%samples]
		span := newest.arrived - s.arrived
		if span >= 40*time.Millisecond {
			rate = float64((newest.bytes-s.bytes)*8) / span.Seconds()
		}
		stands = stands && s.least > empty
		if span >= longest || span >= window && !stands {
			break
		}
	}
	return rate
}

// recent is the rate that arrived in the last window.
func (d *delay) recent(window time.Duration) float64 {
	newest := &d.ring[d.head]
	rate := 0.0
	for i := 1; i < d.count; i++ {
		s := &d.ring[(d.head+samples-i)%samples]
		if span := newest.arrived - s.arrived; span > 0 {
			rate = float64((newest.bytes-s.bytes)*8) / span.Seconds()
			if span >= window {
				break
			}
		}
	}
	return rate
}
