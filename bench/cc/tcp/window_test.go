package tcp

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// after a loss at a window of so many segments, acknowledged a whole window each round trip for a time.
func after(a Algorithm, size float64, roundTrip, d time.Duration) float64 {
	w := newWindow(a)
	w.size = size
	w.shrink()
	for now := time.Duration(0); now < d; now += roundTrip {
		for range int(w.size) {
			w.grow(now, roundTrip, 1)
		}
	}
	return w.size
}

// RFC 9438 §4.2: 0.4 (t − K)³ + W_max, one round trip ahead. K is ∛(0.3 · 1000 / 0.4) = 9.086 s.
func TestCubicCurve(t *testing.T) {
	const roundTrip = 100 * time.Millisecond
	reach := math.Cbrt(0.3 * 1000 / 0.4)
	for _, seconds := range []float64{1, 3, 5, 7, 9, 11, 13} {
		want := 1000 + 0.4*math.Pow(seconds-reach, 3)
		// A window that is 1/e short of the target after one round trip is that far behind the curve's slope.
		slope := 3 * 0.4 * math.Pow(seconds-reach, 2) * roundTrip.Seconds()
		require.InDelta(t, want, after(Cubic, 1000, roundTrip, time.Duration(seconds*float64(time.Second))), 0.7*slope+0.3,
			"%v s after the loss", seconds)
	}
}

// RFC 9438 §4.3: where the curve is slow, the window grows by 3 · 0.3 / 1.7 segments a round trip up to the last window, then by one.
func TestCubicRenoFriendlyRegion(t *testing.T) {
	const roundTrip = 10 * time.Millisecond
	require.InDelta(t, 70+0.529*20, after(Cubic, 100, roundTrip, 20*roundTrip), 0.5)
	require.InDelta(t, 100+43, after(Cubic, 100, roundTrip, 100*roundTrip), 1.5, "57 round trips to 100, then one each")
}

// RFC 9438 §4.7: who loses below the last plateau takes a lower one.
func TestFastConvergence(t *testing.T) {
	w := newWindow(Cubic)
	w.size = 100
	w.shrink()
	require.Equal(t, 100.0, w.origin)
	require.Equal(t, 70.0, w.size)
	w.shrink()
	require.Equal(t, 70*0.85, w.origin)
	require.Equal(t, 49.0, w.size)
	w.collapse()
	require.Equal(t, 1.0, w.size)
	require.InDelta(t, 34.3, w.threshold, 1e-9)
}
