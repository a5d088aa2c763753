package bwe

import "time"

const (
	markGain = 1.0 / 8          // of the mean marked share, a round trip at a time (RFC 8257 has 1/16, for ten times shorter trips)
	markSpan = 10 * time.Second // after the last mark the bottleneck is one that marks

	// One packet makes a queue of its own time in the bottleneck, and what comes right behind it is marked: at 1 Mbit/s 10 ms,
	// all of what L4S allows. Marks weigh as the rate, or thin links would starve (SCReAMv2 at 1 Mbit/s: 52 % of the link).
	markWhole              = 20e6
	markLeast, markMost    = 0.15, 0.5
	markedMuch             = 0.02 // of packets: bursts make that many, so that they must go
	leastRound             = 50 * time.Millisecond
	markedGrow, unmarkedGo = 0.05, 0.3 // a second: growth while marks come, and a round trip without one: marks come early
)

// ecn answers congestion marks in proportion to their share, once a round trip (RFC 9331 section 4.3, RFC 8257).
type ecn struct {
	marked, packets int // of this round trip
	share           float64
	round           time.Duration // when it began
	last            time.Duration // when the newest mark came; 0: never
}

// note takes a report.
func (k *ecn) note(now time.Duration, marked, packets int) {
	k.marked += marked
	k.packets += packets
	if marked > 0 {
		k.last = now
	}
}

// active reports whether the bottleneck marks.
func (k *ecn) active(now time.Duration) bool { return k.last != 0 && now-k.last < markSpan }

// cut is by what share the rate falls now.
func (k *ecn) cut(now, rtt time.Duration, rate float64) float64 {
	if k.last == 0 || k.packets == 0 || now-k.round < max(rtt, leastRound) {
		return 0
	}
	marked := float64(k.marked) / float64(k.packets)
	k.share += float64((marked - k.share) * markGain)
	k.round, k.marked, k.packets = now, 0, 0
	if marked == 0 {
		return 0
	}
	return k.share / 2 * min(max(rate/markWhole, markLeast), markMost)
}
