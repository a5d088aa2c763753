package measure

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Some of the encodings that the constants were fitted to: bits per pixel and frame as they came out, and the opinion
// that their SSIM stands for.
func TestScoreFollowsSSIM(t *testing.T) {
	for _, c := range []struct{ pixels, bits, opinion float64 }{
		{320 * 180, 0.0819, 3.54},  // testsrc2, SSIM 0.951
		{640 * 360, 0.0409, 3.89},  // 0.966
		{640 * 360, 0.1627, 4.73},  // 0.995
		{1280 * 720, 0.0201, 3.85}, // 0.964
		{1280 * 720, 0.0802, 4.44}, // 0.987
		{320 * 180, 0.0364, 2.44},  // mandelbrot, 0.856
		{640 * 360, 0.0809, 3.81},  // 0.963
		{1280 * 720, 0.0401, 3.70}, // 0.958
		{1280 * 720, 0.1611, 4.34}, // 0.984
	} {
		got := Look{Pixels: c.pixels, BitsPerPixel: c.bits}.Score()
		require.InDelta(t, c.opinion, got, 0.5, "%+v", c)
	}
}

func TestScore(t *testing.T) {
	best := Look{Codec: "VP8", BitsPerPixel: 0.05, Pixels: 1280 * 720, WantPixels: 1280 * 720, FPS: 30, WantFPS: 30}
	require.InDelta(t, 4.08, best.Score(), 0.01)
	with := func(change func(*Look)) float64 {
		l := best
		change(&l)
		return (l.Score() - 1) / (best.Score() - 1)
	}
	require.InDelta(t, 0.707, with(func(l *Look) { l.FPS = 15 }), 0.001)
	require.InDelta(t, 0.707, with(func(l *Look) { l.WantFPS, l.Undecodable = 0, 0.5 }), 0.001)
	require.InDelta(t, 0.81, with(func(l *Look) { l.Frozen = 0.1 }), 0.001)
	require.InDelta(t, 1/1.05, with(func(l *Look) { l.FreezesPerMinute = 1 }), 0.001)
	require.InDelta(t, 0.77, with(func(l *Look) { l.WantPixels *= 4 }), 0.005)
	require.Equal(t, 1.0, Look{}.Score())
	require.Greater(t, with(func(l *Look) { l.Codec = "AV1" }), 1.0)
}

func TestScoreIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, lo, hi float64) float64 { return rapid.Float64Range(lo, hi).Draw(t, name) }
		l := Look{
			Codec: rapid.SampledFrom([]string{"VP8", "VP9", "AV1", ""}).Draw(t, "codec"), BitsPerPixel: draw("bits", 1e-6, 10),
			Pixels: draw("pixels", 1, 4e6), WantPixels: draw("want pixels", 0, 4e6), FPS: draw("fps", 0, 60),
			WantFPS: draw("want fps", 0, 60), Undecodable: draw("undecodable", 0, 1), Frozen: draw("frozen", 0, 1),
			FreezesPerMinute: draw("freezes", 0, 60),
		}
		worse := l
		worse.BitsPerPixel *= draw("bits less", 0, 1)
		worse.Pixels *= draw("pixels less", 0.001, 1)
		worse.FPS *= draw("fps less", 0, 1)
		worse.Undecodable = min(1, l.Undecodable+draw("undecodable more", 0, 1))
		worse.Frozen = min(1, l.Frozen+draw("frozen more", 0, 1))
		worse.FreezesPerMinute += draw("freezes more", 0, 60)
		require.LessOrEqual(t, worse.Score(), l.Score()+1e-9)
		require.GreaterOrEqual(t, worse.Score(), 1.0)
		require.LessOrEqual(t, l.Score(), 5.0)
	})
}
