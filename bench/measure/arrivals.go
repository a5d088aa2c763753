package measure

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// window is how far behind the newest number a packet may come and still be placed: 16 s of the largest video here,
	// 260 packets a second, 80 s of sound.
	window = 4096
	// dropout is the largest jump ahead that is taken for lost packets: a minute without network at 260 a second. More is a
	// sender that began anew, once a second packet confirms it (RFC 3550 appendix A.1, whose 3,000 suit one second).
	dropout = 16384
	// between keeps the numbers of one sequence away from those of the next, whichever of its packets comes first.
	between = 2 * window
)

// arrivals accounts for every sequence number of a stream.
type arrivals struct {
	unwrapper seq.Unwrapper
	// newest and oldest are our own numbers: the wire's, unwrapped, and moved so that one sequence does not touch the next.
	started        bool
	offset         int64
	newest, oldest int64
	suspect        uint16 // the number that would confirm a jump
	suspected      bool

	came, byRepair [window / 64]uint64 // by number; of the window that ends with newest

	expected, packets, bytes int64
	repaired, duplicates     int64
	reordered, strays        int64

	stamp  uint32        // its RTP timestamp
	at     time.Duration // its arrival
	timed  bool
	jitter float64 // ns
	rate   float64 // ticks a second

	slices *slicer
}

// newSequence: the packets that follow have numbers of their own.
func (a *arrivals) newSequence() {
	if a.started {
		a.oldest = a.newest + between
	}
	a.started, a.suspected, a.timed = false, false, false
	a.unwrapper = seq.Unwrapper{}
}

// packet takes one packet in order of arrival and says whether it is the first with its number.
func (a *arrivals) packet(now time.Duration, s uint16, size int, stamp uint32, repaired bool) bool {
	slice := a.slices.at(now)
	n, ok := a.number(s)
	if !ok {
		a.strays++
		return false
	}
	switch {
	case n > a.newest:
		a.advance(n)
	case n < a.oldest:
		// It was sent before the first one that came.
		a.expected += a.oldest - n
		a.slices.expect(n, a.oldest-n)
		a.oldest = n
	}
	word, bit := (uint64(n)%window)/64, uint64(1)<<(uint64(n)%64)
	if a.came[word]&bit != 0 {
		a.duplicates++
		if a.byRepair[word]&bit != 0 && !repaired {
			// The first try came after all: only late, not lost.
			a.byRepair[word] &^= bit
			a.repaired--
			a.reordered++
		}
		return false
	}
	a.came[word] |= bit
	a.packets++
	a.bytes += int64(size)
	slice.packets++
	slice.bytes += int64(size)
	a.slices.got(n)
	switch {
	case repaired:
		a.byRepair[word] |= bit
		a.repaired++
	case n < a.newest:
		a.reordered++
	default:
		a.moveJitter(now, stamp)
	}
	return true
}

// number places a number of the wire; false of one that belongs nowhere, or not yet.
func (a *arrivals) number(s uint16) (int64, bool) {
	if !a.started {
		a.begin(s)
		return a.newest, true
	}
	e := a.unwrapper.Unwrap(s)
	n := int64(e) + a.offset
	if ahead := n - a.newest; ahead <= dropout && ahead > -window {
		a.unwrapper.Accept(e)
		a.suspected = false
		return n, true
	}
	if a.suspected && s == a.suspect {
		a.newSequence()
		a.begin(s)
		return a.newest, true
	}
	a.suspected, a.suspect = true, s+1
	return 0, false
}

// begin takes the first number of a sequence.
func (a *arrivals) begin(s uint16) {
	e := a.unwrapper.Unwrap(s)
	a.unwrapper.Accept(e)
	first := a.oldest
	if first == 0 {
		first = between
	}
	// Numbers just before the first may come yet: nothing of an earlier sequence may stand in their place.
	clear(a.came[:])
	clear(a.byRepair[:])
	a.started = true
	a.offset = first - int64(e)
	a.oldest = first
	a.newest = first - 1
	a.advance(first)
}

// advance makes n the newest number; those it passed are missing till they come.
func (a *arrivals) advance(n int64) {
	for i := max(a.newest+1, n-window+1); i <= n; i++ {
		word, bit := (uint64(i)%window)/64, uint64(1)<<(uint64(i)%64)
		a.came[word] &^= bit
		a.byRepair[word] &^= bit
	}
	a.expected += n - a.newest
	a.slices.expectNew(n, n-a.newest)
	a.newest = n
}

// moveJitter is the estimator of RFC 3550 §6.4.1, fed by packets that are in order: a repaired one would tell of the repair.
// The packets of one frame have one timestamp; only the first says something of the path.
func (a *arrivals) moveJitter(now time.Duration, stamp uint32) {
	if a.rate == 0 {
		return
	}
	if !a.timed {
		a.timed, a.at, a.stamp = true, now, stamp
		return
	}
	if stamp == a.stamp {
		return
	}
	media := float64(int32(stamp-a.stamp)) / a.rate * float64(time.Second)
	d := math.Abs(float64(now-a.at) - media)
	a.jitter += (d - a.jitter) / 16
	a.at, a.stamp = now, stamp
}

// loss sums it up.
func (a *arrivals) loss(dropped int64) Loss {
	l := Loss{
		Expected: a.expected, Repaired: a.repaired, Duplicates: a.duplicates, Reordered: a.reordered, Dropped: dropped,
	}
	if a.expected > 0 {
		never := a.expected - a.packets
		l.After = float64(never) / float64(a.expected)
		l.Before = float64(never+a.repaired) / float64(a.expected)
	}
	return l
}
