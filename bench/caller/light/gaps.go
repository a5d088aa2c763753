package light

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// window is how many numbers back a late packet is told from a duplicate: 7 s of 136 packets a second.
	window = 1024
	// maxGaps bounds what is asked for at one time; libwebrtc gives up at 1,000.
	maxGaps = 256
	// reorder is how long a missing packet may still be under way.
	reorder = 10 * time.Millisecond
	// maxAsks is how often one packet is asked for. Asking without end turned a drop of capacity into a storm of repair.
	maxAsks = 2
	// patience is when a missing packet is given up.
	patience = time.Second
)

// gaps follows the numbers of one stream: what came, what is missing, what to ask for. Pure; one goroutine.
type gaps struct {
	numbers seq.Unwrapper
	first   seq.Extended
	seen    [window / 64]uint64

	missing []gap // ascending; at most maxGaps

	received   int64 // each number once, repairs not counted
	repaired   int64
	duplicates int64
	reordered  int64
	givenUp    int64 // missing ones that will not be asked for again

	// Of the last receiver report.
	reportedExpected, reportedGot int64
}

type gap struct {
	number seq.Extended
	since  time.Duration
	asked  time.Duration
	asks   int
}

// arrive takes a packet's number and says whether it is new.
func (g *gaps) arrive(now time.Duration, s uint16) bool {
	e := g.numbers.Unwrap(s)
	highest, started := g.numbers.Highest()
	switch {
	case !started:
		g.first = e
		g.seen = [window / 64]uint64{}
	case e > highest:
		g.skip(now, highest+1, e)
	default:
		if highest-e >= window || g.has(e) {
			g.duplicates++
			return false
		}
		g.first = min(g.first, e)
		g.reordered++
		g.fill(e)
	}
	g.numbers.Accept(e)
	g.mark(e)
	g.received++
	return true
}

// repair takes a number that came by retransmission and says whether it was missing.
func (g *gaps) repair(s uint16) bool {
	e := g.numbers.Unwrap(s)
	highest, started := g.numbers.Highest()
	if !started || e > highest || e < g.first || highest-e >= window || g.has(e) {
		return false
	}
	g.fill(e)
	g.mark(e)
	g.repaired++
	return true
}

// skip marks from..to-1 as missing and clears to's place.
func (g *gaps) skip(now time.Duration, from, to seq.Extended) {
	if to-from >= window {
		g.seen = [window / 64]uint64{}
	} else {
		for e := from; e <= to; e++ {
			g.seen[e/64%(window/64)] &^= 1 << (e % 64)
		}
	}
	for e := from; e < to; e++ {
		if len(g.missing) == maxGaps {
			g.givenUp += int64(to - e)
			return
		}
		g.missing = append(g.missing, gap{number: e, since: now})
	}
}

// fill takes a number off the missing ones.
func (g *gaps) fill(e seq.Extended) {
	for i := range g.missing {
		if g.missing[i].number == e {
			g.missing = append(g.missing[:i], g.missing[i+1:]...)
			return
		}
	}
}

// wishes appends the numbers to ask for now to dst: those missing for longer than reordering explains, not asked for within
// the last round trip, at most twice. It forgets those that are past hope.
func (g *gaps) wishes(now, rtt time.Duration, dst []uint16) []uint16 {
	kept := g.missing[:0]
	for _, m := range g.missing {
		if now-m.since >= patience {
			g.givenUp++
			continue
		}
		due := m.since + reorder
		if m.asks > 0 {
			due = m.asked + rtt + reorder
		}
		if now >= due {
			if m.asks == maxAsks {
				g.givenUp++
				continue
			}
			m.asks++
			m.asked = now
			dst = append(dst, m.number.Uint16())
		}
		kept = append(kept, m)
	}
	g.missing = kept
	return dst
}

// expected is how many packets were sent, as far as the numbers tell.
func (g *gaps) expected() int64 {
	highest, started := g.numbers.Highest()
	if !started {
		return 0
	}
	return int64(highest-g.first) + 1
}

// lost is how many came neither at first nor by repair.
func (g *gaps) lost() int64 { return g.expected() - g.received - g.repaired }

// fraction is the share of 256 lost since the last report, before repair (RFC 3550 appendix A.3).
func (g *gaps) fraction() uint8 {
	expected, got := g.expected(), g.received
	span, lost := expected-g.reportedExpected, expected-g.reportedExpected-(got-g.reportedGot)
	g.reportedExpected, g.reportedGot = expected, got
	if span <= 0 || lost <= 0 {
		return 0
	}
	return uint8(min(lost*256/span, 255))
}

func (g *gaps) has(e seq.Extended) bool { return g.seen[e/64%(window/64)]&(1<<(e%64)) != 0 }
func (g *gaps) mark(e seq.Extended)     { g.seen[e/64%(window/64)] |= 1 << (e % 64) }

// jitter is RFC 3550's estimate (appendix A.8).
type jitter struct {
	started bool
	value   time.Duration
	base    uint32
	arrived time.Duration
}

// handle takes a packet's arrival and timestamp, of rate ticks a second. Packets of one frame have one timestamp, so only the
// first of each says something about the network.
func (j *jitter) handle(arrived time.Duration, timestamp uint32, rate int64) {
	if !j.started {
		j.started, j.base, j.arrived = true, timestamp, arrived
		return
	}
	if timestamp == j.base {
		return
	}
	media := time.Duration(int64(int32(timestamp-j.base)) * int64(time.Second) / rate)
	d := arrived - j.arrived - media
	if d < 0 {
		d = -d
	}
	j.value += (d - j.value) / 16
	j.base, j.arrived = timestamp, arrived
}

// sampler says which datagrams are taken whole, to be opened: one at random in each run of every, so that it falls in step with
// nothing that repeats. Pure; one goroutine.
type sampler struct {
	every int
	pick  int // how many are passed over before the next one
	rest  int // of its run behind it
	state uint64
}

func newSampler(every int, seed uint64) sampler {
	s := sampler{every: max(every, 1), state: seed*2685821657736338717 | 1}
	s.draw()
	return s
}

// draw picks one in the next run.
func (s *sampler) draw() {
	// xorshift64* (Marsaglia 2003, Vigna 2016).
	s.state ^= s.state >> 12
	s.state ^= s.state << 25
	s.state ^= s.state >> 27
	at := int(s.state * 2685821657736338717 >> 33 % uint64(s.every))
	s.pick += at
	s.rest = s.every - 1 - at
}

// next are those picked among the next 64, by bit.
func (s *sampler) next() (whole uint64) {
	if s.every == 1 {
		return ^uint64(0)
	}
	for ahead := *s; ahead.pick < 64; {
		whole |= 1 << ahead.pick
		ahead.pick += 1 + ahead.rest
		ahead.draw()
	}
	return whole
}

// passed tells that n have come.
func (s *sampler) passed(n int) {
	if s.every == 1 {
		return
	}
	for s.pick < n {
		s.pick += 1 + s.rest
		s.draw()
	}
	s.pick -= n
}
