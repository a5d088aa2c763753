package shard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestAMeterKeepsItsRate: whatever comes, no window lets more through than its length's worth and a second's, and the
// bounds hold for each half by itself.
func TestAMeterKeepsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{rapid.IntRange(1, 5000).Draw(t, "packets"), rapid.IntRange(20_000, 50_000_000).Draw(t, "bits")}
		gap := rapid.IntRange(0, 3_000_000)
		size := rapid.IntRange(12, 1500)
		type taken struct {
			at   time.Duration
			bits int
		}
		var m meter
		var now time.Duration
		var through []taken
		for range 300 {
			now += time.Duration(gap.Draw(t, "gap")) * time.Duration(rapid.SampledFrom([]int{0, 1, 1, 1, 500}).Draw(t, "stretch"))
			n := size.Draw(t, "size")
			if m.take(now, r, n) {
				through = append(through, taken{now, 8 * n})
			}
		}
		for i := range through {
			bits := 0
			for j := i; j < len(through); j++ {
				bits += through[j].bits
				window := (through[j].at - through[i].at + rateDepth).Seconds()
				require.LessOrEqual(t, float64(j-i+1), window*float64(r.PacketsPerSecond)*1.0001+1)
				require.LessOrEqual(t, float64(bits), window*float64(r.BitsPerSecond)*1.0001+1500*8)
			}
		}
	})
}

// TestAMeterLeavesWhatIsWithinItsRate: a steady stream at the rate, and a second's worth at once after a pause.
func TestAMeterLeavesWhatIsWithinItsRate(t *testing.T) {
	r := Rate{1000, 8_000_000}
	var m meter
	var now time.Duration
	for range 10_000 {
		now += time.Millisecond
		require.True(t, m.take(now, r, 1000))
	}
	now += time.Second
	for range 1000 {
		require.True(t, m.take(now, r, 1000))
	}
	require.False(t, m.take(now, r, 1000))
	require.True(t, m.take(now+time.Millisecond, r, 1000))
}

func TestNoRateIsNoBound(t *testing.T) {
	var m meter
	for range 100_000 {
		require.True(t, m.take(0, Rate{}, 1500))
	}
}

func TestAMeterAllocatesNothing(t *testing.T) {
	var m meter
	require.Zero(t, testing.AllocsPerRun(1000, func() { m.take(time.Second, Rate{10, 10}, 100) }))
}
