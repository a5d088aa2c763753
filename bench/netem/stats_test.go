package netem

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Quantiles are those of the sorted values, to the microsecond or 1 in 128.
func TestDelays(t *testing.T) {
	require.Zero(t, new(delays).sum())
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 2_000_000_000), 1, 300).Draw(t, "microseconds")
		small := rapid.IntRange(0, 31).Draw(t, "smaller by so many bits")
		var d delays
		for i := range values {
			values[i] >>= small
			d.add(time.Duration(values[i]) * time.Microsecond)
		}
		slices.Sort(values)
		for _, share := range []float64{0.01, 0.5, 0.99, 1} {
			rank := 0
			for float64(rank+1) < share*float64(len(values)) {
				rank++
			}
			require.InDelta(t, values[rank], d.quantile(share).Microseconds(), max(1, float64(values[rank])/128), share)
		}
		require.Equal(t, values[len(values)-1], d.sum().Max.Microseconds())
	})
	var d delays
	d.add(24 * time.Hour)
	d.add(-time.Second)
	require.Equal(t, 24*time.Hour, d.sum().Max, "beyond the last counter, and before the first")
}

func TestArrivals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q arrivals[int]
		var want []arrival[int]
		for i, at := range rapid.SliceOf(rapid.Int64Range(0, 20)).Draw(t, "times") {
			a := arrival[int]{at: time.Duration(at), order: uint64(i), to: i}
			q.push(a)
			want = append(want, a)
		}
		slices.SortStableFunc(want, func(a, b arrival[int]) int { return int(a.at - b.at) })
		for _, a := range want {
			require.Equal(t, a, q.pop())
		}
		require.Empty(t, q)
	})
}
