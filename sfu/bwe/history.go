package bwe

import "time"

// What is known of a packet that left.
const (
	gone    uint8 = iota // never sent
	flying               // nothing is known yet
	skipped              // feedback told of later ones and not of it: a message was lost
	missing              // told not to have arrived: it may still come
	arrived
)

const (
	minHistory = 32              // packets: half a second of audio, 512 bytes
	maxHistory = 8192            // packets: a second of 80 Mbit/s; feedback that comes later than that is of no use
	keepSent   = 2 * time.Second // the ring grows rather than forget what left that lately, and has not been told to have arrived
	forgetSent = 3 * time.Second // what nobody told of by then will not be told of
)

// sent is one packet that left.
type sent struct {
	at    time.Duration
	probe uint32
	size  uint16
	state uint8
}

// history holds the packets that left lately. It grows by need and never shrinks. What is told to have arrived makes room, for
// nothing more can be learned of it: on a path without loss the ring is what leaves in a round trip and until feedback comes,
// which for a picture of 1.5 Mbit/s is 1 kB and not 8, and so stays in the cache of who sends to many.
type history struct {
	ring        []sent        // its length is a power of two; a packet lies at its number's remainder
	first, next uint64        // numbers of the oldest packet that is held and of the one to come
	told        uint64        // nothing below is flying
	flying      int           // bytes of which nothing is known yet
	since       time.Duration // what is not told of left then or later
}

// add notes a packet. It returns false for a number that was used.
func (h *history) add(now time.Duration, p Packet) bool {
	if h.ring == nil {
		h.ring = make([]sent, minHistory)
		h.first, h.next, h.told = p.Number, p.Number, p.Number
	}
	if p.Number < h.next {
		return false
	}
	if p.Number-h.next >= maxHistory {
		h.flying = 0
		h.first, h.next, h.told = p.Number, p.Number, p.Number
	}
	for h.next < p.Number { // numbers that never left
		h.push(now, sent{at: now})
	}
	if before := now - forgetSent; before > h.since { // else nothing can have, and to look is another line of memory for each packet
		h.forget(before)
	}
	size := uint16(max(0, min(p.Size, 0xffff)))
	h.push(now, sent{at: now, probe: p.Probe, size: size, state: flying})
	h.flying += int(size)
	return true
}

func (h *history) push(now time.Duration, s sent) {
	if h.next-h.first == uint64(len(h.ring)) {
		if oldest := h.at(h.first); len(h.ring) < maxHistory && oldest.at > now-keepSent && oldest.state != arrived && oldest.state != gone {
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
	h.settle(h.at(h.first), gone)
	h.first++
	h.told = max(h.told, h.first)
}

// settle says what became of a packet.
func (h *history) settle(s *sent, state uint8) {
	if s.state == flying {
		h.flying = max(0, h.flying-int(s.size))
	}
	s.state = state
}

// skip takes packets below a number, of which a message tells, as not told of.
func (h *history) skip(number uint64) {
	for ; h.told < number; h.told++ {
		if s := h.at(h.told); s.state == flying {
			h.settle(s, skipped)
		}
	}
}

// forget takes what left before a time as not told of.
func (h *history) forget(before time.Duration) {
	h.since = before
	for h.told < h.next {
		if at := h.at(h.told).at; at >= before {
			h.since = at
			return
		}
		h.skip(h.told + 1)
	}
}
