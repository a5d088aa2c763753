package fec

import (
	"encoding/binary"
	"math/bits"
)

// The FEC header (RFC 8627 §4.2.2.1), behind the RTP header:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---+-----------+---------------+-------------------------------+
//	|R F|P X CC     |M  PT recovery |        length recovery        |
//	+---+-----------+---------------+-------------------------------+
//	|                          TS recovery                          |
//	+-------------------------------+-+-----------------------------+
//	|           SN base             |k|         mask 0 to 14        |
//	+-+-----------------------------+-+-----------------------------+
//	|k|                        mask 15 to 45, where the first k is set
//	+-+-------------------------------------------------------------+
//	|                          mask 46 to 109, where both are set   |
//	|                                                               |
//	+---------------------------------------------------------------+

const (
	// Span is how many numbers a mask reaches over, its base included: a group lies within so many.
	Span = 15 + 31 + 64

	// MaxHeader is the longest FEC header, bytes: that of a group that reaches over more than 46 numbers.
	MaxHeader = 24

	// MaxPacket is the longest RTP packet that is protected, bytes: what an Ethernet frame holds.
	MaxPacket = 1500

	rtpHeader  = 12 // its fixed part (RFC 3550 §5.1)
	recovery   = 8  // bytes of the FEC header before the base
	leastMask  = 2
	secondMask = 4
	thirdMask  = 8

	firstBits, secondBits = 15, 31
)

// mask is the set of a group's numbers: bit 63−i of the first word is base+i, bit 127−i of the second.
type mask [2]uint64

func (m *mask) add(i int)      { m[i/64] |= 1 << (63 - i%64) }
func (m *mask) has(i int) bool { return m[i/64]&(1<<(63-i%64)) != 0 }

// last is the highest number of a mask that is not empty.
func (m *mask) last() int {
	if m[1] != 0 {
		return 127 - bits.TrailingZeros64(m[1])
	}
	return 63 - bits.TrailingZeros64(m[0])
}

// from are the n bits, at most 64, that begin at i, the first of them highest.
func (m *mask) from(i, n int) uint64 {
	word := m[i/64] << (i % 64)
	if i%64 > 0 && i < 64 {
		word |= m[1] >> (64 - i)
	}
	return word >> (64 - n)
}

// size is how many bytes of an FEC header tell the mask.
func (m *mask) size() int {
	switch last := m.last(); {
	case last < firstBits:
		return leastMask
	case last < firstBits+secondBits:
		return leastMask + secondMask
	default:
		return leastMask + secondMask + thirdMask
	}
}

// put writes the mask to b, which holds its size.
func (m *mask) put(b []byte) {
	first, second := uint16(m.from(0, firstBits)), uint32(m.from(firstBits, secondBits))
	size := m.size()
	if size > leastMask {
		if size > leastMask+secondMask {
			second |= 1 << 31 // k
			binary.BigEndian.PutUint64(b[leastMask+secondMask:], m.from(firstBits+secondBits, 64))
		}
		first |= 1 << 15 // k
		binary.BigEndian.PutUint32(b[leastMask:], second)
	}
	binary.BigEndian.PutUint16(b, first)
}

// readMask reads the mask that b begins with, and how many bytes it takes; 0: b is too short for it.
func readMask(b []byte) (m mask, size int) {
	if len(b) < leastMask {
		return mask{}, 0
	}
	first := binary.BigEndian.Uint16(b)
	m[0] = uint64(first&0x7fff) << (64 - firstBits)
	if first&(1<<15) == 0 {
		return m, leastMask
	}
	if len(b) < leastMask+secondMask {
		return mask{}, 0
	}
	second := binary.BigEndian.Uint32(b[leastMask:])
	m[0] |= uint64(second&0x7fffffff) << (64 - firstBits - secondBits)
	if second&(1<<31) == 0 {
		return m, leastMask + secondMask
	}
	if len(b) < leastMask+secondMask+thirdMask {
		return mask{}, 0
	}
	third := binary.BigEndian.Uint64(b[leastMask+secondMask:])
	m[0] |= third >> (firstBits + secondBits)
	m[1] = third << (64 - firstBits - secondBits)
	return m, leastMask + secondMask + thirdMask
}
