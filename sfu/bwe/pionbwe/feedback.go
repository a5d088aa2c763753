package pionbwe

import (
	"cmp"
	"slices"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// offsetTooLong and what is above it stand for an arrival time that is not told (RFC 8888 §3.1).
const offsetTooLong = 0x1ffe

// mostResults of one message are read: more packets than that are not on any path.
const mostResults = 8192

// heard is what feedback there is.
type heard struct {
	byPackets bool  // transport-wide or RFC 8888: then REMB and reports are not listened to
	reference int64 // of transport-wide feedback, in 64 ms, unwrapped
	begun     bool
	results   []bwe.Result
}

// report is the last receiver report of a stream.
type report struct {
	begun         bool
	highest, lost uint32
}

// WriteRTCP implements cc.BandwidthEstimator: it takes what came from the other side.
func (e *Estimator) WriteRTCP(packets []rtcp.Packet, _ interceptor.Attributes) error {
	wall := time.Now()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	now, heard := e.now(), false
	if e.core != nil { // else nothing was sent that it could be about
		for _, p := range packets {
			heard = e.hear(now, wall, p) || heard
		}
	}
	if heard {
		e.poll(now)
		e.drain(now)
		e.arm(now)
	}
	e.unlock()
	return nil
}

func (e *Estimator) hear(now time.Duration, wall time.Time, packet rtcp.Packet) bool {
	switch p := packet.(type) {
	case *rtcp.TransportLayerCC:
		e.feed(now, e.transportWide(p))
	case *rtcp.CCFeedbackReport:
		e.feed(now, e.congestionControl(p))
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		if e.heard.byPackets || !(p.Bitrate >= 0) {
			return false
		}
		e.core.REMB(now, bwe.Bitrate(min(p.Bitrate, 1e12)))
	case *rtcp.ReceiverReport:
		e.reports(now, wall, p.Reports)
	case *rtcp.SenderReport:
		e.reports(now, wall, p.Reports)
	default:
		return false
	}
	return true
}

func (e *Estimator) feed(now time.Duration, results []bwe.Result) {
	if len(results) > 0 {
		e.heard.byPackets = true
		e.core.Feedback(now, results)
	}
}

// transportWide reads draft-holmer-rmcat-transport-wide-cc-extensions-01.
func (e *Estimator) transportWide(p *rtcp.TransportLayerCC) []bwe.Result {
	x := &e.heard
	x.results = x.results[:0]
	number := e.unwrap(p.BaseSequenceNumber)
	clock := x.clock(p.ReferenceTime)
	left, delta := min(int(p.PacketStatusCount), mostResults), 0
	note := func(symbol uint16) bool {
		if left == 0 {
			return false
		}
		left--
		r := bwe.Result{Number: uint64(number), Received: symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta}
		if r.Received {
			if delta == len(p.RecvDeltas) {
				left = 0
				return false
			}
			clock += time.Duration(p.RecvDeltas[delta].Delta) * time.Microsecond
			delta++
			r.Arrival = clock
		}
		if number > 0 && number <= int64(e.number) { // else it is of a packet that was never sent
			x.results = append(x.results, r)
		}
		number++
		return true
	}
	for _, chunk := range p.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				if !note(c.PacketStatusSymbol) {
					return x.results
				}
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range c.SymbolList {
				if !note(symbol) {
					return x.results
				}
			}
		}
	}
	return x.results
}

// unwrap finds the number nearest to the last one that was sent of those that end in these 16 bits.
func (e *Estimator) unwrap(low uint16) int64 {
	return int64(e.number) - int64(int16(uint16(e.number)-low))
}

// clock turns the 24 bits of a reference time into one that does not wrap.
func (x *heard) clock(reference uint32) time.Duration {
	const bits = 24
	if !x.begun {
		x.begun, x.reference = true, int64(reference)
	}
	step := int64(int32((reference-uint32(x.reference))<<(32-bits)) >> (32 - bits))
	x.reference += step
	return time.Duration(x.reference) * 64 * time.Millisecond
}

// congestionControl reads RFC 8888 §3.1.
func (e *Estimator) congestionControl(p *rtcp.CCFeedbackReport) []bwe.Result {
	x := &e.heard
	x.results = x.results[:0]
	// The timestamp is the middle of NTP's: 2^-16 s, and wraps after 18 hours, which only makes one jump of arrival times.
	at := time.Duration(p.ReportTimestamp) * time.Second >> 16
	for _, block := range p.ReportBlocks {
		s := e.streams[block.MediaSSRC]
		if s == nil {
			continue
		}
		for i, m := range block.MetricBlocks[:min(len(block.MetricBlocks), remembered)] {
			sequence := block.BeginSequence + uint16(i)
			sent := s.find(sequence)
			if sent == nil {
				continue
			}
			r := bwe.Result{Number: sent.number, Received: m.Received, Marked: m.Received && m.ECN == rtcp.ECNCE}
			if m.Received {
				r.Arrival = at - time.Duration(m.ArrivalTimeOffset)*time.Second/1024
				r.Untimed = m.ArrivalTimeOffset >= offsetTooLong
			}
			x.results = append(x.results, r)
		}
	}
	slices.SortFunc(x.results, func(a, b bwe.Result) int { return cmp.Compare(a.Number, b.Number) })
	return x.results
}

// reports reads what receiver reports tell of round trips, and of loss where nothing better does.
func (e *Estimator) reports(now time.Duration, wall time.Time, reports []rtcp.ReceptionReport) {
	lost, expected := 0, 0
	for _, r := range reports {
		s := e.streams[r.SSRC]
		if s == nil {
			continue
		}
		if rtt, ok := roundTrip(wall, r); ok {
			e.core.RoundTrip(now, rtt)
		}
		last := s.report
		s.report = report{true, r.LastSequenceNumber, r.TotalLost}
		if d := int32(r.LastSequenceNumber - last.highest); last.begun && d > 0 {
			expected += int(d)
			lost += int(int32((r.TotalLost-last.lost)<<8) >> 8)
		}
	}
	if expected > 0 && !e.heard.byPackets {
		e.core.Report(now, min(max(lost, 0), expected), expected)
	}
}

// roundTrip is the time from our sender report to the report that answers it (RFC 3550 §6.4.1); false when it answers none, or
// the clock was set meanwhile.
func roundTrip(now time.Time, r rtcp.ReceptionReport) (time.Duration, bool) {
	if r.LastSenderReport == 0 {
		return 0, false
	}
	const since1900 = 2208988800 // s, of 1970
	middle := uint32(uint64(now.Unix()+since1900)<<16) | uint32(uint64(now.Nanosecond())<<16/uint64(time.Second))
	units := int32(middle - r.LastSenderReport - r.Delay)
	return time.Duration(units) * time.Second >> 16, units > 0 && units < 60<<16
}
