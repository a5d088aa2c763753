package codec

import (
	"encoding/binary"
	"math/bits"
)

// fieldReader reads fields of bits, the highest bit of a byte first. Behind the end everything reads as 0 and ended is set,
// so that a parser looks once, when it is through.
type fieldReader struct {
	b     []byte
	at    int // bits read
	ended bool
}

// bit reads one bit.
func (r *fieldReader) bit() uint32 {
	if r.at >= 8*len(r.b) {
		r.ended = true
		return 0
	}
	v := r.b[r.at/8] >> (7 - r.at%8) & 1
	r.at++
	return uint32(v)
}

// flag reads one bit as yes or no.
func (r *fieldReader) flag() bool { return r.bit() != 0 }

// bits reads n bits, at most 32.
func (r *fieldReader) bits(n int) uint32 {
	if r.left() < n {
		r.at, r.ended = 8*len(r.b), true
		return 0
	}
	first, before := r.at/8, r.at%8
	r.at += n
	if b := r.b[first:]; len(b) >= 8 {
		return uint32(binary.BigEndian.Uint64(b) << before >> 32 >> (32 - n))
	}
	var v uint64
	for i := first; 8*i < r.at; i++ {
		v = v<<8 | uint64(r.b[i])
	}
	// v ends with the byte in which the field ends.
	return uint32(v >> (-r.at & 7) & (1<<n - 1))
}

// skip passes over n bits.
func (r *fieldReader) skip(n int) {
	if r.left() < n {
		r.at, r.ended = 8*len(r.b), true
		return
	}
	r.at += n
}

// left is how many bits are still to be read.
func (r *fieldReader) left() int { return 8*len(r.b) - r.at }

// nonSymmetric reads a value below n, 1 to 256, that takes no more bits than it needs: ns(n), AV1 §4.10.7.
func (r *fieldReader) nonSymmetric(n int) int {
	w := bits.Len(uint(n))
	m := 1<<w - n
	v := int(r.bits(w - 1))
	if v < m {
		return v
	}
	return v<<1 - m + int(r.bit())
}

// golomb reads an Exp-Golomb code, ue(v) of ITU-T H.264 §9.1. More than 31 leading zeros are no code that any syntax has.
func (r *fieldReader) golomb() uint32 {
	zeros := 0
	for r.bit() == 0 {
		zeros++
		if zeros > 31 || r.ended {
			r.ended = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// signedGolomb reads se(v), ITU-T H.264 §9.1.1.
func (r *fieldReader) signedGolomb() int32 {
	v := r.golomb()
	if v&1 != 0 {
		return int32(v>>1) + 1
	}
	return -int32(v >> 1)
}

// fieldWriter writes such fields into b, which is all zeros and long enough.
type fieldWriter struct {
	b  []byte
	at int // bits written
}

// bits writes the low n bits of v, at most 32.
func (w *fieldWriter) bits(v uint32, n int) {
	for n > 0 {
		room := 8 - w.at%8
		k := min(n, room)
		n -= k
		w.b[w.at/8] |= uint8(v>>n&(1<<k-1)) << (room - k)
		w.at += k
	}
}

// copy writes the next n bits of r, which must be there.
func (w *fieldWriter) copy(r *fieldReader, n int) {
	for n > 0 {
		k := min(n, 32)
		w.bits(r.bits(k), k)
		n -= k
	}
}
