package bwe

import "time"

const (
	// Others send too: all add the same, so that rates meet. A tenth of a fair share of 2 Mbit/s a second.
	sharedAdd = 220e3
	// Unless bursts pass 1.35 times the rate and no queue was there for 0.3 s: somebody has left. Then faster and faster, 150 % a
	// second at most.
	sharedHeadroom           = 1.35
	sharedCalm, sharedFaster = 0.3, 1.5
	sharedSlope              = 2.0

	// Alone: fast up to 0.95 of what bursts pass, then 2 % and 15 kbit/s a second, so that the next queue grows slowly.
	aloneAdd              = 15e3
	aloneLeast, aloneMost = 0.02, 1.0
	aloneSlope, aloneTop  = 3, 1.05
	// The same before any queue was met: twice as eager.
	startSlope, startTop = 6, 1.04
	startMost            = 4.0

	provedTimes, provedMore = 1.5, 30e3 // of what was delivered, as libwebrtc has it: farther only probes go
	provedMost              = 1.8       // below 2, for what is proved is rounded
	provedProbe             = 0.97
	provedHolds             = 3 * time.Second // the encoder has followed by then, or does not want to

	// Who has received what was never sent has also received what is still on its way: all is there as soon as it leaves, and the start
	// ran as far ahead of the encoder as 0.3 s of that show. A second of it counts.
	liedWindow, liedHolds = time.Second, 10 * time.Second

	wantsSpare = 1.2 // of what is wanted: a keyframe's worth
)

// bound is how far the rate may go: not beyond what was proved, nor what is wanted.
func (c *control) bound(e *Estimator, now time.Duration) float64 {
	lately, at := e.delay.deliveredFrom(1, 100*time.Millisecond)
	short, at := e.delay.deliveredFrom(at, 300*time.Millisecond)
	long, _ := e.delay.deliveredFrom(at, 700*time.Millisecond)
	proved := max(short, long)
	bound := min(float64(provedTimes*max(proved, lately))+provedMore, float64(provedMost*proved))
	if e.probes.provedAt != 0 && now-e.probes.provedAt < provedHolds {
		bound = max(bound, float64(provedProbe*e.probes.proved))
	}
	if e.lied != 0 && now-e.lied < liedHolds {
		bound = min(bound, float64(provedTimes*e.delay.delivered(liedWindow)))
	}
	if e.wants > 0 {
		bound = min(bound, float64(wantsSpare*e.wants))
	}
	return bound
}

// headroom is what bursts pass, as a multiple of the rate; their own rate where they never waited.
func (c *control) headroom(now time.Duration, e *Estimator) float64 {
	if bursts := e.bursts(now); bursts > 0 {
		return bursts / c.rate
	}
	return c.pacing(now, e)
}

// grow goes towards what bursts pass: fast while it is far, slowly when it is near.
func (c *control) grow(now time.Duration, e *Estimator, dt float64) {
	if e.wants > 0 && c.rate >= float64(wantsSpare*e.wants) {
		return // whatever was proved
	}
	bound := c.bound(e, now)
	if c.rate >= bound {
		e.ecn.bound = now
		return
	}
	speed, add := 0.0, aloneAdd
	headroom := c.headroom(now, e)
	switch {
	case e.wants > 0 && !c.shared() && c.met && headroom <= aloneTop && e.sending.rate(now) < float64(limitedShare*c.rate):
		return // who sends in steps: bursts show what there is, and no queue would tell that it is less
	case c.shared():
		add = sharedAdd * e.cfg.Priority
		if headroom > sharedHeadroom {
			speed = min(max(sharedSlope*((now-c.calm).Seconds()-sharedCalm), 0), sharedFaster)
		}
	case c.met:
		speed = min(max(aloneSlope*(headroom-aloneTop), aloneLeast), aloneMost)
	default:
		speed = min(max(startSlope*(headroom-startTop), aloneLeast), startMost)
	}
	switch {
	case e.ecn.early(now):
		bursts := e.busy.rate(e.delay.now())
		if c.shared() {
			bursts = 0
		}
		speed = e.ecn.speed(now, e.rtt, c.rate, bursts)
	case e.ecn.active(now):
		speed = max(speed, markedGrow)
		if now-e.ecn.last > e.rtt {
			speed = max(speed, unmarkedGo)
		}
	}
	c.rate = min(c.rate+float64(c.rate*speed*dt)+float64(add*dt), bound)
}

// lasts is the rate that will hold when the queue of now has drained.
func (c *control) lasts() float64 {
	if c.draining {
		return afterDrain * c.capacity
	}
	return c.rate
}
