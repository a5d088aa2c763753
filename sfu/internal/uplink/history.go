package uplink

import (
	"math/bits"
	"time"
	"unsafe"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// 1 s: a video packet resent later than that is behind every browser's jitter buffer.
	videoHistory = time.Second
	// 500 ms: voice older than that is never played.
	audioHistory = 500 * time.Millisecond

	// Enough for the half second of a voice at 20 ms a packet and 24 kbit/s; more demanding streams double it.
	firstPackets = 32
	firstBytes   = 2048
)

// Packet is one entry of the history; it holds no pointers, so that the collector never looks into a ring.
type Packet struct {
	Seq       seq.Extended  // our number: rises through restarts of the publisher's stream
	Arrival   time.Duration // when it was handed in
	at        uint64        // position of its descriptor, behind which its payload is, in the endless stream of bytes
	Timestamp uint32        // as the publisher wrote it
	Epoch     uint32        // which of the publisher's streams it belongs to
	Meta      codec.Meta    // zero for a padding-only packet
	size      uint16        // of the payload
	Marker    bool
	Newest    bool // no packet with a higher number had come before it
	Speech    bool // Opus: it could be read, and does not say that there is silence
	FEC       bool // Opus: it carries the one before it once more, coarser (RFC 6716 §2.1.7)
	Ext       Extensions

	// What the dependency descriptor says. Structure is the number of the structure it was read by; 0: there was none, or it
	// could not be read, and Frame is zero.
	Frame      codec.Descriptor
	Structure  uint8
	descriptor uint8 // its bytes
}

// Size returns the payload's length in bytes; 0 means a padding-only packet.
func (p *Packet) Size() int { return int(p.size) }

// history is two rings and an index: packets by arrival, payload bytes behind each other, arrival index by number. All
// three double while the packet to be overwritten is still worth keeping, up to their limits.
//
//	packets  │ 7 │ 8 │ 5 │ 6 │      head = 9, tail = 5
//	           │   ╰────╮
//	slab     │▓▓▓8▓▓▓│    │▓5▓│▓▓6▓▓│▓7▓▓│     a payload that does not fit before the end starts at 0
type history struct {
	limit   int // of packets
	packets []Packet
	numbers []uint64 // arrival index by sequence number, twice as many; entries may be stale, the packet decides
	slab    []byte
	head    uint64 // arrival index of the next packet
	tail    uint64 // arrival index of the oldest packet held
	written uint64 // payload bytes laid down so far, skipped ones at the slab's end included
}

func (r *history) init(limit int) {
	r.limit = 1 << bits.Len(uint(limit-1))
}

func (r *history) maxBytes() int { return 1 << bits.Len(uint(r.limit*MaxPayload-1)) }

// push appends a packet and copies its descriptor and payload. Packets that arrived after keep are overwritten only at the limits.
func (r *history) push(p Packet, descriptor, payload []byte, keep time.Duration) (i uint64) {
	size := len(descriptor) + len(payload)
	if r.packets == nil {
		n := min(firstPackets, r.limit)
		r.packets, r.numbers = make([]Packet, n), make([]uint64, 2*n)
		r.slab = make([]byte, firstBytes)
	}
	for r.head-r.tail == uint64(len(r.packets)) {
		if len(r.packets) < r.limit && r.at(r.tail).Arrival > keep {
			r.growPackets()
		} else {
			r.tail++
		}
	}
	for {
		p.at = r.place(size)
		if r.tail == r.head || p.at+uint64(size)-r.at(r.tail).at <= uint64(len(r.slab)) {
			if size <= len(r.slab) {
				break
			}
			r.growSlab()
			continue
		}
		if len(r.slab) < r.maxBytes() && r.at(r.tail).Arrival > keep {
			r.growSlab()
		} else {
			r.tail++
		}
	}
	p.size, p.descriptor = uint16(len(payload)), uint8(len(descriptor))
	offset := p.at & uint64(len(r.slab)-1)
	copy(r.slab[offset:], descriptor)
	copy(r.slab[offset+uint64(len(descriptor)):], payload)
	r.written = p.at + uint64(size)
	i = r.head
	r.packets[i&uint64(len(r.packets)-1)] = p
	r.head++
	r.number(i, p.Seq)
	return i
}

// number makes the packet at arrival index i be found as s, unless one newer by more than the index spans has its place.
func (r *history) number(i uint64, s seq.Extended) {
	mask := seq.Extended(len(r.numbers) - 1)
	if q := r.at(r.numbers[s&mask]); q == nil || q.Seq&mask != s&mask || q.Seq < s {
		r.numbers[s&mask] = i
	}
}

// place returns the position of the next payload: the current one, or the slab's next beginning when it would not fit.
func (r *history) place(size int) uint64 {
	offset := int(r.written & uint64(len(r.slab)-1))
	if offset+size > len(r.slab) {
		return r.written + uint64(len(r.slab)-offset)
	}
	return r.written
}

func (r *history) growPackets() {
	old := r.packets
	r.packets, r.numbers = make([]Packet, 2*len(old)), make([]uint64, 4*len(old))
	for i := r.tail; i < r.head; i++ {
		r.packets[i&uint64(len(r.packets)-1)] = old[i&uint64(len(old)-1)]
	}
	for i := r.tail; i < r.head; i++ {
		r.number(i, r.at(i).Seq)
	}
}

// growSlab doubles the slab and lays the live payloads behind each other at its beginning.
func (r *history) growSlab() {
	old := r.slab
	r.slab = make([]byte, 2*len(old))
	r.written = 0
	for i := r.tail; i < r.head; i++ {
		p := r.at(i)
		offset := p.at & uint64(len(old)-1)
		p.at = r.written
		r.written += uint64(copy(r.slab[p.at:], old[offset:offset+uint64(p.descriptor)+uint64(p.size)]))
	}
}

func (r *history) at(i uint64) *Packet {
	if i < r.tail || i >= r.head {
		return nil
	}
	return &r.packets[i&uint64(len(r.packets)-1)]
}

func (r *history) descriptor(p *Packet) []byte {
	if p.descriptor == 0 {
		return nil
	}
	offset := p.at & uint64(len(r.slab)-1)
	return r.slab[offset : offset+uint64(p.descriptor) : offset+uint64(p.descriptor)]
}

func (r *history) payload(p *Packet) []byte {
	offset := p.at&uint64(len(r.slab)-1) + uint64(p.descriptor)
	return r.slab[offset : offset+uint64(p.size) : offset+uint64(p.size)]
}

func (r *history) index(s seq.Extended) (uint64, bool) {
	if r.packets == nil {
		return 0, false
	}
	i := r.numbers[uint64(s)&uint64(len(r.numbers)-1)]
	p := r.at(i)
	return i, p != nil && p.Seq == s
}

func (r *history) memory() int {
	return cap(r.packets)*int(unsafe.Sizeof(Packet{})) + 8*cap(r.numbers) + cap(r.slab)
}

func (r *history) release() {
	r.packets, r.numbers, r.slab = nil, nil, nil
	r.tail, r.written = r.head, 0
}
