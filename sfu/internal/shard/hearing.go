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
	// An utterance is a packet of sound that nobody has told of yet: at most so many, a second of 16 voices and feedback that is late.
	leastUntold, mostUntold = 64, 1024

	// A NACK or a report tells of at most so many packets that came.
	mostTold = 64

	// tendEvery is how often is decided anew while nothing is lost.
	tendEvery = 250 * time.Millisecond

	// losslessAfter is how long a path must have lost nothing to be taken to lose nothing; a new one is waited for as long as feedback
	// takes to tell.
	losslessAfter = time.Minute
	losslessNew   = 10 * time.Second

	// askAgain is how often a wish for in-band FEC goes through a pipe; it lasts for 5 s.
	askAgain = time.Second

	// copyHead is what a copy takes beside its payload (RFC 2198 §3).
	copyHead = 4
)

// hearing is what is known of a subscriber's voices.
type hearing struct {
	path   voice.Path
	mode   voice.Mode
	needs  voice.Mode // that he would have had if bits allowed
	fec    bool       // all he hears carries in-band FEC
	repair float64    // that slots were told they may cost
	tendAt time.Duration
	due    bool // it is decided anew by the clock, too
	begun  bool // protected before anything was lost, as long as that costs little

	lossless bool          // nothing is kept to be sent again
	lossyTo  time.Duration // until then at least

	// Packets with transport-wide numbers that nobody has told of yet: a ring, both ends counted up for ever.
	untold     []utterance
	next, told uint32
	runs       bool // a slot's newest packets were lost

	// What leaves: since rated, and a second before that.
	packets, bytes, copies int // bytes without copies; and those of one copy of each packet
	rated                  time.Duration
	plain, copied          bwe.Bitrate
}

// utterance is one packet of sound.
type utterance struct {
	number uint32 // transport-wide
	slot   uint16
}

// ear is what a slot of sound knows of what becomes of its packets.
type ear struct {
	run       voice.Run
	byPackets bool // feedback tells of each, by transport-wide numbers
	again     bool // it may ask for packets again

	// Where nothing tells of each, by the slot's own numbers.
	newest    seq.Extended // that left
	through   seq.Extended // up to which they are told
	asks      bool         // NACKs come: they tell of each loss
	reception reception
}

// uttered notes that a packet of sound leaves.
func (s *Shard) uttered(now time.Duration, p *peer, sl *slot, out downlink.Out, size int) {
	h, e := &p.hearing, sl.ear
	mode := voice.Plain
	if out.Redundant > 0 {
		mode = h.mode
		s.stats.RedundantBytes += uint64(out.Redundant)
	}
	s.stats.VoicePackets[mode]++
	h.packets++
	h.bytes += size - out.Redundant
	h.copies += out.Size - out.HeaderSize - out.Redundant + copyHead
	if !e.byPackets {
		if e.newest == 0 {
			e.through = out.Seq - 1
		}
		e.newest = max(e.newest, out.Seq)
		if p.saves && now >= h.tendAt {
			h.due = true // his first report is seconds away
			s.wheel.arm(&p.timer, now)
		}
		return
	}
	if int(h.next-h.told) == len(h.untold) {
		h.makeRoom()
	}
	h.untold[h.next%uint32(len(h.untold))] = utterance{uint32(p.sent), sl.index}
	h.next++
}

// makeRoom doubles the ring, or forgets the oldest in it.
func (h *hearing) makeRoom() {
	if len(h.untold) == mostUntold {
		h.told++
		return
	}
	old := h.untold
	h.untold = make([]utterance, max(2*len(old), leastUntold))
	for i := h.told; i != h.next; i++ {
		h.untold[i%uint32(len(h.untold))] = old[i%uint32(len(old))]
	}
}

// rate measures what sound takes.
func (h *hearing) rate(now time.Duration, p *peer) {
	took := now - h.rated
	if took < rateWindow {
		return
	}
	bits := func(bytes int) bwe.Bitrate { return bwe.Bitrate(float64(bytes) * 8 / took.Seconds()) }
	h.plain, h.copied = bits(h.bytes+h.packets*p.overhead()), bits(h.copies)
	h.packets, h.bytes, h.copies, h.rated = 0, 0, 0, now
}

// hearArrivals takes what a message on arrivals, now in s.results, tells of sound; whole: of all numbers between its first and its
// last.
func (s *Shard) hearArrivals(now time.Duration, p *peer, whole bool) {
	h := &p.hearing
	if len(s.results) == 0 || h.next == h.told {
		return
	}
	lost := slices.ContainsFunc(s.results, func(r bwe.Result) bool { return !r.Received })
	if lost {
		h.lossyTo = now + losslessAfter
	}
	if lost || h.runs || !whole {
		s.hearEach(now, p)
	} else {
		h.path.Report(now, 0, h.hearAll(uint32(s.results[0].Number), uint32(s.results[len(s.results)-1].Number)))
	}
	if lost || h.mode != voice.Plain || now >= h.tendAt {
		s.tendHearing(now, p)
	}
}

// hearAll counts the packets of sound from a number to another.
func (h *hearing) hearAll(first, last uint32) (n int) {
	for ; h.told != h.next; h.told++ {
		number := h.untold[h.told%uint32(len(h.untold))].number
		if int32(number-last) > 0 {
			break
		}
		if int32(number-first) >= 0 {
			n++
		}
	}
	return n
}

// hearEach looks each packet of sound up in a message.
func (s *Shard) hearEach(now time.Duration, p *peer) {
	h := &p.hearing
	newest := uint32(s.results[len(s.results)-1].Number)
	for ; h.told != h.next; h.told++ {
		u := h.untold[h.told%uint32(len(h.untold))]
		if int32(u.number-newest) > 0 {
			break
		}
		if r := find(s.results, u.number); r != nil && int(u.slot) < len(p.slots) && p.slots[u.slot].ear != nil {
			h.path.Tell(now, &p.slots[u.slot].ear.run, !r.Received)
		}
	}
	h.runs = slices.ContainsFunc(p.slots, func(sl *slot) bool { return sl.ear != nil && sl.ear.run.Goes() })
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
	if number-e.through > mostTold && number > e.through {
		e.through = number - mostTold
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
	p.hearing.lossyTo = now + losslessAfter
	if p.hearing.mode != voice.Plain {
		return // copies have brought most of what was lost, and nobody asks for that: reports tell
	}
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
		if lost > 0 {
			p.hearing.lossyTo = now + losslessAfter
		}
		switch number := sl.ear.extend(uint16(b.HighestSeq)); {
		case sl.ear.asks && p.hearing.mode == voice.Plain:
			sl.ear.tell(now, &p.hearing.path, number)
		default:
			p.hearing.path.Report(now, lost, expected)
			sl.ear.through = max(sl.ear.through, min(number, sl.ear.newest))
		}
	}
	s.tendHearing(now, p)
}

// tendHearing decides how a peer's voices leave from now on.
func (s *Shard) tendHearing(now time.Duration, p *peer) {
	h := &p.hearing
	h.tendAt = now + tendEvery
	c := voice.Conditions{RTT: p.rtt, FEC: true, NACK: true}
	any := false
	for _, sl := range p.slots {
		if sl.ear == nil {
			continue
		}
		c.NACK = c.NACK && sl.ear.again
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
		c.ByPackets, c.RTT, c.Lasts, c.Held, c.Congested = true, e.RTT, e.Lasts, e.AppLimited, e.Congested
	}
	h.rate(now, p)
	c.Plain, c.Copy = h.plain, h.copied
	if bounded := p.saves && c.NACK; bounded {
		c.Most = saverMost
		if !h.begun {
			h.begun = true
			h.path.Begin(now, voice.Light)
		}
	}
	if lossless := now >= h.lossyTo; lossless != h.lossless {
		h.setLossless(p, lossless)
	}
	mode, most := h.path.Decide(now, c), h.path.Needs()
	if c.Most != 0 {
		most = mode
	}
	if p.destination.stream() {
		mode, most = voice.Plain, voice.Plain // TCP sends again what is lost: copies would only fill the queue before it
	}
	if p.congestion.known() {
		h.allowRepair(p)
	}
	if needs := max(mode, most); needs != h.needs || c.FEC != h.fec {
		h.needs, h.fec = needs, c.FEC
		s.shareAnew(now, p) // of the bits
	}
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

func (h *hearing) setLossless(p *peer, lossless bool) {
	h.lossless = lossless
	for _, sl := range p.slots {
		if sl.ear != nil {
			sl.down.SetLossless(lossless)
		}
	}
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
func (p *peer) sound(leaves bwe.Bitrate) (takes, wants bwe.Bitrate) {
	h := &p.hearing
	with := func(m voice.Mode) bwe.Bitrate {
		if m == voice.Plain {
			return 0
		}
		return h.plain + bwe.Bitrate(m.Distances(h.fec).Count())*h.copied
	}
	return max(leaves, with(h.mode)), max(leaves, with(h.needs))
}
