package netsim

import (
	"math/rand/v2"
	"time"
)

// LinkConfig describes one direction of a link. The zero value is a perfect one.
type LinkConfig struct {
	Delay  time.Duration // of every packet
	Jitter time.Duration // further delay, uniform between 0 and this; it never reorders

	Loss  float64 // probability 0..1 that a packet is lost, each by itself
	Burst Burst   // loss in bursts, beside Loss

	Rate  int64 // bits a second; 0: unlimited
	Queue int   // bytes that may wait for Rate, a packet beyond is dropped; 0: 100 ms of Rate, at least two full packets

	Reorder   float64       // probability that a packet is held back, so that later ones overtake it
	ReorderBy time.Duration // how long; 0: 10 ms
	Duplicate float64       // probability that a packet arrives twice
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
)

func (v Verdict) String() string {
	return [...]string{"arrives", "lost", "queue full"}[v]
}

// Fate is what becomes of one packet.
type Fate struct {
	Verdict Verdict
	At      time.Duration // of arrival, on the clock of Send's now
	Copies  int           // 1, or 2 when duplicated
}

// Link is one direction of a link. It is pure: the same seed, configuration and sends have the same fates.
// One goroutine uses it.
type Link struct {
	config LinkConfig
	random *rand.Rand
	bad    bool          // Gilbert-Elliott state
	free   time.Duration // when the bottleneck has sent what waits
	last   time.Duration // latest arrival in order
}

// NewLink returns a link in its good state with an empty queue.
func NewLink(cfg LinkConfig, seed uint64) *Link {
	return &Link{config: cfg, random: rand.New(rand.NewPCG(seed, 0x6e657473696d))}
}

// Set changes the configuration under way. What waits keeps its place; packets sent later do not overtake it.
func (l *Link) Set(cfg LinkConfig) { l.config = cfg }

// Send puts a packet of size bytes, headers included, on the link. Calls come in order of now.
func (l *Link) Send(now time.Duration, size int) Fate {
	// All dice are cast for every packet: changing one probability leaves the others' outcomes as they were.
	burst, burstLoss, loss := l.random.Float64(), l.random.Float64(), l.random.Float64()
	jitter, reorder, duplicate := l.random.Float64(), l.random.Float64(), l.random.Float64()

	left, ok := l.pass(now, size)
	if !ok {
		return Fate{Verdict: QueueFull}
	}
	if l.inBurst(burst) && (l.config.Burst.Loss == 0 || burstLoss < l.config.Burst.Loss) || loss < l.config.Loss {
		return Fate{Verdict: Lost} // behind the bottleneck: it has cost its time there
	}
	at := max(left+l.config.Delay+time.Duration(jitter*float64(l.config.Jitter)), l.last)
	if reorder < l.config.Reorder {
		at += orDefault(l.config.ReorderBy, defaultReorderBy)
	} else {
		l.last = at
	}
	if duplicate < l.config.Duplicate {
		return Fate{Verdict: Arrives, At: at, Copies: 2}
	}
	return Fate{Verdict: Arrives, At: at, Copies: 1}
}

// pass sends the packet through the bottleneck and returns when its last bit has left it; false when the queue is full.
func (l *Link) pass(now time.Duration, size int) (time.Duration, bool) {
	rate := l.config.Rate
	if rate == 0 {
		return max(now, l.free), true
	}
	start := max(now, l.free)
	if waiting := bytesIn(start-now, rate); start > now && waiting+size > l.queue() {
		return 0, false
	}
	l.free = start + time.Duration(int64(size)*8*int64(time.Second)/rate)
	return l.free, true
}

func (l *Link) queue() int {
	if l.config.Queue > 0 {
		return l.config.Queue
	}
	return max(bytesIn(defaultQueueTime, l.config.Rate), minQueue)
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
