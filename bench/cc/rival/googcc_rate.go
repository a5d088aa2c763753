package rival

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	leastPackets     = 10 // of a throughput
	mostPackets      = 500
	throughputWindow = time.Second
)

// throughput is the rate at which packets were sent and arrived, the lower of both, over a window.
type throughput struct{ window []outcome }

func (t *throughput) add(o outcome) {
	t.window = append(t.window, o)
	for len(t.window) > 20 && (o.arrival-t.window[0].arrival > throughputWindow || len(t.window) > mostPackets) {
		t.window = t.window[1:]
	}
}

func (t *throughput) rate() (float64, bool) {
	if len(t.window) < leastPackets {
		return 0, false
	}
	first, last := t.window[0], t.window[0]
	firstSent, lastSent := first, first
	var gap, second time.Duration // the longest pauses in arrival: one is forgiven down to the next
	bytes := 0
	for i, o := range t.window {
		bytes += o.size
		if i > 0 {
			d := o.arrival - last.arrival
			if d > gap {
				gap, second = d, gap
			} else {
				second = max(second, d)
			}
		}
		last = o
		if o.sent < firstSent.sent {
			firstSent = o
		}
		if o.sent > lastSent.sent {
			lastSent = o
		}
	}
	arrived := max(last.arrival-first.arrival-gap+second, time.Millisecond)
	sent := max(lastSent.sent-firstSent.sent, time.Millisecond)
	return min(float64(bytes-first.size)*8/seconds(arrived), float64(bytes-lastSent.size)*8/seconds(sent)), true
}

const (
	limitUsage = 0.65 // of the target: who sends less for long is limited
	limitStart = 0.80 // of the budget saved
	limitEnd   = 0.50
)

// limit says whether the application sends less than it may: a budget that fills with what is not sent.
type limit struct {
	on     bool
	ended  time.Duration
	budget float64 // bytes
	last   time.Duration
}

func newLimit() limit { return limit{ended: -time.Hour} }

func (l *limit) sent(now time.Duration, size int, target float64) {
	rate := limitUsage * target / 8
	most := rate / 2 // half a second
	l.budget = clamp(l.budget+rate*seconds(now-l.last), -most, most)
	l.budget = max(l.budget-float64(size), -most)
	l.last = now
	switch ratio := l.budget / max(most, 1); {
	case ratio > limitStart && !l.on:
		l.on = true
	case ratio < limitEnd && l.on:
		l.on, l.ended = false, now
	}
}

const (
	probeTime    = 15 * time.Millisecond
	probePackets = 5
	probePacket  = 1000 // bytes that one is taken for
	probeWait    = time.Second

	probeFurther = 0.7 // of a probe's rate, proved: go on
	probeStep    = 2

	limitedEvery = 5 * time.Second

	dropShare    = 0.66
	dropProbe    = 0.85
	dropTimeout  = 5 * time.Second
	limitTimeout = 3 * time.Second
)

// prober says when to probe and how fast.
type prober struct {
	cfg     bwe.Config
	id      uint32
	begun   bool
	pending []bwe.Probe // wishes, in order
	made    []bwe.Probe // that packets were sent for, latest last

	waiting bool
	until   time.Duration
	further float64 // estimate above which to probe on; 0: never
	last    time.Duration

	estimate   float64
	dropped    time.Duration
	beforeDrop float64
	dropProbed time.Duration
}

func newProber(now time.Duration, cfg bwe.Config) prober {
	return prober{cfg: cfg, last: now, dropped: -time.Hour, dropProbed: -time.Hour, estimate: float64(cfg.Start)}
}

func (p *prober) wish() bwe.Probe {
	if len(p.pending) == 0 {
		return bwe.Probe{}
	}
	return p.pending[0]
}

func (p *prober) sent(_ time.Duration, packet bwe.Packet) {
	if packet.Probe == 0 || len(p.pending) == 0 || packet.Probe != p.pending[0].ID {
		return
	}
	p.made = append(p.made, p.pending[0])
	p.pending = p.pending[1:]
	if len(p.made) > 8 {
		p.made = p.made[1:]
	}
}

// find returns the probe of an id; zero for none.
func (p *prober) find(id uint32) bwe.Probe {
	for _, m := range p.made {
		if m.ID == id {
			return m
		}
	}
	return bwe.Probe{}
}

func (p *prober) probe(now time.Duration, ceiling float64, further bool, rates ...float64) {
	p.further = 0
	for _, rate := range rates {
		if rate >= ceiling {
			rate, further = ceiling, false
		}
		p.id++
		b := bwe.Bitrate(rate)
		p.pending = append(p.pending, bwe.Probe{ID: p.id, Rate: b, Bytes: max(b.Bytes(probeTime), probePackets*probePacket)})
		if further {
			p.further = rate * probeFurther
		}
		if rate >= ceiling {
			break
		}
	}
	p.waiting, p.until, p.last = true, now+probeWait, now
}

// estimated notes the estimate; a good one of a probe brings the next.
func (p *prober) estimated(now time.Duration, rate, ceiling float64) {
	if rate < dropShare*p.estimate {
		p.dropped, p.beforeDrop = now, p.estimate
	}
	p.estimate = rate
	if p.waiting && p.further > 0 && rate > p.further {
		p.probe(now, ceiling, true, probeStep*rate)
	}
}

// recovered: overuse is over; try for what was lost, when the application was limited.
func (p *prober) recovered(now time.Duration, l limit, ceiling float64) {
	if p.waiting || !l.on && now-l.ended > limitTimeout {
		return
	}
	rate := dropProbe * p.beforeDrop
	if 0.95*rate > p.estimate && now-p.dropped < dropTimeout && now-p.dropProbed > dropTimeout {
		p.dropProbed = now
		p.probe(now, ceiling, false, rate)
	}
}

func (p *prober) poll(now time.Duration, l limit, target, ceiling float64) {
	switch {
	case !p.begun:
		p.begun = true
		p.probe(now, ceiling, true, 3*float64(p.cfg.Start), 6*float64(p.cfg.Start))
	case p.waiting && now >= p.until:
		p.waiting, p.further = false, 0
		p.pending = nil
	case !p.waiting && l.on && now-p.last >= limitedEvery && target < ceiling:
		p.probe(now, ceiling, true, probeStep*target)
	}
}

// probeResults measures what probes proved.
type probeResults struct {
	clusters []cluster
	rate     float64
	proved   bool
}

type cluster struct {
	id                   uint32
	packets, bytes       int
	firstSent, lastSent  time.Duration
	firstCame, lastCame  time.Duration
	firstBytes, lastSize int // of the first that came and of the last that was sent
}

func (r *probeResults) add(o outcome, p bwe.Probe) {
	if o.probe == 0 || p.ID == 0 {
		return
	}
	c := r.cluster(o)
	c.packets++
	c.bytes += o.size
	if o.sent >= c.lastSent {
		c.lastSent, c.lastSize = o.sent, o.size
	}
	c.firstSent = min(c.firstSent, o.sent)
	c.lastCame = max(c.lastCame, o.arrival)
	if float64(c.packets) < 0.8*probePackets || float64(c.bytes) < 0.8*float64(p.Bytes) {
		return
	}
	took, came := seconds(c.lastSent-c.firstSent), seconds(c.lastCame-c.firstCame)
	if took <= 0 || came <= 0 || took > 1 || came > 1 {
		return
	}
	sent := float64(c.bytes-c.lastSize) * 8 / took
	arrived := float64(c.bytes-c.firstBytes) * 8 / came
	if arrived > 2*sent {
		return
	}
	r.rate, r.proved = min(sent, arrived), true
	if arrived < 0.9*sent {
		r.rate = 0.95 * arrived
	}
}

func (r *probeResults) cluster(o outcome) *cluster {
	for i := range r.clusters {
		if r.clusters[i].id == o.probe {
			return &r.clusters[i]
		}
	}
	if len(r.clusters) >= 8 {
		r.clusters = r.clusters[1:]
	}
	r.clusters = append(r.clusters, cluster{
		id: o.probe, firstSent: o.sent, lastSent: o.sent, firstCame: o.arrival, lastCame: o.arrival, firstBytes: o.size,
	})
	return &r.clusters[len(r.clusters)-1]
}

func (r *probeResults) take() (float64, bool) {
	rate, proved := r.rate, r.proved
	r.rate, r.proved = 0, false
	return rate, proved
}
