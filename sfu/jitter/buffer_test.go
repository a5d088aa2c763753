package jitter_test

import (
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/jitter"
)

const ms = time.Millisecond

// player pulls a buffer and delivers packets at their time. Packet n of 20 ms has sequence 65530+n and timestamp
// 0xFFFF0000+960n, so that both wrap early, and is sent at 20n ms.
type player struct {
	t       *testing.T
	b       *jitter.Buffer
	now     time.Duration
	arrive  []arrival
	played  []played
	actions [5]int // samples by action
}

type arrival struct {
	at      time.Duration
	packet  jitter.Packet
	verdict *jitter.Verdict
}

// played is a packet's first part.
type played struct {
	number int
	at     time.Duration
}

func newPlayer(t *testing.T, config jitter.Config) *player {
	b, err := jitter.New(config)
	require.NoError(t, err)
	return &player{t: t, b: b}
}

func numbered(n int) jitter.Packet {
	return jitter.Packet{
		Sequence: uint16(65_530 + n), Timestamp: uint32(0xFFFF0000 + 960*n), Samples: 960, Value: n,
	}
}

// deliver has packets from to (exclusive) come each delay after it was sent.
func (p *player) deliver(from, to int, delay time.Duration) {
	for n := from; n < to; n++ {
		p.at(time.Duration(n)*frame+delay, numbered(n))
	}
}

func (p *player) at(at time.Duration, packet jitter.Packet) *jitter.Verdict {
	verdict := jitter.Verdict(255)
	p.arrive = append(p.arrive, arrival{at, packet, &verdict})
	slices.SortStableFunc(p.arrive, func(a, b arrival) int { return int(a.at - b.at) })
	return &verdict
}

// run plays until then.
func (p *player) run(until time.Duration) {
	for ; p.now < until; p.now += jitter.Period {
		for len(p.arrive) > 0 && p.arrive[0].at <= p.now {
			a := p.arrive[0]
			p.arrive = p.arrive[1:]
			*a.verdict = p.b.Insert(a.at, a.packet)
		}
		at, total := p.now, 0
		for _, part := range p.b.Pull(p.now).Parts {
			p.actions[part.Action] += part.Samples
			if n, ok := part.Packet.Value.(int); ok && (len(p.played) == 0 || p.played[len(p.played)-1].number != n) {
				p.played = append(p.played, played{n, at})
			}
			at += time.Duration(part.Samples) * time.Second / rate
			total += part.Samples
		}
		require.Equal(p.t, 480, total)
	}
	s := p.b.Stats()
	require.Equal(p.t, s.Pulled, s.Played+s.Concealed+s.Silent)
}

func (p *player) numbers() []int {
	var all []int
	for _, q := range p.played {
		all = append(all, q.number)
	}
	return all
}

func count(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func TestCleanPath(t *testing.T) {
	p := newPlayer(t, jitter.Config{})
	p.deliver(0, 500, 7*ms)
	p.run(70 * ms)
	require.Empty(t, p.played)
	require.Equal(t, 60*ms, p.b.Stats().Target)
	p.run(80 * ms)
	require.Equal(t, []played{{0, 70 * ms}}, p.played, "60 ms after it came, at the next pull")
	p.run(4 * time.Second)
	s := p.b.Stats()
	require.Equal(t, 2*ms, s.Target)
	require.Equal(t, 3*ms, s.Delay, "the shortest of the pulls' grid")
	require.EqualValues(t, 60*48, s.Accelerated)
	require.Zero(t, s.Expanded)
	p.run(9 * time.Second)
	require.Equal(t, s.Delay, p.b.Stats().Delay)
	require.Equal(t, s.Accelerated, p.b.Stats().Accelerated)
	require.EqualValues(t, 7*480, p.b.Stats().Silent)
	require.Zero(t, p.b.Stats().Concealed)
	require.Equal(t, count(0, 450), p.numbers())
}

// settled plays 2 s on a clean path: delay is 3 ms then, and packet 100 is due at 2.010 s.
func settled(t *testing.T) *player {
	p := newPlayer(t, jitter.Config{})
	p.deliver(0, 100, 7*ms)
	p.run(2 * time.Second)
	require.Equal(t, 3*ms, p.b.Stats().Delay)
	require.Zero(t, p.b.Stats().Concealed)
	return p
}

func TestLostPacketIsConcealedOnce(t *testing.T) {
	p := settled(t)
	p.deliver(101, 150, 7*ms)
	p.run(2020 * ms)
	require.EqualValues(t, 480, p.b.Stats().Open)
	p.run(2900 * ms)
	s := p.b.Stats()
	require.EqualValues(t, 960, s.Concealed)
	require.Zero(t, s.Open)
	require.Zero(t, s.ConcealedLate)
	require.EqualValues(t, 1, s.ConcealmentEvents)
	require.Equal(t, 3*ms, s.Delay)
	require.Equal(t, slices.Concat(count(0, 100), count(101, 145)), p.numbers())
}

func TestStallIsWaitedFor(t *testing.T) {
	p := settled(t)
	for n := 100; n < 108; n++ {
		p.at(2160*ms, numbered(n)) // sent from 2.00 s on; the last at 2.14 s
	}
	p.deliver(108, 300, 20*ms)
	p.run(2170 * ms)
	s := p.b.Stats()
	require.EqualValues(t, 15*480, s.Concealed)
	require.EqualValues(t, 15*480, s.ConcealedLate)
	require.EqualValues(t, 1, s.Waited)
	require.Zero(t, s.Late)
	p.run(5 * time.Second)
	s = p.b.Stats()
	require.EqualValues(t, 15*480, s.Concealed, "nothing more")
	require.Less(t, s.Delay, 20*ms)
	require.Equal(t, count(0, 248), p.numbers()[:248], "everything was heard")
}

func TestReorderingWithinTheDelay(t *testing.T) {
	p := newPlayer(t, jitter.Config{Min: 40 * ms})
	p.deliver(0, 100, 7*ms)
	p.at(2007*ms, numbered(101))
	p.at(2020*ms, numbered(100))
	p.deliver(102, 200, 7*ms)
	p.run(3900 * ms)
	s := p.b.Stats()
	require.Zero(t, s.Concealed)
	require.EqualValues(t, 1, s.Reordered)
	require.Equal(t, count(0, 190), p.numbers()[:190])
}

func TestLatePacketIsThrownAway(t *testing.T) {
	p := newPlayer(t, jitter.Config{Min: 20 * ms})
	p.deliver(0, 100, 7*ms)
	p.deliver(101, 150, 7*ms)
	late := p.at(2100*ms, numbered(100))
	again := p.at(2110*ms, numbered(100))
	p.run(2900 * ms)
	require.Equal(t, jitter.Late, *late)
	require.Equal(t, jitter.Duplicate, *again)
	s := p.b.Stats()
	require.EqualValues(t, 960, s.Concealed)
	require.EqualValues(t, 960, s.ConcealedLate)
	require.EqualValues(t, 1, s.Late)
	require.NotContains(t, p.numbers(), 100)
}

func TestPacketThatComesWhileItIsConcealedIsPlayedFromThere(t *testing.T) {
	p := newPlayer(t, jitter.Config{Min: 40 * ms, Max: 40 * ms, Start: 40 * ms})
	p.deliver(0, 100, 7*ms)
	p.deliver(101, 150, 7*ms)
	p.run(2 * time.Second)
	due := 2050 * ms // the first pull 40 ms after 2.007 s
	p.run(due + 10*ms)
	require.EqualValues(t, 480, p.b.Stats().Concealed)
	require.Equal(t, jitter.Accepted, p.b.Insert(due+5*ms, numbered(100)))
	parts := p.b.Pull(due + 10*ms).Parts
	require.Equal(t, []jitter.Part{{
		Action: jitter.Play, Samples: 480, Media: 480, Offset: 480, Position: parts[0].Position, Packet: numbered(100), Arrived: due + 5*ms,
	}}, parts)
	require.Equal(t, numbered(100).Timestamp+480, uint32(parts[0].Position))
	s := p.b.Stats()
	require.EqualValues(t, 480, s.Concealed)
	require.EqualValues(t, 480, s.ConcealedLate)
	require.EqualValues(t, 1, s.Waited)
}

func TestDuplicates(t *testing.T) {
	p := settled(t)
	held, over := p.at(2000*ms, numbered(100)), p.at(2001*ms, numbered(100))
	done := p.at(2002*ms, numbered(50))
	p.run(2020 * ms)
	require.Equal(t, jitter.Accepted, *held)
	require.Equal(t, jitter.Duplicate, *over)
	require.Equal(t, jitter.Duplicate, *done)
	require.EqualValues(t, 2, p.b.Stats().Duplicate)
}

func TestSilenceIsAGapInTheTimestampsAlone(t *testing.T) {
	for _, quiet := range []bool{true, false} {
		p := settled(t)
		last := numbered(100)
		last.Quiet = quiet
		p.at(2007*ms, last)
		p.run(2300 * ms)
		s := p.b.Stats()
		if quiet {
			require.Zero(t, s.Concealed, "the sender said so")
		} else {
			require.EqualValues(t, 27*480, s.Open, "nobody knows why")
			require.EqualValues(t, 1, s.ConcealmentEvents)
		}
		next := numbered(101)
		next.Timestamp += 19 * 960 // 400 ms after the last
		next.Value = 120
		p.at(2407*ms, next)
		p.run(2430 * ms)
		s = p.b.Stats()
		require.Zero(t, s.Concealed)
		require.Zero(t, s.ConcealmentEvents)
		require.EqualValues(t, (7+38)*480, s.Silent, "60 ms in front, then 380 ms")
		require.Equal(t, played{120, 2410 * ms}, p.played[len(p.played)-1])
	}
}

func TestLossWithinSilence(t *testing.T) {
	p := settled(t)
	last := numbered(100)
	last.Quiet = true
	p.at(2007*ms, last)
	next := numbered(102) // 101 is lost, somewhere in 400 ms
	next.Timestamp += 18 * 960
	next.Value = 120
	p.at(2407*ms, next)
	p.run(2430 * ms)
	require.Zero(t, p.b.Stats().Concealed, "it was silence that was lost, as far as anybody can tell")
	require.Equal(t, played{120, 2410 * ms}, p.played[len(p.played)-1])
}

func TestMuteOfTenSeconds(t *testing.T) {
	p := settled(t)
	for n := 600; n < 700; n++ {
		packet := numbered(n)
		packet.Sequence -= 500
		p.at(time.Duration(n)*frame+7*ms, packet)
	}
	p.run(13900 * ms)
	s := p.b.Stats()
	require.Zero(t, s.Concealed)
	require.Zero(t, s.Restarts)
	require.EqualValues(t, 7+1000, s.Silent/480)
	require.Equal(t, slices.Concat(count(0, 100), count(600, 695)), p.numbers())
}

func TestOutageIsConcealment(t *testing.T) {
	p := settled(t)
	p.deliver(200, 300, 7*ms) // 2 s of nothing
	p.run(3900 * ms)
	require.EqualValues(t, 189*480, p.b.Stats().Open)
	p.run(5900 * ms)
	s := p.b.Stats()
	require.EqualValues(t, 200*480, s.Concealed)
	require.Zero(t, s.ConcealedLate)
	require.EqualValues(t, 1, s.ConcealmentEvents)
	require.Equal(t, slices.Concat(count(0, 100), count(200, 295)), p.numbers())
}

func TestLongStallIsSkipped(t *testing.T) {
	p := settled(t)
	for n := 100; n < 175; n++ {
		p.at(3500*ms, numbered(n)) // 1.5 s at once
	}
	p.deliver(175, 400, 7*ms)
	p.run(3510 * ms)
	s := p.b.Stats()
	require.Less(t, s.Delay, 70*ms)
	require.Greater(t, s.Skipped, uint64(1400*48))
	require.EqualValues(t, s.Flushed*960, s.Skipped)
	p.run(7 * time.Second)
	require.EqualValues(t, 149*480, p.b.Stats().Concealed)
}

func TestSpeechAfterAPauseIsNotSkippedForThePause(t *testing.T) {
	p := settled(t)
	// 800 ms in which nothing was said, and nobody said that nothing would be: what follows comes at once, a third of a
	// second late, not eleven tenths.
	for n := range 4 {
		packet := numbered(100 + n)
		packet.Timestamp += 40 * 960
		p.at(2*time.Second+800*ms+3*frame+300*ms, packet)
	}
	p.run(4 * time.Second)
	require.Zero(t, p.b.Stats().Flushed)
	require.Subset(t, p.numbers(), count(100, 104))
}

func TestAStreamMayBeginWithSilence(t *testing.T) {
	p := newPlayer(t, jitter.Config{})
	quiet := numbered(0)
	quiet.Quiet = true
	p.at(300*ms, quiet)
	p.run(time.Second)
	require.Equal(t, []int{0}, p.numbers())
}

func TestCopiesFillHoles(t *testing.T) {
	p := settled(t)
	// 100 and 101 are lost; 102 carries them as redundancy (RFC 2198), 300 ms later than what is played: too late for
	// 3 ms of delay, so that playout has stood still.
	p.deliver(103, 150, 7*ms)
	for n := 100; n < 102; n++ {
		c := numbered(n)
		c.Sequence, c.Copy = numbered(102).Sequence, true
		p.at(2047*ms, c)
	}
	p.at(2047*ms, numbered(102))
	original := p.at(2300*ms, numbered(100))
	p.run(2900 * ms)
	s := p.b.Stats()
	require.EqualValues(t, 2, s.Copies)
	require.EqualValues(t, 4*480, s.Concealed)
	require.EqualValues(t, 4*480, s.ConcealedLate)
	require.Equal(t, jitter.Duplicate, *original, "its copy was played")
	require.Equal(t, count(0, 141), p.numbers()[:141])
}

func TestCopiesInTime(t *testing.T) {
	p := newPlayer(t, jitter.Config{Min: 60 * ms})
	var last *jitter.Verdict
	for n := range 200 {
		if n > 0 {
			c := numbered(n - 1)
			c.Sequence, c.Copy = numbered(n).Sequence, true
			last = p.at(time.Duration(n)*frame+7*ms, c)
		}
		if n%3 != 1 { // a third is lost, each alone
			p.at(time.Duration(n)*frame+7*ms, numbered(n))
		}
	}
	p.run(3900 * ms)
	s := p.b.Stats()
	require.Zero(t, s.Concealed)
	require.Equal(t, count(0, 190), p.numbers()[:190])
	require.Greater(t, s.Duplicate, uint64(120), "copies of what is there")
	require.Equal(t, jitter.Verdict(255), *last, "still to come")
}

// Each fourth packet is lost and comes as a copy 40 ms later, or with a resend's 120: playout waits for it from then on, and no
// longer than that; 14 s after the last loss it waits no more.
func TestRepairIsWaitedFor(t *testing.T) {
	for _, after := range []int{2, 6} {
		p := newPlayer(t, jitter.Config{})
		const lossy, all = 500, 2000
		for n := range all {
			at := time.Duration(n)*frame + 7*ms
			if n >= after && n%4 == (1+after)%4 && n-after < lossy {
				c := numbered(n - after)
				c.Copy = true
				p.at(at, c)
			}
			if n%4 != 1 || n >= lossy {
				p.at(at, numbered(n))
			}
		}
		p.run(2 * time.Second)
		learnt := p.b.Stats().Concealed
		p.run(lossy * frame)
		s := p.b.Stats()
		require.Equal(t, learnt, s.Concealed)
		require.InDelta(t, time.Duration(after)*frame, s.Target, float64(5*ms))
		p.run((all - 10) * frame)
		require.Less(t, p.b.Stats().Target, 5*ms)
		require.Equal(t, learnt, p.b.Stats().Concealed)
	}
}

// Copies of what is there cost nothing, and those that come too late to be of use in a call are not waited for.
func TestCopiesThatAreNotWaitedFor(t *testing.T) {
	p := newPlayer(t, jitter.Config{})
	for n := range 1000 {
		at := time.Duration(n)*frame + 7*ms
		if n >= 4 {
			c := numbered(n - 4)
			c.Copy = true
			p.at(at, c)
		}
		if n >= 25 && n%25 == 15 {
			c := numbered(n - 14) // 280 ms late
			c.Copy = true
			p.at(at, c)
		}
		if n%25 != 1 {
			p.at(at, numbered(n))
		}
	}
	p.run(990 * frame)
	require.InDelta(t, 80*ms, p.b.Stats().Target, float64(5*ms), "of the hole's first copy")
	q := newPlayer(t, jitter.Config{})
	for n := range 1000 {
		at := time.Duration(n)*frame + 7*ms
		if n >= 25 && n%25 == 15 {
			c := numbered(n - 14)
			c.Copy = true
			q.at(at, c)
		}
		if n%25 != 1 {
			q.at(at, numbered(n))
		}
	}
	q.run(990 * frame)
	require.Less(t, q.b.Stats().Target, 5*ms)
}

// Where each fifth packet comes 500 ms late, because it was asked for again over a long way, all is heard that much later instead, and
// each of them; when that ends, the delay goes too. Who would rather have holes says so.
func TestLatePacketsAreWaitedForWhereTheyAreMany(t *testing.T) {
	play := func(config jitter.Config) *player {
		p := newPlayer(t, config)
		for n := range 3000 {
			at := time.Duration(n)*frame + 7*ms
			if n%5 == 1 && n < 1000 {
				at += 500 * ms
			}
			p.at(at, numbered(n))
		}
		p.run(8 * time.Second)
		return p
	}
	p := play(jitter.Config{})
	learnt := p.b.Stats().Concealed
	require.InDelta(t, 500*ms, p.b.Stats().Target, float64(25*ms))
	p.run(1000 * frame)
	require.Less(t, p.b.Stats().Concealed-learnt, uint64(960), "not one packet in 12 s")
	p.run(2990 * frame)
	require.Less(t, p.b.Stats().Target, 5*ms)

	q := play(jitter.Config{Patience: 250 * ms})
	learnt = q.b.Stats().Concealed
	q.run(1000 * frame)
	require.Greater(t, q.b.Stats().Concealed-learnt, uint64(100*960))
	require.Less(t, q.b.Stats().Target, 5*ms)
}

// A server that repairs what it gets forwards packets late: those that come too late to be of use in a call are not waited for, and
// of a silence not even where nothing has overtaken them.
func TestLatePacketsThatAreNotWaitedFor(t *testing.T) {
	p := newPlayer(t, jitter.Config{})
	for n := range 1000 {
		at := time.Duration(n)*frame + 7*ms
		if n%25 == 1 {
			at += 280 * ms
		}
		p.at(at, numbered(n))
	}
	p.run(990 * frame)
	require.Less(t, p.b.Stats().Target, 5*ms)
	require.Greater(t, p.b.Stats().Reordered, uint64(35))

	q := settled(t)
	last := numbered(100)
	last.Quiet = true
	q.at(2007*ms, last)
	for n := range 20 { // a packet each 400 ms, each second one 300 ms late
		silence := numbered(101 + n)
		silence.Timestamp = last.Timestamp + uint32(20*960*(n+1))
		silence.Quiet = true
		q.at(2007*ms+time.Duration(n+1)*400*ms+time.Duration(n%2)*300*ms, silence)
	}
	q.run(10 * time.Second)
	require.Less(t, q.b.Stats().Target, 5*ms)
}

// Two packets of a silence that come seconds late, one after the other, are no new stream: nothing is played twice, or before its time.
func TestRepairedSilenceIsNoNewStream(t *testing.T) {
	p := settled(t)
	last := numbered(100)
	last.Quiet = true
	p.at(2007*ms, last)
	quiet := func(n, frames int) jitter.Packet {
		q := numbered(100 + n)
		q.Timestamp = last.Timestamp + uint32(960*frames)
		q.Quiet = true
		return q
	}
	p.at(2007*ms+5600*ms, quiet(4, 280))
	p.at(7650*ms, quiet(1, 70))
	p.at(7660*ms, quiet(2, 140))
	p.at(2007*ms+7000*ms, quiet(5, 350))
	p.run(9500 * ms)
	s := p.b.Stats()
	require.Zero(t, s.Restarts)
	require.EqualValues(t, 2, s.Late)
	require.True(t, slices.IsSorted(p.numbers()), p.numbers())
}

func TestSilenceAfterALastWordThatWasSentAgain(t *testing.T) {
	p := settled(t)
	again := numbered(100)
	again.Copy = true
	p.at(2007*ms, again)
	next := numbered(101)
	next.Timestamp += 15 * 960
	p.at(2327*ms, next)
	p.run(2350 * ms)
	require.Zero(t, p.b.Stats().Concealed, "100 is not missing: its copy was played")
	require.Equal(t, count(0, 102), p.numbers())
}

func TestSilenceAfterALossAndACopy(t *testing.T) {
	p := settled(t)
	again := numbered(101) // 100 is lost for good
	again.Copy = true
	p.at(2027*ms, again)
	next := numbered(102)
	next.Timestamp += 15 * 960
	p.at(2347*ms, next)
	p.run(2370 * ms)
	require.EqualValues(t, 960, p.b.Stats().Concealed)
	require.Equal(t, slices.Concat(count(0, 100), []int{101, 102}), p.numbers())
}

func TestLossBeforeALatePacket(t *testing.T) {
	p := settled(t)
	p.at(2057*ms, numbered(101)) // 30 ms late, and 100 is lost
	p.run(2080 * ms)
	s := p.b.Stats()
	require.EqualValues(t, 5*480, s.Concealed)
	require.EqualValues(t, 3*480, s.ConcealedLate)
	require.EqualValues(t, 1, s.Waited)
}

func TestCopyFarOff(t *testing.T) {
	p := settled(t)
	for _, off := range []uint32{3 * rate, 1 << 31, 1<<32 - 3*rate} {
		c := numbered(100)
		c.Copy = true
		c.Timestamp += off
		require.Equal(t, jitter.Strange, p.b.Insert(2*time.Second, c))
	}
}

func TestOriginalReplacesItsCopy(t *testing.T) {
	p := newPlayer(t, jitter.Config{})
	p.at(0, numbered(0))
	c := numbered(1)
	c.Copy, c.Value = true, -1
	p.at(20*ms, c)
	p.at(30*ms, numbered(1))
	p.run(200 * ms)
	require.Equal(t, []int{0, 1}, p.numbers())
}

func TestSilenceAfterCopies(t *testing.T) {
	p := newPlayer(t, jitter.Config{Min: 60 * ms})
	p.deliver(0, 100, 7*ms)
	for n := 100; n < 102; n++ { // both lost, both copied by 102
		c := numbered(n)
		c.Copy = true
		p.at(2047*ms, c)
	}
	p.at(2047*ms, numbered(102))
	next := numbered(103) // 300 ms of silence
	next.Timestamp += 15 * 960
	p.at(2367*ms, next)
	p.run(2440 * ms)
	require.Zero(t, p.b.Stats().Concealed)
	require.Equal(t, count(0, 104), p.numbers())
}

func TestRestart(t *testing.T) {
	for name, change := range map[string]func(*jitter.Packet){
		"sequence":              func(p *jitter.Packet) { p.Sequence += 20_000 },
		"timestamp forward":     func(p *jitter.Packet) { p.Timestamp += 1 << 30 },
		"timestamp back":        func(p *jitter.Packet) { p.Timestamp -= 1 << 30 },
		"both":                  func(p *jitter.Packet) { p.Sequence -= 9_000; p.Timestamp -= 500_000 },
		"timestamp a bit ahead": func(p *jitter.Packet) { p.Timestamp += 3 * rate },
	} {
		t.Run(name, func(t *testing.T) {
			p := settled(t)
			var first *jitter.Verdict
			for n := 100; n < 200; n++ {
				packet := numbered(n)
				change(&packet)
				v := p.at(time.Duration(n)*frame+8*ms, packet)
				if n == 100 {
					first = v
				}
			}
			p.run(3900 * ms)
			require.Equal(t, jitter.Strange, *first)
			s := p.b.Stats()
			require.EqualValues(t, 1, s.Restarts)
			require.Zero(t, s.Strange, "it belonged to the new beginning after all")
			require.Equal(t, count(0, 190), p.numbers()[:190])
			require.Less(t, s.Concealed, uint64(4*480))
		})
	}
}

func TestOneStrayPacketChangesNothing(t *testing.T) {
	p := settled(t)
	p.deliver(100, 200, 7*ms)
	for i := range 50 {
		stray := numbered(100 + i)
		stray.Sequence += uint16(20_000 + 500*i)
		stray.Timestamp += uint32(1<<30 + i*77_777)
		p.at(time.Duration(100+i)*frame+9*ms, stray)
	}
	p.run(3900 * ms)
	s := p.b.Stats()
	require.EqualValues(t, 50, s.Strange)
	require.Zero(t, s.Restarts)
	require.Zero(t, s.Concealed)
}

func TestTwoStrayPacketsThatDoNotFitEachOther(t *testing.T) {
	p := settled(t)
	for i, timestamp := range []uint32{0x10000000, 0x20000000, 0x1F000000} {
		require.Equal(t, jitter.Strange, p.b.Insert(2*time.Second, jitter.Packet{
			Sequence: uint16(30_000 + i), Timestamp: timestamp, Samples: 960,
		}))
	}
	require.Zero(t, p.b.Stats().Restarts)
}

func TestShortPacketsAreThereWhenTheirPullBegins(t *testing.T) {
	p := newPlayer(t, jitter.Config{Start: 1})
	for n := range 800 {
		p.at(time.Duration(n)*2500*time.Microsecond+7*ms, jitter.Packet{
			Sequence: uint16(n), Timestamp: uint32(n * 120), Samples: 120, Value: n,
		})
	}
	p.run(1900 * ms)
	require.Zero(t, p.b.Stats().Concealed)
	require.Equal(t, 13*ms, p.b.Stats().Delay)
}

func TestNothingPlayedIsHeldOnTo(t *testing.T) {
	p := newPlayer(t, jitter.Config{Start: 1})
	var values []weak.Pointer[[64]byte]
	for n := range 2 { // both in one pull
		value := new([64]byte)
		values = append(values, weak.Make(value))
		p.b.Insert(0, jitter.Packet{Sequence: uint16(n), Timestamp: uint32(n * 240), Samples: 240, Value: value})
	}
	p.run(30 * ms)
	require.EqualValues(t, 480, p.b.Stats().Played)
	runtime.GC()
	for _, v := range values {
		require.Nil(t, v.Value())
	}
	runtime.KeepAlive(p)
}

func TestPacketLengths(t *testing.T) {
	for _, length := range []time.Duration{2500 * time.Microsecond, 5 * ms, 10 * ms, 20 * ms, 40 * ms, 60 * ms, 120 * ms} {
		t.Run(length.String(), func(t *testing.T) {
			p := newPlayer(t, jitter.Config{})
			samples := int(length * rate / time.Second)
			total := int(6 * time.Second / length)
			lost := total / 2
			for n := range total {
				if n == lost {
					continue
				}
				p.at(time.Duration(n)*length+7*ms, jitter.Packet{
					Sequence: uint16(n), Timestamp: uint32(n * samples), Samples: samples, Value: n,
				})
			}
			p.run(5 * time.Second)
			s := p.b.Stats()
			require.EqualValues(t, samples, s.Concealed)
			require.LessOrEqual(t, s.Delay, 20*ms)
			require.Zero(t, s.Expanded)
			// Packets of less than a pull are seen by their first part only, but none twice and all in order.
			require.True(t, slices.IsSorted(p.numbers()))
			require.NotContains(t, p.numbers(), lost)
			require.EqualValues(t, int64(s.Played)+int64(s.Accelerated)+int64(s.Concealed)+int64(s.Silent), s.Pulled+s.Accelerated)
		})
	}
}

func TestOverflow(t *testing.T) {
	p := newPlayer(t, jitter.Config{Packets: 8})
	for n := range 20 {
		require.Equal(t, jitter.Accepted, p.b.Insert(time.Duration(n)*ms, numbered(n)))
	}
	s := p.b.Stats()
	require.EqualValues(t, 12, s.Overflowed)
	require.Equal(t, 8, s.Held)
	require.Equal(t, jitter.Late, p.b.Insert(20*ms, jitter.Packet{
		Sequence: numbered(0).Sequence - 1, Timestamp: numbered(0).Timestamp - 960, Samples: 960,
	}), "older than all that is held")
	require.EqualValues(t, 13, p.b.Stats().Overflowed)
}

func TestInvalid(t *testing.T) {
	p := newPlayer(t, jitter.Config{})
	for _, samples := range []int{0, -1, 5761, 1 << 62} {
		packet := numbered(0)
		packet.Samples = samples
		require.Equal(t, jitter.Invalid, p.b.Insert(0, packet))
	}
	require.EqualValues(t, 4, p.b.Stats().Invalid)
	p.run(100 * ms)
	require.EqualValues(t, 4800, p.b.Stats().Silent)
}

func TestConfig(t *testing.T) {
	for field, config := range map[string]jitter.Config{
		"Rate 44100":    {Rate: 44_100},
		"Rate 4000":     {Rate: 4000},
		"Min -1ns":      {Min: -1},
		"Max 1m0s":      {Max: time.Minute},
		"Start 200ms":   {Start: 200 * ms, Max: 100 * ms},
		"Packets 7":     {Packets: 7},
		"Packets 10000": {Packets: 10_000},
	} {
		_, err := jitter.New(config)
		require.ErrorContains(t, err, field)
		require.ErrorContains(t, err, "jitter.Config")
	}
	for _, config := range []jitter.Config{{}, {Rate: 8000}, {Rate: 16_000, Min: 20 * ms, Max: 200 * ms}} {
		_, err := jitter.New(config)
		require.NoError(t, err)
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "strange", jitter.Strange.String())
	require.Equal(t, "accelerate", jitter.Accelerate.String())
	require.Equal(t, "unknown", jitter.Action(9).String())
}

func steady(b *jitter.Buffer, value any) func() {
	n, now := 0, time.Duration(0)
	return func() {
		b.Insert(now+time.Duration(n%7)*ms, jitter.Packet{
			Sequence: uint16(65_530 + n), Timestamp: uint32(0xFFFF0000 + 960*n), Samples: 960, Value: value,
		})
		b.Pull(now + 8*ms)
		b.Pull(now + 18*ms)
		b.Stats()
		n++
		now += frame
	}
}

func TestNothingIsAllocated(t *testing.T) {
	b, err := jitter.New(jitter.Config{})
	require.NoError(t, err)
	step := steady(b, new(int))
	require.Zero(t, testing.AllocsPerRun(2000, step))
	require.Zero(t, b.Stats().Concealed)
}

func BenchmarkPacket(b *testing.B) {
	buffer, err := jitter.New(jitter.Config{})
	require.NoError(b, err)
	step := steady(buffer, new(int))
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}
