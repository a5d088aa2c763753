package bwe

import "time"

const (
	markGain  = 1.0 / 8 // of the mean marked share, a round trip at a time (RFC 8257 has 1/16, for windows without pacing)
	markSpan  = 10 * time.Second
	markFloor = 0.15
)

// ecn answers congestion marks in proportion to their share (RFC 9331 section 4.3).
type ecn struct {
	marked, packets int
	share           float64
	round           time.Duration
	last            time.Duration // of the newest mark
	seen            bool
}

// note takes a report.
func (k *ecn) note(now time.Duration, marked, packets int) {
	k.marked += marked
	k.packets += packets
	if marked > 0 {
		k.last, k.seen = now, true
	}
}

// active reports whether the bottleneck marks.
func (k *ecn) active(now time.Duration) bool { return k.seen && now-k.last < markSpan }

// cut is by what share the rate falls now: once a round trip, half of the marked share. One packet alone makes a queue of its own
// time in the bottleneck, which marks the next one on a thin link: there the answer is smaller, or the link would starve.
func (k *ecn) cut(now, rtt time.Duration, rate float64) float64 {
	if !k.seen || k.packets == 0 || now-k.round < max(rtt, 50*time.Millisecond) {
		return 0
	}
	k.round = now
	k.share += (float64(k.marked)/float64(k.packets) - k.share) * markGain
	marked := k.marked
	k.marked, k.packets = 0, 0
	if marked == 0 {
		return 0
	}
	weight := min(max(rate/20e6, markFloor), 0.5)
	return k.share / 2 * weight
}
