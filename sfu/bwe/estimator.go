package bwe

import "time"

// Estimator says how much may be sent on one path. One goroutine; times are a clock's that never goes back.
type Estimator struct {
	cfg     Config
	history history
	delay   delay
	control control
	probes  probes
	loss    loss
	sending sending
	busy    busy
	silence silence

	rtt   time.Duration
	wants float64
	ecn   ecn
}

// New returns an estimator that knows nothing yet.
func New(now time.Duration, cfg Config) *Estimator {
	if cfg.Min <= 0 {
		cfg.Min = 30 * Kbps
	}
	if cfg.Max <= 0 {
		cfg.Max = 50 * Mbps
	}
	cfg.Max = max(cfg.Max, cfg.Min)
	if cfg.Start <= 0 {
		cfg.Start = 300 * Kbps
	}
	e := &Estimator{cfg: cfg}
	e.control.rate = float64(e.bounded(cfg.Start))
	e.control.at = now
	e.probes.begin(now)
	return e
}

// Sent notes a packet that left now. Numbers come in order, each once.
func (e *Estimator) Sent(now time.Duration, p Packet) {
	if !e.history.add(now, p) {
		return
	}
	e.sending.sent(now, p.Size)
	if p.Probe != 0 {
		e.probes.sent(now, p)
	}
	e.silence.sent(now)
}

// Feedback takes what one message told, transport-wide (draft-holmer-rmcat-transport-wide-cc-extensions-01) or RFC 8888:
// results in order of Number. What was told before may come again, and what was lost may be received later.
func (e *Estimator) Feedback(now time.Duration, results []Result) {
	e.loss.begin(now)
	r := e.read(now, results)
	if r.received == 0 {
		return
	}
	e.silence.heard(now)
	e.roundTrip(now - r.sentAt)
	e.delay.report(r.sentAt, r.arrived, r.bytes, r.least, r.owd)
	e.ecn.note(now, r.marked, r.received)
	e.probes.measure(now, e)
	e.control.step(now, e)
}

// heard is what one feedback message told that was new.
type heard struct {
	received        int
	bytes           int
	sentAt, arrived time.Duration // of the newest packet
	least, owd      time.Duration // one-way delay: the least, and of the newest packet
	newest          uint64
	marked          int
}

// read goes through a message.
func (e *Estimator) read(now time.Duration, results []Result) heard {
	var r heard
	for _, result := range results {
		s := e.history.find(result.Number)
		if s == nil || s.state == arrived {
			continue
		}
		if !result.Received {
			if s.state == flying {
				e.history.settle(s, missing)
				e.loss.missed(int(s.size))
			}
			continue
		}
		at, ok := e.delay.toSender(s.at, result.Arrival)
		if !ok {
			e.delay.reset(s.at, result.Arrival)
			at = s.at
		}
		if s.state == missing {
			e.loss.came(int(s.size))
		}
		e.history.settle(s, arrived)
		e.probes.arrived(s, at)
		owd := at - s.at
		e.loss.arrived(int(s.size), max(0, owd-e.delay.emptyOr(owd)).Seconds())
		e.busy.arrive(result.Number, s.at, at, int(s.size), e.delay.emptyOr(owd)+e.delay.jitter(), e.control.gap(int(s.size)))
		if r.received == 0 || owd < r.least {
			r.least = owd
		}
		if r.received == 0 || s.at >= r.sentAt {
			r.sentAt, r.owd, r.newest = s.at, owd, result.Number
		}
		if r.received == 0 || at > r.arrived {
			r.arrived = at
		}
		r.received++
		r.bytes += int(s.size)
		if result.Marked {
			r.marked++
		}
	}
	return r
}

func (e *Estimator) roundTrip(rtt time.Duration) {
	if rtt <= 0 {
		return
	}
	if e.rtt == 0 {
		e.rtt = rtt
		return
	}
	e.rtt += (rtt - e.rtt) / 8
}

// RoundTrip notes a round trip that was measured by other means: receiver reports, connectivity checks.
func (e *Estimator) RoundTrip(now, rtt time.Duration) { e.roundTrip(rtt) }

// Report takes a receiver report's share of loss, 0 to 1, of a client that sends no feedback by packets. lost and
// expected are packets since the report before.
func (e *Estimator) Report(now time.Duration, lost, expected int) {}

// REMB takes a receiver's own estimate (draft-alvestrand-rmcat-remb-03), of a client that sends no feedback by packets.
func (e *Estimator) REMB(now time.Duration, b Bitrate) {}

// Wants says what the sender would send if it could, and why it does not send more; 0: it would take all there is. What is
// not wanted is not probed for.
func (e *Estimator) Wants(now time.Duration, b Bitrate) { e.wants = float64(max(b, 0)) }

// NewPath says that the path has changed: what was known of the old one is a guess for the new.
func (e *Estimator) NewPath(now time.Duration) {
	e.delay = delay{}
	e.control.newPath(now)
	e.probes.begin(now)
}

// Poll returns what holds now. Call it after Feedback and at Estimate.Next.
func (e *Estimator) Poll(now time.Duration) Estimate {
	e.silence.poll(now, e)
	target := e.bounded(Bitrate(e.control.rate))
	est := Estimate{
		Target:     target,
		Lasts:      max(target, e.bounded(Bitrate(e.control.lasts()))),
		Pacing:     Bitrate(float64(target) * e.control.pacing(now, e)),
		InFlight:   e.history.flying,
		Congested:  e.control.congested(now),
		Loss:       e.loss.share(),
		Inherent:   e.loss.inherent(),
		Queue:      e.delay.queue(),
		RTT:        e.rtt,
		Delivered:  Bitrate(e.delay.delivered(300 * time.Millisecond)),
		AppLimited: e.sending.rate(now) < float64(0.8*float64(target)),
	}
	est.Probe = e.probes.poll(now, e)
	est.Next = now + 50*time.Millisecond
	return est
}

func (e *Estimator) bounded(b Bitrate) Bitrate { return min(max(b, e.cfg.Min), e.cfg.Max) }

func (e *Estimator) priority() float64 {
	if e.cfg.Priority <= 0 {
		return 1
	}
	return min(max(e.cfg.Priority, 0.25), 4)
}
