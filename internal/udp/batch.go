package udp

import (
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// MaxMessages is how many kernel messages one Read takes; with GRO one message can hold many datagrams.
const MaxMessages = 64

// Batch holds the datagrams of one Read. It owns their memory; one goroutine uses it. Whoever reads many sockets does it with
// one batch: its memory and what it hands the kernel then stay in the processor's caches.
type Batch struct {
	memory []byte
	stride int // distance between the places of two kernel messages in memory
	at     []datagram
	vector *receiveVector // of the raw form
	head   int            // bytes that the next Read may leave it at; 0: all
	whole  uint64         // messages of which it takes all nevertheless, by bit

	read    time.Time    // of the datagrams that have no time of their own; zero where nobody looked at the clock
	arrived []int64      // the kernel's time of each datagram in ns since the Unix epoch; empty without Config.Timestamps
	to      [][4]byte    // the address each was sent to; of a Shared socket only
	ecn     []packet.ECN // of each datagram; empty where nobody asked
}

type datagram struct {
	offset, size int // size of what is here
	full         int // bytes that arrived
	from         netip.AddrPort
}

// NewBatch returns an empty batch. Its memory comes with the first Read, as the socket's form needs it.
func NewBatch() *Batch {
	return &Batch{at: make([]datagram, 0, 4*MaxMessages)}
}

// Len is the number of datagrams.
func (b *Batch) Len() int { return len(b.at) }

// Datagram returns the i-th datagram and its sender. The bytes may be changed and are valid until the next Read.
func (b *Batch) Datagram(i int) (data []byte, from netip.AddrPort) {
	d := &b.at[i]
	return b.memory[d.offset : d.offset+d.size : d.offset+d.size], d.from
}

// Arrived returns when the i-th datagram came, by the system's wall clock. The raw form with Config.Timestamps has it from the
// kernel, so a socket that is read late loses nothing; without Config.Timestamps it is the zero Time. The other forms give the
// time of Read. Datagrams that the kernel had joined (GRO) have one time.
func (b *Batch) Arrived(i int) time.Time {
	if i < len(b.arrived) {
		return time.Unix(0, b.arrived[i])
	}
	return b.read
}

// To is the address of ours that the i-th datagram was sent to, when a Shared socket was read; else the zero Addr.
func (b *Batch) To(i int) netip.Addr {
	if i < len(b.to) {
		return netip.AddrFrom4(b.to[i])
	}
	return netip.Addr{}
}

// ECN is how the i-th datagram's ECN bits arrived (RFC 3168). The raw form has them with Config.ECN, the in-memory form always;
// else, and in the portable form, it says packet.NotECT. Datagrams that the kernel had joined (GRO) are alike: it joins no others.
func (b *Batch) ECN(i int) packet.ECN {
	if i < len(b.ecn) {
		return b.ecn[i]
	}
	return packet.NotECT
}

// Glance lets the next Reads leave it at the first head bytes of each datagram, for those who count what they do not open: most
// of receiving a datagram is copying it. Of messages whose bit is set in whole, the first the lowest, all is taken. Only the raw
// form without GRO saves this work, the others go on taking all. head 0 takes all again.
func (b *Batch) Glance(head int, whole uint64) {
	b.head, b.whole = max(head, 0), whole
}

// Size is how long the i-th datagram was; Datagram gives less of it after a Glance.
func (b *Batch) Size(i int) int { return b.at[i].full }

// Reset empties the batch.
func (b *Batch) Reset() {
	b.at = b.at[:0]
	b.arrived = b.arrived[:0]
	b.to = b.to[:0]
	b.ecn = b.ecn[:0]
	b.read = time.Time{}
}

// Put copies one datagram of at most MaxDatagram bytes into the batch and reports whether there was a place: forms of Socket
// that do not let the kernel write into the batch fill it so.
func (b *Batch) Put(data []byte, from netip.AddrPort) bool {
	if len(b.at) == MaxMessages || len(data) > MaxDatagram {
		return false
	}
	b.reserve(MaxDatagram)
	offset := len(b.at) * b.stride
	copy(b.memory[offset:], data)
	b.add(offset, len(data), len(data), from)
	return true
}

// reserve makes MaxMessages places of at least stride bytes each.
func (b *Batch) reserve(stride int) {
	if b.stride < stride {
		b.stride = stride
		b.memory = make([]byte, MaxMessages*stride)
	}
}

func (b *Batch) add(offset, size, full int, from netip.AddrPort) {
	b.at = append(b.at, datagram{offset: offset, size: size, full: full, from: from})
}

// mark gives all datagrams added since the last mark these ECN bits.
func (b *Batch) mark(ecn packet.ECN) {
	for len(b.ecn) < len(b.at) {
		b.ecn = append(b.ecn, ecn)
	}
}

// stamp gives all datagrams added since the last stamp this time of arrival, and the present where it is 0.
func (b *Batch) stamp(ns int64) {
	if ns == 0 {
		ns = time.Now().UnixNano()
	}
	for len(b.arrived) < len(b.at) {
		b.arrived = append(b.arrived, ns)
	}
}
