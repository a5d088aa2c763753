package measure

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// G.107 annex B gives MOS for these R, to two places.
func TestMOSOfR(t *testing.T) {
	for r, want := range map[float64]float64{
		-1: 1, 0: 1, 50: 2.58, 60: 3.10, 70: 3.60, 80: 4.03, 90: 4.34, 93.2: 4.41, 100: 4.5, 129: 4.5,
	} {
		require.InDelta(t, want, mos(r), 0.01, "R %v", r)
	}
}

func TestDefaults(t *testing.T) {
	require.Equal(t, 93.2, Voice{}.R())
	require.InDelta(t, 4.41, Voice{}.MOS(), 0.005)
	require.Equal(t, 129.0, Voice{Band: Wideband}.R())
	require.Equal(t, 4.5, Voice{Band: Wideband}.MOS())
	require.Equal(t, 148.0, Voice{Band: Fullband}.R())
	require.Equal(t, 4.5, Voice{Band: Fullband}.MOS())
}

// Idd by the formula of G.107 §7.4, worked out by hand for powers of two and three.
func TestDelayImpairment(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		want  float64
	}{
		{0, 0},
		{100 * time.Millisecond, 0},
		{200 * time.Millisecond, 3.04},  // X = 1: 25·(2^(1/6) − 3·(1+3^-6)^(1/6) + 2)
		{400 * time.Millisecond, 24.07}, // X = 2: 25·(65^(1/6) − 3·(1+(2/3)^6)^(1/6) + 2)
		{800 * time.Millisecond, 40.83}, // X = 3: 25·(730^(1/6) − 3·2^(1/6) + 2)
	} {
		require.InDelta(t, c.want, Voice{Delay: c.delay}.delayImpairment(), 0.02, "%v", c.delay)
	}
	// The effect on the opinion is the same in full band, but on another scale.
	narrow, full := Voice{Delay: 400 * time.Millisecond}, Voice{Band: Fullband, Delay: 400 * time.Millisecond}
	require.InDelta(t, 100-24.07, full.R()/1.48, 0.02)
	require.InDelta(t, 93.2-24.07, narrow.R(), 0.02)
}

func TestLossImpairment(t *testing.T) {
	for _, c := range []struct {
		voice Voice
		want  float64 // R
	}{
		{Voice{Loss: 0.05}, 93.2 - 95*5/9.3},                                                   // G.711 without concealment: Bpl 4.3
		{Voice{Loss: 0.05, Bpl: 25.1}, 93.2 - 95*5/30.1},                                       // with it: 25.1, G.113 appendix I
		{Voice{Loss: 0.02, Ie: 11, Bpl: 19}, 93.2 - 11 - 84*2/21.0},                            // G.729A: Ie 11, Bpl 19, ibid.
		{Voice{Loss: 0.05, Bpl: 25.1, Burst: 2}, 93.2 - 95*5/27.6},                             // bursts of twice the length
		{Voice{Band: Fullband, Loss: 0.02, Ie: 10, Bpl: 10}, 148 - 10 - 122*2/12.0},            // 132 in place of 95
		{Voice{Band: Wideband, Loss: 0.02, Ie: 10, Bpl: 10}, 129 - 10 - 85*2/12.0},             //
		{Voice{Loss: 1, Bpl: 1e-9, Delay: time.Hour}, 0},                                       // never below 0
		{Voice{Band: Fullband, Loss: -1, Burst: -1, Bpl: 10, Delay: -time.Hour}, bestFullband}, // nor above the best
	} {
		require.InDelta(t, c.want, c.voice.R(), 1e-6, "%+v", c.voice)
	}
}

func TestOpus(t *testing.T) {
	require.InDelta(t, 1.48*7.28, OpusIe(32_000), 0.01)
	require.InDelta(t, 1.48*11.79, OpusIe(12_000), 0.01)
	require.Equal(t, 0.0, OpusIe(510_000))
	require.Equal(t, 1.48*30, OpusIe(0))
	require.Greater(t, Voice{Band: Fullband, Ie: OpusIe(32_000), Bpl: OpusBpl}.MOS(), 4.35)
	require.Equal(t, 1.9, BurstRatio(2, 0.05))
	require.Equal(t, 1.0, BurstRatio(0, 0.05))
}

func TestMOSOnlyFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Voice{
			Band:  Band(rapid.IntRange(0, 2).Draw(t, "band")),
			Ie:    rapid.Float64Range(0, 40).Draw(t, "ie"),
			Bpl:   rapid.Float64Range(1, 40).Draw(t, "bpl"),
			Loss:  rapid.Float64Range(0, 1).Draw(t, "loss"),
			Burst: rapid.Float64Range(1, 8).Draw(t, "burst"),
			Delay: time.Duration(rapid.Int64Range(0, 2e9).Draw(t, "delay")),
		}
		worse := v
		worse.Ie += rapid.Float64Range(0, 10).Draw(t, "more ie")
		worse.Loss = min(1, worse.Loss+rapid.Float64Range(0, 1).Draw(t, "more loss"))
		worse.Burst += rapid.Float64Range(0, 4).Draw(t, "more burst")
		worse.Delay += time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "more delay"))
		require.LessOrEqual(t, worse.MOS(), v.MOS()+1e-9)
		require.GreaterOrEqual(t, worse.MOS(), 1.0)
		require.LessOrEqual(t, v.MOS(), 4.5)
	})
}
