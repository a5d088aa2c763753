package shard

import "time"

// Rate bounds what one peer or track may send. 0 means no bound.
type Rate struct {
	PacketsPerSecond int
	BitsPerSecond    int // of RTP: header and payload
}

// A second's worth may come at once: a keyframe, or what a network held back for a while.
const rateDepth = time.Second

// meter holds packets to a Rate: two token buckets, of packets and of bits, each kept as the time at which it will be full
// again.
type meter struct{ packets, bits time.Duration }

// take says whether a packet of that many bytes is within the rate, and counts it if it is.
func (m *meter) take(now time.Duration, r Rate, size int) bool {
	packets, bits := max(m.packets, now), max(m.bits, now)
	if r.PacketsPerSecond > 0 {
		packets += time.Second / time.Duration(r.PacketsPerSecond)
	}
	if r.BitsPerSecond > 0 {
		bits += time.Duration(size) * 8 * time.Second / time.Duration(r.BitsPerSecond)
	}
	if packets-now > rateDepth || bits-now > rateDepth {
		return false
	}
	m.packets, m.bits = packets, bits
	return true
}
