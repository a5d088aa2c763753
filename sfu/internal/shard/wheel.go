package shard

import (
	"math/bits"
	"time"
)

// tick is the wheel's resolution. 5 ms: a tenth of the 50 ms feedback interval, and a NACK 5 ms late still arrives in
// the same round trip.
const tick = 5 * time.Millisecond

// wheelSize is a power of two; 256 × 5 ms looks 1.28 s ahead. Farther deadlines wait in the last place and go round.
const wheelSize = 256

// timer is one waiting deadline, a link of the wheel's lists. The zero value is idle.
type timer struct {
	next, prev *timer
	place      int // index of its list; only while linked
	at         time.Duration
	owner      *peer
	paces      bool // of what waits for its peer's path to have room; else of all that is due for a peer
}

func (t *timer) waiting() bool { return t.next != nil }

// wheel is a hashed timer wheel: O(1) to arm and disarm, one bitmap word per 64 places to find the next deadline.
type wheel struct {
	places [wheelSize]timer // list heads
	used   [wheelSize / 64]uint64
	turned int64 // ticks handled so far
}

func (w *wheel) init(now time.Duration) {
	for i := range w.places {
		head := &w.places[i]
		head.next, head.prev = head, head
	}
	w.turned = int64(now / tick)
}

// arm sets t to fire at the given time, or earlier if it already waits for something earlier.
func (w *wheel) arm(t *timer, at time.Duration) {
	if t.waiting() {
		if t.at <= at {
			return
		}
		w.disarm(t)
	}
	t.at = at
	due := int64((at + tick - 1) / tick)
	due = min(max(due, w.turned+1), w.turned+wheelSize-1)
	t.place = int(due & (wheelSize - 1))
	head := &w.places[t.place]
	t.next, t.prev = head, head.prev
	head.prev.next, head.prev = t, t
	w.used[t.place/64] |= 1 << (t.place % 64)
}

func (w *wheel) disarm(t *timer) {
	if !t.waiting() {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
	head := &w.places[t.place]
	if head.next == head {
		w.used[t.place/64] &^= 1 << (t.place % 64)
	}
}

// due takes out one timer whose time has come, or returns nil.
func (w *wheel) due(now time.Duration) *timer {
	end := int64(now / tick)
	for w.turned < end {
		place := int((w.turned + 1) & (wheelSize - 1))
		if w.used[place/64]&(1<<(place%64)) == 0 {
			w.turned++
			continue
		}
		t := w.places[place].next
		w.disarm(t)
		if t.at > now { // was farther away than the wheel is round
			w.arm(t, t.at)
			continue
		}
		return t
	}
	return nil
}

// next returns the time of the earliest deadline; ok is false when nothing waits.
func (w *wheel) next() (at time.Duration, ok bool) {
	start := int((w.turned + 1) & (wheelSize - 1))
	for i := 0; i <= len(w.used); i++ {
		word := (start/64 + i) % len(w.used)
		b := w.used[word]
		switch i {
		case 0:
			b &= ^uint64(0) << (start % 64)
		case len(w.used):
			b &= 1<<(start%64) - 1
		}
		if b != 0 {
			place := word*64 + bits.TrailingZeros64(b)
			ahead := (place - start) & (wheelSize - 1)
			return time.Duration(w.turned+1+int64(ahead)) * tick, true
		}
	}
	return 0, false
}
