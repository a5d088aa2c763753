package voice

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// 250 ms, as often as feedback on a voice comes at the least; 4 s, 200 packets of 20 ms: a loss of 12 % is then known to 3 points.
	step  = 250 * time.Millisecond
	steps = 16

	// What is counted is believed as far as one and a half standard errors: of three windows one is off by one often.
	sureBy = 1.5

	// 12 s and 200 packets that need less: a loss that comes and goes with a train's bends is not met anew each time.
	calmTime    = 12 * time.Second
	calmPackets = 200
	calmMargin  = 1.1 // times what was counted

	// A loss in 32 runs of losses counts as much as the newest one; from 8 on their mean length tells something: of random
	// loss it is off by a fifth.
	runsFade    = 1.0 / 32
	runsEnough  = 8.0
	burstyAt    = 1.5 // times as long as random losses would be
	longAt      = 4.0 // packets
	mostRun     = 100
	resendsMost = 0.01                  // of loss that is sure, 3 % of what is counted, is left to NACKs
	resendsTrip = 60 * time.Millisecond // a repair is there in 80, before a jitter buffer that knows loss has run dry

	// A queue of an encoder that overshoots is gone within a second; then copies go, one mode a second, and stay away for 10.
	congestedFor  = time.Second
	congestedHold = 10 * time.Second

	// Sound with copies may take nine tenths of the estimate: reports and checks leave too.
	budgetShare = 0.9

	// One mode more is tried for 2 s, twenty feedbacks: 2 s after bits have become short, and when they still were, after 2, 4 and so on to
	// 60 s again.
	raiseFor  = 2 * time.Second
	firstWait = 2 * time.Second
	mostWait  = time.Minute

	// Less is tried after 5 s in a mode and 8 % loss, for 3 s and 100 packets, and again after half a minute. If it was the answer it stays so for
	// 20 s, and each time for twice as long.
	tryAt      = 0.08
	tryAfter   = 5 * time.Second
	tryFor     = 3 * time.Second
	tryPackets = 100
	tryAgain   = 30 * time.Second
	leastHold  = 20 * time.Second
	mostHold   = 160 * time.Second
)

// Path is what is known of the way that one subscriber's voices take, and what follows from it. One goroutine; the zero value is
// ready. Times are of one clock that never goes back.
type Path struct {
	ring [steps]count
	at   int64 // the running step
	sure float64
	seen float64 // share lost of the last 4 s

	runs, lost float64 // runs of losses and packets lost in them, fading

	need  Mode // by loss alone
	block count
	since time.Duration // the block's beginning: when so much was last needed, or less not found

	congested time.Duration // since when, or since a mode was taken back for it; 0: it is not
	limited   time.Duration // until when, 0: not at all,
	limit     Mode          // to this

	try  try
	more raise
}

// raise is more tried than the estimate lets, which is held.
type raise struct {
	until    time.Duration // of the one that goes on; 0: none does
	at, hold time.Duration // the next one, and how long after a failure
}

// count of packets.
type count struct{ lost, all int32 }

func (c count) share() float64 {
	if c.all == 0 {
		return 0
	}
	return float64(c.lost) / float64(c.all)
}

// sure is the share that is lost at least, by one and a half standard errors.
func (c count) sure() float64 {
	if c.all == 0 {
		return 0
	}
	p, n := c.share(), float64(c.all)
	return max(p-float64(sureBy*math.Sqrt(float64(p*(1-p))/n))-0.5/n, 0)
}

// try is less tried, to find out whether loss follows our own rate.
type try struct {
	mode   Mode // so far
	on     bool
	proved bool          // it does: what was tried holds
	at     time.Duration // begun; or when it may begin
	ours   float64       // share of packets lost below which what is gone was ours
	got    count
	hold   time.Duration // the next proof's
}

// Run counts the packets of one stream that were lost one behind the other.
type Run struct{ lost int }

// Goes reports whether the newest packet was lost.
func (r *Run) Goes() bool { return r.lost > 0 }

// Conditions are what else counts.
type Conditions struct {
	RTT  time.Duration // 0: unknown
	NACK bool          // the subscriber asks again for what is missing, and may
	FEC  bool          // all that he hears carries in-band FEC

	// What congestion control says of the path, when the subscriber tells of each packet.
	ByPackets bool
	Congested bool        // a queue stands, or loss follows what is sent
	Lasts     bwe.Bitrate // that the path carries
	Held      bool        // as far as is known: no more has been tried

	// What sound takes: all of it without copies; and one copy of each packet.
	Plain, Copy bwe.Bitrate
	Most        bwe.Bitrate // that sound may take with its copies, whatever the path carries; 0: no bound
}

// Tell takes what became of the next packet of a stream whose losses r counts.
func (p *Path) Tell(now time.Duration, r *Run, lost bool) {
	if lost {
		p.Report(now, 1, 1)
		r.lost++
		return
	}
	p.Report(now, 0, 1)
	if r.lost > 0 {
		p.runs += 1 - float64(p.runs*runsFade)
		p.lost += float64(min(r.lost, mostRun)) - float64(p.lost*runsFade)
		r.lost = 0
	}
}

// Begin has a path be taken for one that needs a mode, until it is known better.
func (p *Path) Begin(now time.Duration, m Mode) {
	p.turn(now)
	p.need, p.since, p.block = max(p.need, m), now, count{}
}

// Report takes how many packets were lost of so many, not which.
func (p *Path) Report(now time.Duration, lost, expected int) {
	lost, expected = max(min(lost, expected), 0), max(expected, 0)
	p.turn(now)
	for _, c := range [...]*count{&p.ring[p.at%steps], &p.block, &p.try.got} {
		c.lost += int32(lost)
		c.all += int32(expected)
	}
}

func (p *Path) turn(now time.Duration) {
	at := int64(now / step)
	for n := min(at-p.at, steps); n > 0; n-- {
		p.ring[(at-n+1)%steps] = count{}
	}
	p.at = max(p.at, at)
}

// look sums up what was counted. Where reports are farther apart than it looks back, the last one holds.
func (p *Path) look() {
	var sum count
	sure := 0.0
	for i := range int64(steps) {
		c := p.ring[(p.at-i+steps)%steps]
		sum.lost += c.lost
		sum.all += c.all
		if i == 4 || i == 8 || i == steps-1 {
			sure = max(sure, sum.sure())
		}
	}
	if sum.all > 0 {
		p.sure, p.seen = sure, sum.share()
	}
}

// Loss is the share of packets lost in the last seconds, 0 to 1.
func (p *Path) Loss() float64 { return p.seen }

// Needs is the mode by loss alone, as if there were bits enough.
func (p *Path) Needs() Mode { return p.need }

// WantsFEC reports whether the voices that the subscriber hears should carry in-band FEC.
func (p *Path) WantsFEC() bool { return p.need != Plain && p.limited == 0 }

// mode is what a loss needs.
func (p *Path) mode(loss float64) Mode {
	if loss >= table[Bursts].from && p.runs >= runsEnough {
		mean := p.lost / p.runs
		if bursty := mean*(1-min(p.seen, 0.9)) >= burstyAt; bursty && mean >= longAt {
			return Long
		} else if bursty {
			return Bursts
		}
	}
	m := Plain
	for next := Light; next <= Most && loss >= table[next].from; next++ {
		m = next
	}
	return m
}

// Decide returns the mode for packets that leave from now on. Call it with each feedback.
func (p *Path) Decide(now time.Duration, c Conditions) Mode {
	p.turn(now)
	p.look()
	p.heed(now, &c)
	if up := p.mode(p.sure); up == p.need || up > p.need && p.congested == 0 {
		p.need, p.since, p.block = up, now, count{}
	} else if now-p.since >= calmTime && p.block.all >= calmPackets {
		p.need = min(p.need, p.mode(calmMargin*p.block.share()))
		p.since, p.block = now, count{}
	}
	m := p.bounded()
	if c.NACK && m == Light && p.sure < resendsMost && c.RTT > 0 && c.RTT <= resendsTrip {
		m = Plain
	}
	for c.Most != 0 && m != Plain && (c.Plain == 0 || c.takes(m) > float64(c.Most)) {
		m = c.less(m)
	}
	if !c.ByPackets {
		return p.tryLess(now, m, &c)
	}
	p.try = try{}
	return p.afford(now, m, &c)
}

// afford returns of m what fits the estimate. An estimate that is held, because no more is sent, would never bring the rest: where
// no queue stands one mode more is tried now and then, and the copies are the probe.
func (p *Path) afford(now time.Duration, m Mode, c *Conditions) Mode {
	w, more := &p.more, m
	for m != Plain && !c.affords(m) {
		more, m = m, c.less(m)
	}
	switch {
	case more == m:
		*w = raise{}
	case w.until != 0 && (c.Congested || now >= w.until):
		w.until, w.at = 0, now+w.hold
		w.hold = min(2*w.hold, mostWait)
	case w.until != 0:
		return more
	case w.hold == 0:
		w.at, w.hold = now+firstWait, firstWait
	case now >= w.at && !c.Congested && c.Held:
		w.until = now + raiseFor
		return more
	}
	return m
}

// bounded is the mode needed, or that to which it is limited.
func (p *Path) bounded() Mode {
	if p.limited != 0 {
		return min(p.need, p.limit)
	}
	return p.need
}

// heed follows the congestion of the path: after a second of it copies are reduced, one mode a second.
func (p *Path) heed(now time.Duration, c *Conditions) {
	if p.limited != 0 && now >= p.limited {
		p.limited = 0
	}
	switch {
	case !c.ByPackets || !c.Congested:
		p.congested = 0
	case p.congested == 0:
		p.congested = max(now, 1)
	case now-p.congested >= congestedFor:
		p.congested = now
		p.limit, p.limited = c.less(p.bounded()), now+congestedHold
	case p.limited != 0:
		p.limited = max(p.limited, now+congestedHold)
	}
}

// affords reports whether what sound takes with copies fits.
func (c *Conditions) affords(m Mode) bool { return c.takes(m) <= float64(budgetShare*float64(c.Lasts)) }

// tryLess returns m, or what is less to find out whether loss follows our own rate.
//
//	lost with copies    20 %
//	                    ──── halfway: what is lost without was lost anyway, or was ours
//	a bottleneck's then  0 %   (it carries four fifths of what leaves with copies)
func (p *Path) tryLess(now time.Duration, m Mode, c *Conditions) Mode {
	t := &p.try
	enough := now-t.at >= tryFor && t.got.all >= tryPackets
	less := c.less(m)
	switch {
	case t.on && !enough:
		return less
	case t.on && t.got.share() < t.ours:
		hold := max(t.hold, leastHold)
		*t = try{mode: less, proved: true, at: now, ours: t.ours, hold: min(2*hold, mostHold)}
		p.limit, p.limited = less, now+hold
		return less
	case t.on:
		*t = try{mode: m, at: now + tryAgain}
	case t.proved && p.limited == 0:
		*t = try{mode: m, at: now + tryAfter, hold: t.hold}
	case t.proved && enough && t.got.share() >= t.ours: // it is back
		p.limited = 0
		*t = try{mode: p.need, at: now + tryAgain}
		return p.need
	case t.proved && !enough:
	case m != t.mode:
		*t = try{mode: m, at: max(t.at, now+tryAfter), hold: t.hold}
	case t.proved && (less == m || p.seen < tryAt):
		t.at, t.got = now, count{}
	case less == m || p.seen < tryAt || now < t.at:
		t.got = count{}
	default:
		*t = try{mode: m, on: true, at: now, hold: t.hold, ours: (p.seen + c.passing(m, less, p.seen)) / 2}
		return less
	}
	return m
}

// takes is what sound takes with copies.
func (c *Conditions) takes(m Mode) float64 {
	return float64(c.Plain) + float64(m.Distances(c.FEC).Count())*float64(c.Copy)
}

// less is the next mode that takes less.
func (c *Conditions) less(m Mode) Mode {
	less := m
	for less != Plain && c.takes(less) >= c.takes(m) {
		less = table[less].lower
	}
	return less
}

// passing is what a bottleneck that loses so much of what leaves in one mode loses of another.
func (c *Conditions) passing(m, other Mode, loss float64) float64 {
	return max(1-float64((1-loss)*c.takes(m))/max(c.takes(other), 1), 0)
}
