package cc

import (
	"math"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// The metrics of an SFU's downlink. Utility is what the subscriber saw, of what it would have seen of an SFU that knows what the
// path carries in each second, leaves no headroom and changes layers without keyframes. What is seen are the pictures that
// came, as large and as many a second as they were, weighed by alloc.Utility.
const (
	// WrongLayers is the share of the time in which the layers sent are too much for the path by more than 5 %, or what is seen is
	// below nine tenths of what the same headroom would allow who knows the path.
	WrongLayers Metric = "wrong_layers"
	// TooMuch and TooLittle are its two parts.
	TooMuch   Metric = "too_much"
	TooLittle Metric = "too_little"
	// Down is how long after a fall of the capacity the last packet left that belonged to a layer above what it carries,
	// the slowest of them, seconds.
	Down Metric = "down_s"
	// Up is how long after a rise of the capacity nine tenths of what its headroom allows were seen, the mean and the slowest.
	Up    Metric = "up_s"
	UpMax Metric = "up_max_s"
	// Flaps is how often a minute an encoding was given to a slot and taken back within ten seconds although the path carried no
	// less, of the worst slot.
	Flaps Metric = "flaps_per_min"
	// Keyframes is how many were wished a minute and slot.
	Keyframes Metric = "keyframes_per_min"
	// AudioLoss and AudioDelayP95 are those of voices; the delay is that beyond the path's own.
	AudioLoss     Metric = "audio_loss"
	AudioDelayP95 Metric = "audio_delay_p95_ms"
)

const (
	fits       = 1.05 // the tolerance of a share
	farAbove   = 1.15 // of the means that layers take: what was measured of them was another
	seenEnough = 0.9
	flapWithin = 10 * second
	calmFor    = 200 * ms
	stillShown = 500 * ms // a picture that stands longer is frozen
)

// dlLog is what happened in a run of a downlink.
type dlLog struct {
	c        scene
	bins     int
	capacity []float64 // bits a second, by bins

	sentBytes, delivered, dropped []int32
	target                        []bwe.Bitrate
	queueMax, waitMax             []float32
	queue, wait                   delays
	audioDelay                    delays
	packets, lostPackets          int
	voices, lostVoices            int
	bytes, padding                int

	frames [][]uint8       // shown, by slots and bins
	size   [][]int8        // the encoding shown last, +1
	plan   []float64       // the most that the layers sent take, by bins
	over   []time.Duration // when packets of more than the path carries left

	rose   []rise // by slots
	flaps  []int
	wished int
}

type rise struct {
	at       time.Duration
	risen    bool
	capacity float64
}

func newDownlinkLog(c scene) dlLog {
	n := int((c.Duration + bin - 1) / bin)
	l := dlLog{
		c: c, bins: n, sentBytes: make([]int32, n), delivered: make([]int32, n), dropped: make([]int32, n),
		target: make([]bwe.Bitrate, n), queueMax: make([]float32, n), waitMax: make([]float32, n), plan: make([]float64, n),
		rose: make([]rise, len(c.Slots)), flaps: make([]int, len(c.Slots)),
	}
	for b := range n {
		l.capacity = append(l.capacity, capacities(c.Case, time.Duration(b)*bin)[0]/bin.Seconds())
	}
	for range c.Slots {
		l.frames, l.size = append(l.frames, make([]uint8, n)), append(l.size, make([]int8, n))
	}
	return l
}

func (l *dlLog) at(now time.Duration) int { return min(int(now/bin), l.bins-1) }

// voicesRate is what the voices of a case take.
func (c scene) voicesRate() float64 { return audioRate * float64(c.Voices) }

// layer notes that a slot sends what it is meant to, and how much that is with all others.
func (l *dlLog) layer(d *downlink, now time.Duration) {
	at := &l.plan[l.at(now)]
	*at = max(*at, d.layersSent())
}

// layersSent is what all layers that are sent take, and the voices.
func (d *downlink) layersSent() float64 {
	sum := d.c.voicesRate()
	for _, s := range d.slots {
		if s.flows != paused {
			sum += float64(nominal(s.flows.encoding, s.flows.temporal))
		}
	}
	return sum
}

func (l *dlLog) sent(d *downlink, p dlPacket) {
	l.packets++
	l.bytes += p.size
	l.sentBytes[l.at(d.now)] += int32(p.size)
	switch {
	case p.slot == -2:
		l.padding += p.size
	case p.slot == -1:
		l.voices++
	default:
		s := d.slots[p.slot]
		f := s.frames[p.frame].layer
		if f.encoding > s.flows.encoding || d.layersSent() > farAbove*l.capacity[l.at(d.now)] {
			l.over = append(l.over, d.now)
		}
	}
}

func (l *dlLog) queued(now, wait time.Duration) {
	l.queue.add(wait)
	at := &l.queueMax[l.at(now)]
	*at = max(*at, milliseconds(wait))
}

func (l *dlLog) waited(now, wait time.Duration) {
	l.wait.add(wait)
	at := &l.waitMax[l.at(now)]
	*at = max(*at, milliseconds(wait))
}

func (l *dlLog) lost(now time.Duration, p dlPacket) {
	l.lostPackets++
	l.dropped[l.at(now)]++
	if p.slot == -1 {
		l.lostVoices++
	}
}

func (l *dlLog) arrived(now time.Duration, p *dlPacket) {
	if p.slot != -2 {
		l.delivered[l.at(now)] += int32(p.size)
	}
	if p.slot == -1 {
		l.audioDelay.add(max(now-p.came-l.c.Flows[0].After.Delay, 0))
	}
}

func (l *dlLog) estimated(now time.Duration, est bwe.Estimate) { l.target[l.at(now)] = est.Target }

func (l *dlLog) shown(now time.Duration, slot int, f layer) {
	b := l.at(now)
	l.frames[slot][b]++
	l.size[slot][b] = int8(f.encoding) + 1
}

// chosen notes what the allocator gave to a slot.
func (l *dlLog) chosen(now time.Duration, slot, from, to int) {
	a, b := layerAt(from).encoding, layerAt(to).encoding
	capacity := l.capacity[l.at(now)]
	r := &l.rose[slot]
	switch {
	case b > a:
		*r = rise{now, true, capacity}
	case b < a:
		if r.risen && now-r.at < flapWithin && capacity >= r.capacity*seenEnough {
			l.flaps[slot]++
		}
		r.risen = false
	}
}

// sources are what an SFU that knows everything chooses from.
func (c scene) sources() []alloc.Source {
	var all []alloc.Source
	for _, s := range c.Slots {
		source := alloc.Source{Kind: s.Kind, Priority: s.Priority, Width: s.Width, Height: s.Height, Current: alloc.Paused}
		for e := range ladderRates {
			if e > 0 && uint32(ladderHeight[e-1]) >= s.Height {
				break
			}
			for t := range layersOf {
				source.Layers = append(source.Layers, alloc.Layer{
					Bits: nominal(e, t), Width: ladderHeight[e] / 9 * 16, Height: ladderHeight[e], Rate: uint8(frameRates[t]), Cheap: t > 0,
				})
			}
		}
		all = append(all, source)
	}
	return all
}

// knowing is the utility of the best share of a capacity.
func (c scene) knowing(sources []alloc.Source, capacity float64) float64 {
	var a alloc.Allocator
	choices := a.Best(bwe.Bitrate(min(capacity, 1e12)-c.voicesRate()), sources, nil)
	sum := 0.0
	for i, choice := range choices {
		if choice.Layer != alloc.Paused {
			sum += float64(alloc.Utility(sources, i, sources[i].Layers[choice.Layer]))
		}
	}
	return sum
}

// watched is the utility of what was seen, by bins.
func (l *dlLog) watched(sources []alloc.Source) []float64 {
	all := make([]float64, l.bins)
	for i := range sources {
		for b := range all {
			count, size := 0, int8(0)
			for back := 0; back < binsOf1 && back <= b; back++ {
				count += int(l.frames[i][b-back])
				if size == 0 && time.Duration(back)*bin < stillShown {
					size = l.size[i][b-back]
				}
			}
			if size == 0 {
				continue
			}
			h := ladderHeight[size-1]
			all[b] += float64(alloc.Utility(sources, i, alloc.Layer{Width: h / 9 * 16, Height: h, Rate: uint8(max(count, 1))}))
		}
	}
	return all
}

// perSecond is the mean of the second that a bin is in.
func (l *dlLog) perSecond(b int) float64 {
	from := b / binsOf1 * binsOf1
	window := l.capacity[from:min(from+binsOf1, l.bins)]
	sum := 0.0
	for _, c := range window {
		sum += c
	}
	return sum / float64(len(window))
}

func (d *downlink) result() Result {
	l, c := &d.seen, d.c
	sources := c.sources()
	seen := l.watched(sources)
	best, careful := make([]float64, l.bins), make([]float64, l.bins)
	for b := range best {
		capacity := l.perSecond(b)
		if b > 0 && b%binsOf1 != 0 {
			best[b], careful[b] = best[b-1], careful[b-1]
			continue
		}
		voices := c.voicesRate()
		best[b] = c.knowing(sources, capacity)
		careful[b] = c.knowing(sources, (capacity-voices)/alloc.Headroom+voices)
	}
	m := map[Metric]float64{}
	m[Utility] = ratio(sum(seen), sum(best))
	l.wrong(m, seen, careful)
	l.changes(m, seen, careful)
	m[QueueMean], m[QueueP95], m[QueueP99] = l.queue.mean(), l.queue.quantile(0.95), l.queue.quantile(0.99)
	m[SenderQueueP95] = l.wait.quantile(0.95)
	m[Loss] = ratio(float64(l.lostPackets), float64(l.packets))
	m[AudioLoss] = ratio(float64(l.lostVoices), float64(l.voices))
	m[AudioDelayP95] = l.audioDelay.quantile(0.95)
	m[ProbeShare] = ratio(float64(l.padding), float64(l.bytes))
	m[Flaps] = float64(slices.Max(l.flaps)) / c.Duration.Minutes()
	m[Keyframes] = float64(l.wished) / c.Duration.Minutes() / float64(len(sources))
	return Result{Case: c.Name, Metrics: m, Series: l.series()}
}

func sum(all []float64) (s float64) {
	for _, v := range all {
		s += v
	}
	return s
}

// wrong is the time in which another share would have been right. The first two seconds are a beginning.
func (l *dlLog) wrong(m map[Metric]float64, seen, careful []float64) {
	much, little, n := 0, 0, 0
	for b := 2 * binsOf1; b < l.bins; b++ {
		n++
		switch {
		case l.plan[b] > fits*max(l.capacity[b], l.c.voicesRate()):
			much++
		case seen[b] < seenEnough*careful[b]:
			little++
		}
	}
	m[TooMuch], m[TooLittle] = ratio(float64(much), float64(n)), ratio(float64(little), float64(n))
	m[WrongLayers] = m[TooMuch] + m[TooLittle]
}

// changes measures what follows each change of the capacity that is one: by a fifth.
func (l *dlLog) changes(m map[Metric]float64, seen, careful []float64) {
	steps := l.c.Links[0].Steps
	ups := 0
	for i := range steps {
		at, until := steps[i].At, l.c.Duration
		if i+1 < len(steps) {
			until = min(until, steps[i+1].At)
		}
		before := 0.0
		if i > 0 {
			before = capacity(steps[i-1].Link)
		}
		after := capacity(steps[i].Link)
		switch {
		case at >= until:
		case after > before*1.2:
			took := l.reached(seen, careful, Span{at, until})
			m[Up] += took
			m[UpMax] = max(m[UpMax], took)
			ups++
		case after < before/1.2:
			m[Down] = max(m[Down], l.excess(Span{at, until}))
		}
	}
	m[Up] = ratio(m[Up], float64(ups))
}

// reached is when what is seen is enough for the first time in a span.
func (l *dlLog) reached(seen, careful []float64, s Span) float64 {
	for b := l.at(s.From); time.Duration(b)*bin < s.To && b < l.bins; b++ {
		if seen[b] >= seenEnough*careful[b] {
			return (time.Duration(b+1)*bin - s.From).Seconds()
		}
	}
	return (s.To - s.From).Seconds()
}

// excess is when the last packet of too much left, before a fifth of a second without.
func (l *dlLog) excess(s Span) float64 {
	last := s.From
	for _, at := range l.over {
		if s.holds(at) && at-last < calmFor {
			last = at
		}
	}
	return (last - s.From).Seconds()
}

func (l *dlLog) series() Series {
	s := Series{Capacity: l.capacity, Queue: make([]float64, l.bins), Dropped: make([]float64, l.bins)}
	f := FlowSeries{
		Sent: rates(bits(l.sentBytes)), Delivered: rates(bits(l.delivered)),
		Target: make([]float64, l.bins), Lost: make([]float64, l.bins), SenderQueue: make([]float64, l.bins),
	}
	last := 0.0
	for b := range l.bins {
		if l.target[b] > 0 {
			last = float64(l.target[b])
		}
		f.Target[b], f.Lost[b], f.SenderQueue[b] = last, float64(l.dropped[b]), float64(l.waitMax[b])
		s.Queue[b], s.Dropped[b] = float64(l.queueMax[b]), float64(l.dropped[b])
		if math.IsInf(s.Capacity[b], 1) {
			s.Capacity[b] = math.Inf(1)
		}
	}
	s.Flows = []FlowSeries{f}
	return s
}
