package ladder

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// TestPeakIsOfTheLastSeconds: an encoder that says less for a moment is remembered by what it said before, for two marks.
func TestPeakIsOfTheLastSeconds(t *testing.T) {
	l := New(1)
	now := time.Second
	measure := func(bits uint32, pictures uint16, long time.Duration) Rung {
		for end := now + long; now < end; now += 200 * time.Millisecond {
			l.Measure(now, 0, now, []LayerRate{{Layer: codec.Layer{}, Bits: bits, Frames: pictures, Width: 640, Height: 360}})
		}
		rungs, _ := l.Rungs()
		return rungs[0]
	}
	r := measure(900_000, 30, 5*time.Second)
	require.EqualValues(t, 900_000, r.Bits)
	require.EqualValues(t, 900_000, r.Peak)
	require.True(t, l.Moves(0))
	r = measure(300_000, 6, time.Second)
	require.EqualValues(t, 300_000, r.Bits)
	require.EqualValues(t, 900_000, r.Peak)
	require.True(t, l.Moves(0), "it did a moment ago")
	r = measure(300_000, 6, 2*markEvery+time.Second)
	require.EqualValues(t, 300_000, r.Peak)
	require.False(t, l.Moves(0))
}

// TestAGuessIsOfAllLayers: an encoding with temporal layers that stops before its first second is over is remembered at what its
// size lets expect, not at as many times that, and with as many pictures as a second of it would have had.
func TestAGuessIsOfAllLayers(t *testing.T) {
	l := New(1)
	now := time.Second
	for i := range uint16(4) {
		l.Measure(now, 0, now, []LayerRate{
			{Layer: codec.Layer{}, Bits: 90_000, Frames: 1 + i, Width: 640, Height: 360},
			{Layer: codec.Layer{Temporal: 1}, Bits: 50_000, Frames: 1 + i, Width: 640, Height: 360},
			{Layer: codec.Layer{Temporal: 2}, Bits: 90_000, Frames: 2 + 2*i, Width: 640, Height: 360},
		})
		now += 150 * time.Millisecond
	}
	l.Measure(now+Silence, 0, now-150*time.Millisecond, nil)
	rungs, _ := l.Rungs()
	top := rungs[len(rungs)-1]
	require.True(t, top.Guess)
	require.False(t, top.Flows)
	require.InDelta(t, usual*640*360, float64(top.Bits), 3)
	require.InDelta(t, 30, int(top.Rate), 6)
}
