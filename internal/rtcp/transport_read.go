package rtcp

import (
	"encoding/binary"
	"iter"
	"time"
)

// transportWrap is where the reference time begins again: 24 bits of 64 ms.
const transportWrap = 1 << 24 * ticksPerReference * transportTick

// A two-bit symbol has a fourth value, which is reserved: nobody knows whether a delta belongs to it.
const symbolMask = 0b11

// TransportArrivals walks what transport-wide feedback tells, number by number in ascending order; nothing when p is none or
// its status chunks do not reach as far as its count. It stops where a delta is missing or a status is unknown: what follows
// could not be told apart. A message of 30 bytes may speak of 65,535 lost numbers: who walks bounds it.
func (p Packet) TransportArrivals(c *Clock, now time.Duration) iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) { p.eachTransportArrival(c, now, yield) }
}

func (p Packet) eachTransportArrival(c *Clock, now time.Duration, yield func(Arrival) bool) {
	const fixed = transportFixedSize - headerSize
	if p.Type != TypeRTPFB || p.Count != FmtTWCC || len(p.Body) < fixed {
		return
	}
	number, count := binary.BigEndian.Uint16(p.Body[feedbackHeader:]), int(binary.BigEndian.Uint16(p.Body[feedbackHeader+2:]))
	reference := binary.BigEndian.Uint32(p.Body[feedbackHeader+4:]) >> 8
	chunks, deltas, ok := splitChunks(p.Body[fixed:], count)
	if !ok {
		return
	}
	at := c.Unwrap(now, time.Duration(reference)*ticksPerReference*transportTick, transportWrap)
	for ; count > 0; chunks = chunks[chunkSize:] {
		chunk := statusChunk(binary.BigEndian.Uint16(chunks))
		symbols := min(chunk.len(), count)
		count -= symbols
		for i := range symbols {
			a := Arrival{Seq: number}
			switch chunk.symbol(i) {
			case statusLost:
			case statusSmall:
				if len(deltas) < 1 {
					return
				}
				at += time.Duration(deltas[0]) * transportTick
				deltas = deltas[1:]
				a.Received, a.Timed, a.At = true, true, at
			case statusLarge:
				if len(deltas) < 2 {
					return
				}
				at += time.Duration(int16(binary.BigEndian.Uint16(deltas))) * transportTick
				deltas = deltas[2:]
				a.Received, a.Timed, a.At = true, true, at
			default:
				return
			}
			if !yield(a) {
				return
			}
			number++
		}
	}
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
