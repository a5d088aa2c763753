package cc

import (
	"context"
	"encoding/json"
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

func TestHuntEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all, worst := Hunt(ctx, at(500 * bwe.Kbps)[0], 3, 0, 5, true, func(played int, _ Score) {
		if played > 32 {
			cancel()
		}
	})
	require.Len(t, all, 32+16, "the round under way ends; half of the second are neighbours")
	require.NotEmpty(t, worst)
}
