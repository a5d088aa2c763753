package rtcp

import (
	"encoding/binary"
	"iter"
)

// Packet types of RFC 3550 §12.1 and RFC 4585 §6.1.
const (
	TypeSR    = 200
	TypeRR    = 201
	TypeSDES  = 202
	TypeBYE   = 203
	TypeRTPFB = 205
	TypePSFB  = 206
)

// Feedback formats: NACK, congestion control and transport-wide feedback belong to TypeRTPFB, the others to TypePSFB.
const (
	FmtNACK = 1
	FmtCCFB = 11
	FmtTWCC = 15

	FmtPLI  = 1
	FmtFIR  = 4
	FmtREMB = 15
)

// Sizes in bytes.
const (
	headerSize      = 4
	ssrcSize        = 4
	senderInfoSize  = 20 // RFC 3550 §6.4.1, after the sender's SSRC
	blockSize       = 24
	feedbackHeader  = 2 * ssrcSize // sender and media, RFC 4585 §6.1
	nackItemSize    = 4
	firItemSize     = 8
	maxCount        = 31 // five bits
	maxWords        = 0xffff
	versionBits     = 2 << 6
	versionMask     = 3 << 6
	paddingBit      = 1 << 5
	countMask       = 0x1f
	nackMaskNumbers = 16
)

// Packet is one RTCP packet of a compound.
type Packet struct {
	Type  uint8
	Count uint8  // report or source count, or the feedback format
	Body  []byte // after the 4-byte header, without padding; shares the compound's memory
}

// Reader walks the packets of a compound.
type Reader struct {
	rest      []byte
	malformed bool
}

// Read begins at the first packet of a decrypted compound.
func Read(compound []byte) Reader { return Reader{rest: compound} }

// Next returns the next packet; false at the end and for ever after the first malformed one. Padding is taken off any
// packet, not only the last: some senders pad feedback in the middle.
func (r *Reader) Next() (Packet, bool) {
	if r.malformed || len(r.rest) == 0 {
		return Packet{}, false
	}
	p, size, ok := parse(r.rest)
	if !ok {
		r.malformed = true
		return Packet{}, false
	}
	r.rest = r.rest[size:]
	return p, true
}

// Err reports whether the walk ended at a malformed packet.
func (r *Reader) Err() bool { return r.malformed }

// parse reads the packet at the start of b (RFC 3550 §6.4.1: version, padding, count, type, length in words less one).
func parse(b []byte) (p Packet, size int, ok bool) {
	if len(b) < headerSize || b[0]&versionMask != versionBits {
		return Packet{}, 0, false
	}
	size = 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
	if size > len(b) {
		return Packet{}, 0, false
	}
	p = Packet{Type: b[1], Count: b[0] & countMask, Body: b[headerSize:size:size]}
	if b[0]&paddingBit == 0 {
		return p, size, true
	}
	if len(p.Body) == 0 {
		return Packet{}, 0, false
	}
	padding := int(p.Body[len(p.Body)-1])
	if padding == 0 || padding > len(p.Body) {
		return Packet{}, 0, false
	}
	p.Body = p.Body[:len(p.Body)-padding]
	return p, size, true
}

// SenderSSRC returns the SSRC of who sent this report or feedback.
func (p Packet) SenderSSRC() (uint32, bool) {
	switch p.Type {
	case TypeSR, TypeRR, TypeRTPFB, TypePSFB:
		return p.word(0)
	default:
		return 0, false
	}
}

// SenderReport is the sender's part of an SR, RFC 3550 §6.4.1.
type SenderReport struct {
	SSRC    uint32
	NTP     uint64 // 32.32 fixed point seconds since 1900
	RTP     uint32 // the same instant in the stream's timestamps
	Packets uint32
	Octets  uint32 // of payload
}

// SenderReport returns false when p is no SR or too short.
func (p Packet) SenderReport() (SenderReport, bool) {
	if p.Type != TypeSR || len(p.Body) < ssrcSize+senderInfoSize {
		return SenderReport{}, false
	}
	return SenderReport{
		SSRC:    binary.BigEndian.Uint32(p.Body),
		NTP:     binary.BigEndian.Uint64(p.Body[4:]),
		RTP:     binary.BigEndian.Uint32(p.Body[12:]),
		Packets: binary.BigEndian.Uint32(p.Body[16:]),
		Octets:  binary.BigEndian.Uint32(p.Body[20:]),
	}, true
}

// ReportBlock is one reception report, RFC 3550 §6.4.1.
type ReportBlock struct {
	SSRC             uint32
	FractionLost     uint8  // of 256, since the report before
	TotalLost        int32  // 24 bits, signed: duplicates count as negative loss
	HighestSeq       uint32 // rollover count and sequence number
	Jitter           uint32 // in timestamp ticks
	LastSR           uint32 // middle 32 bits of the last SR's NTP time
	DelaySinceLastSR uint32 // in 1/65536 s
}

// Block returns reception report i of an SR or RR, false when there is none.
func (p Packet) Block(i int) (ReportBlock, bool) {
	at := ssrcSize
	switch p.Type {
	case TypeRR:
	case TypeSR:
		at += senderInfoSize
	default:
		return ReportBlock{}, false
	}
	if i < 0 || i >= int(p.Count) || len(p.Body) < at+blockSize*(i+1) {
		return ReportBlock{}, false
	}
	b := p.Body[at+blockSize*i:]
	loss := binary.BigEndian.Uint32(b[4:])
	return ReportBlock{
		SSRC:             binary.BigEndian.Uint32(b),
		FractionLost:     uint8(loss >> 24),
		TotalLost:        int32(loss<<8) >> 8,
		HighestSeq:       binary.BigEndian.Uint32(b[8:]),
		Jitter:           binary.BigEndian.Uint32(b[12:]),
		LastSR:           binary.BigEndian.Uint32(b[16:]),
		DelaySinceLastSR: binary.BigEndian.Uint32(b[20:]),
	}, true
}

// MediaSSRC returns which stream a feedback packet speaks of. FIR and REMB have 0 there and name their streams later.
func (p Packet) MediaSSRC() (uint32, bool) {
	if p.Type != TypeRTPFB && p.Type != TypePSFB {
		return 0, false
	}
	return p.word(ssrcSize)
}

// NACKs walks the sequence numbers that a generic NACK asks for (RFC 4585 §6.2.1); none when p is not one.
func (p Packet) NACKs() iter.Seq[uint16] {
	return func(yield func(uint16) bool) { p.eachNACK(yield) }
}

func (p Packet) eachNACK(yield func(uint16) bool) {
	if p.Type != TypeRTPFB || p.Count != FmtNACK || len(p.Body) < feedbackHeader {
		return
	}
	for b := p.Body[feedbackHeader:]; len(b) >= nackItemSize; b = b[nackItemSize:] {
		s, more := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		if !yield(s) {
			return
		}
		for ; more != 0; more >>= 1 {
			s++
			if more&1 != 0 && !yield(s) {
				return
			}
		}
	}
}

// FIRs walks the SSRCs of which a full intra request wants a keyframe (RFC 5104 §4.3.1); none when p is not one.
func (p Packet) FIRs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) { p.eachFIR(yield) }
}

func (p Packet) eachFIR(yield func(uint32) bool) {
	if p.Type != TypePSFB || p.Count != FmtFIR || len(p.Body) < feedbackHeader {
		return
	}
	for b := p.Body[feedbackHeader:]; len(b) >= firItemSize; b = b[firItemSize:] {
		if !yield(binary.BigEndian.Uint32(b)) {
			return
		}
	}
}

// Leaving walks the SSRCs that a BYE names (RFC 3550 §6.6); none when p is not one.
func (p Packet) Leaving() iter.Seq[uint32] {
	return func(yield func(uint32) bool) { p.eachLeaving(yield) }
}

func (p Packet) eachLeaving(yield func(uint32) bool) {
	if p.Type != TypeBYE {
		return
	}
	for i := range int(p.Count) {
		ssrc, ok := p.word(ssrcSize * i)
		if !ok || !yield(ssrc) {
			return
		}
	}
}

// word reads 32 bits of the body, false when they are not there.
func (p Packet) word(at int) (uint32, bool) {
	if len(p.Body) < at+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(p.Body[at:]), true
}
