package pace

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// 1 s: what waits longer than that is behind every browser's jitter buffer.
	longestWait = time.Second

	// 1 s: with Blind, a packet of video leaves that often whatever holds it: 10 kbit/s, as TCP asks after its timeout.
	longestHeld = longestWait

	forever = time.Duration(math.MaxInt64)

	// 2 MiB: what longestWait comes to at 16 Mbit/s, more than a browser sends in all.
	mostQueued = 2 << 20
)

// Item is one packet that waits.
type Item[T any] struct {
	Class    Class
	Priority uint8         // within Class: lower leaves first; equal ones in the order they came
	Size     int           // bytes on the wire
	Stale    time.Duration // when it is of no use any more; 0: a second after it came, which is the most
	Value    T
}

// Queue holds the packets of one sender until a Bucket lets them leave: for senders that own their packets, as a publisher
// does. It is bounded in bytes and in time. One goroutine.
type Queue[T any] struct {
	Bucket
	target bwe.Bitrate

	waiting [Classes]heap[T]
	came    uint64 // items pushed so far
	bytes   int
	moved   time.Duration // video left last, or began to wait
	stats   Stats

	// Blind says that nobody tells of audio that has come. Audio alone may take more than the estimate, or than the bottleneck is known
	// to pass, and a window may be full of packets that are lost: then no video leaves, nothing is told of, and an estimate that is
	// too low stays so for good. So a packet of video leaves once a second all the same.
	Blind bool

	// Dropped is told of each item that does not leave, with the time; nil: nobody is. Set it before the first Push.
	Dropped func(now time.Duration, it Item[T])
}

// Stats are counters since NewQueue, by class, and what waits now.
type Stats struct {
	Sent, SentBytes       [Classes]uint64
	Stale                 [Classes]uint64 // dropped: waited too long
	Overflow              [Classes]uint64 // dropped: there was no room
	Waiting, WaitingBytes int
}

// NewQueue returns an empty queue.
func NewQueue[T any]() *Queue[T] { return &Queue[T]{} }

// SetEstimate takes what the estimator says now, a probe to be made included.
func (q *Queue[T]) SetEstimate(now time.Duration, e bwe.Estimate) {
	q.target = e.Target
	q.Bucket.SetEstimate(now, e)
}

// Push takes an item; what does not fit is dropped and counted: of the lowest class that waits its last in line.
func (q *Queue[T]) Push(now time.Duration, it Item[T]) {
	it.Class = min(it.Class, Padding)
	latest := now + longestWait
	if it.Stale == 0 || it.Stale > latest {
		it.Stale = latest
	}
	if it.Class == Video && len(q.waiting[Video]) == 0 {
		q.moved = now
	}
	q.came++
	q.bytes += it.Size
	q.waiting[it.Class].push(entry[T]{order: uint64(it.Priority)<<56 | q.came, item: it})
	for q.bytes > mostQueued {
		c := q.lowest()
		q.drop(now, q.waiting[c].removeLast(), &q.stats.Overflow)
	}
	q.Queued(q.bytes)
}

// lowest returns the lowest class that waits.
func (q *Queue[T]) lowest() Class {
	for c := Padding; c > Audio; c-- {
		if len(q.waiting[c]) > 0 {
			return c
		}
	}
	return Audio
}

// Pop returns the next item that may leave now, and the probe it belongs to.
func (q *Queue[T]) Pop(now time.Duration) (it Item[T], probe uint32, ok bool) {
	for c := range q.waiting {
		first := q.fresh(now, Class(c))
		if first == nil {
			continue
		}
		if probe, ok = q.Take(now, Class(c), first.Size); !ok {
			if now < q.due(Class(c)) {
				continue // repair without a budget does not hold video up
			}
			probe = q.Charge(now, Class(c), first.Size)
		}
		it = q.waiting[c].pop().item
		q.bytes -= it.Size
		q.Queued(q.bytes)
		q.stats.Sent[c]++
		q.stats.SentBytes[c] += uint64(it.Size)
		if Class(c) == Video {
			q.moved = now
		}
		return it, probe, true
	}
	return it, 0, false
}

// due is when the first of a class leaves whatever holds it.
func (q *Queue[T]) due(c Class) time.Duration {
	if !q.Blind || c != Video {
		return forever
	}
	return q.moved + longestHeld
}

// fresh drops what has waited too long at the head of a class, and returns the item behind that; nil: there is none.
func (q *Queue[T]) fresh(now time.Duration, c Class) *Item[T] {
	w := &q.waiting[c]
	for len(*w) > 0 {
		if first := &(*w)[0].item; now < first.Stale {
			return first
		}
		q.drop(now, w.pop(), &q.stats.Stale)
		q.Queued(q.bytes)
	}
	return nil
}

func (q *Queue[T]) drop(now time.Duration, e entry[T], count *[Classes]uint64) {
	q.bytes -= e.item.Size
	count[e.item.Class]++
	if q.Dropped != nil {
		q.Dropped(now, e.item)
	}
}

// Next is when Pop may return something; 0: nothing waits.
func (q *Queue[T]) Next(now time.Duration) time.Duration {
	var next time.Duration
	for c := range q.waiting {
		if q.fresh(now, Class(c)) == nil {
			continue
		}
		if at := max(min(q.Bucket.Next(now, Class(c)), q.due(Class(c))), 1); next == 0 || at < next {
			next = at
		}
	}
	return next
}

// Delay is how long what waits will take at the estimate's rate.
func (q *Queue[T]) Delay() time.Duration { return q.target.Time(q.bytes) }

// Stats returns the counters.
func (q *Queue[T]) Stats() Stats {
	s := q.stats
	s.WaitingBytes = q.bytes
	for c := range q.waiting {
		s.Waiting += len(q.waiting[c])
	}
	return s
}

// heap is a binary heap by order: priority, then when an item came.
type heap[T any] []entry[T]

type entry[T any] struct {
	order uint64
	item  Item[T]
}

func (h *heap[T]) push(e entry[T]) {
	*h = append(*h, e)
	h.up(len(*h) - 1)
}

func (h *heap[T]) pop() entry[T] { return h.remove(0) }

// removeLast takes out what would leave last.
func (h *heap[T]) removeLast() entry[T] {
	last := len(*h) / 2 // behind it are the leaves, and the last is one
	for i := last; i < len(*h); i++ {
		if (*h)[i].order > (*h)[last].order {
			last = i
		}
	}
	return h.remove(last)
}

func (h *heap[T]) remove(i int) entry[T] {
	w := *h
	e, end := w[i], len(w)-1
	w[i], w[end] = w[end], entry[T]{}
	*h = w[:end]
	if i < end {
		h.down(i)
		h.up(i)
	}
	return e
}

func (h *heap[T]) up(i int) {
	w := *h
	for i > 0 {
		parent := (i - 1) / 2
		if w[parent].order <= w[i].order {
			return
		}
		w[parent], w[i] = w[i], w[parent]
		i = parent
	}
}

func (h *heap[T]) down(i int) {
	w := *h
	for {
		child := 2*i + 1
		if child >= len(w) {
			return
		}
		if child+1 < len(w) && w[child+1].order < w[child].order {
			child++
		}
		if w[i].order <= w[child].order {
			return
		}
		w[i], w[child] = w[child], w[i]
		i = child
	}
}
