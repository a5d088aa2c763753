package ladder_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

// A second's rate falls for as long as nothing comes. What is remembered of an encoding that was stopped is what it brought
// before, also while it does not count as silent yet, and also if it flowed for no more than two seconds.
func TestAnEncodingThatStopsKeepsItsRate(t *testing.T) {
	l := ladder.New(1)
	full := ladder.LayerRate{Bits: 700_000, Frames: 30, Width: 640, Height: 360}
	for now := time.Duration(0); now <= 1400*time.Millisecond; now += 200 * time.Millisecond {
		l.Measure(now+1, 0, now+1, []ladder.LayerRate{full})
	}
	heard := 1400 * time.Millisecond
	for gap := 150 * time.Millisecond; gap < time.Second; gap += 50 * time.Millisecond {
		left := full
		left.Bits = uint32(float64(full.Bits) * (1 - gap.Seconds()))
		left.Frames = uint16(float64(full.Frames) * (1 - gap.Seconds()))
		l.Measure(heard+gap, 0, heard, []ladder.LayerRate{left})
		rungs, _ := l.Rungs()
		require.Len(t, rungs, 1)
		require.Equal(t, uint32(700_000), rungs[0].Bits, "after %v", gap)
		require.Equal(t, gap <= ladder.Silence, rungs[0].Flows)
	}
}

// Of a screen that sends two pictures a second half a second between two of them is no end.
func TestAScreenThatShowsLittleIsMeasured(t *testing.T) {
	l := ladder.New(1)
	for now := time.Duration(0); now <= 5*time.Second; now += 200 * time.Millisecond {
		bits := uint32(700_000)
		if now > 3*time.Second {
			bits = 50_000
		}
		l.Measure(now+1, 0, now+1-now%(500*time.Millisecond), []ladder.LayerRate{{Bits: bits, Frames: 2, Width: 640, Height: 360}})
	}
	rungs, _ := l.Rungs()
	require.Equal(t, uint32(50_000), rungs[0].Bits)
}

// Nobody wants an encoding that has just begun: it is stopped before a second of it is known, and counts as silent only later.
// What is remembered is how its pictures came, without the time in which none did.
func TestAnEncodingThatStopsInItsFirstSecondIsSmooth(t *testing.T) {
	l := ladder.New(1)
	const flowed = 400 * time.Millisecond
	for now := time.Duration(0); now <= flowed+ladder.Silence+200*time.Millisecond; now += 200 * time.Millisecond {
		heard := min(now, flowed) + 1
		pictures := uint16(1 + heard*30/time.Second)
		l.Measure(now+1, 0, heard, []ladder.LayerRate{{Bits: uint32(pictures) * 20_000, Frames: pictures, Width: 640, Height: 360}})
		if now >= flowed {
			rungs, _ := l.Rungs()
			require.GreaterOrEqual(t, rungs[0].Rate, uint8(28), "after %v", now)
			require.True(t, rungs[0].Guess)
		}
	}
	require.False(t, l.Flows(0))
}
