package shard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// TestASecondRequestWithinTheRoundTripIsNotAnswered: the first answer is under way, or stands in the queue that feedback tells of.
// Reports and checks, which come once a second at most, would have told of 20 ms.
func TestASecondRequestWithinTheRoundTripIsNotAnswered(t *testing.T) {
	f := newFanOf(t, 1, 1000, &bwe.Config{Start: 10 * bwe.Mbps, Min: 10 * bwe.Mbps, Max: 10 * bwe.Mbps})
	s, p := f.shard, f.shard.peers[2]
	now := s.now()
	p.congestion.estimator.RoundTrip(now, 300*time.Millisecond)
	s.poll(now, p)
	s.setRTT(now, p, 20*time.Millisecond) // moves the estimator's by an eighth
	for range 20 {
		f.round()
	}
	sl, missing := p.slots[0], uint16(0)
	now = s.now()
	for ; s.stats.Resent == 0; missing++ { // its numbers begin anywhere
		s.repairSoon(now, p, sl, missing)
	}
	missing--
	s.repairSoon(now+200*time.Millisecond, p, sl, missing)
	require.EqualValues(t, 1, s.stats.Resent)
	s.repairSoon(now+310*time.Millisecond, p, sl, missing)
	require.EqualValues(t, 2, s.stats.Resent)

	p.congestion.estimator.NewPath(now)
	s.poll(now, p)
	require.Zero(t, p.congestion.trip, "of another path nothing is known yet")
}
