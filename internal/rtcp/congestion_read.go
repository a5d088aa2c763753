package rtcp

import (
	"encoding/binary"
	"iter"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// The report timestamp is the middle of an NTP time: 16.16 seconds, so that it wraps after 18 hours. A metric's offset counts
// 64 of its units.
const (
	timestampUnits    = 1 << 16 // a second
	timestampWrap     = 1 << 16 * time.Second
	unitsPerOffset    = timestampUnits / 1024
	congestionMinimum = ssrcSize + timestampSize
)

// CongestionArrivals walks what congestion control feedback (RFC 8888 §3.1) tells: the stream and one of its packets, numbers of
// a stream in ascending order. Nothing when p is none; it stops before a block that claims more than is there.
func (p Packet) CongestionArrivals(c *Clock, now time.Duration) iter.Seq2[uint32, Arrival] {
	return func(yield func(uint32, Arrival) bool) { p.eachCongestionArrival(c, now, yield) }
}

func (p Packet) eachCongestionArrival(c *Clock, now time.Duration, yield func(uint32, Arrival) bool) {
	if p.Type != TypeRTPFB || p.Count != FmtCCFB || len(p.Body) < congestionMinimum {
		return
	}
	end := len(p.Body) - timestampSize
	timestamp := binary.BigEndian.Uint32(p.Body[end:])
	at := c.Unwrap(now, unitsTime(int64(timestamp)), timestampWrap)
	for b := p.Body[ssrcSize:end]; len(b) >= congestionStream; {
		ssrc, number := binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:])
		count := int(binary.BigEndian.Uint16(b[6:]))
		b = b[congestionStream:]
		if len(b) < metricSize*count {
			return
		}
		for i := range count {
			if !yield(ssrc, arrivalOf(number+uint16(i), binary.BigEndian.Uint16(b[metricSize*i:]), at)) {
				return
			}
		}
		b = b[min(metricSize*(count+count%2), len(b)):]
	}
}

// arrivalOf reads a metric of a report made at the time at.
func arrivalOf(number, metric uint16, at time.Duration) Arrival {
	a := Arrival{Seq: number}
	if metric&metricReceived == 0 {
		return a
	}
	a.Received, a.ECN = true, packet.ECN(metric>>metricECNShift&0b11)
	switch offset := metric & metricOffset; offset {
	case offsetUnknown:
		a.At = at
	case offsetTooLong:
		a.At = at - unitsTime(offsetTooLong*unitsPerOffset)
	default:
		a.Timed, a.At = true, at-unitsTime(int64(offset)*unitsPerOffset)
	}
	return a
}

func unitsTime(units int64) time.Duration {
	return time.Duration(units * int64(time.Second) / timestampUnits)
}
