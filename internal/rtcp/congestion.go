package rtcp

import (
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// congestionWindow is how many numbers of one stream are remembered: a second of 10 Mbit/s, four times the longest interval
	// between reports.
	congestionWindow = 1024
	// maxCongestionStreams bounds what one peer can make us remember: more than all encodings and repairs of five cameras.
	maxCongestionStreams = 32
	// maxCongestionFeedback bounds one report in bytes, so that it fits a datagram beside other reports, tag and index.
	maxCongestionFeedback = 1100
)

// Layout of congestion control feedback, RFC 8888 §3.1.
const (
	congestionStream = 8 // SSRC, begin_seq, num_reports
	metricSize       = 2
	timestampSize    = 4

	metricReceived = 1 << 15
	metricECNShift = 13
	metricOffset   = 1<<13 - 1
	offsetTooLong  = 0x1ffe // more than 8189/1024 s before the report
	offsetUnknown  = 0x1fff // or after it
	offsetUnit     = time.Second / 1024
)

// CongestionRecorder remembers when and with which ECN bits the packets of several streams came and tells their sender (RFC
// 8888). The zero value is ready; each stream takes 5 kB. One goroutine.
type CongestionRecorder struct {
	streams []*congestionRecord
	last    *congestionRecord // of the last packet: they come in runs
	turn    int               // the stream that the next report begins with
}

type congestionRecord struct {
	ssrc     uint32
	numbers  seq.Unwrapper
	arrivals [congestionWindow]uint32 // in transport ticks modulo 2^32
	metrics  [congestionWindow]uint8  // recordReceived and ECN bits; 0: did not come
	next     seq.Extended             // first number that the next report speaks of
	waiting  bool                     // something came that no report has told yet
	heard    time.Duration
}

const recordReceived = 1 << 7

// Handle notes that number s of a stream came at now. Duplicates keep their first arrival, and are marked when any of them is
// (RFC 8888 §3.1). A number behind the last report, which called it lost, is told in the next one; one older than 1024 numbers is
// ignored. The 33rd stream takes the place of the one that has been silent longest.
func (r *CongestionRecorder) Handle(now time.Duration, ssrc uint32, s uint16, ecn packet.ECN) {
	t := r.last
	if t == nil || t.ssrc != ssrc {
		t = r.stream(ssrc)
		r.last = t
	}
	t.heard = now
	t.handle(now, s, ecn)
}

func (r *CongestionRecorder) stream(ssrc uint32) *congestionRecord {
	oldest := 0
	for i, t := range r.streams {
		if t.ssrc == ssrc {
			return t
		}
		if t.heard < r.streams[oldest].heard {
			oldest = i
		}
	}
	if len(r.streams) < maxCongestionStreams {
		t := &congestionRecord{ssrc: ssrc}
		r.streams = append(r.streams, t)
		return t
	}
	t := r.streams[oldest]
	*t = congestionRecord{ssrc: ssrc}
	return t
}

func (t *congestionRecord) handle(now time.Duration, s uint16, ecn packet.ECN) {
	e := t.numbers.Unwrap(s)
	highest, started := t.numbers.Highest()
	switch {
	case !started:
		t.next = e
	case e > highest:
		first := e - congestionWindow + 1 // what stood in the places of the numbers up to e is gone
		for f := max(highest+1, first); f < e; f++ {
			t.metrics[f%congestionWindow] = 0
		}
		t.next = max(t.next, first)
	case highest-e >= congestionWindow:
		return
	case t.metrics[e%congestionWindow] != 0:
		if ecn == packet.CE && t.metrics[e%congestionWindow] != recordReceived|uint8(packet.CE) {
			t.metrics[e%congestionWindow] = recordReceived | uint8(packet.CE)
			t.tell(e)
		}
		return
	}
	t.numbers.Accept(e)
	t.arrivals[e%congestionWindow] = uint32(now / transportTick)
	t.metrics[e%congestionWindow] = recordReceived | uint8(ecn)
	t.tell(e)
}

func (t *congestionRecord) tell(e seq.Extended) {
	t.next = min(t.next, e)
	t.waiting = true
}

// Append appends one report of at most 1100 bytes about what came since the last one, or nothing when nothing came. After a
// burst there may be more to tell: call it until it appends nothing. sender is who gives the report, ntp the present as sender
// reports have it.
func (r *CongestionRecorder) Append(dst []byte, now time.Duration, ntp uint64, sender uint32) []byte {
	start := len(dst)
	for i := range r.streams {
		t := r.streams[(r.turn+i)%len(r.streams)]
		if !t.waiting {
			continue
		}
		if len(dst) == start {
			dst = appendHeader(dst, TypeRTPFB, FmtCCFB, ssrcSize)
			dst = binary.BigEndian.AppendUint32(dst, sender)
		}
		room := maxCongestionFeedback - (len(dst) - start) - congestionStream - timestampSize
		if room < 2*metricSize {
			r.turn = (r.turn + i) % len(r.streams)
			break
		}
		if dst = t.append(dst, now, room/(2*metricSize)*2); t.waiting {
			r.turn = (r.turn + i) % len(r.streams)
			break
		}
	}
	if len(dst) > start {
		dst = binary.BigEndian.AppendUint32(dst, uint32(ntp>>16))
		setLength(dst[start:])
	}
	return dst
}

// append writes the stream's block, of at most so many metrics.
func (t *congestionRecord) append(dst []byte, now time.Duration, most int) []byte {
	highest, _ := t.numbers.Highest()
	count := min(int(highest+1-t.next), most)
	dst = binary.BigEndian.AppendUint32(dst, t.ssrc)
	dst = binary.BigEndian.AppendUint16(dst, t.next.Uint16())
	dst = binary.BigEndian.AppendUint16(dst, uint16(count))
	for e := t.next; e < t.next+seq.Extended(count); e++ {
		dst = binary.BigEndian.AppendUint16(dst, t.metric(e, now))
	}
	if count%2 != 0 {
		dst = appendZeros(dst, metricSize)
	}
	t.next += seq.Extended(count)
	t.waiting = t.next <= highest
	return dst
}

// metric is what the report says of one number: R, ECN and the arrival time offset.
func (t *congestionRecord) metric(e seq.Extended, now time.Duration) uint16 {
	m := t.metrics[e%congestionWindow]
	if m == 0 {
		return 0
	}
	age := time.Duration(int32(uint32(now/transportTick)-t.arrivals[e%congestionWindow])) * transportTick
	offset := uint16(offsetUnknown)
	if age >= 0 {
		offset = uint16(min((age+offsetUnit/2)/offsetUnit, offsetTooLong))
	}
	return metricReceived | uint16(m&^recordReceived)<<metricECNShift | offset
}
