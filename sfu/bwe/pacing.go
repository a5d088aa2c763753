package bwe

import "time"

const (
	// 1.45 times the rate: a picture leaves in 23 ms, so that bursts show a capacity 45 % beyond the rate, and those of one
	// picture stand 10 ms in the bottleneck. 1.3 saw less and let pictures wait longer, 1.6 stood longer.
	burstPacing = 1.45
	evenPacing  = 1.05 // where bursts are marked or lost
	lossSmooth  = 10 * time.Second

	drainPacing   = 1.1 // while a short queue drains: what waits at the sender is delay too
	markedPacing  = 1.3 // the same where marks keep the queue short
	suspectPacing = 1.2 // while one does not drain: bursts must show whether others are there
	deepOver      = 300 * time.Millisecond

	backlogPacing = 1.02                    // of what passes: what waited while a deep queue drained does not refill it
	afterDeep     = 1500 * time.Millisecond // for so long

	knownOver = 1.05 // times the capacity of before: who sends more has found more

	burstSlack = 2 * time.Millisecond // packets of a burst come from timers
)

// pacing is how much faster than the rate bursts leave: fast enough to show what the bottleneck passes, and no faster where
// each burst would be marked or lost, or would feed the queue that is to drain.
func (c *control) pacing(now time.Duration, e *Estimator) float64 {
	switch {
	case e.ecn.early(now) && (c.draining || e.ecn.newest > earlyBurst):
		return 1
	case e.ecn.early(now):
		return evenPacing
	case c.lossAt != 0 && now-c.lossAt < lossSmooth, e.ecn.active(now) && e.ecn.share > markedMuch:
		return evenPacing
	case c.compete.on:
		return burstPacing
	case c.draining && c.compete.suspects(now):
		return suspectPacing
	case c.draining && !c.shared() && (c.deepAt == 0 || now-c.deepAt > deepOver):
		if e.ecn.active(now) {
			return markedPacing
		}
		return drainPacing
	case c.draining:
		return 1
	case c.congested(now):
		return min(max(backlogPacing*c.capacity/c.rate, 1), burstPacing)
	}
	return burstPacing
}

// congested reports whether a queue stands, or stood so deep that what waits at the sender must not refill it.
func (c *control) congested(now time.Duration) bool {
	return c.draining || c.deepAt != 0 && now-c.deepAt < afterDeep
}

// gap is how far apart packets of one burst leave at most.
func (c *control) gap(size int) time.Duration {
	return burstSlack + time.Duration(float64(size*8)/c.rate*float64(time.Second))
}

// known is what may leave so that no more comes to the bottleneck than it passes of ours, in bits a second, where that is known to a few
// percent; else 0. What bursts show is forgotten in a fifth of a second without any; what passed when a queue stood last holds as long as
// the rate is no higher.
func (c *control) known(now time.Duration, e *Estimator) float64 {
	passes := e.bursts(now)
	switch {
	case c.shared() || c.compete.on || e.ecn.early(now):
		return 0
	case c.congested(now), passes == 0 && c.rate <= float64(knownOver*c.capacity):
		passes = c.capacity
	}
	return passes / (1 - min(e.loss.random(), lossMost)) // what is lost before it does not come
}
