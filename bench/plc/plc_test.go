package plc

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	rate = 16_000
	ms   = rate / 1000
)

// vowel is so long a piece of a voice at a pitch in Hz: a fundamental and some harmonics.
func vowel(pitch float64, from, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		at := 2 * math.Pi * pitch * float64(from+i) / rate
		out[i] = float32(0.3*math.Sin(at) + 0.2*math.Sin(2*at+1) + 0.1*math.Sin(5*at+2))
	}
	return out
}

func energy(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum / float64(max(1, len(x)))
}

// steepest is the largest step from one sample to the next.
func steepest(x []float32) (most float64) {
	for i := 1; i < len(x); i++ {
		most = max(most, math.Abs(float64(x[i]-x[i-1])))
	}
	return most
}

func TestAHoleInAVowelGoesOnAsTheVowel(t *testing.T) {
	for _, pitch := range []float64{75, 110, 180, 240, 390} {
		c := New(rate)
		out := c.Play(nil, vowel(pitch, 0, 200*ms))
		out = c.Conceal(out, 10*ms)
		want := vowel(pitch, 200*ms, 10*ms)
		got := out[200*ms:]
		difference := make([]float32, len(got))
		for i := range got {
			difference[i] = got[i] - want[i]
		}
		require.Less(t, energy(difference), 0.1*energy(want), "%g Hz", pitch)
	}
}

func TestWhatIsMadeUpFades(t *testing.T) {
	c := New(rate)
	c.Play(nil, vowel(120, 0, 200*ms))
	made := c.Conceal(nil, 200*ms)
	before := math.Inf(1)
	for k := range 6 {
		now := energy(made[k*10*ms : (k+1)*10*ms])
		require.Less(t, now, 1.05*before, "never louder, %d0 ms", k)
		if k > 1 {
			require.Less(t, now, 0.95*before, "%d0 ms", k)
		}
		before = now
	}
	require.Zero(t, energy(made[60*ms:]))
}

func TestNothingClicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pitch := rapid.Float64Range(70, 390).Draw(t, "pitch")
		natural := steepest(vowel(pitch, 0, 400*ms))
		c := New(rate)
		at := rapid.IntRange(100*ms, 130*ms).Draw(t, "before")
		out := c.Play(nil, vowel(pitch, 0, at))
		for range rapid.IntRange(1, 5).Draw(t, "holes") {
			hole := rapid.IntRange(1, 12).Draw(t, "tens") * 10 * ms
			out = c.Conceal(out, hole)
			at += hole
			out = c.Play(out, vowel(pitch, at, 40*ms))
			at += 40 * ms
		}
		require.Len(t, out, at)
		// Where two stretches out of phase fade into each other they are steeper than either: up to 3.02 times was drawn.
		require.LessOrEqual(t, steepest(out), 4*natural, "%g Hz", pitch)
		for _, v := range out {
			require.LessOrEqual(t, math.Abs(float64(v)), 1.0)
		}
	})
}

func TestSilenceStaysSilent(t *testing.T) {
	c := New(rate)
	require.Zero(t, energy(c.Conceal(nil, 30*ms)), "nothing was said yet")
	c.Play(nil, make([]float32, 100*ms))
	require.Zero(t, energy(c.Conceal(nil, 30*ms)))
}

func TestStretchedSoundIsAsLongAsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(0, 40*ms).Draw(t, "of"), rapid.IntRange(0, 60*ms).Draw(t, "to")
		before := []float32{7}
		require.Len(t, Stretch(before, vowel(150, 0, n), m), 1+m)
	})
}

func TestStretchedSoundIsTheSameVoice(t *testing.T) {
	for _, pitch := range []float64{80, 150, 300} {
		natural := vowel(pitch, 0, 20*ms)
		for _, to := range []int{17 * ms, 18 * ms, 22 * ms, 23 * ms} {
			out := Stretch(nil, natural, to)
			require.LessOrEqual(t, steepest(out), 1.6*steepest(natural), "%g Hz to %d", pitch, to)
			require.Equal(t, natural[0], out[0], "it begins as it did")
			require.Equal(t, natural[len(natural)-1], out[len(out)-1], "and ends so")
			require.InEpsilon(t, energy(natural), energy(out), 0.35)
		}
	}
}
