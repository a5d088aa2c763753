package red

import (
	"slices"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// mostHoles are kept: 0.6 s of packets of 20 ms, more than RED reaches back (RFC 2198 §3: 14 bits of timestamp, 341 ms of Opus).
	mostHoles = 32
	// maxJump is by how many numbers a packet may be off before the stream has begun anew (RFC 3550 §A.1: MAX_DROPOUT).
	maxJump = 3000
)

// Packet is one packet of a voice.
type Packet struct {
	Sequence  uint16
	Timestamp uint32
	Payload   []byte // a part of what Take was given
}

// Splitter takes the packets of one stream (one SSRC) in order of arrival. The zero value is ready; one goroutine.
type Splitter struct {
	numbers   seq.Unwrapper
	timestamp uint32 // of the packet with the highest number
	holes     []hole // by number
	filled    [codec.MaxREDBlocks]Packet
}

// hole is a packet that did not come.
type hole struct {
	number    seq.Extended
	timestamp uint32 // that it should have had
}

// Holes is how many of the last numbers have not come, nor a copy of them.
func (s *Splitter) Holes() int { return len(s.holes) }

// Take takes one packet: its header's number and timestamp, its payload, and whether its payload type is RED's. own is the packet's
// own payload; copies are those that fill a hole, in order of time, valid until the next call. False: a RED payload that lies, or
// copies of what is none (see codec.ReadRED).
func (s *Splitter) Take(sequence uint16, timestamp uint32, payload []byte, isRED bool) (own []byte, copies []Packet, ok bool) {
	var blocks [codec.MaxREDBlocks]codec.REDBlock
	n := 1
	blocks[0].Data = payload
	if isRED {
		if blocks, n, ok = codec.ReadRED(payload); !ok {
			return nil, nil, false
		}
	}
	own = blocks[n-1].Data
	s.note(sequence, timestamp, own)
	copies = s.filled[:0]
	for _, b := range blocks[:n-1] {
		at := timestamp - uint32(b.Offset)
		i := slices.IndexFunc(s.holes, func(h hole) bool { return h.timestamp == at })
		if i < 0 || len(b.Data) == 0 {
			continue
		}
		copies = append(copies, Packet{s.holes[i].number.Uint16(), at, b.Data})
		s.holes = slices.Delete(s.holes, i, i+1)
	}
	return own, copies, true
}

// note finds which holes the packet opens, or that it fills one itself.
func (s *Splitter) note(sequence uint16, timestamp uint32, own []byte) {
	number := s.numbers.Unwrap(sequence)
	highest, begun := s.numbers.Highest()
	step := int64(number) - int64(highest)
	switch {
	case !begun || step > maxJump || step < -maxJump:
		s.numbers, s.holes = seq.Unwrapper{}, s.holes[:0]
		s.numbers.Accept(s.numbers.Unwrap(sequence))
		s.timestamp = timestamp
	case step > 0:
		ticks := (timestamp - s.timestamp) / uint32(step)
		if p, read := codec.ReadOpus(own); read {
			// In front of what was lost there may have been silence, which has timestamps and no packets.
			ticks = min(ticks, uint32(p.Samples))
		}
		for n := max(highest+1, number-min(number, mostHoles)); n < number; n++ {
			s.holes = append(s.holes, hole{n, timestamp - uint32(number-n)*ticks})
		}
		if over := len(s.holes) - mostHoles; over > 0 {
			s.holes = slices.Delete(s.holes, 0, over)
		}
		s.numbers.Accept(number)
		s.timestamp = timestamp
	default:
		s.holes = slices.DeleteFunc(s.holes, func(h hole) bool { return h.number == number })
	}
}
