package rival

import (
	"math"
	"time"
)

// The parameters of LossBasedBweV2.
const (
	lossWindow      = 20 // observations
	lossLeast       = 3  // before which delay alone counts
	lossObservation = 250 * time.Millisecond
	lossWeight      = 0.9 // of an observation to the one after it
	lossStep        = 0.75
	lossFirst       = 0.01
	lossLower       = 1e-3
	lossOffset      = 0.05   // inherent at most, at a high rate …
	lossBalance     = 75_000 // … and more by this share of a low one, bit/s

	lossPrefer       = 0.15 // average loss below which a higher rate is preferred
	lossPreferSmooth = 0.002
	lossBias         = 0.0002 // a kbit/s
	lossLogBias      = 0.02

	lossMaxIncrease = 1.3 // within lossDelayed
	lossDelayed     = 300 * time.Millisecond
)

var lossCandidates = []float64{1.02, 1, 0.95}

// lossModel explains the loss of the last seconds by a bandwidth and an inherent loss, and takes the most likely.
type lossModel struct {
	observations []observation // latest last
	partial      observation
	last         time.Duration // sent last of the last observation
	begun        bool

	bandwidth float64 // 0: unknown
	inherent  float64
	result    float64
	limited   bool // by loss
	window    float64
	windowAt  time.Duration
}

type observation struct{ packets, lost, bytes, rate float64 }

func newLossModel() lossModel { return lossModel{inherent: lossFirst, windowAt: -time.Hour} }

// update returns the target, the estimate by delay among it.
func (m *lossModel) update(told []outcome, delayBased, acked float64, measured, appLimited bool) float64 {
	if m.observe(told) {
		m.decide(delayBased, acked, measured, appLimited)
	}
	if len(m.observations) < lossLeast || m.bandwidth == 0 {
		return delayBased
	}
	if m.limited {
		return min(m.result, delayBased)
	}
	return delayBased
}

func (m *lossModel) observe(told []outcome) bool {
	for _, o := range told {
		m.partial.packets++
		m.partial.bytes += float64(o.size)
		if !o.received {
			m.partial.lost++
		}
	}
	if !m.begun {
		m.begun, m.last = true, told[0].sent
	}
	sent := told[len(told)-1].sent
	d := sent - m.last
	if d < lossObservation {
		return false
	}
	m.last = sent
	m.partial.rate = m.partial.bytes * 8 / seconds(d)
	m.observations = append(m.observations, m.partial)
	if len(m.observations) > lossWindow {
		m.observations = m.observations[1:]
	}
	m.partial = observation{}
	return true
}

func (m *lossModel) decide(delayBased, acked float64, measured, appLimited bool) {
	if m.bandwidth == 0 {
		m.bandwidth, m.result = delayBased, delayBased
	}
	best, inherent, score := m.bandwidth, m.inherent, math.Inf(-1)
	average := m.average()
	try := func(bandwidth float64) {
		loss := m.fit(bandwidth)
		if s := m.objective(bandwidth, loss, average); s > score {
			best, inherent, score = bandwidth, loss, s
		}
	}
	for _, factor := range lossCandidates {
		try(factor * m.bandwidth)
	}
	if measured && !appLimited {
		try(acked)
	}
	if delayBased > m.bandwidth {
		try(delayBased)
	}
	if average > inherent && best > m.bandwidth {
		best = m.bandwidth
	}
	if m.limited && m.windowAt+lossDelayed > m.last {
		best = min(best, m.window)
	}
	m.bandwidth, m.inherent = best, inherent
	m.result = min(best, instant(average), delayBased)
	m.limited = m.result < delayBased
	if m.limited && m.windowAt+lossDelayed < m.last {
		m.window, m.windowAt = m.bandwidth*lossMaxIncrease, m.last
	}
}

// average loss, recent ones count more.
func (m *lossModel) average() float64 {
	packets, lost, weight := 0.0, 0.0, 1.0
	for i := len(m.observations) - 1; i >= 0; i-- {
		packets += weight * m.observations[i].packets
		lost += weight * m.observations[i].lost
		weight *= lossWeight
	}
	return lost / max(packets, 1)
}

// instant is what much loss allows at most.
func instant(average float64) float64 {
	if average <= lossOffset {
		return math.Inf(1)
	}
	return lossBalance / (average - lossOffset)
}

func feasible(loss, bandwidth float64) float64 {
	return clamp(loss, lossLower, min(lossOffset+lossBalance/max(bandwidth, 1), 1))
}

// fit makes one step of Newton towards the inherent loss that a bandwidth explains best.
func (m *lossModel) fit(bandwidth float64) float64 {
	loss := feasible(m.inherent, bandwidth)
	first, second, weight := 0.0, 0.0, 1.0
	for i := len(m.observations) - 1; i >= 0; i-- {
		o := m.observations[i]
		p := probability(loss, bandwidth, o.rate)
		first += weight * (o.lost/p - (o.packets-o.lost)/(1-p))
		second -= weight * (o.lost/(p*p) + (o.packets-o.lost)/((1-p)*(1-p)))
		weight *= lossWeight
	}
	if second == 0 {
		return loss
	}
	return feasible(loss-lossStep*first/second, bandwidth)
}

func probability(inherent, bandwidth, rate float64) float64 {
	p := inherent
	if rate > bandwidth {
		p += (1 - inherent) * (rate - bandwidth) / rate
	}
	return clamp(p, 1e-6, 1-1e-6)
}

func (m *lossModel) objective(bandwidth, loss, average float64) float64 {
	preference := (lossPrefer - average) / (lossPreferSmooth + math.Abs(lossPrefer-average))
	bias := preference * (lossBias*bandwidth/1000 + lossLogBias*math.Log(1+bandwidth/1000))
	sum, weight := 0.0, 1.0
	for i := len(m.observations) - 1; i >= 0; i-- {
		o := m.observations[i]
		p := probability(loss, bandwidth, o.rate)
		sum += weight * (o.lost*math.Log(p) + (o.packets-o.lost)*math.Log(1-p) + bias*o.packets)
		weight *= lossWeight
	}
	return sum
}
