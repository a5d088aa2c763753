package bwe

import "time"

const (
	probeSpan      = 0.030 // s: what a probe lasts: a frame's time, so that media fill much of it
	probeBytes     = 3000  // least at rates that allow it, and the least of all: five packets
	probeFewBytes  = 1500
	probeFewSpan   = 0.1  // s of the present rate that probeBytes may take
	probeTimes     = 2.0  // the rate
	probeRecall    = 3.0  // at most, towards a rate of before
	probeStart     = 4.0  // the first: 600 kbit/s from 150
	probeSpare     = 1.3  // of what is wanted: who wants more than a probe proved would need another
	probeLeast     = 1.1  // of the rate: less is not worth it
	probeMeasures  = 0.9  // of what a probe showed is the rate then
	probeFound     = 0.95 // of the bottleneck, when it has been met
	probeSaturated = 0.75 // of the rate it was sent at: it has met the bottleneck
	probeFaster    = 1.25 // than it was wished a probe proves nothing: a pacer's clump
	probeMuch      = 1.1  // of what a probe showed is the most that bursts may add to it: with probeMeasures, never more than was proved
	probeAhead     = 10.0 // of what is sent: the start runs ahead of the encoder no farther
	probeIdle      = 1.3  // of what is sent: who sends so much less than he may needs no more

	probeAgain    = 500 * time.Millisecond
	probeFailed   = time.Second // and twice as long each time
	probeRarest   = 16 * time.Second
	probeCalm     = 300 * time.Millisecond
	probeShared   = 1200 * time.Millisecond // of calm, where others send too
	probeHeadroom = 1.3
	probeOpen     = 1.4
	probeRecalls  = 30 * time.Second

	// Jitter makes bursts as slow as they were sent, and a path that has fallen to less than half may be back without a sign: after
	// 1 s of calm it is asked every 4 s, and what comes of that makes no other probe wait.
	probeFallen  = 2.0
	probeBlurred = time.Millisecond // of jitter
	probeRested  = time.Second
	probeAsks    = 4 * time.Second

	probeDisturbs = 400 * time.Millisecond // as long as averages look back
	probeWaits    = 500 * time.Millisecond // and two round trips: what it has not brought by then it will not

	// Who sends less than half of what he may and wants more cannot use what he has: no picture fits. Nothing he sends could show
	// that the path carries more, so he asks every 4 s, also where jitter looks like a short queue all the time, and whatever came of it.
	probeStarved = 0.5
	probePatient = 4 * time.Second
)

// probes sends short bursts to learn what steady sending cannot: at the start one after the other, each at a multiple of what
// the last one proved; later where nothing stands in the way and more is wanted.
type probes struct {
	id     uint32
	wish   Probe
	asked  time.Duration
	pause  time.Duration // until the next wish
	chain  bool          // the next one follows at once: none has met the bottleneck yet
	flight flight

	proved   float64 // bits a second, by the last one
	provedAt time.Duration
}

// flight is a probe that leaves or has left.
type flight struct {
	id      uint32  // 0: none
	rate    float64 // that was wished
	packets int
	last    time.Duration // when its newest packet left

	arrived   int
	bytes     int           // that arrived behind the first packet
	sentFirst time.Duration // of those that arrived
	sentLast  time.Duration
	cameFirst time.Duration
	cameLast  time.Duration
}

func (p *probes) begin() {
	p.chain, p.wish, p.flight, p.pause, p.provedAt = true, Probe{}, flight{}, 0, 0
}

// poll returns the wish of now.
func (p *probes) poll(now time.Duration, e *Estimator) Probe {
	if p.flight.id != 0 && now-p.flight.last > 2*e.rtt+probeWaits {
		p.flight = flight{}
		p.fail(&e.control)
	}
	if p.wish.ID != 0 && e.control.draining {
		p.wish = Probe{}
	}
	if p.wish.ID == 0 && p.flight.id == 0 {
		if rate := p.due(now, e); rate > 0 {
			p.id = max(p.id+1, 1)
			p.asked = now
			few := min(probeBytes, int(float64(e.control.rate/8*probeFewSpan)))
			p.wish = Probe{ID: p.id, Rate: Bitrate(rate), Bytes: max(few, int(float64(rate/8*probeSpan)), probeFewBytes)}
		}
	}
	return p.wish
}

func (p *probes) fail(c *control) {
	p.chain = false
	if c.before > probeFallen*c.rate {
		return
	}
	p.pause = min(max(2*p.pause, probeFailed), probeRarest)
}

// disturbs reports whether a probe was under way lately, beside which no average means anything.
func (p *probes) disturbs(now time.Duration) bool {
	return p.flight.id != 0 || p.provedAt != 0 && now-p.provedAt < probeDisturbs
}

// due is the rate of a probe that is due now; 0: none.
func (p *probes) due(now time.Duration, e *Estimator) float64 {
	c := &e.control
	rate := probeStart * c.rate
	if !p.chain {
		if !p.mayAsk(now, e) {
			return 0
		}
		rate = probeTimes * c.rate
		if c.before > c.rate && now-c.beforeAt < probeRecalls {
			rate = min(probeRecall*c.rate, max(rate, c.before))
		}
	}
	if p.chain && e.wants == 0 && p.provedAt != 0 && c.rate > probeAhead*max(e.sending.rate(now), e.delay.delivered(passWindow)) {
		p.chain = false
		return 0
	}
	if e.wants > 0 {
		if c.rate >= e.wants {
			p.chain = false
			return 0
		}
		rate = min(rate, probeSpare*e.wants)
	}
	if rate = min(rate, float64(e.cfg.Max)); rate < probeLeast*c.rate {
		return 0
	}
	return rate
}

// mayAsk reports whether a probe would harm nobody and could prove something.
func (p *probes) mayAsk(now time.Duration, e *Estimator) bool {
	c := &e.control
	calm, headroom := now-c.calm, c.headroom(now, e)
	switch {
	case c.draining || c.compete.on || !e.told(now):
		return false
	case e.wants > c.rate && e.sending.rate(now) < probeStarved*c.rate && now-p.asked >= probePatient:
		return true
	case c.before > probeFallen*c.rate && now-c.beforeAt < probeRecalls && calm >= probeRested &&
		e.delay.jitter() >= probeBlurred && now-p.asked >= probeAsks:
		return true
	case now-p.asked < p.pause:
		return false
	case e.ecn.early(now): // growth finds what there is, unless it is held for want of something to send
		return now-e.ecn.last >= probeShared && e.sending.rate(now) < float64(limitedShare*c.rate)
	case c.shared():
		return calm >= probeShared && headroom >= probeOpen
	case e.wants == 0 && c.rate > probeIdle*e.sending.rate(now):
		return false
	}
	return calm >= probeCalm && headroom >= probeHeadroom
}

// next is when a wish may come without a call; 0: none.
func (p *probes) next(now time.Duration, e *Estimator) time.Duration {
	switch {
	case p.flight.id != 0:
		return p.flight.last + 2*e.rtt + probeWaits + time.Millisecond
	case p.wish.ID != 0 || e.control.draining || e.wants > 0 && e.control.rate >= e.wants || !e.told(now):
		return 0
	case now < p.asked+p.pause:
		return p.asked + p.pause
	}
	return 0
}

// sent notes a packet of a probe.
func (p *probes) sent(now time.Duration, k Packet) {
	if p.flight.id != k.Probe {
		if p.wish.ID != k.Probe {
			return
		}
		p.flight = flight{id: k.Probe, rate: float64(p.wish.Rate)}
		p.wish = Probe{}
	}
	p.flight.packets++
	p.flight.last = now
}

// arrived notes a packet that arrived.
func (p *probes) arrived(s *sent, at time.Duration) {
	f := &p.flight
	if s.probe == 0 || s.probe != f.id {
		return
	}
	if f.arrived++; f.arrived == 1 {
		f.sentFirst, f.sentLast, f.cameFirst, f.cameLast = s.at, s.at, at, at
		return
	}
	f.bytes += int(s.size)
	f.sentLast, f.cameLast = max(f.sentLast, s.at), max(f.cameLast, at)
}

// measure takes the result when the last packet of a probe has been told of.
func (p *probes) measure(now time.Duration, e *Estimator) {
	f := p.flight
	if f.id == 0 || e.delay.back(0).sent < f.last || f.arrived <= f.packets/2 || now-f.last < e.rtt/2 {
		return
	}
	p.flight = flight{}
	bits := float64(f.bytes * 8)
	sent, came := (f.sentLast - f.sentFirst).Seconds(), (f.cameLast - f.cameFirst).Seconds()
	if bits == 0 || max(sent, came) <= 0 {
		p.fail(&e.control)
		return
	}
	rate := min(bits/max(sent, came), probeFaster*f.rate)
	saturated := bits/max(sent, came) < probeSaturated*bits/max(sent, 0.001)
	p.proved, p.provedAt = rate, now
	if bursts := e.busy.rate(f.cameLast); bursts > rate {
		rate = min(bursts, probeMuch*rate) // its first packets found the bottleneck idle
	}
	c := &e.control
	if !saturated {
		c.rate = max(c.rate, float64(probeMeasures*rate))
		p.chain, p.pause = true, probeAgain
		return
	}
	again := p.pause >= probeFailed
	p.fail(&e.control)
	if c.shared() && again {
		rate = min(rate, 1.2*c.rate)
	}
	c.capacity = rate
	c.rate = max(c.rate, float64(probeFound*rate))
}
