package udp

import "net/netip"

// MaxMessages is how many kernel messages one Read takes; with GRO one message can hold many datagrams.
const MaxMessages = 64

// Batch holds the datagrams of one Read. It owns their memory; one goroutine uses it.
type Batch struct {
	memory []byte
	stride int // distance between the places of two kernel messages in memory
	at     []datagram
}

type datagram struct {
	offset, size int
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

// Reset empties the batch.
func (b *Batch) Reset() { b.at = b.at[:0] }

// Put copies one datagram of at most MaxDatagram bytes into the batch and reports whether there was a place: forms of Socket
// that do not let the kernel write into the batch fill it so.
func (b *Batch) Put(data []byte, from netip.AddrPort) bool {
	if len(b.at) == MaxMessages || len(data) > MaxDatagram {
		return false
	}
	b.reserve(MaxDatagram)
	offset := len(b.at) * b.stride
	copy(b.memory[offset:], data)
	b.add(offset, len(data), from)
	return true
}

// reserve makes MaxMessages places of at least stride bytes each.
func (b *Batch) reserve(stride int) {
	if b.stride < stride {
		b.stride = stride
		b.memory = make([]byte, MaxMessages*stride)
	}
}

func (b *Batch) add(offset, size int, from netip.AddrPort) {
	b.at = append(b.at, datagram{offset: offset, size: size, from: from})
}
