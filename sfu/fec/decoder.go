package fec

import (
	"crypto/subtle"
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// window is how many numbers back packets are kept: twice what a mask reaches over.
	window = 256

	// remembered is how many numbers back it is known what has come: a second and more at 8 Mbit/s, as long as RTX comes.
	remembered = 1024

	// restart is by how many numbers a packet must lie behind the newest to be of a stream that begins anew (RFC 3550 §A.1).
	restart = 3000

	// mostGroups are kept that lack more than one packet: those of a second and more where each lasts two pictures.
	mostGroups = 32

	// useful is how old a packet may be that is computed with, and how long a repair packet waits for others: who plays out has given
	// up by then.
	useful = time.Second
)

// Decoder brings back what was lost of one stream. One goroutine.
type Decoder struct {
	ssrc    uint32
	numbers seq.Unwrapper
	came    [remembered]seq.Extended
	kept    [window]kept
	groups  [mostGroups]group
	open    int  // of groups, the first so many are in use
	look    bool // something has come since Next found nothing
	stats   Stats
}

// kept is a packet of the stream, as it came or was brought back.
type kept struct {
	number seq.Extended
	at     time.Duration
	bytes  []byte
}

// group is a repair packet that waits for what it lacks.
type group struct {
	base   seq.Extended
	mask   mask
	at     time.Duration
	head   [recovery]byte
	parity []byte
}

// Stats are counters since New.
type Stats struct {
	Repairs    uint64 // repair packets taken
	Recovered  uint64 // packets brought back
	Unneeded   uint64 // repair packets of which nothing was missing
	Useless    uint64 // given up: more than one packet stayed missing, or was too old
	Malformed  uint64 // repair packets that are none, or of another stream
	Impossible uint64 // what came out of the parity was no packet
}

// NewDecoder returns a decoder for the stream of this SSRC.
func NewDecoder(ssrc uint32) *Decoder { return &Decoder{ssrc: ssrc} }

// Stats returns the counters.
func (d *Decoder) Stats() Stats { return d.stats }

// Media takes a packet of the protected stream as it was before sealing, and reports whether it is new: false for one that has
// come before, that Next has brought back, or that is none of the stream.
func (d *Decoder) Media(now time.Duration, p []byte) (fresh bool) {
	if len(p) < rtpHeader || len(p) > MaxPacket || p[0]>>6 != 2 || binary.BigEndian.Uint32(p[8:]) != d.ssrc {
		return false
	}
	number, fresh := d.note(binary.BigEndian.Uint16(p[2:]))
	if fresh {
		d.keep(now, number, p)
	}
	return fresh
}

// Came notes that the packet with the number has come another way, by RTX say, and reports whether that is new.
func (d *Decoder) Came(sequence uint16) (fresh bool) {
	_, fresh = d.note(sequence)
	return fresh
}

// Has reports whether the packet with the number, one of the last 1,024, has come or was brought back.
func (d *Decoder) Has(sequence uint16) bool {
	_, begun := d.numbers.Highest()
	return begun && d.has(d.numbers.Unwrap(sequence))
}

func (d *Decoder) has(number seq.Extended) bool { return d.came[number%remembered] == number }

// note takes note of a number; false: it had come. What is too old to be known counts as new.
func (d *Decoder) note(sequence uint16) (number seq.Extended, fresh bool) {
	number = d.numbers.Unwrap(sequence)
	highest, begun := d.numbers.Highest()
	if begun && number+restart < highest {
		d.numbers, d.open = seq.Unwrapper{}, 0
		clear(d.came[:])
		for i := range d.kept {
			d.kept[i].number = 0
		}
		number = d.numbers.Unwrap(sequence)
		highest = number
	}
	if number+remembered <= highest {
		return number, true
	}
	if d.has(number) {
		return number, false
	}
	d.came[number%remembered] = number
	d.numbers.Accept(number)
	d.look = d.open > 0
	return number, true
}

// keep keeps a packet to compute with, unless it is too old for that, or a newer one has its place.
func (d *Decoder) keep(now time.Duration, number seq.Extended, p []byte) {
	k := &d.kept[number%window]
	if k.number > number {
		return
	}
	k.number, k.at = number, now
	k.bytes = append(k.bytes[:0], p...)
}

// find returns a packet to compute with; nil: it is not there in full, or too old.
func (d *Decoder) find(now time.Duration, number seq.Extended) *kept {
	if k := &d.kept[number%window]; k.number == number && now-k.at <= useful {
		return k
	}
	return nil
}

// Repair takes a repair packet as it was before sealing: false when it is none, protects another stream, or packets that are
// too far from those that came.
func (d *Decoder) Repair(now time.Duration, p []byte) bool {
	h, ok := packet.ParseHeader(p)
	if !ok {
		d.stats.Malformed++
		return false
	}
	body, ok := h.Payload(p)
	if protected, named := h.CSRC(p, 0); !ok || !named || h.CSRCCount != 1 || protected != d.ssrc || len(body) < recovery+2 || body[0]>>6 != 0 {
		d.stats.Malformed++
		return false
	}
	m, size := readMask(body[recovery+2:])
	parity := body[min(recovery+2+size, len(body)):]
	highest, begun := d.numbers.Highest()
	if size == 0 || m == (mask{}) || !begun || len(parity) > MaxPacket-rtpHeader {
		d.stats.Malformed++
		return false
	}
	base := d.numbers.Unwrap(binary.BigEndian.Uint16(body[recovery:]))
	if base > highest+Span || base+window <= highest {
		d.stats.Malformed++
		return false
	}
	d.stats.Repairs++
	d.forget(now)
	if d.open == mostGroups {
		d.drop(0) // the oldest
		d.stats.Useless++
	}
	g := &d.groups[d.open]
	d.open++
	g.base, g.mask, g.at = base, m, now
	copy(g.head[:], body)
	g.parity = append(g.parity[:0], parity...)
	d.look = true
	return true
}

// forget gives up what has waited too long.
func (d *Decoder) forget(now time.Duration) {
	for i := 0; i < d.open; {
		if now-d.groups[i].at > useful {
			d.drop(i)
			d.stats.Useless++
			continue
		}
		i++
	}
}

// drop takes a group out; its buffer is used again.
func (d *Decoder) drop(i int) {
	g := d.groups[i]
	copy(d.groups[i:d.open], d.groups[i+1:d.open])
	d.open--
	d.groups[d.open] = g
}

// Next returns a packet that can be had now and has not come, valid until the next call of any method; false: there is none
// until more comes. What it returns counts as come.
func (d *Decoder) Next(now time.Duration) ([]byte, bool) {
	if !d.look {
		return nil, false
	}
	d.forget(now)
	for i := 0; i < d.open; {
		g := &d.groups[i]
		missing, lacks := d.lacking(now, g)
		if lacks > 1 {
			i++
			continue
		}
		var p []byte
		switch lacks {
		case 1:
			p = d.recover(now, g, missing)
		case 0:
			d.stats.Unneeded++
		default:
			d.stats.Useless++
		}
		d.drop(i)
		if p != nil {
			d.stats.Recovered++
			return p, true
		}
	}
	d.look = false
	return nil, false
}

// lacking is how many packets of the group have not come, and the last of them; −1: the group is of no use any more, since what
// is needed for the others is not there in full.
func (d *Decoder) lacking(now time.Duration, g *group) (missing seq.Extended, lacks int) {
	highest, _ := d.numbers.Highest()
	usable := true
	for i := range g.mask.last() + 1 {
		if !g.mask.has(i) {
			continue
		}
		switch number := g.base + seq.Extended(i); {
		case number+window <= highest:
			usable = false
		case !d.has(number):
			missing = number
			lacks++
		case d.find(now, number) == nil:
			usable = false
		}
	}
	if !usable && lacks > 0 {
		return 0, -1
	}
	return missing, lacks
}

// recover computes the packet with the number, the only one that the group lacks (RFC 8627 §6.3); nil: it would be none.
func (d *Decoder) recover(now time.Duration, g *group, number seq.Extended) []byte {
	// The group is given up in any case, so that its buffers can hold what comes out.
	head, body := &g.head, g.parity
	for i := range g.mask.last() + 1 {
		other := g.base + seq.Extended(i)
		if !g.mask.has(i) || other == number {
			continue
		}
		p := d.find(now, other).bytes
		rest := p[rtpHeader:]
		if len(rest) > len(body) {
			d.stats.Impossible++ // a parity is as long as the longest
			return nil
		}
		head[0] ^= p[0] & 0x3f
		head[1] ^= p[1]
		head[2] ^= byte(len(rest) >> 8)
		head[3] ^= byte(len(rest))
		subtle.XORBytes(head[4:], head[4:], p[4:8])
		subtle.XORBytes(body, rest, body)
	}
	length := int(binary.BigEndian.Uint16(head[2:]))
	if length > len(body) || length > MaxPacket-rtpHeader {
		d.stats.Impossible++
		return nil
	}
	k := &d.kept[number%window]
	k.number, k.at = 0, now
	k.bytes = append(k.bytes[:0], 0x80|head[0]&0x3f, head[1], 0, 0)
	binary.BigEndian.PutUint16(k.bytes[2:], number.Uint16())
	k.bytes = append(k.bytes, head[4:]...)
	k.bytes = binary.BigEndian.AppendUint32(k.bytes, d.ssrc)
	k.bytes = append(k.bytes, body[:length]...)
	h, ok := packet.ParseHeader(k.bytes)
	if ok {
		_, ok = h.Payload(k.bytes)
	}
	if !ok {
		d.stats.Impossible++
		return nil
	}
	d.note(number.Uint16())
	k.number = number
	return k.bytes
}
