package bwe

import "time"

// Estimator says how much may be sent on one path. One goroutine; times are a clock's that never goes back.
type Estimator struct {
	// What each packet that leaves needs stands in front, in two cache lines: who sends to hundreds finds them in no cache.
	history history
	sending sending
	silence silence

	cfg   Config
	wants float64 // bits a second; 0: unknown

	loss    loss
	busy    busy
	ecn     ecn
	control control
	probes  probes
	reports reports
	delay   delay

	rtt   time.Duration
	heard time.Duration // when feedback by packets came last on this path; 0: never
	hears bool          // it came, on this path or another
	lied  time.Duration // when it last had received what was never sent; 0: never
	first uint64        // number of the first packet on this path: what was sent before tells of another
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
	if cfg.Priority <= 0 {
		cfg.Priority = 1
	}
	cfg.Priority = min(max(cfg.Priority, 0.25), 4)
	e := &Estimator{cfg: cfg}
	e.control.begin(now, float64(e.bounded(cfg.Start)))
	e.probes.begin()
	return e
}

func (e *Estimator) bounded(b Bitrate) Bitrate { return min(max(b, e.cfg.Min), e.cfg.Max) }

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
	m := e.read(results)
	if m.invented {
		e.lied = now
	}
	e.loss.judge()
	if m.received == 0 {
		return
	}
	e.heard, e.hears = now, true
	if before, silent := e.silence.heard(); silent {
		e.control.recall(now, before)
	}
	e.roundTrip(now - m.sent)
	e.delay.report(m, e.busy.all)
	e.ecn.note(now, m.marked, m.received+m.untimed)
	e.probes.measure(now, e)
	e.control.step(now, e)
}

// message is what one feedback message told that was new.
type message struct {
	received, marked int           // received with the time of arrival: a message in which nothing has one is none
	untimed          int           // received without
	invented         bool          // it was never sent
	bytes            int           // of both
	sent             time.Duration // when the newest of those with a time had left
	arrived          time.Duration // latest arrival, by the sender's clock and a constant
	owd, least       time.Duration // one-way delay, by that constant: of the newest packet, and the shortest
}

// read goes through a message.
func (e *Estimator) read(results []Result) message {
	var m message
	empty := e.delay.empty()
	slack := e.delay.jitter()
	for i := range results {
		r := &results[i]
		s := e.history.find(r.Number)
		if s == nil || s.state == arrived {
			m.invented = m.invented || r.Received && r.Number >= e.history.next
			continue
		}
		if i == 0 {
			e.history.skip(r.Number)
		}
		if r.Number < e.first {
			e.history.settle(s, arrived)
			continue
		}
		if !r.Received {
			if s.state == flying {
				e.history.settle(s, missing)
				e.loss.missed(int(s.size))
			}
			continue
		}
		if s.state == missing {
			e.loss.came(int(s.size))
		}
		if r.Untimed {
			e.history.settle(s, arrived)
			e.loss.passed(int(s.size))
			m.untimed++
			m.bytes += int(s.size)
			if r.Marked {
				m.marked++
			}
			continue
		}
		at, ok := e.delay.local(s.at, r.Arrival)
		if !ok { // the receiver's clock was set: nothing before compares with what comes
			e.delay.reset(s.at, r.Arrival)
			e.busy = busy{}
			at, empty = s.at, e.delay.empty()
		}
		e.history.settle(s, arrived)
		m.add(s, at, r.Marked)
		wait := max(0, at-s.at-empty)
		if empty == unknownDelay {
			wait = 0
		}
		e.loss.arrived(int(s.size), wait.Seconds())
		if wait > 0 {
			own := float64(s.size) * 8 / max(e.control.rate, e.control.capacity, e.busy.rate(at))
			e.ecn.waited(wait.Seconds()-own, r.Marked)
		}
		if e.ecn.soon > earlyAt {
			e.busy.age(at)
		}
		e.busy.arrive(r.Number, s, at, wait-slack, &e.control)
		e.probes.arrived(s, at)
	}
	return m
}

// bursts is what they pass, in bits a second; 0: not known, or not exactly.
func (e *Estimator) bursts(now time.Duration) float64 {
	rate := e.busy.rate(e.delay.now())
	if e.ecn.early(now) && !e.ecn.exact(now, rate) {
		return 0
	}
	return rate
}

func (m *message) add(s *sent, at time.Duration, marked bool) {
	owd := at - s.at
	if m.received == 0 {
		m.least, m.owd, m.sent, m.arrived = owd, owd, s.at, at
	}
	m.least = min(m.least, owd)
	if s.at >= m.sent {
		m.sent, m.owd = s.at, owd
	}
	m.arrived = max(m.arrived, at)
	m.received++
	m.bytes += int(s.size)
	if marked {
		m.marked++
	}
}

func (e *Estimator) roundTrip(rtt time.Duration) {
	switch {
	case rtt <= 0:
	case e.rtt == 0:
		e.rtt = min(rtt, longestTrip)
	default:
		e.rtt += (min(rtt, longestTrip) - e.rtt) / 8 // RFC 6298
	}
}

// longestTrip is of any path: what takes longer was a sender or a receiver that stood still.
const longestTrip = 3 * time.Second

// RoundTrip notes a round trip that was measured by other means: receiver reports, connectivity checks.
func (e *Estimator) RoundTrip(now, rtt time.Duration) { e.roundTrip(rtt) }

// Report takes a receiver report's share of loss, 0 to 1, of a client that sends no feedback by packets. lost and
// expected are packets since the report before.
func (e *Estimator) Report(now time.Duration, lost, expected int) {
	if !e.told(now) {
		e.reports.report(now, e, lost, expected)
	}
}

// REMB takes a receiver's own estimate (draft-alvestrand-rmcat-remb-03), of a client that sends no feedback by packets.
func (e *Estimator) REMB(now time.Duration, b Bitrate) {
	if !e.told(now) {
		e.reports.remb(now, e, float64(max(b, 0)))
	}
}

// told reports whether feedback by packets comes: it knows better than reports.
func (e *Estimator) told(now time.Duration) bool { return e.heard > 0 && now-e.heard < reportsRule }

// Wants says what the sender would send if it could, and why it does not send more; 0: it would take all there is. What is
// not wanted is not probed for.
func (e *Estimator) Wants(now time.Duration, b Bitrate) { e.wants = float64(max(b, 0)) }

// NewPath says that the path has changed: what was known of the old one is a guess for the new. Half of the rate is tried at
// first, and what it was before is probed for.
func (e *Estimator) NewPath(now time.Duration) {
	before := e.control.rate
	e.first = e.history.next
	e.history.flying = 0
	e.delay, e.busy, e.loss, e.ecn = delay{}, busy{}, loss{at: now}, ecn{}
	e.silence, e.reports, e.rtt, e.heard = silence{}, reports{}, 0, 0
	e.control.begin(now, min(before, max(before/2, float64(e.bounded(e.cfg.Start)))))
	e.control.recall(now, before)
	e.probes.begin()
}

// Poll returns what holds now. Call it after Feedback and at Estimate.Next.
func (e *Estimator) Poll(now time.Duration) Estimate {
	e.silence.poll(now, e)
	c := &e.control
	target := e.bounded(Bitrate(c.rate))
	sent := e.sending.rate(now)
	est := Estimate{
		Target:     target,
		Lasts:      max(target, e.bounded(Bitrate(c.lasts()))),
		Pacing:     Bitrate(float64(target) * c.pacing(now, e)),
		Window:     max(target.Bytes(e.rtt+windowSpan), leastWindow),
		InFlight:   e.history.flying,
		Probe:      e.probes.poll(now, e),
		Congested:  c.congested(now),
		Even:       e.ecn.early(now),
		Loss:       e.loss.share(),
		Inherent:   e.loss.random(),
		Queue:      e.delay.queue(),
		RTT:        e.rtt,
		Delivered:  Bitrate(e.delay.delivered(300 * time.Millisecond)),
		AppLimited: sent < float64(limitedShare*float64(target)),
	}
	if known := c.known(now, e); known > 0 {
		est.Passes = max(Bitrate(known), target)
	}
	est.Next = e.next(now)
	return est
}

const (
	// 1 s and a round trip: feedback comes every 250 ms at the latest. What is beyond that is sent into silence.
	windowSpan  = time.Second
	leastWindow = 12000 // ten packets: a thin path needs some for a burst

	limitedShare = 0.8 // encoders waver by less
)

// next is when something changes without a call; 0: nothing does.
func (e *Estimator) next(now time.Duration) time.Duration {
	next := e.silence.next(e)
	if at := e.probes.next(now, e); at != 0 && (next == 0 || at < next) {
		next = at
	}
	if next != 0 {
		next = max(next, now+5*time.Millisecond) // a tick of the shard's wheel
	}
	return next
}
