package bwe

import "time"

// 500 ms and two round trips: feedback comes every 250 ms at the latest, so one message may be lost.
const silenceAfter = 500 * time.Millisecond

// silence is what happens while packets are sent and no feedback comes, in the spirit of RFC 8083's circuit breaker: after
// 500 ms and two round trips the rate is halved, and again after each 250 ms and a round trip, down to the minimum. Feedback
// that comes back proves what it proves; what the rate was before is probed for. A client that never gave feedback by packets
// cannot fall silent.
type silence struct {
	waits  bool
	since  time.Duration // the first packet after the last feedback
	halved time.Duration
	before float64 // rate when it began; 0: it was not halved
}

func (s *silence) sent(now time.Duration) {
	if !s.waits {
		s.waits, s.since, s.halved = true, now, now
	}
}

// heard ends it; it returns the rate from before if that was halved.
func (s *silence) heard() (before float64, silent bool) {
	before = s.before
	s.waits, s.before = false, 0
	return before, before != 0
}

// due is when the rate is halved next.
func (s *silence) due(e *Estimator) time.Duration {
	limit := silenceAfter + 2*e.rtt
	if s.before != 0 {
		return s.halved + limit/2
	}
	return s.since + limit
}

func (s *silence) next(e *Estimator) time.Duration {
	if !s.waits || e.control.rate <= float64(e.cfg.Min) || !e.hears {
		return 0
	}
	return s.due(e)
}

func (s *silence) poll(now time.Duration, e *Estimator) {
	for s.next(e) != 0 && now >= s.due(e) {
		if s.halved = s.due(e); s.before == 0 {
			s.before = e.control.rate
		}
		e.control.rate = max(e.control.rate/2, float64(e.cfg.Min))
	}
}
