package jitter

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

// entry is a packet that waits.
type entry struct {
	packet  Packet
	number  seq.Extended // of packets that are no copy
	begin   int64        // on the timestamp line
	arrived time.Duration
}

func (e *entry) end() int64 { return e.begin + int64(e.packet.Samples) }

// queue is a ring of entries in the order of their media. Most packets come in order, so that they are put in from the
// end.
type queue struct {
	ring  []entry
	first int
	held  int
}

func (q *queue) at(i int) *entry { return &q.ring[(q.first+i)%len(q.ring)] }

func (q *queue) full() bool { return q.held == len(q.ring) }

// find returns where media of begin stands or would stand.
func (q *queue) find(begin int64) (i int, there bool) {
	for i = q.held; i > 0; i-- {
		if b := q.at(i - 1).begin; b <= begin {
			if b == begin {
				return i - 1, true
			}
			break
		}
	}
	return i, false
}

// insert puts e at i; the queue is not full.
func (q *queue) insert(i int, e entry) {
	q.held++
	for j := q.held - 1; j > i; j-- {
		*q.at(j) = *q.at(j - 1)
	}
	*q.at(i) = e
}

// drop removes the first entry, and what it refers to.
func (q *queue) drop() {
	*q.at(0) = entry{}
	q.first = (q.first + 1) % len(q.ring)
	q.held--
}
