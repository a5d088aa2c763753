package cc

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// ideal is what each flow would get, bits by bins: max-min fair shares by priority of what the links carry, each flow
// bounded by its source, what chance takes before the bottleneck taken off. TCP flows come behind the others and want all; users
// of short ones are guests.
func ideal(c Case) [][]float64 {
	bins := int((c.Duration + bin - 1) / bin)
	all := make([][]float64, len(c.Flows)+len(c.TCP))
	for i := range all {
		all[i] = make([]float64, bins)
	}
	demands := make([]demand, len(all))
	for b := range bins {
		at := time.Duration(b) * bin
		for i, f := range c.Flows {
			demands[i] = demand{route: f.Route, weight: f.weight(), most: f.demand(c, at)}
		}
		for i, t := range c.TCP {
			d := demand{route: t.Route, weight: 1}
			if !t.Short && t.Start <= at && (t.Stop == 0 || at < t.Stop) {
				d.most = math.Inf(1)
			}
			demands[len(c.Flows)+i] = d
		}
		for i, share := range fill(demands, capacities(c, at)) {
			if i < len(c.Flows) {
				share *= 1 - c.Flows[i].Before.Loss
			}
			all[i][b] = share
		}
	}
	return all
}

func (f Flow) weight() float64 {
	if f.Priority == 0 {
		return 1
	}
	return f.Priority
}

// demand is the bits of one bin that the flow would send if it could.
func (f Flow) demand(c Case, at time.Duration) float64 {
	if f.Stop == 0 {
		f.Stop = c.Duration
	}
	if paused, ended := f.silent(at); paused || ended || at < f.Start {
		return 0
	}
	return f.Source.most() * bin.Seconds()
}

// capacities are the bits that each link carries in the bin from at.
func capacities(c Case, at time.Duration) []float64 {
	const samples = 10
	all := make([]float64, len(c.Links))
	for i, trace := range c.Links {
		for s := range samples {
			all[i] += capacity(trace.At(at+bin*time.Duration(s)/samples)) * bin.Seconds() / samples
		}
	}
	return all
}

func capacity(l netsim.LinkConfig) float64 {
	switch {
	case l.Blackout || l.Rate == netsim.Stalled:
		return 0
	case l.Rate == 0:
		return math.Inf(1)
	}
	return float64(l.Rate)
}

type demand struct {
	route        []int
	weight, most float64
}

// fill raises all flows together by their weights until each meets its demand or a full link (Bertsekas and Gallager,
// Data Networks, section 6.5.2).
func fill(demands []demand, left []float64) []float64 {
	shares := make([]float64, len(demands))
	open := make([]bool, len(demands))
	for i, d := range demands {
		open[i] = d.most > 0
	}
	for {
		step := math.Inf(1)
		weights := make([]float64, len(left))
		for i, d := range demands {
			if !open[i] {
				continue
			}
			step = min(step, (d.most-shares[i])/d.weight)
			for _, l := range d.route {
				weights[l] += d.weight
			}
		}
		for l, w := range weights {
			if w > 0 {
				step = min(step, left[l]/w)
			}
		}
		if math.IsInf(step, 1) {
			return shares
		}
		for i, d := range demands {
			if !open[i] {
				continue
			}
			shares[i] += d.weight * step
			for _, l := range d.route {
				left[l] -= d.weight * step
			}
		}
		for i, d := range demands {
			open[i] = open[i] && shares[i] < d.most-1e-6
			for _, l := range d.route {
				open[i] = open[i] && left[l] > 1e-6
			}
		}
	}
}
