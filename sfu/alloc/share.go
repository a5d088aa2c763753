package alloc

import (
	"cmp"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Another way to share is clearly better when it brings a tenth more: less is not worth keyframes. When it takes back what was
// given lately it must bring a quarter more, as a change of speaker does.
const (
	betterOf, betterBy         = 11, 10
	muchBetterOf, muchBetterBy = 5, 4
)

// plan is one way to share.
type plan struct {
	layers  []int
	bits    bwe.Bitrate
	shown   int64 // the weights of those that are not paused
	utility int64 // beyond their least layers
}

// better says whether to leave the plan for another one.
func (a *Allocator) better(now time.Duration, o *plan) bool {
	p := &a.plan
	if p.shown != o.shown {
		return o.shown > p.shown
	}
	for i := range a.sources {
		if s := &a.sources[i]; o.layers[i] < s.current && now-s.since < lately {
			return o.utility*muchBetterBy > p.utility*muchBetterOf
		}
	}
	return o.utility*betterBy > p.utility*betterOf
}

// upgrade is a step from one layer of a source to a higher one.
type upgrade struct {
	source, from, to int
	bits             bwe.Bitrate // more
	utility          int64       // more
}

// share fills p with the best way to share bits between each source's floor and cap that it finds: everybody's least layer,
// by weight; then steps along the concave hull of each source's layers, the most utility for a bit first, which is the
// optimum but for the last few bits; then a search for those.
func (a *Allocator) share(p *plan, bits bwe.Bitrate) {
	p.layers, p.bits = p.layers[:0], 0
	for i := range a.sources {
		s := &a.sources[i]
		s.floor = min(s.floor, s.best)
		s.cap = min(max(s.cap, s.floor), s.best)
		p.layers = append(p.layers, s.floor)
		p.bits += a.bitsOf(i, s.floor)
	}
	a.shareLeast(p, bits)
	if price, short := a.shareSteps(p, bits); short {
		for range exchanges {
			if !a.exchange(p, bits) {
				break
			}
		}
		a.improve(p, bits, price)
	}
	p.shown, p.utility = 0, 0
	for i, l := range p.layers {
		if l != Paused {
			p.shown += a.sources[i].weight
			p.utility += a.utilityOf(i, l)
		}
	}
}

// shareLeast gives the least layers.
func (a *Allocator) shareLeast(p *plan, bits bwe.Bitrate) {
	for _, i := range a.orderByWeight() {
		s := &a.sources[i]
		if p.layers[i] == Paused && s.cap != Paused {
			if more := a.bitsOf(i, s.base); p.bits+more <= bits {
				p.layers[i] = s.base
				p.bits += more
			}
		}
	}
}

// shareSteps goes along the hulls. When bits fall short of a step it says what that one would have brought for a bit.
func (a *Allocator) shareSteps(p *plan, bits bwe.Bitrate) (price float64, short bool) {
	a.steps = a.steps[:0]
	for i, l := range p.layers {
		if l != Paused {
			a.hull(i, l, a.sources[i].cap)
		}
	}
	slices.SortStableFunc(a.steps, func(x, y upgrade) int { return -x.compare(&y) })
	for k := range a.steps {
		u := &a.steps[k]
		switch {
		case p.layers[u.source] != u.from:
		case p.bits+u.bits <= bits:
			p.layers[u.source] = u.to
			p.bits += u.bits
		case !short:
			price, short = u.price(), true
		}
	}
	return price, short
}

// hull appends the steps from one layer of a source to another that are worth the most for their bits, each next one less.
func (a *Allocator) hull(i, from, to int) {
	options := a.optionsOf(i)
	for from < to {
		var best upgrade
		for l := from + 1; l <= to; l++ {
			u := upgrade{
				source: i, from: from, to: l,
				bits:    max(options[l].bits-options[from].bits, 1),
				utility: options[l].utility - options[from].utility,
			}
			if u.utility > 0 && (best.to == 0 || u.compare(&best) >= 0) {
				best = u
			}
		}
		if best.to == 0 {
			return
		}
		a.steps = append(a.steps, best)
		from = best.to
	}
}

// compare orders steps by utility for a bit.
func (u *upgrade) compare(o *upgrade) int {
	return cmp.Compare(u.price(), o.price())
}

func (u *upgrade) price() float64 { return float64(u.utility) / float64(u.bits) }

// nextStep is the least bits that the plan would change with.
func (a *Allocator) nextStep(p *plan) (least bwe.Bitrate) {
	for i, l := range p.layers {
		s := &a.sources[i]
		options := a.optionsOf(i)
		from := a.utilityOf(i, l)
		for to := max(l+1, 0); to <= s.best; to++ {
			if l != Paused && a.utilityOf(i, to) <= from {
				continue
			}
			needs := (p.bits - a.bitsOf(i, l) + options[to].bits) * headroomOf / headroomBy
			if least == 0 || needs < least {
				least = needs
			}
		}
	}
	return least
}
