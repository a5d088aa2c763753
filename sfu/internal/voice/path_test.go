package voice

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	ms = time.Millisecond
	// plain and copied are 24 kbit/s in packets of 20 ms: 60 bytes each, and 60 of headers.
	plain, copied = 48 * bwe.Kbps, 26 * bwe.Kbps
)

// call is a voice of 50 packets a second over a path, of which feedback comes every 100 ms.
type call struct {
	*testing.T
	Path
	now    time.Duration
	random *rand.Rand
	run    Run
	seen   [Modes]time.Duration // how long the call was in each mode

	loss    float64
	stays   float64 // the chance that a loss is followed by another; 0: as after a packet that came
	in      bool    // a burst
	c       Conditions
	reports bool // once a second, not by packets
	missed  count
	next    time.Duration
	mode    Mode

	// Of a bottleneck that carries so much: what is more is lost, and congestion shows 300 ms later.
	carries bwe.Bitrate
}

func newCall(t *testing.T, seed uint64) *call {
	return &call{T: t, now: time.Hour, random: rand.New(rand.NewPCG(seed, 0)), c: Conditions{
		RTT: 50 * ms, FEC: true, ByPackets: true, Lasts: bwe.Mbps, Plain: plain, Copy: copied,
	}}
}

// rate is what leaves.
func (c *call) rate() bwe.Bitrate {
	return plain + bwe.Bitrate(c.mode.Distances(c.c.FEC).Count())*copied
}

func (c *call) lost() bool {
	p := c.loss
	if c.stays > 0 { // Gilbert's: how often a burst begins follows from how much is lost and how long they last
		p = c.loss * (1 - c.stays) / (1 - c.loss)
		if c.in {
			p = c.stays
		}
	}
	if c.carries > 0 {
		p = max(p, 1-float64(c.carries)/float64(c.rate()))
	}
	c.in = c.random.Float64() < p
	return c.in
}

// live lets time pass.
func (c *call) live(d time.Duration) {
	for end := c.now + d; c.now < end; c.now += 20 * ms {
		lost := c.lost()
		if c.reports {
			c.missed.all++
			if lost {
				c.missed.lost++
			}
		} else {
			c.Tell(c.now, &c.run, lost)
		}
		c.seen[c.mode] += 20 * ms
		if c.now < c.next {
			continue
		}
		c.next = c.now + 100*ms
		if c.reports {
			c.next = c.now + time.Second
			c.Report(c.now, int(c.missed.lost), int(c.missed.all))
			c.missed = count{}
		}
		c.mode = c.Decide(c.now, c.c)
	}
}

// until lets time pass until the mode is one of those, and returns how long that took.
func (c *call) until(limit time.Duration, modes ...Mode) time.Duration {
	c.Helper()
	start := c.now
	for {
		for _, m := range modes {
			if c.mode == m {
				return c.now - start
			}
		}
		require.Less(c, c.now-start, limit, "%v, not %v", c.mode, modes)
		c.live(20 * ms)
	}
}

// share of the call in a mode.
func (c *call) share(modes ...Mode) float64 {
	of, all := time.Duration(0), time.Duration(0)
	for m, d := range c.seen {
		all += d
		for _, want := range modes {
			if Mode(m) == want {
				of += d
			}
		}
	}
	return float64(of) / float64(all)
}

// each plays a call with seeds.
func each(t *testing.T, play func(c *call)) {
	for seed := range uint64(20) {
		play(newCall(t, seed))
	}
}

func TestNothingOnCleanLinks(t *testing.T) {
	for _, loss := range []float64{0, 0.001, 0.003} {
		each(t, func(c *call) {
			c.loss = loss
			c.live(5 * time.Minute)
			if loss <= 0.001 {
				require.Equal(t, 1.0, c.share(Plain), "%v lost", loss)
			}
			require.Greater(t, c.share(Plain), 0.9, "%v lost", loss)
		})
	}
}

// One loss, or an outage, is no path that loses.
func TestAnOutageCostsLittle(t *testing.T) {
	each(t, func(c *call) {
		c.live(10 * time.Second)
		c.loss = 1
		c.live(60 * ms)
		c.loss = 0
		c.live(time.Minute)
		require.Greater(t, c.share(Plain), 0.7)
		require.Equal(t, Plain, c.mode)
	})
}

func TestModesByLoss(t *testing.T) {
	for _, c := range []struct {
		loss  float64
		modes []Mode
	}{
		{0.04, []Mode{Light, Medium}},
		{0.08, []Mode{Medium, Full}},
		{0.2, []Mode{Full, Most}},
		{0.3, []Mode{Full, Most}},
		{0.5, []Mode{Most}},
	} {
		each(t, func(call *call) {
			call.live(10 * time.Second)
			call.loss = c.loss
			call.live(10 * time.Second)
			call.seen = [Modes]time.Duration{}
			call.live(2 * time.Minute)
			require.Greater(t, call.share(c.modes...), 0.85, "%v lost: %v", c.loss, call.seen)
			require.True(t, call.WantsFEC())
		})
	}
}

func TestQuickAttackSlowRelease(t *testing.T) {
	total := [2]time.Duration{}
	each(t, func(c *call) {
		c.live(10 * time.Second)
		c.loss = 0.2
		some := c.until(time.Second, Light, Medium, Full, Bursts, Long)
		enough := some + c.until(10*time.Second, Full, Most, Bursts, Long)
		total[0], total[1] = total[0]+some, total[1]+enough
		c.live(5 * time.Second)
		c.loss = 0
		c.seen = [Modes]time.Duration{}
		c.live(9900 * ms)
		require.Zero(t, c.seen[Plain]+c.seen[Light])
		c.until(15*time.Second, Plain)
	})
	t.Logf("copies after %v, enough of them after %v, on average", total[0]/20, total[1]/20)
	require.Less(t, total[0]/20, 500*ms)
	require.Less(t, total[1]/20, 2*time.Second)
}

func TestBurstsAreTold(t *testing.T) {
	for _, c := range []struct {
		mean  float64
		modes []Mode
	}{{1, []Mode{Full, Most}}, {3, []Mode{Bursts, Long}}, {6, []Mode{Long}}} {
		each(t, func(call *call) {
			call.loss, call.stays = 0.2, 1-1/c.mean
			if c.mean == 1 {
				call.stays = 0
			}
			call.live(30 * time.Second)
			call.seen = [Modes]time.Duration{}
			call.live(2 * time.Minute)
			require.Greater(t, call.share(c.modes...), 0.8, "bursts of %v: %v", c.mean, call.seen)
		})
	}
}

func TestRequestsBeforeCopies(t *testing.T) {
	each(t, func(c *call) {
		c.c.NACK, c.loss = true, 0.015
		c.live(2 * time.Minute)
		require.Greater(t, c.share(Plain), 0.8, "%v", c.seen)
	})
	each(t, func(c *call) {
		c.c.NACK, c.c.RTT, c.loss = true, 120*ms, 0.04
		c.live(2 * time.Minute)
		require.Less(t, c.share(Plain), 0.2, "%v", c.seen)
	})
	each(t, func(c *call) {
		c.c.NACK, c.loss = true, 0.1
		c.live(time.Minute)
		require.Less(t, c.share(Plain), 0.1, "%v", c.seen)
	})
}

// TestCopiesStayWithinTheBudget: and of what does not fit, as much as does is left.
func TestCopiesStayWithinTheBudget(t *testing.T) {
	for _, c := range []struct {
		lasts bwe.Bitrate
		mode  Mode
	}{{200 * bwe.Kbps, Full}, {112 * bwe.Kbps, Full}, {110 * bwe.Kbps, Medium}, {83 * bwe.Kbps, Medium}, {80 * bwe.Kbps, Plain}, {30 * bwe.Kbps, Plain}} {
		call := newCall(t, 1)
		call.c.Lasts, call.loss = c.lasts, 0.18
		call.live(10 * time.Second)
		require.Equal(t, c.mode, call.mode, "%v", c.lasts)
		require.Equal(t, Full, call.Needs())
	}
}

// TestCopiesStayBelowWhatSoundMayTake: who counts each byte is asked what he misses, where copies would be more.
func TestCopiesStayBelowWhatSoundMayTake(t *testing.T) {
	for most, want := range map[bwe.Bitrate]Mode{0: Most, plain + 2*copied: Most, plain + 2*copied - 1: Medium, plain + copied - 1: Plain} {
		for _, reports := range []bool{false, true} {
			c := newCall(t, 1)
			c.loss, c.c.Most, c.reports = 0.4, most, reports
			c.live(10 * time.Second)
			require.Equal(t, want, c.mode, "%v, reports %v", most, reports)
			require.Equal(t, Most, c.Needs())
		}
	}
	c := newCall(t, 1)
	c.loss, c.c.Most, c.c.Plain = 0.4, 1000*bwe.Kbps, 0
	c.live(10 * time.Second)
	require.Equal(t, Plain, c.mode, "nobody knows what they would take")
}

// TestAPathMayBeginWithCopies: they are there before anything was lost, and go when nothing is.
func TestAPathMayBeginWithCopies(t *testing.T) {
	c := newCall(t, 1)
	c.Begin(c.now, Light)
	c.live(5 * time.Second)
	require.Equal(t, Light, c.mode)
	c.live(10 * time.Second)
	require.Equal(t, Plain, c.mode)
}

// TestMoreIsTriedWhereAnEstimateIsHeld: seldom where a queue shows that there is no more, and as long as there is need where there is.
func TestMoreIsTriedWhereAnEstimateIsHeld(t *testing.T) {
	each(t, func(c *call) { // there is room: the estimate follows what is sent
		c.c.Lasts, c.c.Held, c.loss = 60*bwe.Kbps, true, 0.2
		for range 300 {
			c.live(100 * ms)
			c.c.Lasts = max(c.c.Lasts, c.rate()*5/4)
		}
		require.GreaterOrEqual(t, c.mode, Full)
	})
	each(t, func(c *call) { // there is none: 300 ms after more has left a queue stands, and the estimate stays
		c.c.Lasts, c.c.Held, c.loss = 60*bwe.Kbps, true, 0.2
		more := time.Duration(0)
		for range 3000 {
			if c.live(100 * ms); c.mode == Plain {
				more = 0
			} else {
				more += 100 * ms
			}
			c.c.Congested = more >= 300*ms
		}
		require.Greater(t, c.share(Plain), 0.97, "%v", c.seen)
		require.Less(t, c.share(Plain), 1.0, "it is tried")
	})
	each(t, func(c *call) { // an estimate that is not held says what there is
		c.c.Lasts, c.loss = 60*bwe.Kbps, 0.2
		c.live(time.Minute)
		require.Equal(t, 1.0, c.share(Plain))
	})
}

// TestCongestionTakesCopiesBack, one mode a second, and random loss keeps them.
func TestCongestionTakesCopiesBack(t *testing.T) {
	each(t, func(c *call) {
		c.loss = 0.2
		c.live(10 * time.Second)
		require.GreaterOrEqual(t, c.mode, Full)
		c.c.Congested = true
		c.live(900 * ms)
		require.GreaterOrEqual(t, c.mode, Full, "a queue of an encoder that overshoots")
		c.c.Congested = false
		c.live(5 * time.Second)
		require.GreaterOrEqual(t, c.mode, Full)
		c.c.Congested = true
		c.until(1300*ms, Medium)
		c.until(1300*ms, Plain)
		require.False(t, c.WantsFEC())
		c.live(time.Minute)
		require.Equal(t, Plain, c.mode)
		c.c.Congested = false
		c.live(9 * time.Second)
		require.Equal(t, Plain, c.mode)
		c.until(2*time.Second, Full, Most)
		c.live(time.Minute)
		require.GreaterOrEqual(t, c.mode, Full)
	})
	each(t, func(c *call) { // nothing begins while a queue stands
		c.c.Congested, c.loss = true, 0.2
		c.live(time.Minute)
		require.Equal(t, 1.0, c.share(Plain))
	})
}

// TestLessIsTriedWhereReportsAreAllThereIs: a path that loses what copies put on it is found out, one that loses by chance keeps
// them.
func TestLessIsTriedWhereReportsAreAllThereIs(t *testing.T) {
	each(t, func(c *call) {
		c.c.ByPackets, c.reports, c.loss = false, true, 0.2
		c.live(10 * time.Second)
		c.seen = [Modes]time.Duration{}
		c.live(5 * time.Minute)
		require.Greater(t, c.share(Full, Most), 0.9, "%v", c.seen)
		require.Less(t, c.share(Plain, Light), 0.02, "%v", c.seen)
	})
	each(t, func(c *call) {
		c.c.ByPackets, c.reports, c.carries = false, true, 60*bwe.Kbps
		c.loss = 0.15 // a moment of it brings the copies that keep it up
		c.live(4 * time.Second)
		c.loss = 0
		require.NotEqual(t, Plain, c.mode)
		c.until(time.Minute, Plain)
		c.seen = [Modes]time.Duration{}
		c.live(2 * time.Minute)
		require.Greater(t, c.share(Plain), 0.8, "%v", c.seen)
	})
}

// Whatever comes, a mode is one of the table's, no more than is needed, and within the budget.
func TestAnyPath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Path
		var runs [3]Run
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now"))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "passes"))
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				for range rapid.IntRange(1, 100).Draw(t, "packets") {
					p.Tell(now, &runs[rapid.IntRange(0, 2).Draw(t, "stream")], rapid.Bool().Draw(t, "lost"))
				}
			case 1:
				p.Report(now, rapid.IntRange(-10, 500).Draw(t, "lost"), rapid.IntRange(-10, 500).Draw(t, "expected"))
			}
			c := Conditions{
				RTT: time.Duration(rapid.IntRange(0, 500).Draw(t, "RTT")) * ms, NACK: rapid.Bool().Draw(t, "NACK"),
				FEC: rapid.Bool().Draw(t, "FEC"), ByPackets: rapid.Bool().Draw(t, "by packets"), Congested: rapid.Bool().Draw(t, "congested"),
				Lasts: bwe.Bitrate(rapid.IntRange(0, 500_000).Draw(t, "lasts")), Held: rapid.Bool().Draw(t, "held"), Plain: plain, Copy: copied,
			}
			m := p.Decide(now, c)
			require.Less(t, int(m), Modes)
			require.LessOrEqual(t, m, p.Needs())
			require.GreaterOrEqual(t, p.Loss(), 0.0)
			require.LessOrEqual(t, p.Loss(), 1.0)
			if c.ByPackets && !c.Held && m != Plain && p.more.until == 0 {
				require.LessOrEqual(t, float64(plain+bwe.Bitrate(m.Distances(c.FEC).Count())*copied), 0.9*float64(c.Lasts)+1)
			}
		}
	})
}

func TestTable(t *testing.T) {
	for m := Plain; int(m) < Modes; m++ {
		require.NotEmpty(t, m.String())
		if m == Plain {
			continue
		}
		for _, fec := range []bool{false, true} {
			d, less := m.Distances(fec), table[m].lower.Distances(fec)
			require.Less(t, less.Count(), d.Count()+1, "%v", m)
			for i := 1; i < d.Count(); i++ {
				require.Greater(t, d[i], d[i-1], "ascending")
			}
			require.LessOrEqual(t, int(d.Farthest())*960, 1<<14-1, "of 20 ms")
		}
		require.Less(t, table[m].lower, m)
	}
	require.Equal(t, uint8(8), Long.Distances(false).Farthest())
}
