package bwe

import (
	"math"
	"time"
)

const (
	lossMemory = 2.0 // s: what Estimate.Loss looks back; shorter and one lost burst looks like a bad path

	// A queue in front of losses that is so many standard errors longer than elsewhere is no accident.
	lossSigma = 3.0
	// A queue that others keep nearly full shows less of that. It is believed for as long as there is any of it, and sooner where
	// what is lost is larger than what passes: into a queue that is nearly full small packets still fit.
	lossStays  = 1.0
	lossLarger = 1.5
	sizeSigma  = 3.0
	// Longer runs of losses are outages, which say nothing of sizes or of what lasts.
	lossRun = 8.0

	leastWait = 1e-8        // s²: the least variance of waits that is believed, of 100 µs
	leastSize = 20.0 * 20.0 // bytes²: the same of sizes
	// Fewer losses than that tell nothing about where they happen.
	lossEnough = 4.0
	// 0.5 %: less is repaired and worth no step back (and as much as a queue of 70 ms may cost).
	lossWorth = 0.005
)

// loss tells random loss from congestion. Random loss, of radio, strikes whatever waits in the bottleneck. A queue that is
// full strikes when it is full: the packet before the lost one has waited longer than others.
type loss struct {
	got, lost   float64 // bytes, fading
	got2        float64 // bytes²
	gotN, lostN float32 // packets

	// Fading sums over packets that arrived, and over those of them that came before a lost one: seconds in the queue.
	all, all2, before float64
	allN, beforeN     float32

	last    float64 // queue of the newest packet that arrived, s
	at      time.Duration
	running bool  // the packet before was lost too
	full    bool  // losses are those of a full queue
	now     int32 // packets lost, of the newest report
}

func (l *loss) begin(now time.Duration) {
	keep := 1 / (1 + max(now-l.at, 0).Seconds()/lossMemory) // and not math.Exp, which differs from processor to processor
	l.at, l.now = now, 0
	l.got *= keep
	l.got2 *= keep
	l.gotN *= float32(keep)
	l.lost *= keep
	l.lostN *= float32(keep)
	l.all *= keep
	l.all2 *= keep
	l.allN *= float32(keep)
	l.before *= keep
	l.beforeN *= float32(keep)
}

func (l *loss) arrived(size int, queue float64) {
	l.passed(size)
	l.all += queue
	l.all2 += float64(queue * queue)
	l.allN++
	l.last = queue
}

// passed takes a packet of which nobody knows how long it waited.
func (l *loss) passed(size int) {
	l.got += float64(size)
	l.got2 += float64(size * size)
	l.gotN++
	l.running = false
}

func (l *loss) missed(size int) {
	l.lost += float64(size)
	l.lostN++
	l.now++
	if !l.running {
		l.before += l.last
		l.beforeN++
	}
	l.running = true
}

// came takes a loss back.
func (l *loss) came(size int) {
	l.lost = max(0, l.lost-float64(size))
	l.lostN = max(0, l.lostN-1)
}

// share of bytes lost.
func (l *loss) share() float64 {
	if all := l.got + l.lost; all > 0 {
		return l.lost / all
	}
	return 0
}

// judge decides, after each message, whether losses are those of a full queue.
func (l *loss) judge() {
	if l.beforeN < lossEnough || l.share() < lossWorth {
		l.full = false
		return
	}
	wait := beyond(l.before, l.beforeN, l.all, l.all2, l.allN, leastWait)
	least := lossLarger
	if l.full {
		least = 0
	}
	larger := wait > least && beyond(l.lost, l.lostN, l.got, l.got2, l.gotN, leastSize) > sizeSigma
	short := l.lostN < lossRun*l.beforeN
	l.full = wait > lossSigma || short && (larger || l.full && wait > lossStays)
}

// beyond is by how many standard errors the mean of some is above that of all; least is the smallest variance that is believed.
func beyond(some float64, someN float32, all, all2 float64, allN float32, least float64) float64 {
	if someN == 0 || allN == 0 {
		return 0
	}
	n, mean := float64(someN), all/float64(allN)
	deviation := math.Sqrt(max(all2/float64(allN)-float64(mean*mean), least))
	return (some/n - mean) / deviation * math.Sqrt(n)
}

// congestive reports whether losses happen where the queue is long.
func (l *loss) congestive() bool { return l.full }

// random is the share of bytes lost by chance.
func (l *loss) random() float64 {
	if l.congestive() {
		return 0
	}
	return l.share()
}
