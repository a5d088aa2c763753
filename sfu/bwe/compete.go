package bwe

import "time"

const (
	competeHigh  = 0.025 // s: a queue below is no sign of TCP
	competeAfter = 2 * time.Second
	competeOver  = time.Second
	suspectAfter = 700 * time.Millisecond // so long a queue of ours takes to drain

	competeCut     = 0.7                    // with loss, as CUBIC (RFC 9438): Reno's half would yield to it
	competePacket  = 1100 * 8               // bits a round trip, each round trip: as Reno grows, in packets of ours
	competeFastest = 150e3                  // bits a second, each second: where the queue is short that would be too much
	competeEvery   = 100 * time.Millisecond // and a round trip: losses within are one event

	crossFade  = 1.0 / 8
	crossAlone = 0.04            // what bursts pass more than their share when nobody else is there is below
	crossHolds = 3 * time.Second // a measure of it
)

// compete is how to live with flows that fill the queue whatever it costs: TCP. Who yields to a queue gets nothing beside
// them. When a queue stays although we have fallen far, and bursts show that others are there, loss counts instead of delay:
// a packet more each round trip, three tenths less with a loss. It ends when the queue has been short for a second, or
// bursts show that we are alone, so that the queue is ours.
type compete struct {
	on      bool
	lowAt   time.Duration // when the queue was last short
	highAt  time.Duration // when it was last long
	cutAt   time.Duration
	cross   float64 // how much more than our share bursts pass: 0 alone, to 0.5
	crossAt time.Duration
	entry   float64 // rate before the queue came
}

// note follows the queue and decides whether to compete.
func (k *compete) note(now time.Duration, c *control, e *Estimator, q, threshold float64) {
	if q < max(threshold, competeHigh) {
		k.lowAt = now
	}
	if q > max(threshold, competeHigh/2) {
		k.highAt = now
	}
	if !c.draining && !k.on {
		k.entry = c.rate
	}
	k.crosses(now, e, q)
	alone := k.cross < crossAlone && now-k.crossAt < crossHolds
	switch {
	case !k.on && c.draining && now-k.lowAt > competeAfter && !alone:
		k.on, c.draining = true, false
		k.cutAt = now
		c.rate = max(c.rate, min(k.entry/2, c.bound(e, now)))
	case k.on && (alone && now == k.crossAt || now-k.highAt > competeOver):
		k.on = false
		k.lowAt = now
	}
}

// crosses measures whether others send too.
func (k *compete) crosses(now time.Duration, e *Estimator, q float64) {
	passes := e.bursts(now)
	if passes == 0 || q <= shortQueue {
		return
	}
	if share, _ := e.delay.passed(passWindow); share > 0 {
		k.cross += float64((min(max(passes/share-1, 0), 0.5) - k.cross) * crossFade)
		k.crossAt = now
	}
}

func (k *compete) suspects(now time.Duration) bool { return now-k.lowAt > suspectAfter }

// step is the law of Reno with another cut.
func (k *compete) step(now time.Duration, c *control, e *Estimator, dt float64) {
	if e.loss.now > 0 && now-k.cutAt > e.rtt+competeEvery {
		k.cutAt = now
		c.rate *= competeCut
		return
	}
	if bound := c.bound(e, now); c.rate < bound {
		trip := max(e.rtt.Seconds(), leastRound.Seconds())
		c.rate = min(c.rate+float64(min(competePacket/float64(trip*trip), competeFastest)*dt), bound)
	}
}
