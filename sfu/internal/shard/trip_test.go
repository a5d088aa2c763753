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
	f := newFanOf(t, 1, 1000, &bwe.Config{Start: 50 * bwe.Mbps, Min: 50 * bwe.Mbps, Max: 50 * bwe.Mbps})
	s, p := f.shard, f.shard.peers[2]
	now := s.now()
	p.congestion.estimator.RoundTrip(now, 300*time.Millisecond)
	s.poll(now, p)
	s.setRTT(now, p, 20*time.Millisecond) // moves the estimator's by an eighth
	for range 3 {
		f.round()
	}
	sl, sent := p.slots[0], -1
	now = s.now()
	for seq := range 1 << 16 { // its numbers begin anywhere
		if s.resend(now, p, sl, uint16(seq)) {
			sent = seq
			break
		}
	}
	require.GreaterOrEqual(t, sent, 0)
	require.False(t, s.resend(now+200*time.Millisecond, p, sl, uint16(sent)))
	require.True(t, s.resend(now+310*time.Millisecond, p, sl, uint16(sent)))

	p.congestion.estimator.NewPath(now)
	s.poll(now, p)
	require.Zero(t, p.congestion.trip, "of another path nothing is known yet")
}
