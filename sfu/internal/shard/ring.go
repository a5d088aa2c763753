package shard

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/handover"
)

const (
	// ringSize is a power of two: 1,024 packets are what a shard that is full takes in 17 ms; its turns are shorter than that by far.
	ringSize = 1024
	// ringShare is how many of them may be one Link's: a picture of 300 kB that comes at once, and not what all others need.
	ringShare = ringSize / 4
)

// ring is what clients that other loops carry have sent to a shard: many write it, one reads. A cell's turn says whose it is:
// that of whoever writes its number, then that number plus 1, of the reader's; nobody waits for anybody.
//
//	workers ── Deliver: copy ──► tail ▓▓▓▓▓▓▓▓ head ──► take, as from a socket
//
// The buffers come with the first packets and stay.
type ring struct {
	// Fixed after newRing.
	cells []cell

	// Atomic.
	tail                           atomic.Uint64
	overflowed, flooded, oversized atomic.Uint64 // packets dropped, by reason

	// Owned by the shard's loop.
	head uint64
	held *cell // whose packet is being handled
}

type cell struct {
	turn atomic.Uint64
	link *handover.Link
	size int
	b    []byte
}

func newRing() *ring {
	r := &ring{cells: make([]cell, ringSize)}
	for i := range r.cells {
		r.cells[i].turn.Store(uint64(i))
	}
	return r
}

// put copies a packet into the ring; false when it was dropped.
func (r *ring) put(l *handover.Link, b []byte) bool {
	if len(b) > handover.MaxSize {
		r.oversized.Add(1)
		return false
	}
	if l.Waiting.Add(1) > ringShare {
		l.Waiting.Add(-1)
		r.flooded.Add(1)
		return false
	}
	for {
		at := r.tail.Load()
		c := &r.cells[at%ringSize]
		switch turn := c.turn.Load(); {
		case turn == at:
			if !r.tail.CompareAndSwap(at, at+1) {
				continue
			}
			if c.b == nil {
				c.b = make([]byte, handover.MaxSize)
			}
			c.link, c.size = l, copy(c.b, b)
			c.turn.Store(at + 1)
			return true
		case turn < at: // the reader has it still, of the round before
			l.Waiting.Add(-1)
			r.overflowed.Add(1)
			return false
		}
	}
}

// empty says whether there is nothing to take. For the reader.
func (r *ring) empty() bool { return r.cells[r.head%ringSize].turn.Load() != r.head+1 }

// take is the oldest packet, valid until the next call; a nil link when there is none.
func (r *ring) take() (l *handover.Link, b []byte) {
	r.release()
	if r.empty() {
		return nil, nil
	}
	c := &r.cells[r.head%ringSize]
	l, c.link = c.link, nil
	l.Waiting.Add(-1)
	r.head++
	r.held = c
	return l, c.b[:c.size:c.size]
}

// release hands the cell of the last packet back; also after a fault that ended its handling.
func (r *ring) release() {
	if r.held != nil {
		r.held.turn.Store(r.head - 1 + ringSize)
		r.held = nil
	}
}

// forgotten are the Links that a shard shall let go of.
type forgotten struct {
	any atomic.Bool

	// Guarded by mu.
	mu    sync.Mutex
	links []*handover.Link
}

// Deliver takes a copy of a packet that a client behind a Link has sent. It never blocks; false: dropped, and counted. Safe from any
// goroutine.
func (s *Shard) Deliver(l *handover.Link, b []byte) bool {
	if s.closing.Load() || !s.ring.put(l, b) {
		return false
	}
	s.wake()
	return true
}

// accept handles what Deliver has brought, at most budget packets; true when more is waiting.
func (s *Shard) accept(now time.Duration, budget int) bool {
	for range budget {
		l, b := s.ring.take()
		if l == nil {
			return false
		}
		if l.Ended() {
			s.stats.Drops.UnknownSource++
			continue
		}
		s.stats.HandedIn++
		s.handle(now, b, s.pathOf(l))
		s.suspect = nil
	}
	s.ring.release()
	return !s.ring.empty()
}
