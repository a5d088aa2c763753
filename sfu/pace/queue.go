package pace

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Item is one packet that waits.
type Item[T any] struct {
	Class    Class
	Priority uint8         // within Class: lower leaves first; equal ones in the order they came
	Size     int           // bytes on the wire
	Stale    time.Duration // when it is of no use any more; 0: never
	Value    T
}

// Queue holds the packets of one sender until a Bucket lets them leave: for senders that own their packets, as a publisher
// does. It is bounded in bytes and in time. One goroutine.
type Queue[T any] struct {
	Bucket
}

// NewQueue returns an empty queue.
func NewQueue[T any]() *Queue[T] { return &Queue[T]{} }

// Push takes an item; what does not fit is dropped and counted, of the lowest class first.
func (q *Queue[T]) Push(now time.Duration, it Item[T]) {}

// Pop returns the next item that may leave now, and the probe it belongs to.
func (q *Queue[T]) Pop(now time.Duration) (it Item[T], probe uint32, ok bool) { return it, 0, false }

// Next is when Pop may return something; 0: nothing waits.
func (q *Queue[T]) Next(now time.Duration) time.Duration { return 0 }

// Delay is how long what waits will take at the estimate's rate.
func (q *Queue[T]) Delay() time.Duration { return 0 }

var _ = bwe.Mbps
