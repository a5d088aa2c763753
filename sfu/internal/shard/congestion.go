package shard

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

const (
	// noticeable is the share of a target by which it must change before the bits are shared again: targets waver by a few
	// points all the time, and no layer is that close to another.
	noticeable = 0.03

	// repairStep is the least change of what repair may cost that slots are told of: a peer has up to 49, and feedback comes 20
	// times a second.
	repairStep = 0.02

	// tripSteps is likewise the part of a round trip that is noticed: TCP's estimate moves by as much with one sample. And what is
	// less than leastTrip is not: a path of 1 ms wavers by half of it, and ends that are asked again are not that quick.
	tripSteps = 8
	leastTrip = 2 * time.Millisecond

	// restInterval is when the estimator is asked again after a pause in which nothing left: what comes then and is not answered
	// must be noticed. It waits longer than that itself before it takes a client for silent, and of one that answers each timer is
	// for nothing.
	restInterval = 500 * time.Millisecond

	// limitedInterval is the same while somebody is shown less than he wants.
	limitedInterval = 200 * time.Millisecond

	// untoldWithin is how soon a packet with a number must follow those without one to speak for them.
	untoldWithin = 200 * time.Millisecond

	// rateWindow is over how long the rates of what is taken off first are measured, audio and repair.
	rateWindow = time.Second
)

// congestion is what is known of the way to one subscriber: how many bits it carries, who gets them and when they may leave.
type congestion struct {
	// What each packet needs stands side by side: four cache lines, and two at the beginning of estimator. Of hundreds of
	// subscribers nothing is in a cache when their turn comes.
	estimator bwe.Estimator
	bucket    pace.Bucket
	sums      [pace.Classes]rate

	// Polls of the estimator.
	pollAt time.Duration // 0: nothing has left since the last one
	rests  bool          // likewise

	// How the client tells of what has come: by packets, else by receiver reports and REMB. Of a client that has negotiated
	// neither, nothing is expected and nothing is known before it reports for the first time: its bits are not bounded until then.
	byPackets bool
	reports   bool // one has come

	// What left under no transport-wide number since the last packet that has one: bytes, and the probe that they were part of. The
	// estimator learns of them with the next packet that has one, as libwebrtc's does, when that is soon: what left long before it
	// is no burst of now.
	untoldProbe uint32
	untold      int
	untoldSince time.Duration

	gate gate

	estimate  bwe.Estimate
	allocator alloc.Allocator
	share     share
	clock     feedbackClock
	ecn       ecnPath // where the client tells of marks
	feedback  meter
	probe     uint32  // the wish that was acted upon
	repair    float64 // that slots were told they may cost; 0: nothing yet
	parity    float64 // likewise, of that parity; 0: none
	// That slots were told of, as feedback by packets measures it; 0: none, and they go by the peer's others.
	trip time.Duration

	thin     time.Duration // since when the way carries less than a voice takes; 0: it does not
	thinTold bool          // Config.Thin was called
}

// rate measures how much of a class leaves.
type rate struct {
	since   time.Duration
	bytes   int32
	settled int32 // bits a second of the window before
}

func (r *rate) add(now time.Duration, bytes int) {
	if now-r.since >= rateWindow {
		r.settle(now)
	}
	r.bytes += int32(bytes)
}

func (r *rate) settle(now time.Duration) {
	r.settled = int32(min(float64(r.bytes)*8/max(now-r.since, rateWindow).Seconds(), math.MaxInt32))
	r.bytes, r.since = 0, now
}

// now is the rate of the last second or so.
func (r *rate) now(now time.Duration) bwe.Bitrate {
	if now-r.since >= rateWindow {
		r.settle(now)
	}
	return bwe.Bitrate(r.settled)
}

// openCongestion begins to watch the way to a peer that has a slot now, and notes how that slot's packets are told of.
func (s *Shard) openCongestion(now time.Duration, p *peer, sl *slot) {
	if s.cfg.Congestion == nil {
		return
	}
	if p.congestion == nil {
		p.congestion = &congestion{estimator: *bwe.New(now, *s.cfg.Congestion), rests: true}
		p.congestion.gate.timer = timer{owner: p, paces: true}
	}
	g := p.congestion
	if g.repair > 0 {
		sl.down.SetRepair(g.repair)
	}
	if g.trip > 0 {
		sl.down.SetRTT(g.trip)
	}
	sl.down.SetParity(g.parity, g.parityPatience())
	if sl.numbered && !g.byPackets {
		g.byPackets = true
		s.poll(now, p)
	}
}

// known says whether there is an estimate to hold to.
func (g *congestion) known() bool { return g != nil && (g.byPackets || g.reports) }

// overhead is what is added to a packet to the peer, IP and all, bytes.
func (p *peer) overhead() int {
	size := 40
	if a := p.destination.host(); a.Is4() || a.Is4In6() {
		size = 20
	}
	if v := p.destination.via; v != nil {
		return size + v.overhead()
	}
	return size + 8
}

// left accounts for a packet of so many bytes that leaves for a peer, and uses up its transport-wide number.
func (s *Shard) left(now time.Duration, p *peer, sl *slot, c pace.Class, out downlink.Out, size int) {
	g := p.congestion
	if g == nil {
		if sl.numbered {
			p.sent++
		}
		return
	}
	size += p.overhead()
	probe := g.bucket.Charge(now, c, size)
	g.sums[c].add(now, size)
	if probe == 0 {
		probe = g.untoldProbe
	}
	if g.byPackets && !sl.numbered {
		if now-g.untoldSince >= untoldWithin {
			g.untold, g.untoldSince = 0, now
		}
		g.untold, g.untoldProbe = g.untold+size, probe
		return
	}
	if now-g.untoldSince >= untoldWithin {
		g.untold = 0
	}
	g.estimator.Sent(now, bwe.Packet{Number: p.sent, Size: size + g.untold, Probe: probe})
	g.untold, g.untoldSince, g.untoldProbe = 0, now, 0
	sl.note(out, p.sent)
	p.sent++
	if g.rests {
		g.rests = false
		if g.pollAt == 0 {
			g.pollAt = now + restInterval
			s.wheel.arm(&p.timer, g.pollAt)
		}
	}
}

// leftAgain accounts for bytes that have left before under the same numbers.
func (s *Shard) leftAgain(now time.Duration, p *peer, size int) {
	if g := p.congestion; g != nil {
		size += p.overhead()
		g.bucket.Charge(now, pace.Audio, size)
		g.sums[pace.Audio].add(now, size)
		g.untold += size
	}
}

// tendCongestion does what is due for the way to a peer.
func (s *Shard) tendCongestion(now time.Duration, p *peer) {
	g := p.congestion
	if g == nil {
		return
	}
	switch {
	case g.pollAt == 0:
	case now < g.pollAt:
		s.wheel.arm(&p.timer, g.pollAt)
	default:
		s.poll(now, p)
	}
	switch {
	case g.share.at == 0:
	case now < g.share.at:
		s.wheel.arm(&p.timer, g.share.at)
	default:
		s.shareSoon(p)
	}
}

// poll asks the estimator for what holds now, and does what follows from it.
func (s *Shard) poll(now time.Duration, p *peer) {
	g := p.congestion
	e := g.estimator.Poll(now)
	if !g.byPackets {
		e.Window = 0 // reports do not tell what is in flight
	}
	if p.saves {
		e.Probe = bwe.Probe{} // to know more of the path is not worth the padding
	}
	g.estimate = e
	g.pollAt = 0
	switch {
	case e.Next != 0 && !g.rests:
		g.pollAt = max(e.Next, now+tick)
	case g.share.limited: // who is shown less, or nothing, must not depend on feedback for what is not sent
		g.pollAt = now + limitedInterval
	}
	if g.pollAt != 0 {
		s.wheel.arm(&p.timer, g.pollAt)
	}
	g.rests = true // until something leaves
	if !g.known() {
		return
	}
	s.watchThin(now, p)
	g.bucket.SetEstimate(now, g.paced())
	g.allowRepair(p)
	g.allowParity(p)
	g.tellTrip(p)
	if e.Probe.ID != 0 && e.Probe.ID != g.probe {
		g.probe = e.Probe.ID
		s.stats.Probes++
		s.resume(now, p)
	} else if g.gate.halted && g.bucket.Next(now, pace.Video) <= now {
		s.resume(now, p)
	}
	s.mayShare(now, p)
}

// paced is the estimate that bursts are held to. Where all that is wanted fits, it is what is wanted that bounds the target, a fifth
// above it, and not the path: a picture then leaves at once, as one GSO message, at what the estimator lets bursts have. Else its
// end would wait for a tick of the wheel each time.
func (g *congestion) paced() bwe.Estimate {
	e := g.estimate
	if w := &g.share; w.last != 0 && !w.limited && !e.Congested && !e.Even && e.Target >= w.wants {
		e.Target, e.AppLimited = max(e.Target, e.Pacing), true
	}
	return e
}

// allowRepair tells a peer's slots what they may cost in repair.
func (g *congestion) allowRepair(p *peer) {
	share := pace.RepairShare(g.estimate.Loss)
	if change := share - g.repair; max(change, -change) < repairStep {
		return
	}
	g.repair = share
	for _, sl := range p.slots {
		if sl.ear == nil { // of sound see tendHearing
			sl.down.SetRepair(share)
		}
	}
}

// tellTrip tells a peer's slots of the round trip, which gates what they send again: with every feedback, where reports and checks
// would notice a queue that grows only after seconds, and what waits in it would be sent twice.
func (g *congestion) tellTrip(p *peer) {
	trip := g.estimate.RTT
	if !g.byPackets || trip == 0 {
		g.trip = 0
		return
	}
	if change := trip - g.trip; max(change, -change) < max(trip/tripSteps, leastTrip) {
		return
	}
	g.trip = trip
	for _, sl := range p.slots {
		sl.down.SetRTT(trip)
	}
}

// reported notes that a client has told of what has come.
func (s *Shard) reported(now time.Duration, p *peer) {
	p.congestion.reports = true
	s.poll(now, p)
}

// newPath says that what is sent to a peer goes another way now.
func (s *Shard) newPath(now time.Duration, p *peer, before path) {
	g := p.congestion
	if g == nil || !before.valid() {
		return
	}
	if (before.via == nil) != (p.destination.via == nil) { // marks are of our socket's alone
		g.ecn = ecnPath{}
	}
	if p.farFrom(before) {
		g.estimator.NewPath(now)
		g.ecn = ecnPath{}
		s.poll(now, p)
	}
}

// farFrom says whether the way to a peer is another than before. A NAT that gives a new port does not change it, nor does our own
// relay in between.
func (p *peer) farFrom(before path) bool {
	return before.host() != p.destination.host() || before.stream() != p.destination.stream()
}
