package tcp

import (
	"slices"
	"time"
)

// AckSize is bytes of an acknowledgement on the wire: IP, TCP, timestamps.
const AckSize = 52

// delayedAck is how long a lone segment waits for a second one: Linux's shortest; RFC 5681 §4.2 allows 500 ms.
const delayedAck = 40 * time.Millisecond

// Ack is one acknowledgement.
type Ack struct {
	Next   int64    // everything before it has arrived
	Blocks [3]Block // what has arrived beyond, latest first (RFC 2018); empty ones are none
}

// Block is segments From to To, To not among them.
type Block struct{ From, To int64 }

// Receiver acknowledges each second segment, a lone one after 40 ms, and at once what comes out of order. One goroutine.
type Receiver struct {
	next     int64
	blocks   []Block // beyond next, latest touched first; they neither overlap nor touch
	waiting  int
	deadline time.Duration
}

// Received is how many segments have arrived in order.
func (r *Receiver) Received() int64 { return r.next }

// Next is when Poll has an acknowledgement though nothing comes; 0: none waits.
func (r *Receiver) Next() time.Duration { return r.deadline }

// Handle takes a segment, and says whether an acknowledgement goes back at once.
func (r *Receiver) Handle(now time.Duration, s Segment) (Ack, bool) {
	inOrder := s.Number == r.next && len(r.blocks) == 0
	r.put(s.Number)
	r.waiting++
	if inOrder && r.waiting < 2 {
		r.deadline = now + delayedAck
		return Ack{}, false
	}
	return r.ack(), true
}

// Poll returns the acknowledgement that has waited long enough.
func (r *Receiver) Poll(now time.Duration) (Ack, bool) {
	if r.deadline == 0 || now < r.deadline {
		return Ack{}, false
	}
	return r.ack(), true
}

func (r *Receiver) put(n int64) {
	if n < r.next {
		return
	}
	added := Block{n, n + 1}
	r.blocks = slices.DeleteFunc(r.blocks, func(b Block) bool {
		if b.To < added.From || b.From > added.To {
			return false
		}
		added = Block{min(added.From, b.From), max(added.To, b.To)}
		return true
	})
	if added.From == r.next {
		r.next = added.To
		return
	}
	r.blocks = slices.Insert(r.blocks, 0, added)
}

func (r *Receiver) ack() Ack {
	r.waiting, r.deadline = 0, 0
	a := Ack{Next: r.next}
	copy(a.Blocks[:], r.blocks)
	return a
}
