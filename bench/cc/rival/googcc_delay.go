package rival

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	groupLength = 5 * time.Millisecond   // of sending, that is one group
	burstGap    = 5 * time.Millisecond   // of arrival, within which packets that caught up with each other are a burst
	burstLength = 100 * time.Millisecond // of one at most
)

// groups makes differences of delay between groups of packets.
type groups struct {
	present, last group
}

type group struct {
	firstSent, lastSent time.Duration
	firstArrival        time.Duration
	lastArrival         time.Duration
	packets             int
}

// add returns how far apart the last two complete groups were sent and arrived.
func (g *groups) add(o outcome) (sent, arrival time.Duration, ok bool) {
	switch {
	case g.present.packets == 0:
		g.present = group{o.sent, o.sent, o.arrival, o.arrival, 1}
		return 0, 0, false
	case o.sent < g.present.firstSent: // reordered
		return 0, 0, false
	case g.belongs(o):
		g.present.lastSent = max(g.present.lastSent, o.sent)
		g.present.lastArrival = o.arrival
		g.present.packets++
		return 0, 0, false
	}
	if g.last.packets > 0 {
		sent, arrival, ok = g.present.lastSent-g.last.lastSent, g.present.lastArrival-g.last.lastArrival, true
	}
	g.last, g.present = g.present, group{o.sent, o.sent, o.arrival, o.arrival, 1}
	return sent, arrival, ok
}

func (g *groups) belongs(o outcome) bool {
	gap := o.arrival - g.present.lastArrival
	caughtUp := gap-(o.sent-g.present.lastSent) < 0
	if caughtUp && gap <= burstGap && o.arrival-g.present.firstArrival < burstLength {
		return true
	}
	return o.sent-g.present.firstSent <= groupLength
}

type usage uint8

const (
	normal usage = iota
	over
	under
)

const (
	trendWindow    = 20 // groups
	trendSmoothing = 0.9
	trendGain      = 4
	trendDeltas    = 60 // groups at which the gain is full

	overuseTime = 10 * time.Millisecond

	firstThreshold  = 12.5 // ms
	leastThreshold  = 6
	mostThreshold   = 600
	thresholdUp     = 0.0087 // a ms
	thresholdDown   = 0.039
	thresholdIgnore = 15 // ms above the threshold: an outlier
)

// trendline is the slope of delay over the last groups, and what it says of the link.
type trendline struct {
	usage usage

	deltas      int
	accumulated float64 // ms
	smoothed    float64
	points      []point
	origin      time.Duration
	before      float64 // trend

	overSince time.Duration // of sending, that the trend has been above the threshold; below 0: it is not
	overCount int
	threshold float64
	adapted   time.Duration
}

type point struct{ at, delay float64 }

func newTrendline() trendline { return trendline{threshold: firstThreshold, overSince: -1} }

func (t *trendline) update(now, sent, arrival, at time.Duration) {
	t.deltas++
	if t.origin == 0 {
		t.origin = at
	}
	t.accumulated += milliseconds(arrival - sent)
	t.smoothed = trendSmoothing*t.smoothed + (1-trendSmoothing)*t.accumulated
	t.points = append(t.points, point{milliseconds(at - t.origin), t.smoothed})
	if len(t.points) > trendWindow {
		t.points = t.points[1:]
	}
	trend := t.before
	if len(t.points) == trendWindow {
		trend = slope(t.points, trend)
	}
	t.detect(now, trend, sent)
}

// slope of a least-squares line, or what it was.
func slope(points []point, otherwise float64) float64 {
	x, y := 0.0, 0.0
	for _, p := range points {
		x += p.at
		y += p.delay
	}
	x /= float64(len(points))
	y /= float64(len(points))
	up, down := 0.0, 0.0
	for _, p := range points {
		up += (p.at - x) * (p.delay - y)
		down += (p.at - x) * (p.at - x)
	}
	if down == 0 {
		return otherwise
	}
	return up / down
}

func (t *trendline) detect(now time.Duration, trend float64, sent time.Duration) {
	if t.deltas < 2 {
		return
	}
	amplified := float64(min(t.deltas, trendDeltas)) * trend * trendGain
	switch {
	case amplified > t.threshold:
		if t.overSince < 0 {
			t.overSince = sent / 2 // it began somewhere between the two
		} else {
			t.overSince += sent
		}
		t.overCount++
		if t.overSince > overuseTime && t.overCount > 1 && trend >= t.before {
			t.overSince, t.overCount, t.usage = 0, 0, over
		}
	case amplified < -t.threshold:
		t.overSince, t.overCount, t.usage = -1, 0, under
	default:
		t.overSince, t.overCount, t.usage = -1, 0, normal
	}
	t.before = trend
	t.adapt(now, math.Abs(amplified))
}

func (t *trendline) adapt(now time.Duration, amplified float64) {
	d := milliseconds(min(now-t.adapted, 100*time.Millisecond))
	t.adapted = now
	if amplified > t.threshold+thresholdIgnore {
		return
	}
	k := thresholdUp
	if amplified < t.threshold {
		k = thresholdDown
	}
	t.threshold = clamp(t.threshold+k*(amplified-t.threshold)*d, leastThreshold, mostThreshold)
}

const (
	aimdBackoff  = 0.85
	aimdIncrease = 1.08 // a second
)

// aimd turns usage into a rate.
type aimd struct {
	least, most float64
	current     float64
	state       aimdState
	changed     time.Duration
	capacity    capacity
}

type aimdState uint8

const (
	hold aimdState = iota
	increase
)

type aimdInput struct {
	usage     usage
	acked     float64
	measured  bool
	probed    float64
	proved    bool
	limited   bool // by the application
	roundTrip time.Duration
}

func newAIMD(cfg bwe.Config) aimd {
	return aimd{least: float64(cfg.Min), most: float64(cfg.Max), current: float64(cfg.Start)}
}

func (a *aimd) feedback(now time.Duration, in aimdInput) {
	switch {
	case in.usage == over && in.measured:
		if a.mayReduce(now, in) {
			a.reduce(now, in.acked)
		}
	case in.usage == over:
		if now-a.changed >= clampTime(in.roundTrip, 10*time.Millisecond, 200*time.Millisecond) {
			a.set(now, a.current/2)
		}
	case in.proved:
		a.set(now, in.probed)
		a.state = increase
	case in.usage == under:
		a.state = hold
	default:
		if a.state == hold {
			a.changed, a.state = now, increase
		}
		a.raise(now, in)
	}
}

func clampTime(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }

func (a *aimd) set(now time.Duration, rate float64) {
	a.current, a.changed = clamp(rate, a.least, a.most), now
}

// mayReduce: once a round trip, or when half of the rate is gone.
func (a *aimd) mayReduce(now time.Duration, in aimdInput) bool {
	return now-a.changed >= clampTime(in.roundTrip, 10*time.Millisecond, 200*time.Millisecond) || in.acked < a.current/2
}

func (a *aimd) reduce(now time.Duration, acked float64) {
	reduced := aimdBackoff*acked - 5000
	if reduced > a.current && a.capacity.known {
		reduced = aimdBackoff * a.capacity.estimate
	}
	reduced = min(reduced, a.current)
	if acked < a.capacity.lower() {
		a.capacity = capacity{}
	}
	a.capacity.update(acked)
	a.set(now, reduced)
	a.state = hold
}

func (a *aimd) raise(now time.Duration, in aimdInput) {
	if in.measured && in.acked > a.capacity.upper() {
		a.capacity = capacity{}
	}
	limit := math.Inf(1)
	if in.measured {
		limit = 1.5*in.acked + 10_000
	}
	if a.current < limit {
		more := 0.0
		if a.capacity.known {
			more = a.nearMax(in.roundTrip) * seconds(now-a.changed)
		} else {
			more = max((math.Pow(aimdIncrease, min(seconds(now-a.changed), 1))-1)*a.current, 1000)
		}
		a.current = clamp(min(a.current+more, limit), a.least, a.most)
	}
	a.changed = now
}

// nearMax is half a packet a response time, in bit/s a second.
func (a *aimd) nearMax(roundTrip time.Duration) float64 {
	frame := a.current / 30 / 8
	packet := frame / math.Ceil(frame/1200)
	response := 2 * (roundTrip + 100*time.Millisecond)
	return max(packet*8/seconds(response), 4000)
}

// capacity is the link's, from where overuse was met. Its deviation is in its own square root.
type capacity struct {
	known               bool
	estimate, deviation float64
}

func (c *capacity) update(sample float64) {
	const alpha = 0.05
	kbps := sample / 1000
	if !c.known {
		*c = capacity{true, sample, 0.4}
		return
	}
	estimate := (1-alpha)*c.estimate/1000 + alpha*kbps
	off := estimate - kbps
	c.estimate = estimate * 1000
	c.deviation = clamp((1-alpha)*c.deviation+alpha*off*off/max(estimate, 1), 0.4, 2.5)
}

func (c *capacity) bound() float64 { return 3 * math.Sqrt(c.deviation*c.estimate/1000) * 1000 }

func (c *capacity) upper() float64 {
	if !c.known {
		return math.Inf(1)
	}
	return c.estimate + c.bound()
}

func (c *capacity) lower() float64 {
	if !c.known {
		return 0
	}
	return max(0, c.estimate-c.bound())
}
