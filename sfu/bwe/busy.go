package bwe

import "time"

const (
	busyFade  = 0.2                    // s of busy time that the measure looks back: some bursts of 30 frames a second
	busyLeast = 0.03                   // s of busy time that make a measure
	busyFresh = 200 * time.Millisecond // after which a measure is of another time

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
	last       time.Duration // when the measure last grew
	stalled    time.Duration // when a stall ended; 0: never
}

// arrive takes the next packet: it had to wait so long, in excess of jitter; packets of one burst leave within gap.
func (b *busy) arrive(number uint64, s *sent, at, wait, gap time.Duration) {
	if s.at < b.left && at-b.arrived > stall {
		b.bits, b.span, b.stalled = 0, 0, at
	}
	if number == b.number+1 && s.at < b.left && s.at-b.sent <= gap {
		if took := at - b.arrived; took >= 0 && took <= stall {
			keep := max(0, 1-took.Seconds()/busyFade)
			b.bits = float64(b.bits*keep) + float64(s.size)*8
			b.span = float64(b.span*keep) + took.Seconds()
			b.last = at
		}
	}
	if at >= b.arrived {
		b.number, b.sent, b.arrived, b.left = number, s.at, at, s.at+wait
	}
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
