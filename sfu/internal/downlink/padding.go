package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	// 64 packets back: they are the ones that a subscriber may still miss, and have not asked for yet.
	repeats = 64

	// 4 of them are looked at for each packet of padding.
	tries = 4

	// 255 bytes are the most padding that a packet can have, the count included (RFC 3550 §5.1).
	mostPadding = 255
)

// Padding writes a packet for a probe to dst: about size bytes of RTP, at most so many when a packet that was sent lately is
// repeated (RFC 4588), which repairs it should it have been lost; else one of padding on the RTX SSRC, which is what libwebrtc
// sends. It returns false for a slot that has no RTX.
//
// A slot that has sent nothing yet gives padding too: paused from the start, it would have no other way to find out that the path
// carries more.
func (d *Downlink) Padding(now time.Duration, size int, dst []byte, tseq uint16) (Out, bool) {
	payloadType := d.paddingType()
	if payloadType == 0 || d.cfg.RTXSSRC == 0 {
		return Out{}, false
	}
	d.lastNow = now
	var out Out
	ok := false
	if d.sequence.started {
		out, ok = d.repeatLately(size, dst, tseq)
	}
	if !ok {
		out, ok = d.pad(payloadType, size, dst, tseq)
	}
	if ok {
		d.stats.Padding++
		d.stats.PaddingOctets += uint64(out.Size)
	}
	return out, ok
}

// paddingType is the RTX payload type of what the slot sends, or of the first codec that has one while it has sent nothing; 0: none.
func (d *Downlink) paddingType() uint8 {
	if d.sequence.started {
		return d.ring[d.newest].payload.RTXPayloadType
	}
	for i := range d.payloads {
		if t := d.payloads[i].RTXPayloadType; t != 0 {
			return t
		}
	}
	return 0
}

// repeatLately repeats one of the last packets: the newest that has not been repeated, then those before it.
func (d *Downlink) repeatLately(size int, dst []byte, tseq uint16) (Out, bool) {
	r, highest := &d.rtx, d.sequence.highest
	for range tries {
		number := r.padded - 1
		if number > highest || highest-number >= repeats {
			number = highest
		}
		r.padded = number
		s := d.segment(number)
		if s == nil {
			r.padded = 0 // nothing was sent before: once more from the newest on
			continue
		}
		if s.payload.RTXPayloadType == 0 {
			continue
		}
		p, at := d.sent(s, number)
		if p == nil || p.Epoch != s.epoch || at.how&blank != 0 {
			continue
		}
		header, descriptor := d.measure(s, p, at)
		if n := rtxSize(header, p, at); n > size || n+sealSize > len(dst) {
			continue
		}
		out := d.repeat(s, p, number, at, header, descriptor, dst, tseq)
		r.repeated(d.lastNow, number, out.Size) // who asks for it now will have it
		return out, true
	}
	return Out{}, false
}

// pad writes a packet of nothing but padding.
func (d *Downlink) pad(payloadType uint8, size int, dst []byte, tseq uint16) (Out, bool) {
	var none uplink.Packet
	header, _ := d.measure(&d.ring[d.newest], &none, place{how: blank})
	n := min(max(size-header, 1), mostPadding)
	if size = header + n; size+sealSize > len(dst) {
		return Out{}, false
	}
	d.rtx.last++
	d.write(dst, header, &none, payloadType, blank, d.cfg.RTXSSRC, d.rtx.last.Uint16(), d.sequence.timestamp, 0, tseq, nil, 0)
	clear(dst[header : size-1])
	dst[size-1] = uint8(n)
	return Out{HeaderSize: header, Size: size, Seq: d.rtx.last, RTX: true}, true
}
