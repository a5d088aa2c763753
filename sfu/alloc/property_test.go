package alloc

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// TestCurves holds the tables to the formulas that doc.go gives.
func TestCurves(t *testing.T) {
	curve := func(alpha, power float64, i, n int) int64 {
		x := math.Pow(float64(i)/float64(n), power)
		return int64(math.Round(1000 * (1 - math.Exp(-alpha*x)) / (1 - math.Exp(-alpha))))
	}
	for i := range 65 { // of the lines; of the pixels it is the square
		require.Equal(t, curve(4, 2*0.74, i, 64), sharpness[motion][i], "%d/64 of the lines", i)
		require.Equal(t, curve(1.5, 2*0.74, i, 64), sharpness[detail][i], "%d/64 of a screen's lines", i)
	}
	for i := range 31 {
		few := min(float64(i)/20, 1) // below 20 a second
		require.Equal(t, int64(math.Round(float64(curve(3, 0.63, i, 30))*few)), smoothness[motion][i], "%d pictures a second", i)
		require.Equal(t, curve(8, 0.63, i, 30), smoothness[detail][i], "%d pictures a second of a screen", i)
	}
}

// drawSources makes anything that a caller may pass, sensible or not.
func drawSources(t *rapid.T) []Source {
	var all []Source
	for range rapid.IntRange(0, 12).Draw(t, "sources") {
		s := Source{
			Kind: Kind(rapid.IntRange(0, 3).Draw(t, "kind")), Priority: rapid.Uint32().Draw(t, "priority"),
			Width: uint32(rapid.IntRange(0, 3000).Draw(t, "width")), Height: uint32(rapid.SampledFrom([]int{0, 90, 180, 360, 720, math.MaxUint32}).Draw(t, "height")),
			Current: rapid.IntRange(-2, 12).Draw(t, "current"), Since: time.Duration(rapid.Int64().Draw(t, "since")),
		}
		for range rapid.IntRange(0, 10).Draw(t, "layers") {
			s.Layers = append(s.Layers, Layer{
				Bits:  bwe.Bitrate(rapid.SampledFrom([]int64{math.MinInt32, -1, 0, 1, 1e4, 1e5, 1e6, 1e7, 1e9}).Draw(t, "bits")),
				Width: rapid.Uint16().Draw(t, "pixels"), Height: rapid.SampledFrom([]uint16{0, 1, 180, 360, 720, 65535}).Draw(t, "lines"),
				Rate: rapid.Uint8().Draw(t, "rate"), Cheap: rapid.Bool().Draw(t, "cheap"),
			})
		}
		all = append(all, s)
	}
	return all
}

// TestAnySources: whatever is passed, each source gets one of its layers or none, and what is given is within the bits, or
// within the tolerance of what was sent before.
func TestAnySources(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Allocator
		now := time.Duration(0)
		for range rapid.IntRange(1, 4).Draw(t, "times") {
			sources := drawSources(t)
			bits := bwe.Bitrate(rapid.Int64Range(-10, 5_000_000).Draw(t, "bits"))
			before := bwe.Bitrate(0)
			for i := range sources {
				before += bitsOf(&sources[i], min(sources[i].Current, len(sources[i].Layers)-1))
			}
			choices, wants, next := a.Allocate(now, bits, sources, nil)
			require.Len(t, choices, len(sources))
			require.GreaterOrEqual(t, wants, bwe.Bitrate(0))
			require.GreaterOrEqual(t, a.Step(), bwe.Bitrate(0))
			require.True(t, next == 0 || next > now)
			var sum bwe.Bitrate
			for i, c := range choices {
				require.GreaterOrEqual(t, c.Layer, Paused)
				require.Less(t, c.Layer, len(sources[i].Layers))
				if c.Layer != Paused {
					sum += bitsOf(&sources[i], c.Layer)
				} else {
					require.Equal(t, len(sources[i].Layers) > 0, c.Limited)
				}
			}
			if sum > max(bits, 0) {
				require.LessOrEqual(t, sum, before, "nothing rises above the bits")
				require.LessOrEqual(t, float64(sum), 1.05*float64(bits))
			}
			now += time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond
		}
	})
}

// bitsOf is what a layer is reckoned to take: no less than those below.
func bitsOf(s *Source, layer int) (bits bwe.Bitrate) {
	for i := range layer + 1 {
		bits = max(bits, s.Layers[i].Bits, 1)
	}
	return bits
}

// follow does what the choices say.
func follow(now time.Duration, sources []Source, choices []Choice) (changed int) {
	for i, c := range choices {
		if sources[i].Current != c.Layer {
			sources[i].Current, sources[i].Since = c.Layer, now
			changed++
		}
	}
	return changed
}

// TestLeastBeforeMore: as long as somebody is paused nobody has bits beyond the least layer that would show him.
func TestLeastBeforeMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		sources := anySources(r, rapid.IntRange(1, 25).Draw(t, "sources"))
		bits := bwe.Bitrate(rapid.IntRange(0, 3_000_000).Draw(t, "bits"))
		var a Allocator
		choices, _, _ := a.Allocate(0, bits, sources, nil)
		var least bwe.Bitrate
		for i, c := range choices {
			if c.Layer != Paused {
				least += sources[i].Layers[0].Bits
			}
		}
		for i, c := range choices {
			if c.Layer == Paused {
				require.Greater(t, float64(least+sources[i].Layers[0].Bits)*Headroom, float64(bits)-2)
			}
		}
	})
}

// TestStep: with a little less than the step nobody gets more, with the step somebody does.
func TestStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		sources := anySources(r, rapid.IntRange(1, 9).Draw(t, "sources"))
		bits := bwe.Bitrate(rapid.IntRange(50_000, 8_000_000).Draw(t, "bits"))
		var a Allocator
		now := time.Duration(0)
		for range 20 { // until it rests
			choices, _, _ := a.Allocate(now, bits, sources, nil)
			if follow(now, sources, choices) == 0 {
				break
			}
			now += time.Minute
		}
		step := a.Step()
		if step == 0 {
			for i := range sources {
				choices, _, _ := a.Allocate(now, bits, sources, nil)
				require.False(t, choices[i].Limited)
			}
			return
		}
		require.Greater(t, step, bits)
		up := false
		choices, _, _ := a.Allocate(now+time.Minute, step+step/1000+1, sources, nil)
		for i, c := range choices {
			up = up || c.Layer > sources[i].Current
		}
		require.True(t, up, "%v were enough for more", step)
	})
}

// TestWaveringRates: encoders' rates waver by 8 % from second to second, the estimate by 3 %; nobody's picture changes its size
// for that more than once in a minute.
func TestWaveringRates(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 4))
		sources := anySources(r, 9)
		means := make([][]Layer, len(sources))
		for i := range sources {
			means[i] = append(means[i], sources[i].Layers...)
		}
		var a Allocator
		_, wants, _ := a.Allocate(0, 0, sources, nil)
		mean := wants * bwe.Bitrate(30+r.IntN(60)) / 100
		var choices []Choice
		sizes := 0
		for now := time.Duration(0); now < 5*time.Minute; now += 100 * time.Millisecond {
			if now%time.Second == 0 {
				for i := range sources {
					factor := 1 + 0.08*(2*r.Float64()-1)
					for l := range sources[i].Layers {
						sources[i].Layers[l].Bits = bwe.Bitrate(float64(means[i][l].Bits) * factor)
					}
				}
			}
			bits := bwe.Bitrate(float64(mean) * (1 + 0.03*(2*r.Float64()-1)))
			choices, _, _ = a.Allocate(now, bits, sources, choices[:0])
			for i, c := range choices {
				if now > time.Minute && a.bottom(i, c.Layer) != a.bottom(i, sources[i].Current) {
					sizes++
				}
			}
			follow(now, sources, choices)
		}
		require.LessOrEqual(t, sizes, 4*len(sources), "in four minutes; seed %d", seed)
	}
}

// TestNothingIsAllocated in steady state.
func TestNothingIsAllocated(t *testing.T) {
	sources := anySources(rand.New(rand.NewPCG(1, 1)), 25)
	var a Allocator
	choices, wants, _ := a.Allocate(0, 0, sources, nil)
	now, n := time.Duration(0), 0
	once := func() {
		n++
		now += 100 * time.Millisecond
		choices, _, _ = a.Allocate(now, wants*bwe.Bitrate(1+n%4)/4, sources, choices[:0])
		follow(now, sources, choices)
	}
	for range 100 {
		once()
	}
	require.Zero(t, testing.AllocsPerRun(1000, once))
}
