package alloc

import (
	"slices"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// exchanges bounds how often a step up is made with what others give for it; each is a gain, and few remain after the first.
const exchanges = 8

// exchange makes the one step up that gains most, with what is left and with what others give for it.
func (a *Allocator) exchange(p *plan, bits bwe.Bitrate) bool {
	left := bits - p.bits
	a.givers(p)
	var up upgrade
	var gain int64
	given := 0
	for i, l := range p.layers {
		if l == Paused {
			continue
		}
		options := a.optionsOf(i)
		for to := l + 1; to <= a.sources[i].cap; to++ {
			more, better := options[to].bits-options[l].bits, options[to].utility-options[l].utility
			if better <= gain {
				continue
			}
			if steps, loss, ok := a.take(i, more-left, better-gain); ok {
				up, gain, given = upgrade{i, l, to, more, better}, better-loss, steps
			}
		}
	}
	if gain <= 0 {
		return false
	}
	for k := range given {
		if d := &a.steps[k]; d.source != up.source {
			p.move(d)
		}
	}
	p.move(&up)
	return true
}

func (p *plan) move(u *upgrade) {
	p.layers[u.source] = u.to
	p.bits += u.bits
}

// givers makes a.steps the steps down from what a plan gives, along the hulls, the least loss for a bit first. Their bits and
// utility are negative.
func (a *Allocator) givers(p *plan) {
	a.steps = a.steps[:0]
	for i, l := range p.layers {
		if l != Paused {
			a.hullDown(i, l, a.lowest(i))
		}
	}
	slices.SortStableFunc(a.steps, func(x, y upgrade) int { return x.compare(&y) })
}

// take finds how all but one source give bits for a loss below a bound, by the first of the steps down.
func (a *Allocator) take(but int, bits bwe.Bitrate, below int64) (steps int, loss int64, ok bool) {
	for ; bits > 0; steps++ {
		if steps == len(a.steps) {
			return 0, 0, false
		}
		d := &a.steps[steps]
		if d.source == but {
			continue
		}
		bits += d.bits
		if loss -= d.utility; loss >= below {
			return 0, 0, false
		}
	}
	return steps, loss, true
}

// hullDown appends the steps from one layer of a source down to another that lose the least for their bits, each next one more.
func (a *Allocator) hullDown(i, from, to int) {
	options := a.optionsOf(i)
	for from > to {
		var best upgrade
		found := false
		for l := from - 1; l >= to; l-- {
			u := upgrade{
				source: i, from: from, to: l,
				bits:    min(options[l].bits-options[from].bits, -1),
				utility: options[l].utility - options[from].utility,
			}
			if !found || u.compare(&best) <= 0 {
				best, found = u, true
			}
		}
		a.steps = append(a.steps, best)
		from = best.to
	}
}
