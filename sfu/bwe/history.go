package bwe

import "time"

// What is known of a packet that left.
const (
	gone    uint8 = iota // never sent, or of no interest any more
	flying               // nothing is known yet
	missing              // a feedback passed over it: it may still come
	arrived
)

const (
	minHistory = 32   // packets: half a second of audio, 512 bytes
	maxHistory = 8192 // packets: a second of 80 Mbit/s; feedback that comes later than that is of no use
	keepSent   = 2 * time.Second
)

// sent is one packet that left.
type sent struct {
	at    time.Duration
	probe uint32
	size  uint16
	state uint8
}

// history holds the packets that left lately. It grows by need and never shrinks.
type history struct {
	ring        []sent // its length is a power of two; a packet lies at its number's remainder
	first, next uint64 // numbers of the oldest packet that is held and of the one to come
	flying      int    // bytes of which nothing is known yet
}

// add notes a packet. It returns false for a number that was used.
func (h *history) add(now time.Duration, p Packet) bool {
	if h.ring == nil {
		h.ring = make([]sent, minHistory)
		h.first, h.next = p.Number, p.Number
	}
	if p.Number < h.next {
		return false
	}
	if p.Number-h.next >= maxHistory {
		h.flying = 0
		h.first, h.next = p.Number, p.Number
	}
	for h.next < p.Number { // numbers that never left
		h.push(now, sent{at: now})
	}
	size := uint16(max(0, min(p.Size, 0xffff)))
	h.push(now, sent{at: now, probe: p.Probe, size: size, state: flying})
	h.flying += int(size)
	return true
}

func (h *history) push(now time.Duration, s sent) {
	if h.next-h.first == uint64(len(h.ring)) {
		if len(h.ring) < maxHistory && h.at(h.first).at > now-keepSent {
			h.grow()
		} else {
			h.drop()
		}
	}
	*h.at(h.next) = s
	h.next++
}

func (h *history) at(number uint64) *sent { return &h.ring[number&uint64(len(h.ring)-1)] }

// find returns a packet that is still held, or nil.
func (h *history) find(number uint64) *sent {
	if number < h.first || number >= h.next {
		return nil
	}
	if s := h.at(number); s.state != gone {
		return s
	}
	return nil
}

func (h *history) grow() {
	old := *h
	h.ring = make([]sent, 2*len(old.ring))
	for n := h.first; n < h.next; n++ {
		*h.at(n) = *old.at(n)
	}
}

// drop forgets the oldest packet.
func (h *history) drop() {
	if s := h.at(h.first); s.state == flying {
		h.flying -= int(s.size)
	}
	h.first++
}

// settle says what became of a packet.
func (h *history) settle(s *sent, state uint8) {
	if s.state == flying {
		h.flying -= int(s.size)
	}
	s.state = state
}
