package voice

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// 250 ms, as often as feedback on a voice comes at the least; 4 s, 200 packets of 20 ms: a loss of 12 % is then known to 2.3
	// points.
	step  = 250 * time.Millisecond
	steps = 16

	// 10 s and 200 packets that need less: a loss that comes and goes with a train's bends is not met anew each time.
	calmTime    = 10 * time.Second
	calmPackets = 200
	calmMargin  = 1.25 // times what was counted

	// A loss in 32 runs of losses counts as much as the newest one; from 8 on their mean length tells something: of random
	// loss it is off by a fifth.
	runsFade    = 1.0 / 32
	runsEnough  = 8.0
	burstyAt    = 1.5 // times as long as random losses would be
	longAt      = 4.0 // packets
	mostRun     = 100
	resendsMost = 0.02                  // of loss that is left to NACKs
	resendsTrip = 60 * time.Millisecond // a repair is there in 80, before a jitter buffer that knows loss has run dry

	// A queue of an encoder that overshoots is gone within a second; then copies go, one mode a second, and stay away for 10.
	congestedFor  = time.Second
	congestedHold = 10 * time.Second

	// Copies may take nine tenths of what the estimate leaves beyond plain sound.
	budgetShare = 0.9

	// Less is tried after 4 s of 8 % loss, for 3 s and 100 packets, and again after a minute; if it was the answer, 20 s later.
	tryAt      = 0.08
	tryAfter   = 4 * time.Second
	tryFor     = 3 * time.Second
	tryPackets = 100
	tryAgain   = time.Minute
	tryHold    = 20 * time.Second
	ours       = 0.5 // of the loss went with it
	notOurs    = 0.7 // of the loss is back without it
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
	since time.Duration // the block's beginning: need rose, or was confirmed

	congested time.Duration // since when, or since a mode was taken back for it; 0: it is not
	limited   time.Duration // until when, 0: not at all,
	limit     Mode          // to this

	try try
}

// count of packets.
type count struct{ lost, all int32 }

func (c count) share() float64 {
	if c.all == 0 {
		return 0
	}
	return float64(c.lost) / float64(c.all)
}

// sure is the share that is lost at least, by one standard error.
func (c count) sure() float64 {
	if c.all == 0 {
		return 0
	}
	p, n := c.share(), float64(c.all)
	return max(p-math.Sqrt(float64(p*(1-p))/n)-0.5/n, 0)
}

// try is less tried, to find out whether loss follows our own rate.
type try struct {
	on     bool
	at     time.Duration // begun; or when it may begin
	before float64       // loss before
	got    count
	proved bool // it was the answer: loss before is held against what comes
}

// Run counts the packets of one stream that were lost one behind the other.
type Run struct{ lost int }

// Conditions are what else counts.
type Conditions struct {
	RTT  time.Duration // 0: unknown
	NACK bool          // the subscriber asks again for what is missing, and may
	FEC  bool          // all that he hears carries in-band FEC

	// What congestion control says of the path, when the subscriber tells of each packet.
	ByPackets bool
	Congested bool        // a queue stands, or loss follows what is sent
	Lasts     bwe.Bitrate // that the path carries

	// What sound takes: all of it without copies; and one copy of each packet.
	Plain, Copy bwe.Bitrate
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
	p.heed(now, c.ByPackets && c.Congested)
	if up := p.mode(p.sure); up > p.need && p.congested == 0 {
		p.need, p.since, p.block = up, now, count{}
	} else if now-p.since >= calmTime && p.block.all >= calmPackets {
		p.need = min(p.need, p.mode(calmMargin*p.block.share()))
		p.since, p.block = now, count{}
	}
	m := p.bounded()
	if c.NACK && m == Light && p.sure < resendsMost && c.RTT > 0 && c.RTT <= resendsTrip {
		m = Plain
	}
	if !c.ByPackets {
		return p.tryLess(now, m)
	}
	p.try = try{at: now}
	for m != Plain && !c.affords(m) {
		m = table[m].lower
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
func (p *Path) heed(now time.Duration, congested bool) {
	if p.limited != 0 && now >= p.limited {
		p.limited = 0
	}
	switch {
	case !congested:
		p.congested = 0
	case p.congested == 0:
		p.congested = max(now, 1)
	case now-p.congested >= congestedFor:
		p.congested = now
		p.lower(p.bounded(), now+congestedHold)
	case p.limited != 0:
		p.limited = max(p.limited, now+congestedHold)
	}
}

// lower limits what is needed to less than m.
func (p *Path) lower(m Mode, until time.Duration) { p.limit, p.limited = table[m].lower, until }

// affords reports whether what sound takes with copies fits.
func (c *Conditions) affords(m Mode) bool {
	copies := bwe.Bitrate(m.Distances(c.FEC).Count())
	return float64(c.Plain+copies*c.Copy) <= float64(budgetShare*float64(c.Lasts))
}

// tryLess returns m, or what is less to find out whether loss follows our own rate.
func (p *Path) tryLess(now time.Duration, m Mode) Mode {
	t := &p.try
	enough := now-t.at >= tryFor && t.got.all >= tryPackets
	switch {
	case t.on && enough:
		*t = try{at: now + tryAgain, before: t.before, proved: t.got.share() < float64(ours*t.before)}
		if t.proved {
			t.at = now
			p.lower(m, now+tryHold)
			return p.limit
		}
	case t.on:
		return table[m].lower
	case t.proved && p.limited == 0:
		*t = try{at: now + tryAfter}
	case t.proved && enough:
		if t.got.share() > float64(notOurs*t.before) {
			p.limited, t.proved, t.at = 0, false, now+tryAgain
			return p.need
		}
		t.got, t.at = count{}, now
	case t.proved:
	case m == Plain || p.seen < tryAt:
		*t = try{at: max(t.at, now+tryAfter)}
	case now >= t.at:
		*t = try{on: true, at: now, before: p.seen}
		return table[m].lower
	}
	return m
}
