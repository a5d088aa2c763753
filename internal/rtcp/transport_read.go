package rtcp

import (
	"encoding/binary"
	"time"
)

// transportWrap is where the reference time begins again: 24 bits of 64 ms.
const transportWrap = 1 << 24 * ticksPerReference * transportTick

// A two-bit symbol has a fourth value, which is reserved: nobody knows whether a delta belongs to it.
const symbolMask = 0b11

// TransportArrivals fills into with what transport-wide feedback tells, number by number in ascending order, and returns what it
// has filled: nothing when p is none or its status chunks do not reach as far as its count. It stops where a delta is missing or a
// status is unknown: what follows could not be told apart. A message of 30 bytes may speak of 65,535 lost numbers: into bounds it.
func (p Packet) TransportArrivals(c *Clock, now time.Duration, into []Arrival) []Arrival {
	const fixed = transportFixedSize - headerSize
	if p.Type != TypeRTPFB || p.Count != FmtTWCC || len(p.Body) < fixed {
		return into[:0]
	}
	number, count := binary.BigEndian.Uint16(p.Body[feedbackHeader:]), int(binary.BigEndian.Uint16(p.Body[feedbackHeader+2:]))
	reference := binary.BigEndian.Uint32(p.Body[feedbackHeader+4:]) >> 8
	chunks, deltas, ok := splitChunks(p.Body[fixed:], count)
	if !ok {
		return into[:0]
	}
	at := c.Unwrap(now, time.Duration(reference)*ticksPerReference*transportTick, transportWrap)
	count = min(count, len(into))
	for filled := 0; filled < count; chunks = chunks[chunkSize:] {
		chunk := statusChunk(binary.BigEndian.Uint16(chunks))
		symbols := min(chunk.len(), count-filled)
		rest := into[filled : filled+symbols]
		for i := range rest {
			a := &rest[i]
			*a = Arrival{Seq: number}
			number++
			delta := 0
			switch chunk.symbol(i) {
			case statusLost:
				continue
			case statusSmall:
				if len(deltas) < 1 {
					return into[:filled+i]
				}
				delta, deltas = int(deltas[0]), deltas[1:]
			case statusLarge:
				if len(deltas) < 2 {
					return into[:filled+i]
				}
				delta, deltas = int(int16(binary.BigEndian.Uint16(deltas))), deltas[2:]
			default:
				return into[:filled+i]
			}
			at += time.Duration(delta) * transportTick
			a.Received, a.Timed, a.At = true, true, at
		}
		filled += symbols
	}
	return into[:count]
}

// splitChunks divides what follows the fixed fields into the chunks that count statuses need and the deltas; false when they
// are not all there.
func splitChunks(b []byte, count int) (chunks, deltas []byte, ok bool) {
	end := 0
	for ; count > 0; end += chunkSize {
		if len(b) < end+chunkSize {
			return nil, nil, false
		}
		count -= statusChunk(binary.BigEndian.Uint16(b[end:])).len()
	}
	return b[:end], b[end:], true
}

// statusChunk holds the statuses of numbers that follow each other, §3.1.3 and §3.1.4.
type statusChunk uint16

// len is how many; a run may be one of none.
func (c statusChunk) len() int {
	switch {
	case c&vectorBit == 0:
		return int(c & maxRun)
	case c&twoBitVector == 0:
		return oneBitSymbols
	default:
		return twoBitSymbols
	}
}

func (c statusChunk) symbol(i int) uint16 {
	switch {
	case c&vectorBit == 0:
		return uint16(c) >> 13 & symbolMask
	case c&twoBitVector == 0:
		return uint16(c) >> (oneBitSymbols - 1 - i) & 1
	default:
		return uint16(c) >> (2 * (twoBitSymbols - 1 - i)) & symbolMask
	}
}
