package client

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const kbps = bwe.Kbps

// ladder is a simulcast whose owner does not follow targets.
func ladder() []*share {
	return []*share{{first: true, demand: 150 * kbps}, {demand: 500 * kbps}, {demand: 1200 * kbps}}
}

func pausedOf(shares []*share) (out []bool) {
	for _, c := range shares {
		out = append(out, c.paused)
	}
	return out
}

func TestHighestPausesFirstAndReturns(t *testing.T) {
	s, shares := &sharing{}, ladder()
	at := time.Second
	run := func(lasts bwe.Bitrate, d time.Duration) {
		for end := at + d; at < end; at += 50 * time.Millisecond {
			s.step(at, lasts, lasts, shares)
		}
	}
	run(2300*kbps, time.Second)
	require.Equal(t, []bool{false, false, false}, pausedOf(shares))
	require.Equal(t, 1200*kbps, shares[2].target)

	run(500*kbps, 50*time.Millisecond)
	require.Equal(t, []bool{false, true, true}, pausedOf(shares), "a flood does not wait")
	run(800*kbps, time.Second)
	require.Equal(t, []bool{false, true, true}, pausedOf(shares), "it rests")
	run(800*kbps, 2*time.Second)
	require.Equal(t, []bool{false, false, true}, pausedOf(shares))
	run(2000*kbps, 10*time.Second)
	require.Equal(t, []bool{false, false, true}, pausedOf(shares), "1.85 Mbit/s need 2.03 to return")
	run(2100*kbps, 950*time.Millisecond)
	require.Equal(t, []bool{false, false, true}, pausedOf(shares))
	run(2100*kbps, 100*time.Millisecond)
	require.Equal(t, []bool{false, false, false}, pausedOf(shares))

	run(1800*kbps, 2*time.Second)
	require.False(t, shares[2].paused, "5 % are nothing")
	run(1700*kbps, 250*time.Millisecond)
	require.False(t, shares[2].paused, "more has patience")
	run(1700*kbps, 100*time.Millisecond)
	require.True(t, shares[2].paused)
	run(2300*kbps, 3900*time.Millisecond)
	require.True(t, shares[2].paused, "it came back in vain: now it rests for 4 s")
	run(2300*kbps, 200*time.Millisecond)
	require.False(t, shares[2].paused)
}

// The smallest encoding of each track stays, and tracks are equals: both second ones go before a first one.
func TestFirstEncodingsStay(t *testing.T) {
	s := &sharing{}
	shares := []*share{{first: true, demand: 300 * kbps}, {first: true, demand: 300 * kbps}, {demand: 900 * kbps}, {demand: 900 * kbps}}
	s.step(time.Second, 50*kbps, 50*kbps, shares)
	require.Equal(t, []bool{false, false, true, true}, pausedOf(shares))
	require.Equal(t, 50*kbps, shares[0].target+shares[1].target)
}

// Who follows targets is squeezed to its least before it is paused, from the top.
func TestTargets(t *testing.T) {
	shares := func() []*share {
		return []*share{
			{first: true, follows: true, least: 80 * kbps, most: 150 * kbps},
			{follows: true, most: 500 * kbps},
			{follows: true, most: 1500 * kbps},
		}
	}
	for _, test := range []struct {
		target bwe.Bitrate
		want   []bwe.Bitrate
	}{
		{5000 * kbps, []bwe.Bitrate{150 * kbps, 500 * kbps, 1500 * kbps}},
		{1800 * kbps, []bwe.Bitrate{150 * kbps, 500 * kbps, 1150 * kbps}},
		{1200 * kbps, []bwe.Bitrate{150 * kbps, 300 * kbps, 750 * kbps}},
		{700 * kbps, []bwe.Bitrate{150 * kbps, 500 * kbps, 0}},
		{350 * kbps, []bwe.Bitrate{100 * kbps, 250 * kbps, 0}},
		{60 * kbps, []bwe.Bitrate{60 * kbps, 0, 0}},
	} {
		s, all := &sharing{}, shares()
		for at := time.Second; at < 2*time.Second; at += 50 * time.Millisecond {
			s.step(at, test.target, test.target, all)
		}
		for i, c := range all {
			require.Equal(t, test.want[i], c.target, "%v: encoding %d", test.target, i)
		}
	}
	require.Equal(t, 2150*kbps, wants(shares()))
	one := []*share{{first: true, follows: true}}
	(&sharing{}).step(time.Second, 777*kbps, 777*kbps, one)
	require.Equal(t, 777*kbps, one[0].target, "a single one that says nothing gets all")
	require.Equal(t, 2500*kbps, wants(one))
	one[0].demand = 3000 * kbps
	require.Equal(t, 4500*kbps, wants(one))
}

// A queue of now lowers targets, and pauses nobody.
func TestPassingQueuePausesNobody(t *testing.T) {
	s, shares := &sharing{}, ladder()
	for at := time.Second; at < 3*time.Second; at += 50 * time.Millisecond {
		s.step(at, 900*kbps, 2000*kbps, shares)
	}
	require.Equal(t, []bool{false, false, false}, pausedOf(shares))
	require.Equal(t, 250*kbps, shares[2].target)
}

// Whatever the estimates, targets never exceed them, a higher encoding is never sent where a lower one of the same size of step is
// paused, and nobody comes back within two seconds.
func TestSharingHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sharing{}
		var shares []*share
		for range rapid.IntRange(1, 3).Draw(t, "tracks") {
			shares = append(shares, &share{first: true})
		}
		for range rapid.IntRange(0, 4).Draw(t, "more") {
			shares = append(shares, &share{})
		}
		for i, c := range shares {
			c.demand = bwe.Bitrate(rapid.IntRange(10, 3000).Draw(t, "kbps")) * kbps
			c.follows = rapid.Bool().Draw(t, "follows")
			if rapid.Bool().Draw(t, "says") {
				c.most = bwe.Bitrate(rapid.IntRange(10*(i+1), 3000).Draw(t, "most")) * kbps
			}
		}
		at, pausedAt := time.Second, map[*share]time.Duration{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			at += 50 * time.Millisecond
			lasts := bwe.Bitrate(rapid.IntRange(30, 8000).Draw(t, "lasts")) * kbps
			was := pausedOf(shares)
			s.step(at, lasts, lasts, shares)
			sum := bwe.Bitrate(0)
			for i, c := range shares {
				sum += c.target
				switch {
				case c.paused && c.first:
					t.Fatal("a first encoding is paused")
				case c.paused && c.target != 0:
					t.Fatal("a paused one has a target")
				case c.paused && !was[i]:
					pausedAt[c] = at
				case !c.paused && was[i] && (at-pausedAt[c] < firstRest || !c.resuming):
					t.Fatalf("back after %v, said %v", at-pausedAt[c], c.resuming)
				}
			}
			if sum > lasts {
				t.Fatalf("targets are %v of %v", sum, lasts)
			}
			if over := needs(shares); float64(over) > flood*float64(lasts) {
				for _, c := range shares {
					if !c.paused && !c.first {
						t.Fatalf("needs of %v are sent into %v", over, lasts)
					}
				}
			}
		}
	})
}

// Who is told targets and does not care is taken by what it gives, as who is told none: or its largest encoding would be sent into
// a path that does not carry it for ever.
func TestWhoDoesNotFollowIsPaused(t *testing.T) {
	s := &sharing{}
	shares := []*share{
		{first: true, follows: true, least: 50 * kbps, most: 150 * kbps, demand: 150 * kbps},
		{follows: true, least: 100 * kbps, most: 350 * kbps, demand: 350 * kbps},
		{follows: true, least: 200 * kbps, most: 1200 * kbps, demand: 1200 * kbps},
	}
	at := time.Second
	run := func(lasts bwe.Bitrate, d time.Duration, follows bool) {
		for end := at + d; at < end; at += 50 * time.Millisecond {
			s.step(at, lasts, lasts, shares)
			for _, c := range shares {
				if follows && !c.paused {
					c.demand -= (c.demand - c.target) / 8 // half of it in 250 ms
				}
			}
		}
	}
	run(2500*kbps, 5*time.Second, true)
	run(600*kbps, 10*time.Second, true)
	require.Equal(t, []bool{false, false, false}, pausedOf(shares), "who follows is not paused")
	run(2500*kbps, 5*time.Second, true)
	for i, bitrate := range []bwe.Bitrate{150, 350, 1200} {
		shares[i].demand = bitrate * kbps
	}
	run(2500*kbps, 5*time.Second, false)
	require.Equal(t, []bool{false, false, false}, pausedOf(shares))
	run(600*kbps, 3*time.Second, false)
	require.Equal(t, []bool{false, false, true}, pausedOf(shares))
	run(600*kbps, 30*time.Second, false)
	require.Equal(t, []bool{false, false, true}, pausedOf(shares), "it is not tried again before it fits")
	run(2500*kbps, 5*time.Second, false)
	require.Equal(t, []bool{false, false, false}, pausedOf(shares))
}

// When the smaller encodings of a track are not wanted any more its first one is another, and that is never paused.
func TestWhoBecomesFirstIsNotPaused(t *testing.T) {
	s, shares := &sharing{}, ladder()
	s.step(time.Second, 200*kbps, 200*kbps, shares)
	require.Equal(t, []bool{false, true, true}, pausedOf(shares))
	shares = shares[1:]
	shares[0].first = true
	s.step(1100*time.Millisecond, 200*kbps, 200*kbps, shares)
	require.Equal(t, []bool{false, true}, pausedOf(shares))
	require.True(t, shares[0].resuming, "it needs a keyframe")
}

// A keyframe of all encodings at once, ten times as large as other pictures, pauses nobody where all of them fit.
func TestKeyframesPauseNobody(t *testing.T) {
	var m [3]measured
	s, shares := &sharing{}, ladder()
	begin := time.Now()
	for at := time.Duration(0); at < time.Minute; at += 10 * time.Millisecond {
		if at%(30*time.Millisecond) == 0 {
			for i, bitrate := range []int{150_000, 500_000, 1_200_000} {
				size := bitrate / 8 * 30 / 1000
				if at%(5010*time.Millisecond) == 0 {
					size *= 10
				}
				m[i].bytes += size
			}
		}
		if at%(50*time.Millisecond) == 0 {
			for i, c := range shares {
				c.demand = m[i].read(begin.Add(at), c.paused)
			}
			s.step(time.Second+at, 2050*kbps, 2050*kbps, shares)
			require.Equal(t, []bool{false, false, false}, pausedOf(shares), "after %v: %v", at, shares[2].demand)
		}
	}
	require.InEpsilon(t, 1_200_000, float64(shares[2].demand), 0.1)
}
