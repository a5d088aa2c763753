package bwe

import "time"

const (
	// A standing queue of 8.5 ms at 1 Mbit/s, less at higher rates, is too much. 6 ms is what can be told from bursts, 30 ms
	// what a call hears.
	queueAt1M             = 0.0085
	queueLeast, queueMost = 0.006, 0.030
	shortQueue            = 0.003                   // s: below, the queue has drained
	deepQueue             = 0.060                   // s: what must go at once, whatever waits at the sender
	afterDeep             = 1500 * time.Millisecond // for so long what waited at the sender does not refill it
	measureDeep           = 0.050                   // s: from here on a short look at what passes is exact, and soon

	drainWithin           = 0.25 // s: a queue of 50 ms is drained at a fifth below what passes
	drainLeast, drainMost = 0.3, 0.97
	afterDrain            = 0.96 // of what passes: the encoder wavers by 5 %
	passWindow            = 100 * time.Millisecond
	slackTrip             = 50 * time.Millisecond  // feedback's interval: what passes has not answered a cut before
	stuckTrip             = 250 * time.Millisecond // and the encoder's, twice: a queue that still stands needs another cut
	aloneDelivers         = 1.04                   // of what was delivered while the queue was not yet standing all the time
	dropped               = 0.75                   // of the rate: a capacity below is another one, and the old one remembered

	// Where bursts pass 5 % more than our share others send too; alone the two differ by 0.1 %, by 2 % in one of twenty.
	sharedBursts             = 1.05
	sharedRise, sharedFall   = 1.0 / 2, 1.0 / 4
	sharedAt                 = 0.3
	sharedFade               = 0.1   // a second
	sharedCut                = 0.92  // of the target: the same share of each, so that larger rates lose more
	sharedAdd                = 160e3 // bits a second, each second: the same for each, so that rates meet
	sharedHeadroom           = 1.35
	sharedCalm, sharedFaster = 0.3, 1.5

	aloneAdd                   = 15e3      // bits a second, each second
	aloneLeast, aloneMost      = 0.02, 1.0 // a second
	aloneSlope, aloneTop       = 3, 1.05
	startSlope, startTop       = 6, 1.04 // before any queue was met
	startMost                  = 4.0
	provedTimes, provedMore    = 1.5, 30e3 // of what was delivered: farther only probes go
	provedMost                 = 1.8
	provedProbe                = 0.97 // arrival times are rounded
	provedHolds                = 3 * time.Second
	wantsSpare                 = 1.2 // of what is wanted: a keyframe's worth
	lossCut, lossFloor         = 0.95, 0.7
	lossEvery                  = 100 * time.Millisecond // and a round trip
	lossMost                   = 0.5                    // of what is sent: more is no loss that a rate could make up for
	lossSmooth                 = 10 * time.Second
	burstPacing, evenPacing    = 1.45, 1.05
	drainPacing, suspectPacing = 1.15, 1.2
	deepOver                   = 300 * time.Millisecond
	backlogPacing              = 1.02
)

// control is the law: what the rate becomes with each report.
//
//	         queue above threshold                   queue short
//	grow ────────────────────────────► drain ────────────────────────► grow, from 0.96 of what passes
//	  ▲  marks, loss where the queue is long          │ stays, and others are there
//	  └── a cut                                       ▼
//	                                               compete: as TCP does, until the queue is short
type control struct {
	rate     float64 // bits a second
	at       time.Duration
	capacity float64 // what the bottleneck passed of ours when a queue stood last; 0: never

	before   float64 // rate before the last drop, to be probed for; 0: none
	beforeAt time.Duration

	met      bool // a queue or a loss, once: the start is over
	draining bool
	cutAt    time.Duration // when capacity was last measured anew
	deepAt   time.Duration // when the queue was last deep; 0: never
	lossAt   time.Duration // when losses last were congestion; 0: never
	calm     time.Duration // since when no queue stands

	contested float64 // 0 to 1: others send too
	compete   compete
}

func (c *control) begin(now time.Duration, rate float64) {
	*c = control{rate: rate, at: now, calm: now, compete: compete{lowAt: now, highAt: now}}
}

// recall has a rate of before probed for.
func (c *control) recall(now time.Duration, rate float64) { c.before, c.beforeAt = rate, now }

// threshold is the standing queue, in seconds, at which a rate is too much: the higher the rate, the earlier, so that of two
// flows the larger one yields first.
func (c *control) threshold(e *Estimator) float64 {
	share := c.rate / e.cfg.Priority
	return min(max(queueAt1M*1e6/max(share, 1), queueLeast), queueMost) + e.delay.jitter().Seconds()
}

func (c *control) step(now time.Duration, e *Estimator) {
	dt := min(max(now-c.at, 0).Seconds(), 0.3)
	c.at = now
	q := e.delay.queue().Seconds()
	threshold := c.threshold(e)
	c.compete.note(now, c, e, q, threshold)
	switch {
	case c.compete.on:
		c.compete.step(now, c, e, dt)
	case q > threshold || c.draining && !c.drained(now, e, q):
		c.drain(now, e, q)
	case c.draining:
		c.draining = false
		c.calm = now
		c.rate = max(c.rate, min(float64(afterDrain*c.capacity), c.bound(e, now)))
	case e.loss.now > 0 && e.loss.congestive() && now-c.lossAt > e.rtt+lossEvery:
		c.shallow(now, e)
	default:
		c.contested -= float64(c.contested * dt * sharedFade)
		if q > shortQueue+e.delay.jitter().Seconds() {
			c.calm = now
		}
		if cut := e.ecn.cut(now, e.rtt, c.rate); cut > 0 {
			c.rate *= 1 - cut
			c.met = true
			break
		}
		c.grow(now, e, dt)
	}
	c.limit(e)
}

// limit keeps the rate between the configured ends.
func (c *control) limit(e *Estimator) {
	c.rate = min(max(c.rate, float64(e.cfg.Min)), float64(e.cfg.Max))
}

// drained reports whether the queue is gone, or will be when what we send now arrives.
func (c *control) drained(now time.Duration, e *Estimator, q float64) bool {
	return q < shortQueue || c.predict(now, e) < shortQueue
}

// predict is the queue as it should be now: what the newest packet met, and what was sent since, less what passed since
// (Smith's predictor: a loop with a dead time is controlled by what is known to be on its way).
func (c *control) predict(now time.Duration, e *Estimator) float64 {
	q := max(0, (e.delay.owd - e.delay.empty()).Seconds())
	if c.capacity <= 0 {
		return q
	}
	return max(0, q+float64(e.history.flying*8)/c.capacity-(now-e.delay.back(0).sent).Seconds())
}

// drain sends less than passes until the queue is gone.
func (c *control) drain(now time.Duration, e *Estimator, q float64) {
	passes := c.passes(now, e, q)
	c.calm = now
	switch {
	case !c.draining:
		c.cut(now, passes)
	case passes > 0 && !c.shared() && e.busy.rate(e.delay.now()) > 0:
		c.capacity = passes
	case passes == 0 || e.delay.stood(passWindow+standing).Seconds() < standLeast.Seconds():
		// The queue came and went: what arrived is what we sent.
	case now-c.cutAt > e.rtt+stuckTrip:
		c.cutAt = now
		if c.shared() {
			passes = c.capacity * sharedCut
		}
		c.capacity = min(c.capacity, passes)
	case now-c.cutAt < e.rtt+slackTrip && !c.shared() || q > measureDeep:
		c.capacity = min(c.capacity, passes)
	}
	if q > deepQueue {
		c.deepAt = now
	}
	much := 1 - (c.predict(now, e)-standLeast.Seconds())/drainWithin
	c.rate = min(float64(c.capacity*min(max(much, drainLeast), drainMost)), max(c.rate, c.bound(e, now)))
}

// cut begins to drain.
func (c *control) cut(now time.Duration, passes float64) {
	if passes == 0 {
		passes = c.rate
	}
	c.draining, c.met, c.cutAt = true, true, now
	if passes < dropped*max(c.capacity, c.rate) {
		c.recall(now, max(c.rate, c.capacity))
	}
	c.capacity = passes
	if c.shared() {
		// Of the target and not of what arrived: that wavers with the encoder, and rates that waver never meet.
		c.capacity = min(max(c.rate, 0.8*passes), 1.1*passes) * sharedCut
	}
}

// passes is what the bottleneck passes of ours, in bits a second; 0: it cannot be told.
func (c *control) passes(now time.Duration, e *Estimator, q float64) float64 {
	share := e.delay.passed(passWindow)
	if q > measureDeep {
		share = min(share, e.delay.recent(passWindow))
	}
	share /= 1 - min(e.loss.random(), lossMost) // as much more was sent
	bursts := e.busy.rate(e.delay.now())
	if e.busy.stood(e.delay.now()) && bursts > 0 {
		return bursts // what arrived while nothing could is no measure
	}
	if !c.draining && bursts > 0 && share > 0 && !e.probes.disturbs(now) {
		if bursts > sharedBursts*share {
			c.contested += float64((1 - c.contested) * sharedRise)
		} else {
			c.contested -= float64(c.contested * sharedFall)
		}
	}
	switch {
	case c.shared():
		return share
	case bursts > 0 && q > measureDeep:
		return min(bursts, share) // what it was before the queue fades from bursts slowly
	case bursts > 0:
		return bursts
	}
	return aloneDelivers * share
}

// shared reports whether others send through the same bottleneck.
func (c *control) shared() bool { return c.contested > sharedAt }

// shallow answers losses that happen where the queue is long, but too short to be seen standing: no more bursts, and a
// twentieth less than arrives.
func (c *control) shallow(now time.Duration, e *Estimator) {
	c.lossAt, c.calm, c.met = now, now, true
	c.capacity = e.delay.delivered(250 * time.Millisecond)
	c.rate = min(c.rate, max(float64(lossCut*c.capacity), float64(lossFloor*c.rate)))
}

// bound is how far the rate may go: not beyond what was proved, nor what is wanted.
func (c *control) bound(e *Estimator, now time.Duration) float64 {
	proved := max(e.delay.delivered(300*time.Millisecond), e.delay.delivered(700*time.Millisecond))
	bound := min(float64(provedTimes*max(proved, e.delay.delivered(100*time.Millisecond)))+provedMore, float64(provedMost*proved))
	if e.probes.provedAt != 0 && now-e.probes.provedAt < provedHolds {
		bound = max(bound, float64(provedProbe*e.probes.proved))
	}
	if e.wants > 0 {
		bound = min(bound, float64(wantsSpare*e.wants))
	}
	return bound
}

// headroom is what bursts pass, as a multiple of the rate; their own rate where they never waited.
func (c *control) headroom(now time.Duration, e *Estimator) float64 {
	if bursts := e.busy.rate(e.delay.now()); bursts > 0 {
		return bursts / c.rate
	}
	return c.pacing(now, e)
}

// grow goes towards what bursts pass: fast while it is far, slowly when it is near.
func (c *control) grow(now time.Duration, e *Estimator, dt float64) {
	bound := c.bound(e, now)
	if c.rate >= bound {
		return
	}
	speed, add := 0.0, aloneAdd
	headroom := c.headroom(now, e)
	switch {
	case c.shared():
		add = sharedAdd * e.cfg.Priority
		if headroom > sharedHeadroom {
			speed = min(max(2*((now-c.calm).Seconds()-sharedCalm), 0), sharedFaster)
		}
	case c.met:
		speed = min(max(aloneSlope*(headroom-aloneTop), aloneLeast), aloneMost)
	default:
		speed = min(max(startSlope*(headroom-startTop), aloneLeast), startMost)
	}
	if e.ecn.active(now) {
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

// congested reports whether a queue stands, or stood so deep that what waits at the sender must not refill it.
func (c *control) congested(now time.Duration) bool {
	return c.draining || c.deepAt != 0 && now-c.deepAt < afterDeep
}

// gap is how far apart packets of one burst leave at most.
func (c *control) gap(size int) time.Duration {
	return 2*time.Millisecond + time.Duration(float64(size*8)/c.rate*float64(time.Second))
}

// pacing is how much faster than the rate bursts leave: fast enough to show what the bottleneck passes, and no faster where
// each burst would be marked or lost, or would feed the queue that is to drain.
func (c *control) pacing(now time.Duration, e *Estimator) float64 {
	switch {
	case c.lossAt != 0 && now-c.lossAt < lossSmooth, e.ecn.active(now) && e.ecn.share > markedMuch:
		return evenPacing
	case c.compete.on:
		return burstPacing
	case c.draining && c.compete.suspects(now):
		return suspectPacing
	case c.draining && !c.shared() && (c.deepAt == 0 || now-c.deepAt > deepOver):
		return drainPacing
	case c.draining:
		return 1
	case c.congested(now):
		return min(max(backlogPacing*c.capacity/c.rate, 1), burstPacing)
	}
	return burstPacing
}
