package bwe

import "time"

// compete is how to live with flows that fill the queue whatever it costs: TCP. Who yields to a queue then gets nothing.
type compete struct {
	on      bool
	suspect bool          // the queue does not drain though we send less
	lowAt   time.Duration // when the queue was last nearly empty
	highAt  time.Duration // when it last was not
	cross   float64       // how much more bursts get than their share: others are there; 0 to 0.5
	crossAt time.Duration
	cutAt   time.Duration
	entry   float64 // rate before it
}

func (k *compete) note(now time.Duration, c *control, e *Estimator, q, th float64) {
	if k.lowAt == 0 {
		k.lowAt, k.highAt = now, now
	}
	if q < max(th, 0.025) {
		k.lowAt = now
	}
	if q > max(th, 0.010) {
		k.highAt = now
	}
	if !c.draining {
		k.entry = c.rate
	}
	newest := &e.delay.ring[e.delay.head]
	if b := e.busy.rate(); b > 0 && e.busy.fresh(newest.arrived) && q > 0.003 {
		if d := e.delay.passed(100 * time.Millisecond); d > 0 {
			k.cross += (min(max(b/d-1, 0), 0.5) - k.cross) / 8
			k.crossAt = now
		}
	}
	k.suspect = now-k.lowAt > 700*time.Millisecond
	alone := k.cross < 0.04 && now-k.crossAt < 3*time.Second
	switch {
	case !k.on && c.draining && now-k.lowAt > 2*time.Second && !alone:
		k.on, c.draining = true, false
		c.rate = max(c.rate, k.entry/2)
		k.cutAt = now
	case k.on && (alone && now-k.crossAt < 200*time.Millisecond || now-k.highAt > 2*time.Second):
		k.on = false
		k.lowAt = now
	}
}

func (k *compete) step(now time.Duration, c *control, e *Estimator, dt float64) {
	rtt := max(e.rtt.Seconds(), 0.05)
	if e.loss.now > 0 && now-k.cutAt > e.rtt+100*time.Millisecond {
		k.cutAt = now
		c.rate *= 0.7
		return
	}
	if bound := c.bound(now, e); c.rate < bound {
		c.rate = min(c.rate+min(1100*8/(rtt*rtt), 150e3)*dt, bound)
	}
}
