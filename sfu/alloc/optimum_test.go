package alloc

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// grain of the cases' rates, so that the exact optimum can be had.
const grain = 5 * bwe.Kbps

// anySources draws a room: mostly simulcast of three sizes with three temporal layers, of which a view takes some, with rates
// and sizes all over the place.
func anySources(r *rand.Rand, n int) []Source {
	between := func(low, high int) int { return low + r.IntN(high-low+1) }
	var sources []Source
	for range n {
		s := Source{Kind: Camera, Current: Paused}
		switch r.IntN(12) {
		case 0:
			s.Kind = Speaker
		case 1:
			s.Kind = Screen
		}
		if r.IntN(3) == 0 {
			s.Priority = uint32(r.IntN(5))
		}
		if r.IntN(4) > 0 {
			s.Height = uint32([]int{90, 180, 360, 720, 1080}[r.IntN(5)])
			s.Width = s.Height * 16 / 9
		}
		size, rate := uint16(180), bwe.Bitrate(between(20, 200))*grain/4
		for range between(1, 3) {
			part := bwe.Bitrate(0)
			for temporal := range between(1, 3) {
				part += rate * bwe.Bitrate(between(20, 50)) / 100
				l := Layer{Bits: max(part/grain, 1) * grain, Height: size, Width: size * 16 / 9, Rate: uint8(7.5 * float64(int(1)<<temporal))}
				l.Cheap = temporal > 0
				if k := len(s.Layers); k > 0 && l.Bits < s.Layers[k-1].Bits {
					continue
				}
				s.Layers = append(s.Layers, l)
			}
			size *= 2
			rate = rate * bwe.Bitrate(between(150, 400)) / 100
		}
		sources = append(sources, s)
	}
	return sources
}

// optimum is the most utility that any share of bits has, everybody's least layer given: dynamic programming over bits.
func optimum(a *Allocator, bits bwe.Bitrate) int64 {
	n := int(bits/grain) + 1
	best := make([]int64, n)
	for i := range a.sources {
		options := a.optionsOf(i)
		next := make([]int64, n)
		for b := range next {
			next[b] = math.MinInt64 / 2
			for l := 0; l < len(options); l++ {
				if cost := int(options[l].bits / grain); cost <= b {
					next[b] = max(next[b], best[b-cost]+a.utilityOf(i, l))
				}
			}
		}
		best = next
	}
	return best[n-1]
}

// TestShareIsNearlyTheBest: rooms of 25, each with bits for everybody's least layer and for a part of what is above. What the
// share wins beyond the least layers is the optimum but for a hair, in all cases but one in two hundred at least 98 % of it; of
// the utility as a whole it is never less than that.
func TestShareIsNearlyTheBest(t *testing.T) {
	const cases = 1000
	mean, worstAll, far := 0.0, 1.0, 0
	for seed := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 1))
		sources := anySources(r, 25)
		var a Allocator
		a.weigh(sources)
		var least, most bwe.Bitrate
		var base int64
		for i := range sources {
			s := &a.sources[i]
			s.floor, s.cap = Paused, s.best
			least += a.bitsOf(i, s.base)
			most += a.bitsOf(i, s.best)
			base += a.optionsOf(i)[0].utility
		}
		bits := least + (most-least)*bwe.Bitrate(1+r.IntN(99))/100
		var p plan
		a.share(&p, bits)
		require.LessOrEqual(t, p.bits, bits)
		for _, l := range p.layers {
			require.NotEqual(t, Paused, l, "there are bits for everybody's least layer")
		}
		best := optimum(&a, bits)
		require.GreaterOrEqual(t, best, p.utility, "nothing is better than the optimum")
		ratio := 1.0
		if best > 0 {
			ratio = float64(p.utility) / float64(best)
		}
		if ratio < 0.98 {
			far++
		}
		mean += ratio / cases
		worstAll = min(worstAll, float64(base+p.utility)/float64(base+best))
	}
	t.Logf("beyond the least layers: mean %.4f of the optimum, %d of %d below 0.98; as a whole the worst is %.4f", mean, far, cases, worstAll)
	require.GreaterOrEqual(t, mean, 0.999)
	require.LessOrEqual(t, far, cases/200)
	require.GreaterOrEqual(t, worstAll, 0.98)
}

func BenchmarkAllocate25(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	sources := anySources(r, 25)
	var a Allocator
	var out []Choice
	now := time.Duration(0)
	_, wants, _ := a.Allocate(now, 0, sources, nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now += 100 * time.Millisecond
		bits := wants / 4 * bwe.Bitrate(1+i%4)
		out, _, _ = a.Allocate(now, bits, sources, out[:0])
		for k := range out {
			if out[k].Layer != sources[k].Current {
				sources[k].Current, sources[k].Since = out[k].Layer, now
			}
		}
	}
}
