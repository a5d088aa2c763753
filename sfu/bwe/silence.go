package bwe

import "time"

// silence is what happens while feedback is missing.
type silence struct {
	since  time.Duration // the first packet after the last feedback
	waits  bool
	halved time.Duration
}

func (s *silence) sent(now time.Duration) {
	if !s.waits {
		s.waits, s.since, s.halved = true, now, now
	}
}

func (s *silence) heard(now time.Duration) { s.waits = false }

func (s *silence) poll(now time.Duration, e *Estimator) {
	limit := 500*time.Millisecond + 2*e.rtt
	if s.waits && now-s.since > limit && now-s.halved > limit/2 {
		s.halved = now
		e.control.rate = max(e.control.rate/2, float64(e.cfg.Min))
	}
}
