package netsim

import (
	"math"
	"math/rand/v2"
	"time"
)

// LinkConfig describes one direction of a link. The zero value is a perfect one.
type LinkConfig struct {
	Delay          time.Duration // of every packet
	Jitter         time.Duration // further delay, between 0 and this
	Spread         Spread        // how it lies between them
	JitterReorders bool          // each packet has its own, whoever it overtakes; false: order is kept

	Loss    float64 // probability 0..1 that a packet is lost, each by itself
	Burst   Burst   // loss in bursts, beside Loss
	LossTCP float64 // what TCP loses instead of Loss and Burst; 0: the same as others, below 0: nothing

	Rate      int64         // bits a second; 0: unlimited
	Queue     int           // bytes that may wait for Rate, a packet beyond is dropped; 0: as QueueTime says
	QueueTime time.Duration // the same, as time that Rate takes for it; 0: 100 ms, at least two full packets

	Mark Marking // of packets that have waited

	Blackout bool // nothing passes: what is sent is dropped before the bottleneck

	Reorder   float64       // probability that a packet is held back, so that later ones overtake it
	ReorderBy time.Duration // how long; 0: 10 ms
	Duplicate float64       // probability that a packet arrives twice
}

// MeanDelay is what packets take on average without waiting for Rate and without Reorder, and without the wait for those
// before them that jitter in order brings.
func (c LinkConfig) MeanDelay() time.Duration {
	return c.Delay + time.Duration(c.Spread.mean()*float64(c.Jitter))
}

// MeanLoss is the share of packets that chance takes in the long run, of those behind the bottleneck; of TCP's where told.
func (c LinkConfig) MeanLoss(tcp bool) float64 {
	if tcp && c.LossTCP != 0 {
		return max(c.LossTCP, 0)
	}
	burst := 0.0
	if c.Burst.Enter > 0 {
		burst = c.Burst.Enter / (c.Burst.Enter + c.Burst.Leave)
		if c.Burst.Loss > 0 {
			burst *= c.Burst.Loss
		}
	}
	return 1 - (1-min(c.Loss, 1))*(1-burst)
}

// Spread is a distribution between 0 and 1.
type Spread uint8

const (
	// Uniform: every value as likely as any other.
	Uniform Spread = iota
	// HalfNormal: |N(0, σ)| cut at 3 σ, which is 1; the jitter of RFC 8868 section 4.5 with σ = 5 ms is 15 ms of it.
	HalfNormal
	// Pareto has a heavy tail, as Wi-Fi and mobile networks have: half of all are below 0.02, one in ten is above 0.12, one
	// in a hundred above 0.5 (Pareto with α = 1.5 between 1 and 30, moved to 0..1).
	Pareto
)

// String returns "uniform", "half-normal" or "pareto".
func (s Spread) String() string { return [...]string{"uniform", "half-normal", "pareto"}[s] }

const (
	paretoShape = 1.5 // a mean that exists, a variance that would not
	paretoEnd   = 30
)

var (
	paretoCut = 1 - math.Pow(paretoEnd, -paretoShape) // share of the whole distribution before paretoEnd
	normalCut = math.Erf(3 / math.Sqrt2)              // share of a normal distribution within 3 σ
)

// at is the value below which this share of all lie.
func (s Spread) at(share float64) float64 {
	switch s {
	case HalfNormal:
		return math.Sqrt2 / 3 * math.Erfinv(share*normalCut)
	case Pareto:
		return (math.Pow(1-share*paretoCut, -1/paretoShape) - 1) / (paretoEnd - 1)
	default:
		return share
	}
}

func (s Spread) mean() float64 {
	switch s {
	case HalfNormal: // of a normal distribution cut at 3 σ: σ √(2/π) (1 − e^(−9/2)) ÷ share within
		return math.Sqrt(2/math.Pi) / 3 * (1 - math.Exp(-4.5)) / normalCut
	case Pareto: // of one between 1 and H: α/(α−1) (1 − H^(1−α)) ÷ share within
		whole := paretoShape / (paretoShape - 1) * (1 - math.Pow(paretoEnd, 1-paretoShape)) / paretoCut
		return (whole - 1) / (paretoEnd - 1)
	default:
		return 0.5
	}
}

// Marking is how an active queue says that it grows, instead of dropping (RFC 3168): the share of packets that it marks
// rises evenly with what they have waited, from none at From to Most at To. From and To alike are a step, as DualPI2 has for
// L4S (RFC 9332 section 4.2); a low Most over tens of milliseconds is a queue of RFC 3168. The zero value marks none.
type Marking struct {
	From, To time.Duration
	Most     float64 // 0: all
}

// share of the packets that have waited so long.
func (m Marking) share(wait time.Duration) float64 {
	most := m.Most
	if most == 0 {
		most = 1
	}
	switch {
	case m.To == 0 || wait < m.From:
		return 0
	case wait >= m.To:
		return most
	}
	return most * (wait - m.From).Seconds() / (m.To - m.From).Seconds()
}

// Burst is the Gilbert-Elliott model: the link is good or bad and may change with each packet. The share of bad packets is
// Enter/(Enter+Leave), a burst is 1/Leave packets long on average.
type Burst struct {
	Enter float64 // probability good → bad; 0: never
	Leave float64 // probability bad → good
	Loss  float64 // loss while bad; 0: all
}

const (
	defaultReorderBy = 10 * time.Millisecond
	defaultQueueTime = 100 * time.Millisecond
	minQueue         = 3000
)

// Verdict says what a link did with a packet.
type Verdict uint8

const (
	Arrives   Verdict = iota // at Fate.At
	Lost                     // by chance
	QueueFull                // dropped before the bottleneck
	Dark                     // dropped because nothing passes: Blackout or Interrupt
)

func (v Verdict) String() string {
	return [...]string{"arrives", "lost", "queue full", "dark"}[v]
}

// Fate is what becomes of one packet.
type Fate struct {
	Verdict Verdict
	At      time.Duration // of arrival, on the clock of Send's now
	Wait    time.Duration // in the bottleneck's queue until its first bit leaves; of what was lost behind it as well
	Copies  int           // 1, or 2 when duplicated
	Marked  bool          // with ECN-CE, if it is ECN-capable
}

// Link is one direction of a link. It is pure: the same seed, configuration and sends have the same fates.
// One goroutine uses it.
type Link struct {
	config      LinkConfig
	trace       Trace // followed when it has steps; config is its present step then
	began       time.Duration
	random      *rand.Rand
	marks       *rand.Rand    // its own: a link that marks loses what it would have lost without
	bad         bool          // Gilbert-Elliott state
	free        time.Duration // when the bottleneck has sent what waits
	last        time.Duration // latest arrival in order
	interrupted bool
}

// NewLink returns a link in its good state with an empty queue.
func NewLink(cfg LinkConfig, seed uint64) *Link {
	return &Link{config: cfg, random: rand.New(rand.NewPCG(seed, 0x6e657473696d)), marks: rand.New(rand.NewPCG(seed, 0x65636e))}
}

// Set changes the configuration under way, and ends a trace. What waits keeps its place; packets sent later do not overtake
// it.
func (l *Link) Set(cfg LinkConfig) { l.config, l.trace = cfg, Trace{} }

// Follow has the link be as the trace says from now on, which is the trace's beginning. Unlike with Set, what waits when the
// rate changes leaves at the new rate: the link knows what comes. A trace without steps changes nothing.
func (l *Link) Follow(t Trace, now time.Duration) {
	if len(t.Steps) > 0 {
		l.trace, l.began = t, now
	}
}

// Interrupt has nothing pass, whatever the configuration, or ends that.
func (l *Link) Interrupt(on bool) { l.interrupted = on }

// Config is how the link is at this time.
func (l *Link) Config(now time.Duration) LinkConfig {
	if len(l.trace.Steps) > 0 {
		return l.trace.At(now - l.began)
	}
	return l.config
}

// Send puts a packet of size bytes, headers included, on the link. Calls come in order of now.
func (l *Link) Send(now time.Duration, size int) Fate { return l.send(now, size, false) }

// SendTCP is Send for a packet of TCP: it shares rate and queue with all others and has a loss of its own, LossTCP.
func (l *Link) SendTCP(now time.Duration, size int) Fate { return l.send(now, size, true) }

func (l *Link) send(now time.Duration, size int, tcp bool) Fate {
	// All dice are cast for every packet: changing one probability leaves the others' outcomes as they were.
	burst, burstLoss, loss := l.random.Float64(), l.random.Float64(), l.random.Float64()
	jitter, reorder, duplicate := l.random.Float64(), l.random.Float64(), l.random.Float64()

	l.config = l.Config(now)
	if l.config.Blackout || l.interrupted {
		return Fate{Verdict: Dark}
	}
	wait := max(l.free-now, 0)
	left, ok := l.pass(now, size)
	if !ok {
		return Fate{Verdict: QueueFull}
	}
	if l.loses(burst, burstLoss, loss, tcp) {
		return Fate{Verdict: Lost, Wait: wait} // behind the bottleneck: it has cost its time there
	}
	at := left + l.config.Delay + time.Duration(l.config.Spread.at(jitter)*float64(l.config.Jitter))
	if !l.config.JitterReorders {
		at = max(at, l.last)
	}
	if reorder < l.config.Reorder {
		at += orDefault(l.config.ReorderBy, defaultReorderBy)
	} else {
		l.last = max(at, l.last)
	}
	fate := Fate{Verdict: Arrives, At: at, Wait: wait, Copies: 1, Marked: l.marks.Float64() < l.config.Mark.share(wait)}
	if duplicate < l.config.Duplicate {
		fate.Copies = 2
	}
	return fate
}

// pass sends the packet through the bottleneck and returns when its last bit has left it; false when the queue is full.
func (l *Link) pass(now time.Duration, size int) (time.Duration, bool) {
	start := max(now, l.free)
	if l.config.Rate == 0 {
		return start, true
	}
	if start > now && l.waiting(now, start)+size > l.queue() {
		return 0, false
	}
	left, ok := l.leaves(start, size)
	if ok {
		l.free = left
	}
	return left, ok
}

// waiting is how many bytes leave the bottleneck between two times at which it is busy.
func (l *Link) waiting(from, to time.Duration) int {
	total := 0
	for range maxSteps {
		rate, until := l.rate(from)
		if until >= to {
			return total + bytesIn(to-from, rate)
		}
		total += bytesIn(until-from, rate)
		from = until
	}
	return total
}

// leaves says when a packet that reaches the bottleneck's head at start has left it; false: in no foreseeable time.
func (l *Link) leaves(start time.Duration, size int) (time.Duration, bool) {
	bits := int64(size) * 8
	for range maxSteps {
		rate, until := l.rate(start)
		if rate == 0 {
			return start, true
		}
		took := time.Duration(bits * int64(time.Second) / rate)
		if took <= until-start {
			return start + took, true
		}
		bits = max(bits-int64((until-start).Seconds()*float64(rate)), 0)
		start = until
	}
	return 0, false
}

// rate at a time, and until when it holds.
func (l *Link) rate(at time.Duration) (int64, time.Duration) {
	if len(l.trace.Steps) == 0 {
		return l.config.Rate, forever
	}
	step, until := l.trace.locate(at - l.began)
	if until == forever {
		return step.Link.Rate, forever
	}
	return step.Link.Rate, until + l.began
}

// queue is how many bytes may wait.
func (l *Link) queue() int {
	switch {
	case l.config.Queue > 0:
		return l.config.Queue
	case l.config.QueueTime > 0:
		return bytesIn(l.config.QueueTime, l.config.Rate)
	}
	return max(bytesIn(defaultQueueTime, l.config.Rate), minQueue)
}

// loses casts for a packet behind the bottleneck; bursts go on whoever is sent.
func (l *Link) loses(burst, burstLoss, loss float64, tcp bool) bool {
	inBurst := l.inBurst(burst) && (l.config.Burst.Loss == 0 || burstLoss < l.config.Burst.Loss)
	if tcp && l.config.LossTCP != 0 {
		return loss < l.config.LossTCP
	}
	return inBurst || loss < l.config.Loss
}

func (l *Link) inBurst(dice float64) bool {
	if l.bad {
		l.bad = dice >= l.config.Burst.Leave
	} else {
		l.bad = dice < l.config.Burst.Enter
	}
	return l.bad
}

func bytesIn(d time.Duration, rate int64) int { return int(d.Seconds() * float64(rate) / 8) }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
