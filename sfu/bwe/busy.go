package bwe

import "time"

const (
	busyFade  = 0.2                    // s of busy time that the measure looks back: some bursts of 30 frames a second
	busyLeast = 0.03                   // s of busy time that make a measure
	busyFresh = 200 * time.Millisecond // after which a measure is of another time

	// 0.9 and 0.6 of what bursts showed: the capacity has fallen, and has fallen far. Three packets tell the latter: jitter of 10 ms
	// makes no 50 of 30.
	fellSome, fellFar = 0.9, 0.6

	// 5 s: what was measured fades in by time as well, where pictures leave evenly and bursts are few. It must outlast them at 1 Mbit/s,
	// where marks alone leave a quarter unused, and hides a rise of the capacity for as long.
	busyAges = 5.0

	// 80 ms: longer than any rate worth a call takes for a packet. The path stood still, which is no rate: radio does.
	stall = 80 * time.Millisecond
	// 500 ms: how long what stood in the queue then is no sign of a low capacity.
	stallOver = 500 * time.Millisecond
)

// busy measures what the bottleneck passes while it has something to pass: between two packets of one burst of which the
// later one came to it before the earlier one had left.
//
//	sent     ─1──2──3──────────────1──2──3───
//	bottleneck ▐1▌▐2 ▌▐3 ▌           ▐1▌▐2 ▌▐3 ▌   the width is what it takes: alone, size ÷ capacity
//	arrived      │    │    │            │    │    │
//
// Bursts leave faster than the rate, so in each of them the capacity shows, long before a queue stands. It is all of the
// capacity if nobody else sends, and else more than our share by as much as bursts are faster than the rate.
type busy struct {
	number     uint64        // of the last packet
	sent       time.Duration // when it was sent, when it arrived, and when it left the bottleneck: on the sender's clock
	arrived    time.Duration
	left       time.Duration
	bits, span float64       // passed, and in how many seconds; fading
	all        passage       // the same, and nothing fades
	stands     share         // what has passed since something of ours stands there without a break, of one burst or not
	last       time.Duration // when the measure last grew
	stalled    time.Duration // when a stall ended; 0: never
}

// arrive takes the next packet: it had to wait so long, in excess of jitter; packets of one burst leave within c's gap.
func (b *busy) arrive(number uint64, s *sent, at, wait time.Duration, c *control) {
	if s.at < b.left && at-b.arrived > stall {
		b.bits, b.span, b.stalled = 0, 0, at
	}
	if number == b.number+1 && s.at < b.left && s.at-b.sent <= c.gap(int(s.size)) {
		if took := at - b.arrived; took >= 0 && took <= stall {
			keep := max(0, 1-took.Seconds()/busyFade)
			b.bits = float64(b.bits*keep) + float64(s.size)*8
			b.span = float64(b.span*keep) + took.Seconds()
			b.all.bytes += uint32(s.size)
			b.all.took += uint32(took / time.Microsecond)
			b.last = at
		}
	}
	if s.at >= b.left {
		b.stands = share{}
	} else if took := at - b.arrived; took >= 0 && took <= stall {
		b.stands.add(int(s.size), took)
	}
	if at >= b.arrived {
		b.number, b.sent, b.arrived, b.left = number, s.at, at, s.at+wait
	}
}

// share is our part of what the bottleneck passes while it always has something of ours: what others send shows as less. Averages over
// 100 ms took the time before the queue for that, and each keyframe for a neighbour.
type share struct{ bits, span float32 } // and in how many seconds; fading

func (m *share) add(size int, took time.Duration) {
	keep := max(0, 1-float32(took.Seconds()/busyFade))
	m.bits = float32(m.bits*keep) + float32(size*8)
	m.span = float32(m.span*keep) + float32(took.Seconds())
}

// rate is in bits a second; 0: too little for a measure.
func (m share) rate() float64 {
	if m.span < busyLeast {
		return 0
	}
	return float64(m.bits / m.span)
}

// passage is what has passed back to back, in how many microseconds. Both wrap: differences of a second count.
type passage struct{ bytes, took uint32 }

// since is the rate since an earlier one, in bits a second; 0: that is too little for a measure.
func (p passage) since(o passage) float64 {
	if took := float64(p.took-o.took) / 1e6; took >= busyLeast {
		return float64(p.bytes-o.bytes) * 8 / took
	}
	return 0
}

// fall is what bursts show when the capacity has fallen while their measure looks back: what passed back to back since the queue
// stands, and where that is far less, in the last report or two. far says that it is so much less that the share of the last
// 100 ms is of two capacities and compares with nothing.
func fall(bursts, lately, newest float64) (now float64, far bool) {
	if lately > 0 && lately < fellSome*bursts {
		bursts = lately
	}
	if newest > 0 && newest < fellFar*bursts {
		return newest, true
	}
	return bursts, false
}

// restart has the measure begin anew from a rate: what was before is of another path, and would fade for a second.
func (b *busy) restart(rate float64) { b.bits, b.span = rate*busyLeast, busyLeast }

// age has what was measured fade by time as well, until a packet arrives.
func (b *busy) age(at time.Duration) {
	keep := max(0, 1-max(0, at-b.arrived).Seconds()/busyAges)
	b.bits, b.span = float64(b.bits*keep), float64(b.span*keep)
}

// rate is bits a second as of an arrival; 0: it was not busy lately.
func (b *busy) rate(at time.Duration) float64 {
	if b.span < busyLeast || at-b.last > busyFresh {
		return 0
	}
	return b.bits / b.span
}

// stood reports whether the path stood still just before an arrival.
func (b *busy) stood(at time.Duration) bool { return b.stalled != 0 && at-b.stalled < stallOver }
