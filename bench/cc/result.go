package cc

import (
	"slices"
	"time"
)

// Metric is a figure of a run, by its name in rows.
type Metric string

// The metrics. Shares are from 0 to 1.
const (
	// Util is what arrived of media ÷ what could have: bits with RTP, UDP and IP headers ÷ ∫ min(capacity, 1.07 × the
	// sources' maximum), padding left out.
	Util Metric = "util"
	// UtilSteady is the same from Case.Steady on.
	UtilSteady Metric = "util_steady"
	// QueueMean and the others of its kind are of the waits of all packets of the flows in bottlenecks, ms.
	QueueMean Metric = "queue_mean_ms"
	QueueP95  Metric = "queue_p95_ms"
	QueueP99  Metric = "queue_p99_ms"
	// SenderQueueP95 is of the waits in the senders' own queues, ms.
	SenderQueueP95 Metric = "sender_queue_p95_ms"
	// Loss is the share of all packets sent that did not arrive, whoever took them.
	Loss Metric = "loss"
	// Conv is when the first flow's first window of a second with 90 % of what it could get ended, seconds since it began;
	// the case's whole length when it never came.
	Conv Metric = "conv_s"
	// Rise is the same since each later rise of the capacity, the slowest of them.
	Rise Metric = "rise_s"
	// Settle is how long after a drop of the capacity, or the end of a TCP flow, packets still met a queue of 50 ms, the slowest of them: the last
	// one before half a second without.
	Settle Metric = "settle_s"
	// Jain is Jain's index of what flows got of what was fair, while Case.Fair holds.
	Jain Metric = "jain"
	// FairLoss is Loss while Case.Fair holds.
	FairLoss Metric = "fair_loss"
	// Share is what the flows had of the capacity in Case.Fair, beside TCP, and TCPShare what TCP had.
	Share    Metric = "share"
	TCPShare Metric = "tcp_share"
	// Refill is when the flows that went on had 90 % of what a pause left them, seconds since it began; Rejoin when the flow
	// that had paused had 75 % of its share again.
	Refill Metric = "refill_s"
	Rejoin Metric = "rejoin_s"
	// Stale is the share of the bytes of media that waited too long in the senders' queues and were not sent.
	Stale Metric = "stale"
	// ProbeShare is padding ÷ all bytes sent.
	ProbeShare Metric = "probe_share"
	// FeedbackShare is bytes of reports ÷ bytes sent.
	FeedbackShare Metric = "feedback_share"
	// EstimateMax and EstimateMin are the greatest and smallest target, bits a second.
	EstimateMax Metric = "estimate_max"
	EstimateMin Metric = "estimate_min"
	// Over is the greatest target ÷ the greater of twice what was sent in the second before and the best that a probe has
	// proved: above 1 the controller believes what nothing has shown.
	Over Metric = "over"
	// Utility is what an SFU's subscriber had ÷ what one that knew the capacity would have had.
	Utility Metric = "utility"
	// UnderMin is the share of flows whose target was ever below the configured minimum.
	UnderMin Metric = "under_min"
)

// Result is what came of a run.
type Result struct {
	Case    string
	Seed    uint64
	Metrics map[Metric]float64 // those that the case has
	Series  Series
}

// Series is how a run went, in steps of 100 ms; rates are bits a second.
type Series struct {
	Capacity []float64 // of the first bottleneck; +Inf: unlimited
	Flows    []FlowSeries
	Queue    []float64 // ms, the longest wait at any bottleneck
	Dropped  []float64 // packets, at bottlenecks
	TCP      []float64 // what arrived of TCP
}

// FlowSeries is one flow's.
type FlowSeries struct {
	Target, Sent, Delivered []float64
	Lost                    []float64 // packets
	SenderQueue             []float64 // ms, the longest wait
}

// Step of a Series.
const Step = bin

const (
	enough     = 0.9 // of what could be had counts as converged
	joined     = 0.75
	settled    = 50 // ms
	settleHold = 500 * time.Millisecond
)

func (e *engine) result() Result {
	l, c := e.log, e.c
	m := map[Metric]float64{}
	r := Result{Case: c.Name, Metrics: m}
	want := ideal(c)[:len(c.Flows)]
	got := make([][]float64, len(c.Flows))
	for i := range c.Flows {
		got[i] = bits(l.flows[i].delivered)
	}
	steady := c.Steady
	if steady == 0 {
		steady = 10 * time.Second
	}
	whole := Span{0, c.Duration}
	m[Util] = ratio(total(got, whole), total(want, whole))
	m[UtilSteady] = ratio(total(got, Span{steady, c.Duration}), total(want, Span{steady, c.Duration}))
	m[QueueMean], m[QueueP95], m[QueueP99] = l.queue.mean(), l.queue.quantile(0.95), l.queue.quantile(0.99)
	m[SenderQueueP95] = l.wait.quantile(0.95)
	l.totals(m)
	m[Conv] = reached(got[:1], want[:1], Span{c.Flows[0].Start, c.Duration}, enough)
	e.changes(m, got, want)
	if c.Fair != (Span{}) {
		m[Jain] = fairness(got, want, c.Fair)
		m[FairLoss] = l.lossIn(c.Fair)
		whole := [][]float64{e.capacity()}
		m[Share] = ratio(total(got, c.Fair), total(whole, c.Fair))
		if len(c.TCP) > 0 {
			m[TCPShare] = ratio(total([][]float64{bits(l.tcp)}, c.Fair), total(whole, c.Fair))
		}
	}
	e.pauses(m, got, want)
	r.Series = e.series(got)
	return r
}

// totals are sums over flows.
func (l *log) totals(m map[Metric]float64) {
	packets, lost, bytes, pad, feedback, under, stale := 0, 0, 0, 0, 0, 0, 0
	low, high, over := 0.0, 0.0, 0.0
	least := float64(l.c.Config.Min)
	for i := range l.flows {
		f := &l.flows[i]
		packets, lost, bytes = packets+f.packets, lost+f.lostTotal, bytes+f.bytes
		pad, feedback, stale = pad+f.padding, feedback+f.feedback, stale+f.staleBytes
		if i == 0 || float64(f.estimateMin) < low {
			low = float64(f.estimateMin)
		}
		high, over = max(high, float64(f.estimateMax)), max(over, f.over)
		if float64(f.estimateMin) < least {
			under++
		}
	}
	m[Loss] = ratio(float64(lost), float64(packets))
	m[Stale] = ratio(float64(stale), float64(bytes-pad+stale))
	m[ProbeShare] = ratio(float64(pad), float64(bytes))
	m[FeedbackShare] = ratio(float64(feedback), float64(bytes))
	m[EstimateMin], m[EstimateMax] = low, high
	if slices.ContainsFunc(l.c.Flows, func(f Flow) bool { return f.Untold || f.Liar != Honest }) {
		m[Over] = over
	}
	m[UnderMin] = ratio(float64(under), float64(len(l.flows)))
}

// lossIn is the share of the packets sent in a span that were lost.
func (l *log) lossIn(s Span) float64 {
	sent, lost := 0, 0
	for i := range l.flows {
		for b := l.at(s.From); b < l.at(s.To); b++ {
			sent += int(l.flows[i].sentPackets[b])
			lost += int(l.flows[i].lostPackets[b])
		}
	}
	return ratio(float64(lost), float64(sent))
}

// changes measures what follows each change of the first bottleneck's capacity.
func (e *engine) changes(m map[Metric]float64, got, want [][]float64) {
	steps := e.c.Links[0].Steps
	for i := 1; i < len(steps) && e.c.Links[0].Loop == 0; i++ {
		at, until := steps[i].At, e.c.Duration
		if i+1 < len(steps) {
			until = min(until, steps[i+1].At)
		}
		if at >= until {
			continue
		}
		before, after := capacity(steps[i-1].Link), capacity(steps[i].Link)
		switch {
		case after > before:
			m[Rise] = max(m[Rise], reached(got, want, Span{at, until}, enough))
		case after < before:
			m[Settle] = max(m[Settle], e.log.settle(Span{at, until}))
		}
	}
	for _, t := range e.c.TCP {
		if t.Stop != 0 && t.Stop < e.c.Duration-5*time.Second {
			m[Settle] = max(m[Settle], e.log.settle(Span{t.Stop, e.c.Duration}))
		}
	}
}

// settle is how long after the beginning of a span queues of 50 ms are met, in seconds.
func (l *log) settle(s Span) float64 {
	calm := 0
	for b := l.at(s.From); b < l.at(s.To); b++ {
		calm++
		for i := range l.links {
			if l.links[i].queueMax[b] >= settled {
				calm = 0
			}
		}
		if calm == int(settleHold/bin) {
			return (time.Duration(b+1)*bin - settleHold - s.From).Seconds()
		}
	}
	return (s.To - s.From).Seconds()
}

// reached is how long after the beginning of a span the first window of a second ends in which a share of what could be
// had was had; the span's length when there is none.
func reached(got, want [][]float64, s Span, share float64) float64 {
	from, to := int(s.From/bin), int(s.To/bin)
	for b := from; b+binsOf1 <= to; b++ {
		window := Span{time.Duration(b) * bin, time.Duration(b+binsOf1) * bin}
		if total(got, window) >= share*total(want, window) {
			return (window.To - s.From).Seconds()
		}
	}
	return (s.To - s.From).Seconds()
}

// fairness is Jain's index of the rates over the fair ones (Jain, Chiu and Hawe 1984).
func fairness(got, want [][]float64, s Span) float64 {
	sum, squares, n := 0.0, 0.0, 0.0
	for i := range got {
		fair := total(want[i:i+1], s)
		if fair == 0 {
			continue
		}
		x := total(got[i:i+1], s) / fair
		sum += x
		squares += float64(x * x)
		n++
	}
	return ratio(sum*sum, n*squares)
}

// pauses measures what follows the first pause of a flow.
func (e *engine) pauses(m map[Metric]float64, got, want [][]float64) {
	for i, f := range e.c.Flows {
		if len(f.Pauses) == 0 || len(got) == 1 {
			continue
		}
		p := f.Pauses[0]
		var others, fair [][]float64
		for j := range got {
			if j != i {
				others, fair = append(others, got[j]), append(fair, want[j])
			}
		}
		m[Refill] = reached(others, fair, p, enough)
		m[Rejoin] = reached(got[i:i+1], want[i:i+1], Span{p.To, e.c.Duration}, joined)
		return
	}
}

// total is the bits of all in a span of whole bins.
func total(all [][]float64, s Span) float64 {
	sum := 0.0
	for _, one := range all {
		for b := int(s.From / bin); b < min(int(s.To/bin), len(one)); b++ {
			sum += one[b]
		}
	}
	return sum
}

func bits(bytes []int32) []float64 {
	all := make([]float64, len(bytes))
	for i, b := range bytes {
		all[i] = float64(b) * 8
	}
	return all
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// capacity is the bits of the first bottleneck, by bins.
func (e *engine) capacity() []float64 {
	all := make([]float64, e.log.bins)
	for b := range all {
		all[b] = capacities(e.c, time.Duration(b)*bin)[0]
	}
	return all
}

func (e *engine) series(got [][]float64) Series {
	s := Series{Capacity: rates(e.capacity()), Queue: make([]float64, e.log.bins), Dropped: make([]float64, e.log.bins)}
	for _, l := range e.log.links {
		for b := range e.log.bins {
			s.Queue[b] = max(s.Queue[b], float64(l.queueMax[b]))
			s.Dropped[b] += float64(l.dropped[b])
		}
	}
	if len(e.c.TCP) > 0 {
		s.TCP = rates(bits(e.log.tcp))
	}
	for i := range e.log.flows {
		f := &e.log.flows[i]
		one := FlowSeries{
			Sent: rates(bits(f.sentBytes)), Delivered: rates(got[i]),
			Target: make([]float64, e.log.bins), Lost: make([]float64, e.log.bins), SenderQueue: make([]float64, e.log.bins),
		}
		last := 0.0
		for b := range e.log.bins {
			if f.target[b] > 0 {
				last = float64(f.target[b])
			}
			one.Target[b], one.Lost[b], one.SenderQueue[b] = last, float64(f.lostPackets[b]), float64(f.queued[b])
		}
		s.Flows = append(s.Flows, one)
	}
	return s
}

// rates turns bits of bins to bits a second.
func rates(bits []float64) []float64 {
	all := make([]float64, len(bits))
	for i, b := range bits {
		all[i] = b / bin.Seconds()
	}
	return all
}
