package bwe

import "time"

// probes sends short bursts to learn what steady sending cannot.
type probes struct {
	id       uint32
	next     time.Duration // when the next one may be wished; 0: none is due
	rate     float64
	wish     Probe
	started  time.Duration
	flight   probeFlight
	startup  int
	proved   float64
	provedAt time.Duration
	asked    time.Duration
	pause    time.Duration
}

// probeFlight is a probe that leaves or has left.
type probeFlight struct {
	id                   uint32
	rate                 float64
	bytes                int
	packets              int
	sentFirst, sentLast  time.Duration
	got                  int
	gotBytes, firstBytes int
	gotSent1, gotSentN   time.Duration
	gotFirst, gotLast    time.Duration
}

func (p *probes) begin(now time.Duration) { p.startup = 1; p.wish = Probe{}; p.flight = probeFlight{} }

func (p *probes) poll(now time.Duration, e *Estimator) Probe {
	if p.flight.id != 0 {
		if now-p.flight.sentLast > 2*e.rtt+500*time.Millisecond {
			p.flight = probeFlight{}
			p.startup = 0
		} else if p.wish.ID == p.flight.id {
			p.wish = Probe{}
		}
	}
	if p.wish.ID == 0 && p.flight.id == 0 {
		if rate := p.due(now, e); rate > 0 {
			p.id++
			p.asked = now
			p.wish = Probe{ID: p.id, Rate: Bitrate(rate), Bytes: max(min(3000, int(e.control.rate/8*0.1)), int(rate/8*0.030), 1500)}
		}
	}
	return p.wish
}

// due is the rate of a probe that is due now; 0: none.
func (p *probes) due(now time.Duration, e *Estimator) float64 {
	c := &e.control
	rate := 4 * c.rate
	if p.startup == 0 {
		if c.draining || c.compete.on || now-c.calm < 300*time.Millisecond || now-p.asked < p.pause || c.headroom(e) < 1.3 {
			return 0
		}
		if c.shared() && (now-c.calm < 1200*time.Millisecond || c.headroom(e) < 1.4) {
			return 0
		}
		rate = 2 * c.rate
		if c.before > c.rate && now-c.beforeAt < 30*time.Second {
			rate = min(3*c.rate, max(rate, c.before))
		}
		if e.wants == 0 && c.rate > 1.3*e.sending.rate(now) {
			return 0
		}
	}
	if e.wants > 0 {
		if c.rate >= e.wants {
			p.startup = 0
			return 0
		}
		rate = min(rate, 1.3*e.wants)
	}
	if rate = min(rate, float64(e.cfg.Max)); rate < 1.1*c.rate {
		return 0
	}
	return rate
}

func (p *probes) sent(now time.Duration, k Packet) {
	f := &p.flight
	if f.id != k.Probe {
		if p.wish.ID != k.Probe {
			return
		}
		*f = probeFlight{id: k.Probe, rate: float64(p.wish.Rate), sentFirst: now}
	}
	f.packets++
	f.bytes += k.Size
	f.sentLast = now
}

func (p *probes) arrived(s *sent, at time.Duration) {
	f := &p.flight
	if s.probe == 0 || s.probe != f.id {
		return
	}
	if f.got == 0 {
		f.gotSent1, f.gotFirst, f.firstBytes = s.at, at, int(s.size)
		f.gotSentN, f.gotLast = s.at, at
	}
	f.got++
	f.gotBytes += int(s.size)
	f.gotSentN = max(f.gotSentN, s.at)
	f.gotLast = max(f.gotLast, at)
}

func (p *probes) measure(now time.Duration, e *Estimator) {
	f := &p.flight
	newest := e.delay.ring[e.delay.head].sent
	if f.id == 0 || newest < f.sentLast || f.got < f.packets/2 || now-f.sentLast < e.rtt/2 {
		return
	}
	sent, recv := (f.gotSentN - f.gotSent1).Seconds(), (f.gotLast - f.gotFirst).Seconds()
	bits := float64((f.gotBytes - f.firstBytes) * 8)
	p.startup = 0
	defer func() { *f = probeFlight{} }()
	span := max(sent, recv)
	if span <= 0 || bits <= 0 {
		return
	}
	rate := bits / span
	c := &e.control
	p.proved, p.provedAt = rate, now
	if b := e.busy.rate(); b > rate && e.busy.fresh(f.gotLast) {
		rate = min(b, 1.25*rate)
	}
	if rate < 0.8*bits/max(sent, 1e-3) {
		p.pause = min(max(2*p.pause, time.Second), 16*time.Second)
		if c.shared() && p.pause > time.Second {
			rate = min(rate, 1.2*c.rate)
		}
		c.capacity = rate
		c.rate = max(c.rate, 0.9*rate)
		return
	}
	c.rate = max(c.rate, 0.9*rate)
	p.startup = 1
	p.pause = 500 * time.Millisecond
}
