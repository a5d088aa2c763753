package codec

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

// bits reads n bits, at most 32.
func (r *fieldReader) bits(n int) (v uint32) {
	for range n {
		v = v<<1 | r.bit()
	}
	return v
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
