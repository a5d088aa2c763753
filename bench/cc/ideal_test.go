package cc

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

func TestFill(t *testing.T) {
	inf := math.Inf(1)
	for name, test := range map[string]struct {
		demands []demand
		links   []float64
		want    []float64
	}{
		"alone":                      {[]demand{{[]int{0}, 1, inf}}, []float64{10}, []float64{10}},
		"wants less":                 {[]demand{{[]int{0}, 1, 4}}, []float64{10}, []float64{4}},
		"one leaves room to another": {[]demand{{[]int{0}, 1, 2}, {[]int{0}, 1, inf}}, []float64{10}, []float64{2, 8}},
		"by weight":                  {[]demand{{[]int{0}, 2, inf}, {[]int{0}, 1, inf}, {[]int{0}, 1, inf}}, []float64{12}, []float64{6, 3, 3}},
		"not there":                  {[]demand{{[]int{0}, 1, 0}, {[]int{0}, 1, inf}}, []float64{10}, []float64{0, 10}},
		"a dark link":                {[]demand{{[]int{0}, 1, 5}}, []float64{0}, []float64{0}},
		"an unlimited one":           {[]demand{{[]int{0}, 1, 5}}, []float64{inf}, []float64{5}},
		// RFC 8867 section 6.3: the long one and the last share the last link, the first has what the long one leaves.
		"parking lot": {[]demand{{[]int{0, 1, 2}, 1, inf}, {[]int{0}, 1, inf}, {[]int{2}, 1, inf}}, []float64{2, 8, 1.5}, []float64{0.75, 1.25, 0.75}},
	} {
		t.Run(name, func(t *testing.T) {
			got := fill(test.demands, test.links)
			for i, want := range test.want {
				require.InDelta(t, want, got[i], 1e-5)
			}
		})
	}
}

// However flows and links lie, no link carries more than it can, no flow has more than it wants, and nobody could have more
// without another with less having less.
func TestFillIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		links := rapid.SliceOfN(rapid.Float64Range(1, 100), 1, 4).Draw(t, "links")
		var demands []demand
		for range rapid.IntRange(1, 6).Draw(t, "flows") {
			from := rapid.IntRange(0, len(links)-1).Draw(t, "from")
			to := rapid.IntRange(from, len(links)-1).Draw(t, "to")
			d := demand{weight: 1, most: rapid.Float64Range(0, 100).Draw(t, "most")}
			for l := from; l <= to; l++ {
				d.route = append(d.route, l)
			}
			demands = append(demands, d)
		}
		shares := fill(demands, append([]float64(nil), links...))
		used := make([]float64, len(links))
		for i, d := range demands {
			require.LessOrEqual(t, shares[i], d.most+1e-5)
			for _, l := range d.route {
				used[l] += shares[i]
			}
		}
		for l := range links {
			require.LessOrEqual(t, used[l], links[l]+1e-4)
		}
		for i, d := range demands {
			if shares[i] >= d.most-1e-4 {
				continue
			}
			held := false
			for _, l := range d.route {
				full, largest := used[l] >= links[l]-1e-4, true
				for j, other := range demands {
					for _, m := range other.route {
						largest = largest && (m != l || shares[j] <= shares[i]+1e-4)
					}
				}
				held = held || full && largest
			}
			require.True(t, held, "flow %d has %v of %v and no full link on which it is the largest", i, shares[i], d.most)
		}
	})
}

func TestIdeal(t *testing.T) {
	f := one(owd)
	f.Before.Loss = 0.1
	f.Pauses = []Span{{2 * second, 3 * second}}
	c := Case{
		Duration: 5 * second, Flows: []Flow{f},
		Links: []netsim.Trace{link(queue, phase{0, bwe.Mbps}, phase{4 * second, 4 * bwe.Mbps})},
	}
	all := ideal(c)[0]
	require.InDelta(t, 90_000, all[0], 1, "100 ms of what chance leaves of 1 Mbit/s")
	require.Zero(t, all[20])
	require.InDelta(t, 1.07*1.5e6*0.9/10, all[45], 1, "the source's most")
}
