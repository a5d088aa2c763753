package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/fec"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// 4 kB, three packets of parity and their heads, may be saved up: what media has earned before a pause mends nothing of before it.
const paritySaved = 4 << 10

// 12 kB of the budget for repair stay for what is asked for: it mends for sure.
const parityLeaves = budgetFloor * 3 / 4

// parity is what protects the pictures that go out now (RFC 8627).
type parity struct {
	encoder  fec.Encoder
	last     seq.Extended  // on its SSRC
	share    float32       // of media: bytes that it may cost a byte; 0: off
	earned   float32       // bytes
	patience time.Duration // from the first packet of a group to its parity
	began    time.Duration // the group
}

// SetParity says how many bytes of parity a byte of media may cost, 0 for none, and how long after a packet its parity may come at
// most. What is spent is taken from what SetRepair allows: both together are never more. Without FEC negotiated it does nothing.
func (d *Downlink) SetParity(share float64, patience time.Duration) {
	if d.cfg.FEC == 0 || !d.cfg.Video || d.parity == nil && share == 0 {
		return
	}
	if share == 0 {
		// Its numbers go on where they were: none may be sealed twice.
		d.parity.share, d.parity.earned = 0, 0
		d.parity.encoder.Reset()
		return
	}
	if d.parity == nil {
		d.parity = &parity{last: seq.Extended(d.cfg.FirstFECSequence&0x7fff) + 1<<16 - 1}
	}
	d.parity.share, d.parity.patience = float32(share), patience
}

// take adds a packet that goes out to the group, and reports whether parity is due. Only the base layer is protected: what nothing
// refers to is worth less than its repair. A group whose parity would come too late is given up for the next.
func (y *parity) take(now time.Duration, b []byte, p *uplink.Packet) (due bool) {
	if y.share == 0 {
		return false
	}
	y.earned = min(y.earned+float32(float32(len(b))*y.share), paritySaved)
	if p.Meta.Layer.Temporal > 0 {
		return false
	}
	if y.encoder.Count() > 0 && now-y.began > y.patience {
		y.encoder.Reset()
	}
	if y.encoder.Count() == 0 {
		y.began = now
	}
	if !y.encoder.Add(b) && y.encoder.Count() > 0 { // another picture's numbers, far away or out of order
		y.encoder.Reset()
		y.began = now
		y.encoder.Add(b)
	}
	return y.due()
}

// due reports whether media has earned the group's parity. Of half the packets that it usually takes it is not worth it, whatever was
// saved up.
func (y *parity) due() bool {
	return y.earned >= float32(y.encoder.Size()+headerSize) && float32(2*y.encoder.Count())*y.share >= 1
}

// Parity writes the parity of the pictures' packets since the last one to dst, on the FEC SSRC, and begins the next group. It returns
// false, and the group goes on, when it is not due or there is no budget for it beside what is resent.
func (d *Downlink) Parity(dst []byte, tseq uint16) (Out, bool) {
	y := d.parity
	if y == nil || y.share == 0 || !y.due() {
		return Out{}, false
	}
	header := headerSize + 4 + d.extensions[0].size
	size := header + y.encoder.Size()
	if size+sealSize > len(dst) {
		d.stats.TooLong++
		y.encoder.Reset()
		return Out{}, false
	}
	if b := &d.rtx.budget; b.share == 0 || b.left < float32(parityLeaves+size) || !b.spend(size, false) {
		return Out{}, false
	}
	var none uplink.Packet
	y.last++
	y.earned -= float32(size)
	d.write(dst, header, &none, d.cfg.FEC, 0, d.cfg.FECSSRC, y.last.Uint16(), d.sequence.timestamp, d.cfg.SSRC, tseq, nil, 0)
	y.encoder.Put(dst[header:size])
	d.stats.Parity++
	d.stats.ParityOctets += uint64(size)
	return Out{HeaderSize: header, Size: size, Seq: y.last, RTX: true}, true
}
