package uplink

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// report counts what the primary stream delivered, as RFC 3550 §6.4.1 wants it told: resends on the RTX stream are not
// in it, so the publisher learns the path's loss and not what we made good.
type report struct {
	base     seq.Extended // first number on the wire
	highest  seq.Extended
	received uint64
	loss     float32 // share of the last 64 or so
	jitter   uint32  // in 1/16 of a timestamp tick (§A.8)
	transit  uint32  // of the last packet in order
	timed    bool    // transit is set

	expectedPrior uint64
	receivedPrior uint64
}

// lossFade is how many packets report.loss looks back.
const lossFade = 64

func (r *report) restart(e seq.Extended) { *r = report{base: e, highest: e - 1} }

func (r *report) handle(now time.Duration, e seq.Extended, timestamp, rate uint32) {
	r.received++
	if e < r.base {
		r.base = e // the first packets came swapped
	}
	if e <= r.highest {
		return
	}
	for range min(e-r.highest-1, lossFade) {
		r.loss += (1 - r.loss) / lossFade
	}
	r.loss -= r.loss / lossFade
	r.highest = e
	transit := ticks(now, rate) - timestamp
	if r.timed {
		d := int32(transit - r.transit)
		if d < 0 {
			d = -d
		}
		r.jitter += uint32(d) - (r.jitter+8)>>4
	}
	r.transit, r.timed = transit, true
}

func (r *report) expected() uint64 { return uint64(r.highest - r.base + 1) }

func (r *report) lost() int64 { return int64(r.expected()) - int64(r.received) }

// ReportBlock returns the reception report since the last call (RFC 3550 §6.4.1, §A.3). Its SSRC is 0 as long as nothing
// has come: such a block must not be sent. A voice that somebody hears with losses is told of 2.3 % at least (AskFEC).
func (u *Uplink) ReportBlock(now time.Duration) rtcp.ReportBlock {
	r := &u.report
	if !u.started {
		return rtcp.ReportBlock{}
	}
	expected := r.expected()
	interval := int64(expected - r.expectedPrior)
	lost := interval - int64(r.received-r.receivedPrior)
	r.expectedPrior, r.receivedPrior = expected, r.received
	var fraction uint8
	if interval > 0 && lost > 0 {
		fraction = uint8(min(lost<<8/interval, 255))
	}
	b := rtcp.ReportBlock{
		SSRC:         u.ssrc,
		FractionLost: max(fraction, u.toldLoss(now)),
		TotalLost:    int32(min(max(r.lost(), -1<<23), 1<<23-1)), // 24 bits on the wire
		HighestSeq:   uint32(r.highest - 1<<16),
		Jitter:       r.jitter >> 4,
	}
	if u.sender.reported {
		b.LastSR = uint32(u.sender.ntp >> 16)
		b.DelaySinceLastSR = uint32(min(now-u.sender.arrival, 65535*time.Second) * 65536 / time.Second) // 16.16 s
	}
	return b
}

// ticks converts a time to RTP timestamp units, modulo 2^32.
func ticks(t time.Duration, rate uint32) uint32 {
	s := t / time.Second
	return uint32(s)*rate + uint32((t-s*time.Second)*time.Duration(rate)/time.Second)
}
