//go:build !race

// One goroutine plays: there is nothing to race with. Tests of what several play at once have the race detector.

package cc

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Whatever is drawn or changed is a case that can be played: it outlasts a file, its phases are in order, and each flow could
// have its least share.
func TestDrawnCasesAreSound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d := Draw(random)
	for i := range 3000 {
		if i%3 == 0 {
			d = Draw(random)
		} else {
			d = d.Change(random)
		}
		c := d.Case()
		require.NoError(t, c.Links[0].Check(), "%v", d)
		for _, step := range c.Links[0].Steps {
			if !step.Link.Blackout {
				require.GreaterOrEqual(t, step.Link.Rate, int64(leastShare*1000*len(c.Flows)), "%v", d)
			}
			require.Less(t, step.At, c.Duration, "%v", d)
		}
		require.Less(t, c.Flows[len(c.Flows)-1].Start, c.Duration)
		b, err := json.Marshal(d)
		require.NoError(t, err)
		var again Drawn
		require.NoError(t, json.Unmarshal(b, &again))
		require.Equal(t, d.name(), again.name())
		require.Equal(t, c, again.Case())
	}
}

// A flow that has all it could scores nothing; one that sends a tenth misses 72 % of its worth, and one that overruns its
// link pays for queue and loss.
func TestScore(t *testing.T) {
	d := Drawn{Seed: 1, Seconds: 30, Phases: []DrawnPhase{{0, 3200}}, QueueMS: 300, Flows: []DrawnFlow{{DelayMS: 20, MaxKbps: 2800}}}
	full := d.Play(at(3200 * bwe.Kbps)[0])
	require.Less(t, full.Total, 0.05)

	d.Flows[0].MaxKbps = 3200
	tenth := d.Play(at(320 * bwe.Kbps)[0])
	require.InDelta(t, 0.72, tenth.Regret, 0.01)
	require.Zero(t, tenth.Excess)

	d.Phases[0].Kbps = 1600
	over := d.Play(at(3200 * bwe.Kbps)[0])
	require.Less(t, over.Regret, 0.01)
	require.Greater(t, over.QueueP95, 280.0)
	require.Greater(t, over.Excess, 0.4)
	require.InDelta(t, over.Regret+lossWeight*over.Excess+queueWeight*over.QueueP95, over.Total, 1e-9)
}

func TestHuntIsTheSameForTheSameSeed(t *testing.T) {
	hunt := func(seed uint64) (all, worst []Found) {
		calls := 0
		all, worst = Hunt(t.Context(), at(500 * bwe.Kbps)[0], seed, 80, 5, true, func(played int, _ Score) { calls++ })
		require.Equal(t, 3, calls)
		return all, worst
	}
	all, worst := hunt(1)
	again, sameWorst := hunt(1)
	require.Equal(t, all, again)
	require.Equal(t, worst, sameWorst)
	require.Len(t, all, 32+16+8, "the first round is all draws, the others are half neighbours")
	require.Len(t, worst, 5)
	for i := 1; i < len(worst); i++ {
		require.GreaterOrEqual(t, worst[i-1].Score.Total, worst[i].Score.Total)
	}
	_, other := hunt(2)
	require.NotEqual(t, worst, other)
}
