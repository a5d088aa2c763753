package bwe

import "time"

const (
	// 5 s: feedback by packets that came within is still the better witness than reports.
	reportsRule = 5 * time.Second

	// The loss controller of draft-ietf-rmcat-gcc-02 section 6: below 2 % it grows, above 10 % it falls.
	reportCalm, reportMuch = 0.02, 0.10
	// 8 % a second, as there.
	reportGrowth = 0.08
	// 3 s: a REMB is repeated every second.
	rembHolds = 3 * time.Second
)

// reports is what old clients give instead of feedback by packets: their own estimate, and a share of loss every second.
type reports struct {
	estimate float64 // of the last REMB
	at       time.Duration
	grown    time.Duration
}

// remb follows a receiver's estimate, as far as twice what is sent.
func (r *reports) remb(now time.Duration, e *Estimator, b float64) {
	r.estimate, r.at = b, now
	c := &e.control
	c.rate = min(b, max(c.rate, r.bound(now, e)))
	c.limit(e)
}

// report falls with much loss and grows with little.
func (r *reports) report(now time.Duration, e *Estimator, lost, expected int) {
	if expected <= 0 || lost < 0 {
		return
	}
	share := min(float64(lost)/float64(expected), 1)
	dt := min(now-r.grown, time.Second).Seconds()
	r.grown = now
	c := &e.control
	switch {
	case share > reportMuch:
		c.rate *= 1 - share/2
	case share < reportCalm:
		c.rate = max(c.rate, min(float64(c.rate*(1+reportGrowth*dt)), r.bound(now, e)))
	}
	if r.at != 0 && now-r.at < rembHolds {
		c.rate = min(c.rate, r.estimate)
	}
	c.limit(e)
}

func (r *reports) bound(now time.Duration, e *Estimator) float64 {
	bound := 2 * e.sending.rate(now)
	if e.wants > 0 {
		bound = min(bound, float64(wantsSpare*e.wants))
	}
	return bound
}
