package client

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// guarded is what a vigil watches over: packets come every so often and answers after a round trip, both with loss each way.
type guarded struct {
	every, trip   time.Duration
	loss          float64 // each way
	dead, deadTCP bool
}

type comes struct {
	at     time.Duration
	answer func(now time.Duration)
}

// play runs a vigil for d; it returns how often it took TCP, when first, and how many checks went over UDP.
func (p guarded) play(v *vigil, seed uint64, from, d time.Duration, overTCP *bool) (taken int, first time.Duration, asked int) {
	dice := rand.New(rand.NewPCG(seed, 0))
	lost := func(times int) bool {
		for range times {
			if dice.Float64() < p.loss {
				return true
			}
		}
		return p.dead
	}
	var coming []comes
	next := from
	for now := from; now < from+d; now += time.Millisecond {
		for ; next <= now; next += p.every {
			if !lost(1) && !*overTCP {
				v.hear(now)
			}
		}
		rest := coming[:0]
		for _, c := range coming {
			if c.at <= now {
				c.answer(now)
			} else {
				rest = append(rest, c)
			}
		}
		coming = rest
		for {
			order, _ := v.poll(now, *overTCP)
			if order == 0 {
				break
			}
			sent := now
			switch order {
			case askUDP, nominateUDP:
				asked++
				if !lost(2) {
					coming = append(coming, comes{now + p.trip, func(now time.Duration) { v.hear(now); v.answer(now, order == nominateUDP) }})
				}
			case askTCP:
				if !p.deadTCP {
					coming = append(coming, comes{now + p.trip, func(now time.Duration) { v.answerTCP(now, sent) }})
				}
			case takeTCP:
				if taken++; taken == 1 {
					first = now - from
				}
				*overTCP = true
			case takeUDP:
				*overTCP = false
			}
		}
	}
	return taken, first, asked
}

func TestLossIsNoDeath(t *testing.T) {
	for _, c := range []struct {
		guarded
		most int // in an hour
	}{
		{guarded{every: 20 * time.Millisecond, trip: 50 * time.Millisecond, loss: 0.3}, 0},
		{guarded{every: 60 * time.Millisecond, trip: 50 * time.Millisecond, loss: 0.3}, 5},
		{guarded{every: 60 * time.Millisecond, trip: 300 * time.Millisecond, loss: 0.3}, 5},
		{guarded{every: 400 * time.Millisecond, trip: 50 * time.Millisecond, loss: 0.3}, 5},
		{guarded{every: 2 * time.Second, trip: 50 * time.Millisecond, loss: 0}, 0},
	} {
		var v vigil
		var overTCP bool
		v.hear(0)
		taken, _, asked := c.play(&v, 1, 0, time.Hour, &overTCP)
		t.Logf("%+v: TCP taken %d times, %.2f checks a second", c.guarded, taken, float64(asked)/3600)
		require.LessOrEqual(t, taken, c.most)
		require.Less(t, float64(asked)/3600, 1.5)
	}
}

func TestDeathIsNoticed(t *testing.T) {
	for _, c := range []struct {
		guarded
		within time.Duration
	}{
		{guarded{every: 20 * time.Millisecond, trip: 50 * time.Millisecond, loss: 0}, 510 * time.Millisecond},
		{guarded{every: 20 * time.Millisecond, trip: 50 * time.Millisecond, loss: 0.3}, 510 * time.Millisecond},
		{guarded{every: 60 * time.Millisecond, trip: 300 * time.Millisecond, loss: 0.3}, time.Second},
		{guarded{every: 2 * time.Second, trip: 50 * time.Millisecond, loss: 0}, 3500 * time.Millisecond},
	} {
		for seed := range uint64(20) {
			var v vigil
			var overTCP bool
			v.hear(0)
			c.play(&v, seed, 0, 10*time.Second, &overTCP)
			require.False(t, overTCP)
			c.dead = true
			_, first, _ := c.play(&v, seed, 10*time.Second, 10*time.Second, &overTCP)
			require.True(t, overTCP)
			require.LessOrEqual(t, first, c.within)
			c.dead = false
			c.play(&v, seed, 20*time.Second, time.Minute, &overTCP)
			if c.loss == 0 {
				require.False(t, overTCP, "it lives again")
			}
		}
	}
}

// With neither path there is nothing to take, and nobody is flooded with questions.
func TestBothDead(t *testing.T) {
	p := guarded{every: 20 * time.Millisecond, trip: 50 * time.Millisecond}
	var v vigil
	var overTCP bool
	v.hear(0)
	p.play(&v, 1, 0, 5*time.Second, &overTCP)
	p.dead, p.deadTCP = true, true
	_, _, asked := p.play(&v, 1, 5*time.Second, time.Minute, &overTCP)
	require.False(t, overTCP)
	require.LessOrEqual(t, asked, 20+2*60)
}

// A NAT that has forgotten us ends the spare connection with the first question over it: the next one goes over another.
func TestTCPThatEndsInDoubtIsAskedAnew(t *testing.T) {
	var v vigil
	v.hear(0)
	v.hear(20 * time.Millisecond)
	now := time.Second
	order, _ := v.poll(now, false)
	require.Equal(t, askTCP, order)
	order, _ = v.poll(now, false)
	require.Equal(t, askUDP, order)
	v.lostTCP()
	order, _ = v.poll(now, false)
	require.Equal(t, askTCP, order)
}
