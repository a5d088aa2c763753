package fec

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/tolkyn/tolkyn/internal/seq"
)

// Encoder gathers the packets of one group into one repair packet. The zero value is an empty group; one goroutine.
type Encoder struct {
	numbers seq.Unwrapper
	count   int
	base    seq.Extended
	mask    mask
	head    [recovery]byte // the first eight of the FEC header
	longest int            // bytes behind the fixed header, of the longest packet
	parity  [MaxPacket - rtpHeader]byte
}

// Add takes an RTP packet into the group, as it is before sealing. False, and nothing is changed, when it cannot be of it: its
// number lies before the first one's, or 110 or more behind it, or was taken; or it is no RTP packet of at most MaxPacket bytes.
// All packets of a group are of one SSRC, which is the caller's to see to.
func (e *Encoder) Add(p []byte) bool {
	if len(p) < rtpHeader || len(p) > MaxPacket || p[0]>>6 != 2 {
		return false
	}
	number := e.numbers.Unwrap(binary.BigEndian.Uint16(p[2:]))
	if e.count == 0 {
		e.base = number
	}
	if number < e.base || number >= e.base+Span || e.mask.has(int(number-e.base)) {
		return false
	}
	e.numbers.Accept(number)
	e.mask.add(int(number - e.base))
	e.count++
	body := p[rtpHeader:]
	length := uint16(len(body))
	e.head[0] ^= p[0] & 0x3f
	e.head[1] ^= p[1]
	e.head[2] ^= byte(length >> 8)
	e.head[3] ^= byte(length)
	subtle.XORBytes(e.head[4:], e.head[4:], p[4:8])
	subtle.XORBytes(e.parity[:len(body)], e.parity[:len(body)], body)
	e.longest = max(e.longest, len(body))
	return true
}

// Count is how many packets the group has.
func (e *Encoder) Count() int { return e.count }

// Size is how many bytes Put writes; 0 for an empty group.
func (e *Encoder) Size() int {
	if e.count == 0 {
		return 0
	}
	return recovery + 2 + e.mask.size() + e.longest
}

// Put writes the group's FEC header and repair payload to dst, begins the next group, and returns how many bytes that were: 0, and
// the group goes on, when it is empty or dst is too short. Before them goes an RTP header with the repair stream's SSRC, number and
// payload type, and one CSRC, the SSRC of the packets (RFC 8627 §4.2.1).
func (e *Encoder) Put(dst []byte) int {
	size := e.Size()
	if size == 0 || size > len(dst) {
		return 0
	}
	copy(dst, e.head[:])
	binary.BigEndian.PutUint16(dst[recovery:], e.base.Uint16())
	e.mask.put(dst[recovery+2:])
	copy(dst[size-e.longest:size], e.parity[:e.longest])
	e.Reset()
	return size
}

// Reset begins a group anew.
func (e *Encoder) Reset() {
	clear(e.parity[:e.longest])
	e.count, e.mask, e.head, e.longest = 0, mask{}, [recovery]byte{}, 0
}
