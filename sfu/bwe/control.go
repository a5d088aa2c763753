package bwe

import "time"

const (
	// A standing queue of 17 ms at 500 kbit/s, less at higher rates, is too much. 8.5 ms are what busy ends take for a turn, 30 ms
	// what a call hears.
	queueAt1M             = 0.0085
	queueLeast, queueMost = 0.0085, 0.030

	shortQueue  = 0.003 // s: below, the queue has drained
	deepQueue   = 0.060 // s: what must go at once, whatever waits at the sender
	measureDeep = 0.050 // s: from here on a short look at what passes is exact, and soon

	// A queue of 50 ms is drained at a third less than passes, in 0.15 s: what goes on to come of an encoder for 100 ms waits at the
	// sender, where it can still be left out.
	drainWithin           = 0.15
	drainLeast, drainMost = 0.2, 0.97 // of what passes: audio goes on, and of video a little; and never nothing
	afterDrain            = 0.96      // of what passes: the encoder wavers by 5 %

	passWindow = 100 * time.Millisecond // three frames
	// Who sends less than half of what he may has not made a short queue, and what arrives of his is not what passes: he does not
	// fall to that. A deep one is a path that has become too thin even for it.
	idleShare = 0.5

	slackTrip     = 50 * time.Millisecond  // feedback's interval: what passes has not answered a cut before
	stuckTrip     = 250 * time.Millisecond // and the encoder's: a queue that still stands then needs another cut
	aloneDelivers = 1.04                   // of what was delivered while the queue did not stand all the time yet
	dropped       = 0.75                   // of the rate: a capacity below is another one, and the old one is remembered

	// Where bursts pass 5 % more than our share others send too: alone the two differ by 0.1 %, in one of twenty cuts by 2 %.
	sharedBursts           = 1.05
	sharedJitter           = 30.0             // a second of jitter: bursts of 20 ms are off by as much as it
	sharedJittered         = 0.1              // at most: a queue that swings is no jitter
	sharedRise, sharedFall = 1.0 / 2, 1.0 / 4 // believed soon and doubted slowly: others may pause
	sharedAt               = 0.3
	sharedFade             = 0.1   // a second without a cut
	sharedCut              = 0.915 // of the target, so that larger rates lose more
	sharedDeep             = 2.0   // times that, where the rate is far beyond its threshold

	// A shallow queue loses what it cannot hold: a twentieth less than arrives, at most three tenths less than now.
	lossCut, lossFloor = 0.95, 0.7
	lossEvery          = 100 * time.Millisecond // and a round trip: losses within are one event
	lossHolds          = 500 * time.Millisecond // and a round trip: a queue that others fill shows headroom that is theirs
	lossMost           = 0.5                    // of what is sent: more is no loss that a rate could make up for
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
	least := queueLeast
	if e.ecn.early(c.at) {
		least = earlyQueue
	}
	return min(max(queueAt1M*1e6/max(share, 1), least), queueMost) + e.delay.jitter().Seconds()
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
	case (q > threshold || c.draining && !c.drained(now, e, q)) && !c.idle(now, e, q):
		c.drain(now, e, q)
	case c.draining:
		c.draining = false
		c.calm = now
		c.rate = max(c.rate, min(float64(c.fill(now, e)*c.capacity), c.bound(e, now)))
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
		if !e.loss.congestive() || now-c.lossAt > e.rtt+lossHolds {
			c.grow(now, e, dt)
		}
	}
	c.limit(e)
}

// idle reports whether a queue is none of ours: we send little, and it is short, or nothing of ours stands behind anything of ours yet. A
// path that has become thin makes that happen at once, one that stood still for a moment does not.
func (c *control) idle(now time.Duration, e *Estimator, q float64) bool {
	if e.wants == 0 || e.sending.rate(now) >= idleShare*c.rate {
		return false
	}
	return q < deepQueue || e.bursts(now) == 0 && e.busy.stands.rate() == 0
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
		c.cut(now, e, q, passes)
	case passes > 0 && !c.shared() && e.bursts(now) > 0:
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
	within, most := drainWithin, drainMost
	if e.ecn.early(now) {
		within, most = earlyDrain, earlyFill
	}
	much := 1 - (c.predict(now, e)-standLeast.Seconds())/within
	c.rate = min(float64(c.capacity*min(max(much, drainLeast), most)), max(c.rate, c.bound(e, now)))
}

// fill is how much of what passes is sent when a queue has drained.
func (c *control) fill(now time.Duration, e *Estimator) float64 {
	if e.ecn.early(now) {
		return earlyFill
	}
	return afterDrain
}

// cut begins to drain.
func (c *control) cut(now time.Duration, e *Estimator, q, passes float64) {
	if passes == 0 {
		passes = c.rate
	}
	c.draining, c.met, c.cutAt = true, true, now
	if passes < dropped*max(c.capacity, c.rate) {
		c.recall(now, max(c.rate, c.capacity))
	}
	c.capacity, e.ecn.top = passes, float32(passes)
	if c.shared() {
		// Of the target and not of what arrived: that wavers with the encoder, and rates that waver never meet.
		// At one queue the larger rate is farther beyond its threshold, and falls deeper.
		deep := min(max(q*c.rate/(e.cfg.Priority*queueAt1M*1e6), 1/sharedDeep), sharedDeep)
		c.capacity = min(max(c.rate, 0.8*passes), 1.1*passes) * (1 - float64((1-sharedCut)*deep))
	}
}

// passes is what the bottleneck passes of ours, in bits a second; 0: it cannot be told.
func (c *control) passes(now time.Duration, e *Estimator, q float64) float64 {
	share, lately := e.delay.passed(passWindow)
	if q > measureDeep {
		share = min(share, e.delay.recent(passWindow))
	}
	share /= 1 - min(e.loss.random(), lossMost) // as much more was sent
	bursts := e.bursts(now)
	if e.busy.stood(e.delay.now()) && bursts > 0 {
		return bursts // what arrived while nothing could is no measure
	}
	before := bursts
	bursts, fell := fall(before, lately, e.delay.newest())
	if bursts < before {
		e.busy.restart(bursts)
	}
	if fell {
		share = min(share, bursts)
	}
	standing := e.busy.stands.rate() / (1 - min(e.loss.random(), lossMost))
	if !c.draining && !fell && bursts > 0 && standing > 0 && !e.probes.disturbs(now) {
		if bursts > float64((sharedBursts+min(sharedJitter*e.delay.jitter().Seconds(), sharedJittered))*standing) {
			c.contested += float64((1 - c.contested) * sharedRise)
		} else {
			c.contested -= float64(c.contested * sharedFall)
		}
	}
	switch {
	case c.shared():
		return share
	case bursts > 0 && q > measureDeep && standing > 0:
		return min(bursts, standing) // what it was before the queue fades from bursts slowly
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
