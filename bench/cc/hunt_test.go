package cc

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// What once went badly does not go worse: each file of testdata/worst, found by 'tolkyn bench cc hunt --keep'.
func TestWorstCasesKeepTheirBounds(t *testing.T) {
	files, err := filepath.Glob("testdata/worst/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	if raced {
		files = files[:2]
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			var k Kept
			require.NoError(t, json.Unmarshal(b, &k))
			require.Equal(t, filepath.Base(path), k.Drawn.name()+".json", "the file is named by its case")
			got := k.Drawn.Mean(Tolkyn, keptSeeds)
			if *update {
				require.NoError(t, Kept{Found{k.Drawn, got}, bound(got)}.write(path))
				return
			}
			require.LessOrEqual(t, got.Regret, k.Bound.Regret, "regret of %v", k.Drawn)
			require.LessOrEqual(t, got.QueueP95, k.Bound.QueueP95, "queue of %v", k.Drawn)
			require.LessOrEqual(t, got.Excess, k.Bound.Excess, "loss of %v", k.Drawn)
			require.LessOrEqual(t, got.Total, k.Bound.Total, "score of %v", k.Drawn)
		})
	}
}

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

func TestHuntEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all, worst := Hunt(ctx, at(500 * bwe.Kbps)[0], 3, 0, 5, false, func(int, Score) { cancel() })
	require.Len(t, all, 32, "the round under way ends")
	require.NotEmpty(t, worst)
}
