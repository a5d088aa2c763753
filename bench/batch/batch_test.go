package batch_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/batch"
)

func TestEachRunsOnceAndIsTold(t *testing.T) {
	ran, told := make([]int, 100), 0
	batch.Play(t.Context(), len(ran), func(i int) { ran[i]++ }, func(done, of int) {
		told++
		require.Equal(t, told, done)
		require.Equal(t, len(ran), of)
	})
	for _, times := range ran {
		require.Equal(t, 1, times)
	}
	require.Equal(t, len(ran), told)
}

func TestAnEndLeavesOutWhatHasNotBegun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	batch.Play(ctx, 1000, func(int) { cancel() }, func(int, int) { told++ })
	require.Positive(t, told)
	require.Less(t, told, 1000)
	batch.Play(ctx, 0, func(int) { t.Error("nothing was asked for") }, func(int, int) {})
}
