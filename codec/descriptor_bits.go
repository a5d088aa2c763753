package codec

import (
	"encoding/binary"
	mathbits "math/bits"
)

// bits reads unsigned fields from the highest bit down, as video headers and the dependency descriptor are written. What
// lies beyond the end reads as 0 and sets short: callers check it once, after as many fields as they like.
type bits struct {
	b     []byte
	at    int // in bits
	short bool
}

// read takes n bits, 0 to 32.
func (r *bits) read(n int) uint32 {
	if r.left() < n {
		r.at, r.short = 8*len(r.b), true
		return 0
	}
	first, shift := r.at>>3, r.at&7
	r.at += n
	if tail := r.b[first:]; len(tail) >= 8 {
		return uint32(binary.BigEndian.Uint64(tail) << shift >> 32 >> (32 - n))
	}
	var v uint64
	for i := first; 8*i < r.at; i++ {
		v = v<<8 | uint64(r.b[i])
	}
	// v ends with the byte in which the field ends.
	return uint32(v >> (-r.at & 7) & (1<<n - 1))
}

func (r *bits) flag() bool { return r.read(1) != 0 }

// skip passes over n bits.
func (r *bits) skip(n int) {
	if r.at += n; r.at > 8*len(r.b) {
		r.at, r.short = 8*len(r.b), true
	}
}

// nonSymmetric takes a value below n, 1 to 256, written in no more bits than it needs (ns(n): AV1 §4.10.7).
func (r *bits) nonSymmetric(n int) int {
	w := mathbits.Len(uint(n))
	m := 1<<w - n
	v := int(r.read(w - 1))
	if v < m {
		return v
	}
	return v<<1 - m + int(r.read(1))
}

// left is how many bits there are.
func (r *bits) left() int { return 8*len(r.b) - r.at }

// bitWriter writes such fields into b, which is all zeros and long enough.
type bitWriter struct {
	b  []byte
	at int
}

// write puts the low n bits of v, 0 to 32.
func (w *bitWriter) write(v uint32, n int) {
	for n > 0 {
		room := 8 - w.at&7
		k := min(n, room)
		n -= k
		w.b[w.at>>3] |= uint8(v>>n&(1<<k-1)) << (room - k)
		w.at += k
	}
}

// copy puts the next n bits of r, which must be there.
func (w *bitWriter) copy(r *bits, n int) {
	for n > 0 {
		k := min(n, 32)
		w.write(r.read(k), k)
		n -= k
	}
}
