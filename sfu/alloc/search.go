package alloc

import (
	"cmp"
	"slices"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// nodes bounds a search. Most find the optimum in a fortieth of them; the rest would prove that it is one.
const nodes = 4000

// deviation is another layer for a source than the one that is worth the most at the price of a bit.
type deviation struct {
	source, layer int
	bits          bwe.Bitrate // more than that one; negative: fewer
	loss          float64     // of utility, the bits at their price
}

// search is for plans that are better than the one that going along the hulls has found, by Lagrangian relaxation. Take a
// bit to cost what the first step that did not fit would have brought for one. Each source then has a favourite: the layer
// that is worth the most at that price. A plan costs what its sources lose beside their favourites, and what is left over of
// the bits, at the price; the less it costs the better it is. Going along the hulls costs less than one step, so only few
// sources deviate in a plan that costs even less, and only by little. Those plans are tried, the least losses first
// (D. Pisinger, A minimal algorithm for the multiple-choice knapsack problem, European Journal of Operational Research 83,
// 1995).
type search struct {
	price      float64
	deviations []deviation // least loss first
	taken      []bool      // by source: it deviates
	chosen     []int       // deviations now
	found      []int       // those of the best plan
	cost       float64     // of it; anything above is of no use
	better     bool        // it is better than the one to begin with
	left       int         // nodes
}

// improve replaces a plan by the best that a search finds at a price.
func (a *Allocator) improve(p *plan, bits bwe.Bitrate, price float64) {
	s := &a.search
	*s = search{
		price: price, left: nodes,
		deviations: s.deviations[:0], taken: s.taken[:0], chosen: s.chosen[:0], found: s.found[:0],
	}
	left := bits
	for i, l := range p.layers {
		s.taken = append(s.taken, false)
		if l == Paused {
			continue
		}
		favourite := a.favourite(i, price)
		options := a.optionsOf(i)
		f := &options[favourite]
		left -= f.bits
		s.cost += f.net(price) - options[l].net(price)
		for k := a.lowest(i); k <= a.sources[i].cap; k++ {
			if o := &options[k]; k != favourite {
				s.deviations = append(s.deviations, deviation{i, k, o.bits - f.bits, f.net(price) - o.net(price)})
			}
		}
	}
	s.cost += float64(price * float64(bits-p.bits))
	slices.SortStableFunc(s.deviations, func(x, y deviation) int { return cmp.Compare(x.loss, y.loss) })
	s.try(0, 0, left)
	if !s.better {
		return
	}
	for i, l := range p.layers {
		if l != Paused {
			p.layers[i] = a.favourite(i, price)
		}
	}
	for _, k := range s.found {
		d := &s.deviations[k]
		p.layers[d.source] = d.layer
	}
	p.bits = 0
	for i, l := range p.layers {
		p.bits += a.bitsOf(i, l)
	}
}

// try looks at the plan of what is chosen, and goes on with each deviation from one on.
func (s *search) try(from int, loss float64, left bwe.Bitrate) {
	if left >= 0 {
		if cost := loss + float64(s.price*float64(left)); cost < s.cost {
			s.cost, s.better = cost, true
			s.found = append(s.found[:0], s.chosen...)
		}
	}
	for k := from; k < len(s.deviations); k++ {
		d := &s.deviations[k]
		if loss+d.loss >= s.cost {
			return
		}
		if s.taken[d.source] {
			continue
		}
		if s.left--; s.left < 0 {
			return
		}
		s.taken[d.source] = true
		s.chosen = append(s.chosen, k)
		s.try(k+1, loss+d.loss, left-d.bits)
		s.chosen = s.chosen[:len(s.chosen)-1]
		s.taken[d.source] = false
	}
}

// favourite is the layer of a source that is worth the most at a price.
func (a *Allocator) favourite(i int, price float64) int {
	options := a.optionsOf(i)
	best := a.lowest(i)
	for k := best + 1; k <= a.sources[i].cap; k++ {
		if options[k].net(price) > options[best].net(price) {
			best = k
		}
	}
	return best
}

// lowest is the least that a source that is not paused may get.
func (a *Allocator) lowest(i int) int { return max(a.sources[i].floor, a.sources[i].base) }

// net is what a layer is worth when bits have a price.
func (o *option) net(price float64) float64 {
	return float64(o.utility) - float64(price*float64(o.bits))
}
