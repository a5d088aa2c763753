package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// 10 s: a capture time further from the arrival than that comes from a publisher whose reports are wrong.
const believableDelay = 10 * time.Second

// SenderReport returns the slot's sender report (RFC 3550 §6.4.1): wall is the server's NTP time at now, and the RTP
// timestamp is the one media captured at now would carry. Both slots of a participant use the publisher's own clock with
// one offset, so browsers can line up sound and picture. ok is false while nothing flows.
func (d *Downlink) SenderReport(now time.Duration, wall uint64) (r rtcp.SenderReport, ok bool) {
	q, s := &d.sequence, &d.ring[d.newest]
	if !q.started || d.current == nil || s.source != d.current || s.epoch != d.current.Epoch() || d.fresh {
		return rtcp.SenderReport{}, false
	}
	captured := q.stamped
	if clock, ok := d.current.CaptureClock(now); ok {
		if at := clock.At(q.source); at-q.stamped < believableDelay && q.stamped-at < believableDelay {
			captured = at
		}
	}
	rate := time.Duration(d.current.Codec().ClockRate())
	elapsed := now - captured
	seconds := elapsed / time.Second
	return rtcp.SenderReport{
		SSRC:    d.cfg.SSRC,
		NTP:     wall,
		RTP:     q.timestamp + uint32(seconds*rate+(elapsed-seconds*time.Second)*rate/time.Second),
		Packets: uint32(d.stats.Packets),
		Octets:  uint32(d.stats.Octets),
	}, true
}

// Holes is how many of the numbers up to the newest no packet has gone out with: what has not come from the slot's sources. A
// receiver counts them as lost.
func (d *Downlink) Holes() int64 {
	first := seq.Extended(d.cfg.FirstSequence&0x7fff) + 1<<16
	return int64(d.sequence.highest+1-first) - int64(d.stats.Packets)
}
