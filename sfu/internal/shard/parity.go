package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/fec"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

const (
	// parityTrip is the round trip from which on what is asked for again comes too late: a player that waits 300 ms, 50 of them for
	// jitter, has one try then and not two.
	parityTrip = 150 * time.Millisecond

	// parityTripLess is below what it is left off again: round trips waver.
	parityTripLess = 130 * time.Millisecond

	// parityPatience is from a packet to its parity at most, and half a round trip: later, and what is asked for is hardly later still.
	parityPatience = 150 * time.Millisecond

	// randomLoss is the least loss that calls for parity, of what does not depend on our rate: 1 %.
	randomLoss = 0.01

	// parityStep is the least change of its share that slots are told of.
	parityStep = 0.01
)

// allowParity tells a peer's slots how much parity to send: none where the path is short, clean or congested, or each byte counts.
func (g *congestion) allowParity(p *peer) {
	share := 0.0
	if e := &g.estimate; g.byPackets && !p.saves && !e.Congested && e.Inherent >= randomLoss && e.RTT >= g.parityFrom() {
		share = fec.Share(e.Loss, g.repair)
	}
	change := share - g.parity
	if change == 0 || share > 0 && g.parity > 0 && max(change, -change) < parityStep {
		return
	}
	g.parity = share
	for _, sl := range p.slots {
		sl.down.SetParity(share, g.parityPatience())
	}
}

func (g *congestion) parityPatience() time.Duration { return min(g.estimate.RTT/2, parityPatience) }

// parityFrom is the round trip from which on there is parity.
func (g *congestion) parityFrom() time.Duration {
	if g.parity > 0 {
		return parityTripLess
	}
	return parityTrip
}

// protect sends the parity that is due of a slot, unless repair has to wait: then it is due again with the slot's next packet.
// It returns how many packets that were.
func (s *Shard) protect(now time.Duration, p *peer, sl *slot) int {
	if p.congestion.bucket.Next(now, pace.Repair) > now {
		return 0
	}
	dst := s.space(p)
	out, ok := sl.down.Parity(dst, uint16(p.sent))
	if !ok {
		return 0
	}
	s.stats.Parity++
	s.stats.ParityBytes += uint64(s.seal(now, p, sl, pace.Repair, dst, out))
	return 1
}
