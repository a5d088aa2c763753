package bwe

import (
	"math"
	"time"
)

const (
	lossMemory = 2.0 // s: what Estimate.Loss looks back; shorter and one lost burst looks like a bad path

	// A queue in front of losses that is so many standard errors longer than elsewhere is no accident.
	lossSigma = 3.0
	// Fewer losses than that tell nothing about where they happen.
	lossEnough = 4.0
	// 0.5 %: less is repaired and worth no step back (GOALS: what a shallow queue may cost).
	lossWorth = 0.005
)

// loss tells random loss from congestion. Random loss, of radio, strikes whatever waits in the bottleneck. A queue that is
// full strikes when it is full: the packet before the lost one has waited longer than others.
type loss struct {
	got, lost float64 // bytes, fading

	// Fading sums over packets that arrived, and over those of them that came before a lost one: seconds in the queue.
	all, all2, allN float64
	before, beforeN float64

	last    float64 // queue of the newest packet that arrived, s
	running bool    // the packet before was lost too
	now     int     // packets lost, of the newest report
	at      time.Duration
}

func (l *loss) begin(now time.Duration) {
	keep := 1 / (1 + max(now-l.at, 0).Seconds()/lossMemory) // and not math.Exp, which differs from processor to processor
	l.at, l.now = now, 0
	l.got *= keep
	l.lost *= keep
	l.all *= keep
	l.all2 *= keep
	l.allN *= keep
	l.before *= keep
	l.beforeN *= keep
}

func (l *loss) arrived(size int, queue float64) {
	l.got += float64(size)
	l.all += queue
	l.all2 += float64(queue * queue)
	l.allN++
	l.last, l.running = queue, false
}

// passed takes a packet of which nobody knows how long it waited.
func (l *loss) passed(size int) {
	l.got += float64(size)
	l.running = false
}

func (l *loss) missed(size int) {
	l.lost += float64(size)
	l.now++
	if !l.running {
		l.before += l.last
		l.beforeN++
	}
	l.running = true
}

// came takes a loss back.
func (l *loss) came(size int) { l.lost = max(0, l.lost-float64(size)) }

// share of bytes lost.
func (l *loss) share() float64 {
	if all := l.got + l.lost; all > 0 {
		return l.lost / all
	}
	return 0
}

// congestive reports whether losses happen where the queue is long.
func (l *loss) congestive() bool {
	if l.beforeN < lossEnough || l.share() < lossWorth {
		return false
	}
	mean := l.all / l.allN
	deviation := math.Sqrt(max(l.all2/l.allN-float64(mean*mean), 1e-8))
	return l.before/l.beforeN > mean+lossSigma*deviation/math.Sqrt(l.beforeN)
}

// random is the share of bytes lost by chance.
func (l *loss) random() float64 {
	if l.congestive() {
		return 0
	}
	return l.share()
}
