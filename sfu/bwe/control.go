package bwe

import (
	"time"
)

// control is the law: what the rate becomes with each report.
type control struct {
	rate     float64
	at       time.Duration
	capacity float64 // delivered while a queue stood; 0: never met
	before   float64 // level before the last drop
	beforeAt time.Duration

	met       bool // a queue, once
	compete   compete
	draining  bool
	cutAt     time.Duration
	deepAt    time.Duration
	lossAt    time.Duration
	calm      time.Duration // since when no queue stood
	contested float64
	speed     float64 // share of the rate that it grows a second
}

func (c *control) newPath(now time.Duration) { c.capacity, c.draining, c.met = 0, false, false }

// threshold is the standing queue at which a rate is too much: the higher the rate, the earlier, so that of two flows the
// larger one yields first.
func threshold(rate float64) float64 {
	return min(max(0.010*1e6/max(rate, 1), 0.005), 0.030)
}

func (c *control) step(now time.Duration, e *Estimator) {
	dt := min((now - c.at).Seconds(), 0.3)
	c.at = now
	q := e.delay.queue().Seconds()
	th := threshold(c.rate/e.priority()) + e.delay.jitter().Seconds()
	c.compete.note(now, c, e, q, th)
	if c.compete.on {
		c.compete.step(now, c, e, dt)
	} else if q > th {
		c.drain(now, e, q)
		c.calm = now
	} else if c.draining {
		if predicted := c.predict(now, e); predicted < 0.003 || q < 0.003 {
			c.draining = false
			c.rate = max(c.rate, min(0.96*c.capacity, c.bound(now, e)))
			c.calm = now
		} else {
			c.drain(now, e, q)
		}
	} else if e.loss.now > 0 && e.loss.congestive() && now-c.lossAt > e.rtt+100*time.Millisecond {
		c.lossAt, c.calm, c.met = now, now, true
		d := e.delay.delivered(250 * time.Millisecond)
		c.capacity = d
		c.rate = min(c.rate, max(0.95*d, 0.7*c.rate))
	} else if cut := e.ecn.cut(now, e.rtt, c.rate); cut > 0 {
		c.rate *= 1 - cut
		c.met = true
	} else {
		if q > 0.003+e.delay.jitter().Seconds() {
			c.calm = now
		}
		c.contested -= c.contested * dt / 10
		c.grow(now, e, dt)
	}
	c.rate = min(max(c.rate, float64(e.cfg.Min)), float64(e.cfg.Max))
}

// predict is the queue as it should be now: what stood when the newest packet passed, what was sent since, less what passed
// since.
func (c *control) predict(now time.Duration, e *Estimator) float64 {
	newest := &e.delay.ring[e.delay.head]
	q := max(0, (e.delay.owd - e.delay.empty()).Seconds())
	if c.capacity <= 0 {
		return q
	}
	return max(0, q+float64(e.history.flying*8)/c.capacity-(now-newest.sent).Seconds())
}

// passes is what the bottleneck passes of ours, as far as the present queue tells; 0: it does not.
func (c *control) passes(e *Estimator, q float64) float64 {
	d := e.delay.passed(100 * time.Millisecond)
	if q > 0.05 {
		d = min(d, e.delay.recent(100*time.Millisecond))
	}
	b := e.busy.rate()
	stalled := e.busy.stalled > 0 && e.delay.ring[e.delay.head].arrived-e.busy.stalled < 500*time.Millisecond
	if stalled && b > 0 {
		return b
	}
	if !c.draining && b > 0 && d > 0 && !stalled {
		if b > 1.05*d {
			c.contested += (1 - c.contested) / 2
		} else {
			c.contested -= c.contested / 4
		}
	}
	if c.shared() {
		return d
	}
	if b > 0 && e.busy.fresh(e.delay.ring[e.delay.head].arrived) {
		return b
	}
	return 1.04 * d
}

func (c *control) drain(now time.Duration, e *Estimator, q float64) {
	d := c.passes(e, q)
	switch {
	case !c.draining:
		if d == 0 {
			d = c.rate
		}
		c.draining, c.met = true, true
		c.cutAt = now
		if d < 0.75*c.capacity || d < 0.75*c.rate {
			c.before, c.beforeAt = max(c.rate, c.capacity), now
		}
		c.capacity = d
		if c.shared() {
			c.capacity = min(max(c.rate, 0.8*d), 1.1*d) * sharedCut
		}
	case d > 0 && !c.shared() && e.busy.rate() > 0:
		c.capacity = d
	case d == 0 || e.delay.stood(160*time.Millisecond).Seconds() < 0.004:
	case now-c.cutAt < e.rtt+50*time.Millisecond:
		c.capacity = min(c.capacity, d)
	case now-c.cutAt > e.rtt+250*time.Millisecond:
		c.cutAt = now
		if c.shared() {
			d *= sharedCut
		}
		c.capacity = min(c.capacity, d)
	case q > 0.05:
		c.capacity = min(c.capacity, d)
	}
	if q > deep {
		c.deepAt = now
	}
	predicted := c.predict(now, e)
	c.rate = c.capacity * min(max(1-(predicted-0.002)/0.25, 0.3), 0.97)
}

const sharedCut = 0.92

func (c *control) shared() bool { return c.contested > 0.3 }

// bound is how far the rate may go without a probe.
func (c *control) bound(now time.Duration, e *Estimator) float64 {
	bound := 1.5*max(e.delay.delivered(100*time.Millisecond), e.delay.delivered(300*time.Millisecond), e.sending.rate(now)) + 30e3
	if now-e.probes.provedAt < 3*time.Second {
		bound = max(bound, e.probes.proved)
	}
	if e.wants > 0 {
		bound = min(bound, 1.2*e.wants)
	}
	return bound
}

// headroom is how much more than the rate the bottleneck passes while we send bursts; 1.5 where it never was busy.
func (c *control) headroom(e *Estimator) float64 {
	if b := e.busy.rate(); b > 0 && e.busy.fresh(e.delay.ring[e.delay.head].arrived) {
		return b / c.rate
	}
	return 1.5
}

func (c *control) grow(now time.Duration, e *Estimator, dt float64) {
	bound := c.bound(now, e)
	if c.rate >= bound {
		return
	}
	h := c.headroom(e)
	add := 15e3
	if c.shared() {
		c.speed = 0
		add = 120e3 * e.priority()
		if h > 1.35 {
			c.speed = min(max(2*((now-c.calm).Seconds()-0.3), 0), 1.5)
		}
	} else {
		c.speed = min(max(3*(h-1.05), 0.02), 1)
		if !c.met {
			c.speed = min(max(6*(h-1.07), 0.02), 4)
		}
	}
	if e.ecn.active(now) {
		c.speed = max(c.speed, 0.05)
		if now-e.ecn.last > e.rtt {
			c.speed = max(c.speed, 0.3)
		}
	}
	c.rate = min(c.rate+float64(c.rate*c.speed*dt)+float64(add*dt), bound)
}

// gap is how far apart packets of one burst leave at most.
func (c *control) gap(size int) time.Duration {
	return 2*time.Millisecond + time.Duration(float64(size*8)/c.rate*float64(time.Second))
}

const burstPacing = 1.45

func (c *control) pacing(now time.Duration, e *Estimator) float64 {
	switch {
	case c.lossAt > 0 && now-c.lossAt < 10*time.Second || e.ecn.active(now) && e.ecn.share > 0.02:
		return 1.05
	case c.compete.on:
		return burstPacing
	case c.draining && c.compete.suspect:
		return 1.2
	case c.draining && !c.shared() && now-c.deepAt > 300*time.Millisecond:
		return 1.15
	case c.draining:
		return 1
	case c.congested(now):
		return min(max(1.02*c.capacity/c.rate, 1), burstPacing)
	}
	return burstPacing
}

// congested reports whether a queue stands, or stood so deep that what waits at the sender must not refill it.
func (c *control) congested(now time.Duration) bool {
	return c.draining || c.deepAt > 0 && now-c.deepAt < afterDeep
}

// afterDeep is how long a deep queue is not refilled by what had to wait meanwhile.
const afterDeep = 1500 * time.Millisecond

// deep is a queue in seconds that must go at once.
const deep = 0.06
