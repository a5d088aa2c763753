package shard

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// How voices come through to a subscriber, and with which copies of earlier packets they leave for him.
//
//	feedback by packets ──┐                         ┌─► downlink.SetRedundancy, of each of his audio slots
//	NACKs, reports ───────┼─► voice.Path ──► mode ──┼─► share.go: what sound takes
//	estimate, round trip ─┘                         └─► uplink.AskFEC, at their publishers

const (
	// 64 packets of a voice are a second and more: feedback comes four times a second.
	untoldVoices = 64

	// askAgain is how often a wish for in-band FEC goes through a pipe; it lasts for 5 s.
	askAgain = time.Second

	// 2 % of loss that follows what is sent is congestion, whatever the queue.
	congestiveLoss = 0.02
)

// hearing is what is known of a subscriber's voices.
type hearing struct {
	path          voice.Path
	mode          voice.Mode
	needs         voice.Mode // that he would have had if bits allowed
	fec           bool       // all he hears carries in-band FEC
	repair        float64    // that slots were told they may cost
	plain, copies rate       // of sound: bytes on the wire without copies; and those of one copy of each packet
}

// ear is what a slot of sound knows of what becomes of its packets.
type ear struct {
	run voice.Run

	byPackets bool // feedback tells of each, by transport-wide numbers

	// Then: those that nobody has told of yet.
	untold     [untoldVoices]uint32
	next, told uint32 // of the ring, both counted up for ever

	// Else: the slot's own numbers.
	newest    seq.Extended // that left
	through   seq.Extended // up to which they are told
	asks      bool         // NACKs come: they tell of each loss
	reception reception
}

// uttered notes that a packet of sound leaves.
func (s *Shard) uttered(now time.Duration, p *peer, sl *slot, out downlink.Out, size int) {
	if sl.ear == nil {
		return
	}
	h := &p.hearing
	h.plain.add(now, size-out.Redundant)
	h.copies.add(now, out.Size-out.HeaderSize-out.Redundant+copyHead)
	s.stats.VoicePackets[sl.down.Redundancy()]++
	s.stats.RedundantBytes += uint64(out.Redundant)
	e := sl.ear
	if e.byPackets {
		e.untold[e.next%untoldVoices] = uint32(p.sent)
		e.next++
		return
	}
	if e.newest == 0 {
		e.through = out.Seq - 1
	}
	e.newest = max(e.newest, out.Seq)
}

// copyHead is what a copy takes beside its payload (RFC 2198 §3).
const copyHead = 4

// hearArrivals takes what a message on arrivals, now in s.results, tells of sound.
func (s *Shard) hearArrivals(now time.Duration, p *peer) {
	if len(s.results) == 0 {
		return
	}
	newest := uint32(s.results[len(s.results)-1].Number)
	for _, sl := range p.slots {
		e := sl.ear
		if e == nil || e.next == e.told {
			continue
		}
		if e.next-e.told > untoldVoices {
			e.told = e.next - untoldVoices
		}
		for ; e.told != e.next; e.told++ {
			number := e.untold[e.told%untoldVoices]
			if int32(number-newest) > 0 {
				break
			}
			if r := find(s.results, number); r != nil {
				p.hearing.path.Tell(now, &e.run, !r.Received)
			}
		}
	}
	s.tendHearing(now, p)
}

// find returns what a message tells of the packet with the number, nil for nothing. The numbers go on by one in most.
func find(results []bwe.Result, number uint32) *bwe.Result {
	if i := int(int32(number - uint32(results[0].Number))); i >= 0 && i < len(results) && uint32(results[i].Number) == number {
		return &results[i]
	}
	i, ok := slices.BinarySearchFunc(results, number, func(r bwe.Result, n uint32) int { return int(int32(uint32(r.Number) - n)) })
	if !ok {
		return nil
	}
	return &results[i]
}

// extend returns the number nearest to the newest that ends in the given 16 bits.
func (e *ear) extend(number uint16) seq.Extended {
	return e.newest + seq.Extended(int64(int16(number-e.newest.Uint16())))
}

// tell says of the packets up to number that they came.
func (e *ear) tell(now time.Duration, p *voice.Path, number seq.Extended) {
	if number > e.newest || e.newest == 0 {
		return
	}
	if number-e.through > untoldVoices && number > e.through {
		e.through = number - untoldVoices
	}
	for ; e.through < number; e.through++ {
		p.Tell(now, &e.run, false)
	}
}

// hearNACK takes from a NACK that packets before it have come and it has not, where nothing else tells of each.
func (s *Shard) hearNACK(now time.Duration, p *peer, sl *slot, sequence uint16) {
	e := sl.ear
	if e == nil || e.byPackets || e.newest == 0 {
		return
	}
	e.asks = true
	number := e.extend(sequence)
	if number <= e.through || number > e.newest {
		return // asked again
	}
	e.tell(now, &p.hearing.path, number-1)
	p.hearing.path.Tell(now, &e.run, true)
	e.through = number
}

// hearReports takes a receiver report's blocks on sound that nothing else tells of.
func (s *Shard) hearReports(now time.Duration, p *peer, part rtcp.Packet) {
	for i := range int(part.Count) {
		b, ok := part.Block(i)
		if !ok {
			break
		}
		sl := p.byOut[b.SSRC]
		if sl == nil || sl.ear == nil || sl.ear.byPackets {
			continue
		}
		lost, expected := sl.ear.reception.since(&b, sl.down.Holes())
		if sl.ear.asks {
			sl.ear.tell(now, &p.hearing.path, sl.ear.extend(uint16(b.HighestSeq)))
		} else {
			p.hearing.path.Report(now, lost, expected)
		}
	}
	s.tendHearing(now, p)
}

// tendHearing decides how a peer's voices leave from now on.
func (s *Shard) tendHearing(now time.Duration, p *peer) {
	h := &p.hearing
	c := voice.Conditions{RTT: p.rtt, FEC: true, NACK: true}
	any := false
	for _, sl := range p.slots {
		if sl.ear == nil {
			continue
		}
		c.NACK = c.NACK && sl.down.Config().NACK
		if src, _ := sl.down.Sources(); src != nil {
			any = true
			c.FEC = c.FEC && src.FEC(now)
		}
	}
	if !any {
		return
	}
	if g := p.congestion; g != nil && g.byPackets {
		e := &g.estimate
		c.ByPackets, c.RTT, c.Lasts = true, e.RTT, e.Lasts
		c.Congested = e.Congested || e.Loss >= congestiveLoss && e.Inherent == 0
	}
	c.Plain, c.Copy = h.plain.now(now), h.copies.now(now)
	mode := h.path.Decide(now, c)
	if p.congestion.known() {
		h.allowRepair(p)
	}
	h.needs, h.fec = max(mode, h.path.Needs()), c.FEC
	if h.path.WantsFEC() {
		s.askFEC(now, p)
	}
	if mode == h.mode {
		return
	}
	h.mode = mode
	for _, sl := range p.slots {
		if sl.ear != nil {
			sl.down.SetRedundancy(mode)
		}
	}
	s.shareAnew(now, p) // of the bits
}

// allowRepair tells a peer's slots of sound what repair they may cost, by the loss that packets meet at first: in the estimator's
// it is made good by what is sent again, under the same numbers.
func (h *hearing) allowRepair(p *peer) {
	share := pace.RepairShare(max(h.path.Loss(), p.congestion.estimate.Loss))
	if change := share - h.repair; max(change, -change) < repairStep {
		return
	}
	h.repair = share
	for _, sl := range p.slots {
		if sl.ear != nil {
			sl.down.SetRepair(share)
		}
	}
}

// askFEC asks the publishers whom a peer hears for in-band FEC.
func (s *Shard) askFEC(now time.Duration, p *peer) {
	for _, sl := range p.slots {
		u := sl.source
		if sl.ear == nil || u == nil || u.up == nil {
			continue
		}
		if u.owner.from == nil {
			s.askFECOf(now, u, p.hearing.path.Loss())
		} else if now >= u.askFEC {
			u.askFEC = now + askAgain
			loss := p.hearing.path.Loss()
			u.owner.from.wish(u.track.id, len(u.track.encodings), func(w *wishes) {
				e := &w.encodings[u.index]
				e.loss = max(e.loss, loss)
			})
		}
	}
}

// askFECOf asks a publisher of this shard, at once when he was not asked before.
func (s *Shard) askFECOf(now time.Duration, u *published, loss float64) {
	if u.up.AskFEC(now, loss) {
		u.owner.reports = now
		s.wheel.arm(&u.owner.timer, now)
	}
}

// sound is what a peer's sound takes of its bits: what leaves, or what has just been decided on; and what it would take if
// there were bits enough.
func (p *peer) sound(now time.Duration, leaves bwe.Bitrate) (takes, wants bwe.Bitrate) {
	h := &p.hearing
	with := func(m voice.Mode) bwe.Bitrate {
		if m == voice.Plain {
			return 0
		}
		return h.plain.now(now) + bwe.Bitrate(m.Distances(h.fec).Count())*h.copies.now(now)
	}
	return max(leaves, with(h.mode)), max(leaves, with(h.needs))
}
