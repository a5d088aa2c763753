package rtcp

import (
	"encoding/binary"
	"math"
)

// rembName is the unique identifier of application layer feedback that is a REMB.
const rembName = 'R'<<24 | 'E'<<16 | 'M'<<8 | 'B'

// Layout of a REMB after the feedback header: name, then 8 bits of how many streams, 6 of exponent, 18 of mantissa.
const (
	rembFixedSize    = 8
	rembMantissaBits = 18
)

// REMB returns how many bits a second the receiver believes it can take in all (draft-alvestrand-rmcat-remb-03 §2.2), at most
// 2^63−1; false when p is no REMB. Which streams it names says nothing: senders of it, browsers among them, mean their path.
func (p Packet) REMB() (bitsPerSecond int64, ok bool) {
	if p.Type != TypePSFB || p.Count != FmtREMB || len(p.Body) < feedbackHeader+rembFixedSize {
		return 0, false
	}
	b := p.Body[feedbackHeader:]
	rate := binary.BigEndian.Uint32(b[4:])
	if binary.BigEndian.Uint32(b) != rembName || len(b) < rembFixedSize+ssrcSize*int(rate>>24) {
		return 0, false
	}
	exponent, mantissa := rate>>rembMantissaBits&0x3f, int64(rate&(1<<rembMantissaBits-1))
	if mantissa > math.MaxInt64>>exponent {
		return math.MaxInt64, true
	}
	return mantissa << exponent, true
}

// AppendREMB appends a REMB for the streams named, at most 255 of them. The rate is rounded down to what 18 bits hold; below 0
// it is 0.
func AppendREMB(dst []byte, sender uint32, bitsPerSecond int64, ssrcs []uint32) []byte {
	mantissa, exponent := max(bitsPerSecond, 0), uint32(0)
	for ; mantissa >= 1<<rembMantissaBits; mantissa >>= 1 {
		exponent++
	}
	ssrcs = ssrcs[:min(len(ssrcs), math.MaxUint8)]
	dst = appendFeedback(dst, TypePSFB, FmtREMB, sender, 0, rembFixedSize+ssrcSize*len(ssrcs))
	dst = binary.BigEndian.AppendUint32(dst, rembName)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(ssrcs))<<24|exponent<<rembMantissaBits|uint32(mantissa))
	for _, ssrc := range ssrcs {
		dst = binary.BigEndian.AppendUint32(dst, ssrc)
	}
	return dst
}
