package rival

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// GoogCC models libwebrtc's controller with the parameters that Chromium has by default: packet groups and trendline with an adaptive
// threshold, AIMD with a link capacity estimate, throughput over windows, exponential probes at the start and periodic ones while
// application-limited, LossBasedBweV2. It has no congestion window pushback, and no hold after a loss.
var GoogCC = cc.Maker{
	Name: "googcc-model",
	New: func(now time.Duration, cfg bwe.Config) cc.Controller {
		cfg = withDefaults(cfg)
		g := &googCC{
			cfg: cfg, trend: newTrendline(), rate: newAIMD(cfg), loss: newLossModel(),
			limited: newLimit(), probes: newProber(now, cfg),
		}
		g.target = float64(cfg.Start)
		return g
	},
}

const (
	googPacing = 1.1 // of the target, for video: libwebrtc's strict pacing
)

type googCC struct {
	cfg     bwe.Config
	history history
	wants   bwe.Bitrate

	groups     groups
	trend      trendline
	throughput throughput
	results    probeResults
	rate       aimd
	loss       lossModel
	limited    limit
	probes     prober

	roundTrip time.Duration
	target    float64
}

func (g *googCC) Sent(now time.Duration, p bwe.Packet) {
	g.history.add(now, p)
	g.limited.sent(now, p.Size, g.target)
	g.probes.sent(now, p)
}

func (g *googCC) Wants(_ time.Duration, b bwe.Bitrate) { g.wants = b }

func (g *googCC) Feedback(now time.Duration, results []bwe.Result) {
	told := g.history.take(results)
	if len(told) == 0 {
		return
	}
	if sent, ok := newestSent(told); ok {
		g.measure(now - sent)
	}
	byArrival := slices.Clone(told)
	byArrival = slices.DeleteFunc(byArrival, func(o outcome) bool { return !o.received })
	slices.SortStableFunc(byArrival, func(a, b outcome) int { return int(a.arrival - b.arrival) })

	recovered := false
	for _, o := range byArrival {
		before := g.trend.usage
		if sendDelta, arrivalDelta, ok := g.groups.add(o); ok {
			g.trend.update(now, sendDelta, arrivalDelta, o.arrival)
		}
		recovered = recovered || before == under && g.trend.usage == normal
		g.throughput.add(o)
		g.results.add(o, g.probes.find(o.probe))
	}
	acked, measured := g.throughput.rate()
	probed, proved := g.results.take()
	g.rate.feedback(now, aimdInput{
		usage: g.trend.usage, acked: acked, measured: measured, probed: probed, proved: proved,
		limited: g.limited.on, roundTrip: g.roundTrip,
	})
	g.target = clamp(g.loss.update(told, g.rate.current, acked, measured, g.limited.on), float64(g.cfg.Min), float64(g.cfg.Max))
	g.probes.estimated(now, g.target, g.ceiling())
	if recovered {
		g.probes.recovered(now, g.limited, g.ceiling())
	}
}

// measure smooths the round trip, feedback's wait among it.
func (g *googCC) measure(sample time.Duration) {
	if g.roundTrip == 0 {
		g.roundTrip = sample
	}
	g.roundTrip += (sample - g.roundTrip) / 8
}

// ceiling is what is probed for at most: twice what is wanted.
func (g *googCC) ceiling() float64 {
	if g.wants > 0 {
		return min(float64(g.cfg.Max), 2*float64(g.wants))
	}
	return float64(g.cfg.Max)
}

func (g *googCC) Poll(now time.Duration) bwe.Estimate {
	g.probes.poll(now, g.limited, g.target, g.ceiling())
	return bwe.Estimate{
		Target: bwe.Bitrate(g.target), Pacing: bwe.Bitrate(googPacing * g.target), Probe: g.probes.wish(),
		Next: now + 25*time.Millisecond, RTT: g.roundTrip, AppLimited: g.limited.on,
	}
}
