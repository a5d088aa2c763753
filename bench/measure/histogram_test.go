package measure

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	require.Zero(t, h.Distribution())
	for i := 1; i <= 1000; i++ {
		h.Add(time.Duration(i) * time.Millisecond)
	}
	d := h.Distribution()
	require.Equal(t, int64(1000), d.Count)
	require.Equal(t, 500.5, d.Mean)
	require.Equal(t, 1000.0, d.Max)
	require.InEpsilon(t, 500, d.P50, 0.001)
	require.InEpsilon(t, 990, d.P99, 0.001)
	require.Equal(t, 1.0, h.Percentile(0))

	h.Add(-time.Millisecond)
	h.Add(2 * time.Minute)
	negative, over := h.Clamped()
	require.Equal(t, []int64{1, 1}, []int64{negative, over})
	require.Equal(t, 0.0, h.Percentile(0))
	require.Equal(t, 60_000.0, h.Distribution().Max)
}

// Parts that travelled as JSON and were put together say what one whole would.
func TestHistogramsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole, sum Histogram
		for _, part := range rapid.SliceOf(rapid.SliceOf(rapid.Int64Range(-1000, 70e6))).Draw(t, "parts") {
			var h Histogram
			for _, us := range part {
				h.Add(time.Duration(us) * time.Microsecond)
				whole.Add(time.Duration(us) * time.Microsecond)
			}
			b, err := json.Marshal(h)
			require.NoError(t, err)
			var back Histogram
			require.NoError(t, json.Unmarshal(b, &back))
			require.Equal(t, h.Distribution(), back.Distribution())
			sum.Merge(&back)
		}
		want, got := whole.Distribution(), sum.Distribution()
		require.InDelta(t, want.Mean, got.Mean, 1e-6*(1+want.Mean))
		got.Mean = want.Mean
		require.Equal(t, want, got)
		wantNegative, wantOver := whole.Clamped()
		negative, over := sum.Clamped()
		require.Equal(t, []int64{wantNegative, wantOver}, []int64{negative, over})
	})
}

func TestHistogramTakesNoRubbish(t *testing.T) {
	for _, b := range []string{`7`, `{"v2":"x"}`, `{"v2":"HISTFAAAAAF42g=="}`, `{"v2":7}`} {
		var h Histogram
		require.Error(t, json.Unmarshal([]byte(b), &h), "%s", b)
	}
}

func FuzzHistogramJSON(f *testing.F) {
	var h Histogram
	h.Add(time.Millisecond)
	h.Add(time.Second)
	b, err := json.Marshal(h)
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, sum Histogram
		if json.Unmarshal(b, &h) != nil {
			return
		}
		d := h.Distribution()
		require.LessOrEqual(t, d.P50, d.P99)
		require.LessOrEqual(t, d.P99, d.Max)
		sum.Merge(&h)
		sum.Add(time.Millisecond)
		require.Equal(t, d.Count+1, sum.Count())
	})
}

func TestSkew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(-500, 500), 1, 100).Draw(t, "ms")
		var s, merged Skew
		for _, v := range values {
			s.Add(time.Duration(v) * time.Millisecond)
		}
		b, err := json.Marshal(s)
		require.NoError(t, err)
		var back Skew
		require.NoError(t, json.Unmarshal(b, &back))
		merged.Merge(&back)
		slices.Sort(values)
		for _, p := range []float64{1, 5, 50, 95, 99, 100} {
			want := float64(values[max(0, int(math.Ceil(p/100*float64(len(values))))-1)])
			require.InDelta(t, want, merged.Percentile(p), 0.001*math.Abs(want)+1e-9, "p%v", p)
		}
		require.Equal(t, s.Distribution(), merged.Distribution())
	})
}

func TestSummarize(t *testing.T) {
	require.Zero(t, Summarize(nil))
	values := []float64{}
	for i := 100; i >= 1; i-- {
		values = append(values, float64(i))
	}
	require.Equal(t, Distribution{100, 50.5, 50, 90, 95, 99, 100}, Summarize(values))
	require.Equal(t, 5.0, rank(values, 5))
}
