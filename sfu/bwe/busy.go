package bwe

import "time"

// busy measures what the bottleneck passes while it has something to pass: between packets of which the later one came to it
// before the earlier one had left.
type busy struct {
	number     uint64 // of the last packet
	left       time.Duration
	arrived    time.Duration
	sent       time.Duration
	bits, span float64 // fading
	idle       float64 // bits of packets that found the bottleneck idle, fading
	last       time.Duration
	stalled    time.Duration
}

// Longer than any rate of ours takes for a packet: the path stood still, which is no rate.
const stall = 0.08

const busyFade = 0.2 // s of busy time that the measure looks back

func (b *busy) arrive(number uint64, sentAt, at time.Duration, size int, empty, gap time.Duration) {
	if sentAt < b.left && (at-b.arrived).Seconds() > stall {
		b.bits, b.span, b.stalled = 0, 0, at
	}
	if number == b.number+1 && sentAt < b.left && sentAt-b.sent <= gap {
		da := (at - b.arrived).Seconds()
		if da >= 0 && da <= stall {
			keep := max(0, 1-da/busyFade)
			b.bits = float64(b.bits*keep) + float64(size*8)
			b.span = float64(b.span*keep) + da
			b.last = at
		}
	}
	if at >= b.arrived {
		b.number, b.arrived, b.sent = number, at, sentAt
		b.left = at - empty
	}
}

// rate is bits a second, or 0.
func (b *busy) rate() float64 {
	if b.span < 0.03 {
		return 0
	}
	return b.bits / b.span
}

// fresh reports whether it was busy lately.
func (b *busy) fresh(at time.Duration) bool { return at-b.last < 200*time.Millisecond }
