package shard

import (
	"cmp"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
)

// What subscribers tell of what has come to them.

const (
	// maxResults bounds what one feedback message is read for: as many packets as leave for a peer in a second and a half at
	// 20 Mbit/s. A message of 30 bytes may speak of 65,535.
	maxResults = 4096

	// A slot remembers the transport-wide numbers of its last packets where they are reported by the stream's own (RFC 8888):
	// half a second of 10 Mbit/s.
	numbersKept = 512
)

// maxFeedback bounds the messages on arrivals that are taken of one peer: browsers send at most 20 a second, and who reports on
// every picture of nine videos 270.
var maxFeedback = Rate{PacketsPerSecond: 300}

type feedbackClock = rtcp.Clock

// takesFeedback says whether another message of a peer is within its rate.
func (s *Shard) takesFeedback(now time.Duration, p *peer) bool {
	if p.congestion == nil {
		return false
	}
	if !p.congestion.feedback.take(now, maxFeedback, 0) {
		s.stats.Drops.FeedbackFlood++
		return false
	}
	return true
}

// handleArrivals takes transport-wide feedback on what was sent to a peer.
func (s *Shard) handleArrivals(now time.Duration, p *peer, part rtcp.Packet) {
	if !s.takesFeedback(now, p) {
		return
	}
	g := p.congestion
	s.results = s.results[:0]
	newest := p.sent - 1
	if s.arrivals == nil {
		s.arrivals = make([]rtcp.Arrival, maxResults)
	}
	for _, a := range part.TransportArrivals(&g.clock, now, s.arrivals) {
		if back := uint64(uint16(newest) - a.Seq); back < p.sent {
			s.results = append(s.results, bwe.Result{Number: newest - back, Received: a.Received, Arrival: a.At})
		}
	}
	g.estimator.Feedback(now, s.results)
	s.reported(now, p)
	s.hearArrivals(now, p, true)
}

// handleStreamArrivals takes congestion control feedback (RFC 8888), which names packets by their streams' own numbers.
func (s *Shard) handleStreamArrivals(now time.Duration, p *peer, part rtcp.Packet) {
	if !s.takesFeedback(now, p) {
		return
	}
	g := p.congestion
	s.results = s.results[:0]
	for ssrc, a := range part.CongestionArrivals(&g.clock, now) {
		if a.Received {
			g.ecn.arrived(a.ECN)
		}
		if sl := p.ownerOf(ssrc); sl != nil {
			if n, ok := sl.numberOf(ssrc, a.Seq); ok {
				s.results = append(s.results, bwe.Result{
					Number: n, Received: a.Received, Arrival: a.At, Untimed: a.Received && !a.Timed, Marked: a.ECN == packet.CE,
				})
			}
		}
		if len(s.results) == maxResults {
			break
		}
	}
	slices.SortFunc(s.results, func(a, b bwe.Result) int { return cmp.Compare(a.Number, b.Number) })
	g.estimator.Feedback(now, s.results)
	s.reported(now, p)
	s.hearArrivals(now, p, false)
}

// handleREMB takes a client's own estimate.
func (s *Shard) handleREMB(now time.Duration, p *peer, part rtcp.Packet) {
	bits, ok := part.REMB()
	if !ok || !s.takesFeedback(now, p) || p.congestion.byPackets {
		return
	}
	p.congestion.estimator.REMB(now, bwe.Bitrate(bits))
	s.reported(now, p)
}

// reception is what a client's receiver reports have told of a slot.
type reception struct {
	highest uint32
	lost    int32
	holes   int64
	any     bool
}

// since returns what a block tells of the time since the one before. The numbers of a slot have the holes of what its publisher's
// link has lost: those are no loss of the subscriber's.
func (r *reception) since(b *rtcp.ReportBlock, holes int64) (lost, expected int) {
	if r.any {
		expected = int(int32(b.HighestSeq - r.highest))
		lost = int(b.TotalLost-r.lost) - int(holes-r.holes)
	}
	*r = reception{b.HighestSeq, b.TotalLost, holes, true}
	return min(max(lost, 0), max(expected, 0)), max(expected, 0)
}

// handleReception takes the loss that the blocks of one receiver report tell, of a client that does not tell by packets.
func (s *Shard) handleReception(now time.Duration, p *peer, part rtcp.Packet) {
	g := p.congestion
	if g == nil || g.byPackets {
		return
	}
	lost, expected := 0, 0
	for i := range int(part.Count) {
		b, ok := part.Block(i)
		if !ok {
			break
		}
		if sl := p.byOut[b.SSRC]; sl != nil {
			l, e := sl.reception.since(&b, sl.down.Holes())
			lost, expected = lost+l, expected+e
		}
	}
	if expected == 0 || !s.takesFeedback(now, p) {
		return
	}
	g.estimator.Report(now, lost, expected)
	s.reported(now, p)
}

// ownNumbers are the transport-wide numbers of the packets that a slot sent last under one SSRC.
type ownNumbers [numbersKept]ownNumber

type ownNumber struct {
	number uint64
	seq    uint16
	any    bool
}

// note remembers the transport-wide number of a packet, where it is reported by the stream's own.
func (sl *slot) note(out downlink.Out, number uint64) {
	if sl.own == nil {
		return
	}
	list := &sl.own[0]
	if out.RTX {
		list = &sl.own[1]
	}
	seq := out.Seq.Uint16()
	list[seq%numbersKept] = ownNumber{number, seq, true}
}

func (sl *slot) numberOf(ssrc uint32, seq uint16) (number uint64, ok bool) {
	if sl.own == nil {
		return 0, false
	}
	list := &sl.own[0]
	if ssrc != sl.down.Config().SSRC {
		list = &sl.own[1]
	}
	n := &list[seq%numbersKept]
	return n.number, n.any && n.seq == seq
}

// ownerOf is the slot of an SSRC, be it of its media or of its repairs.
func (p *peer) ownerOf(ssrc uint32) *slot {
	if sl := p.byOut[ssrc]; sl != nil {
		return sl
	}
	for _, sl := range p.slots {
		if cfg := sl.down.Config(); cfg.RTXSSRC == ssrc && ssrc != 0 {
			return sl
		}
	}
	return nil
}
