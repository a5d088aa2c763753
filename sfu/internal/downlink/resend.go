package downlink

import (
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	// 20 ms at least, 50 ms until a round trip is known: a second request within one was sent before the first answer
	// could be there.
	minResendGap     = 20 * time.Millisecond
	defaultResendGap = 50 * time.Millisecond

	// A client that asks for one packet again and again has got it and does not know (pion asks every 100 ms for a second,
	// whatever came by RTX), or loses much: each resend waits twice as long as the one before, up to four round trips, and the
	// third is the last. Where more than 1 in 500 would stay lost by then, as from 22 % loss on, it is a later one.
	leastResends, mostResends = 3, 8
	mostDoublings             = 2
	staysLost                 = 1.0 / 500

	gates = 256 // resends remembered: a second's worth at 256 a second; further ones meet the budget
)

// rtx is the state of resending.
type rtx struct {
	last   seq.Extended // on the RTX SSRC
	gates  []gate       // by number; made at the first NACK
	budget budget

	keyframeAt seq.Extended // number of the newest keyframe's first packet
	owedAt     time.Duration
	owed       int          // bytes that pictures behind it still need, and did not get for want of budget
	wish       bool         // a keyframe is to come instead
	padded     seq.Extended // number last repeated as padding
}

// gate remembers when a packet was resent.
type gate struct {
	number seq.Extended
	at     time.Duration
	owed   bool  // not at all, for want of budget
	times  uint8 // resent
}

// SetRTT notes the round trip to the subscriber.
func (d *Downlink) SetRTT(rtt time.Duration) { d.rtt = rtt }

// Resend answers a NACK for the slot's sequence number: it writes the packet as an RTX packet (RFC 4588 §4) with its own
// number to dst; one without media, which fills a hole all the same, as an empty one. It returns false, and counts why, when the
// packet is gone, was resent less than a round trip ago, or the budget is spent: SetRepair's share of the media, and without
// an estimate half the bytes of a second's media and 16 kB.
func (d *Downlink) Resend(now time.Duration, sequence uint16, dst []byte, tseq uint16) (Out, bool) {
	d.lastNow = now
	number := d.extend(sequence)
	s := d.segment(number)
	if s == nil || s.payload.RTXPayloadType == 0 || d.cfg.RTXSSRC == 0 {
		d.stats.ResendGone++
		return Out{}, false
	}
	p, at := d.sent(s, number)
	if p == nil || p.Epoch != s.epoch {
		d.stats.ResendGone++
		return Out{}, false
	}
	header, descriptor := d.measure(s, p, at)
	size := rtxSize(header, p, at)
	if size+sealSize > len(dst) {
		d.stats.TooLong++
		return Out{}, false
	}
	if !d.worth(now, number, p) || !d.admit(now, number, size, p.Meta.Layer.Temporal == 0) {
		return Out{}, false
	}
	return d.repeat(s, p, number, at, header, descriptor, dst, tseq), true
}

// rtxSize is what a packet takes on the RTX SSRC, in bytes, with so large a header.
func rtxSize(header int, p *uplink.Packet, at place) int {
	if at.how&blank != 0 {
		return header + 2
	}
	return header + 2 + p.Size()
}

// repeat writes a packet that went out with the number to dst, on the RTX SSRC.
func (d *Downlink) repeat(
	s *segment, p *uplink.Packet, number seq.Extended, at place, header int, descriptor, dst []byte, tseq uint16,
) Out {
	size := rtxSize(header, p, at)
	d.rtx.last++
	d.write(dst, header, p, s.payload.RTXPayloadType, at.how&marked, d.cfg.RTXSSRC, d.rtx.last.Uint16(), p.Timestamp+s.timestamps, 0, tseq,
		descriptor, s.frames)
	binary.BigEndian.PutUint16(dst[header:], number.Uint16())
	if at.how&blank == 0 {
		copy(dst[header+2:size], s.source.Payload(p))
		s.rewrite(dst[header+2:size], p, at)
	}
	return Out{HeaderSize: header, Size: size, Seq: d.rtx.last, RTX: true}
}

// sent returns the packet that went out with the number, and its place; nil when it has not come, or nothing tells any more.
func (d *Downlink) sent(s *segment, number seq.Extended) (*uplink.Packet, place) {
	if s.table == 0 || number < s.table {
		p := s.source.Find(number - s.offset)
		if p == nil {
			return nil, place{}
		}
		return p, s.plain(p)
	}
	e := d.numbers.at(number)
	if e == nil || e.how&reserved != 0 {
		return nil, place{}
	}
	p := s.source.Find(s.tableFirst + seq.Extended(e.source-uint32(s.tableFirst)))
	if p == nil || e.how&telling != 0 && s.source.Structure(p.Structure) == nil {
		return nil, place{} // or it cannot be made the same again: the stream has restarted
	}
	return p, s.place(number, e, p)
}

// extend returns the number nearest to the newest that ends in the given 16 bits.
func (d *Downlink) extend(sequence uint16) seq.Extended {
	highest := d.sequence.highest
	return highest + seq.Extended(int64(int16(sequence-highest.Uint16())))
}

// segment returns the segment that the number belongs to, nil when it was never sent or its segment is forgotten.
func (d *Downlink) segment(number seq.Extended) *segment {
	if number > d.sequence.highest {
		return nil
	}
	for i := range segments {
		s := &d.ring[(d.newest+segments-i)%segments]
		if s.source == nil {
			return nil
		}
		if number >= s.out {
			return s
		}
	}
	return nil
}

// admit applies the gate and the budget to a resend of size bytes, and charges both. What is not of the base layer leaves the
// rest of a budget to it.
func (d *Downlink) admit(now time.Duration, number seq.Extended, size int, base bool) bool {
	gap := defaultResendGap
	if d.rtt > 0 {
		gap = max(d.rtt, minResendGap)
	}
	if d.rtx.gates == nil {
		d.rtx.gates = make([]gate, gates)
	}
	g := &d.rtx.gates[number%gates]
	known := g.number == number
	again := known && !g.owed && now-g.at < resendEnd
	if again && (g.times >= max(d.rtx.budget.resends, leastResends) || now-g.at < gap<<min(max(g.times, 1)-1, mostDoublings)) {
		d.stats.ResendTooSoon++
		return false
	}
	if !d.rtx.budget.resend(now, size, base && !again) { // what nobody has got yet comes first
		d.stats.ResendOverBudget++
		if base && !known && d.missed(now, number, size) {
			*g = gate{number: number, owed: true}
		}
		return false
	}
	d.rtx.repeated(now, number, size)
	d.stats.Resent++
	d.stats.ResentOctets += uint64(size)
	return true
}
