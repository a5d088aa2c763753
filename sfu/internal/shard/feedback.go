package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/rtcp"
)

const (
	// Transport-wide feedback comes every 50 ms, on which browsers' own estimators climb well; but of a stream that is thin it
	// takes no more than a twentieth of what comes in (100 bytes each, with all headers), and so comes every 250 ms of a voice:
	// that is what libwebrtc's own receivers do, and in a call of two voices 20 packets/s a peer were a quarter of the server's work.
	feedbackInterval = 50 * time.Millisecond
	feedbackAtLeast  = 250 * time.Millisecond
	feedbackSize     = 100
	feedbackShare    = 20
	// reportInterval of sender and receiver reports (RFC 3550 §6.2 with the reduced minimum).
	reportInterval = time.Second
	// maxNACKs bounds the sequence numbers that one peer may ask for in a nackInterval. A packet of NACKs names 5,000 of
	// them; 20,000 a second are 30 % of 49 videos, asked for ten times, and 2 ms of our time.
	maxNACKs     = 2000
	nackInterval = 100 * time.Millisecond
	// maxRTCP bounds one compound packet, to stay under any path's MTU.
	maxRTCP = 1100
)

// timers runs every deadline that has come.
func (s *Shard) timers(now time.Duration) {
	if s.gateAt > 0 && now >= s.gateAt {
		s.pollGate(now)
	}
	for t := s.wheel.due(now); t != nil; t = s.wheel.due(now) {
		s.suspect = t.owner
		if t.paces {
			s.resume(now, t.owner)
		} else {
			s.tend(now, t.owner)
		}
	}
	s.suspect = nil
}

// tend does what is due for one peer and arms its timer for the next thing.
func (s *Shard) tend(now time.Duration, p *peer) {
	if p.from != nil {
		s.tendFar(now, p)
		return
	}
	if !p.silent && now-p.lastHeard >= silentAfter {
		p.silent = true
		s.cfg.Gone(p.id, Silent)
	}
	if !p.silent {
		s.wheel.arm(&p.timer, p.lastHeard+silentAfter)
	}
	if p.check.pending() {
		if at := p.check.retryAt(); now >= at {
			s.sendCheck(now, p)
		} else {
			s.wheel.arm(&p.timer, at)
		}
	}
	if p.sealer == nil {
		if now-p.added >= keysWithin && !p.silent {
			p.silent = true
			s.cfg.Gone(p.id, Fault)
			return
		}
		s.wheel.arm(&p.timer, p.added+keysWithin)
		return
	}
	s.measure(now, p)
	for _, u := range p.uplinks {
		s.pollUplink(now, u)
	}
	if p.hearing.due {
		p.hearing.due = false
		s.tendHearing(now, p)
	}
	s.tendTracks(now, p)
	s.tendVoices(now, p)
	s.tellLayers(now, p)
	s.transportFeedback(now, p)
	s.tendREMB(now, p)
	s.openSlots(now, p)
	s.tendCongestion(now, p)
	if now >= p.reports {
		p.reports = now + p.reportEvery()
		s.sendReports(now, p)
	}
	s.wheel.arm(&p.timer, p.reports)
}

// pollUplink sends what an uplink wants from its publisher: lost packets, a keyframe.
func (s *Shard) pollUplink(now time.Duration, u *published) {
	if u.up == nil {
		return
	}
	p, out := u.owner, u.up.Poll(now)
	if p.from != nil {
		return // its own shard asks its publisher
	}
	if len(out.NACK) > 0 && (!p.destination.stream() || u.up.Codec().Video()) { // what TCP has not brought of a voice was too old to be sent
		s.stats.NACKsSent += uint64(len(out.NACK))
		s.sendRTCP(now, p, func(b []byte) []byte { return rtcp.AppendNACK(b, p.ssrc, u.cfg.SSRC, out.NACK) })
	}
	if out.PLI {
		s.stats.KeyframesAsked++
		s.sendRTCP(now, p, func(b []byte) []byte { return rtcp.AppendPLI(b, p.ssrc, u.cfg.SSRC) })
	}
	if out.Next != 0 {
		s.wheel.arm(&p.timer, out.Next)
	}
}

// transportFeedback tells of the arrivals of the last 50 ms, by transport-wide numbers or by streams (RFC 8888).
func (s *Shard) transportFeedback(now time.Duration, p *peer) {
	in := &p.inbound
	if !in.transportAny {
		return
	}
	if now < in.feedbackAt {
		s.wheel.arm(&p.timer, in.feedbackAt)
		return
	}
	in.transportAny = false
	in.feedbackEvery = feedbackEvery(in.feedbackBytes, now-in.feedbackSent)
	in.feedbackBytes, in.feedbackSent = 0, now
	s.sendRTCP(now, p, func(b []byte) []byte {
		if in.congestion != nil {
			return in.congestion.Append(b, now, rtcp.NTP(s.epoch.Add(now)), p.ssrc)
		}
		return in.transport.Append(b, p.ssrc, in.mediaSSRC)
	})
}

// feedbackEvery is the interval for who sent so many bytes in so long a time; at first and after a pause, when a time that long
// says nothing of the rate, the shortest.
func feedbackEvery(bytes int, in time.Duration) time.Duration {
	if bytes == 0 || in > 2*feedbackAtLeast {
		return feedbackInterval
	}
	return min(max(in*(feedbackSize*feedbackShare)/time.Duration(bytes), feedbackInterval), feedbackAtLeast)
}

// openSlots wakes the slots that waited for the end of the first keyframe's hold.
func (s *Shard) openSlots(now time.Duration, p *peer) {
	if p.opensAt == 0 {
		return
	}
	if now < p.opensAt {
		s.wheel.arm(&p.timer, p.opensAt)
		return
	}
	p.opensAt = 0
	for _, sl := range p.slots {
		if sl.source != nil && sl.source.up != nil {
			s.ready[sl.class].push(sl)
		}
	}
}

// sendReports sends a receiver report on every uplink and a sender report for every slot that sends.
func (s *Shard) sendReports(now time.Duration, p *peer) {
	var blocks [31]rtcp.ReportBlock // as many as one report holds
	n := 0
	send := func() {
		if n > 0 {
			s.sendCompound(now, p, func(b []byte) []byte { return rtcp.AppendReceiverReport(b, p.ssrc, blocks[:n]) })
		}
		n = 0
	}
	for _, u := range p.uplinks {
		if u.up == nil {
			continue
		}
		if blocks[n] = u.up.ReportBlock(now); blocks[n].SSRC == 0 {
			continue // nothing has come yet
		}
		if n++; n == len(blocks) {
			send()
		}
	}
	send()
	for _, sl := range p.slots {
		s.reportSlot(now, p, sl)
		if sl.source != nil && sl.source.up != nil && sl.down.WantsKeyframe(now) {
			s.wantKeyframe(now, sl.source) // the publisher did not hear the last wish
		}
	}
}

// reportSlot sends the sender report of a slot that sends.
func (s *Shard) reportSlot(now time.Duration, p *peer, sl *slot) {
	if sr, ok := sl.down.SenderReport(now, rtcp.NTP(s.epoch.Add(now))); ok {
		s.sendCompound(now, p, func(b []byte) []byte {
			return rtcp.AppendSDES(rtcp.AppendSenderReport(b, sr, nil), sr.SSRC, sl.cname)
		})
	}
}

// sendRTCP sends one feedback packet behind an empty receiver report, as RFC 3550 §6.1 wants a compound to begin.
func (s *Shard) sendRTCP(now time.Duration, p *peer, part func([]byte) []byte) {
	s.sendCompound(now, p, func(b []byte) []byte { return part(rtcp.AppendReceiverReport(b, p.ssrc, nil)) })
}

// sendCompound seals what build appends and puts it on its way; a build that appends nothing sends nothing.
func (s *Shard) sendCompound(now time.Duration, p *peer, build func([]byte) []byte) {
	if !s.mayHear(now, p) {
		return
	}
	dst := s.space(p)
	b := build(dst[:0])
	if len(b) == 0 || len(b) > maxRTCP+200 {
		return
	}
	s.send(p, dst, p.sealer.SealRTCP(dst, len(b)))
}

// handleRTCP gives one part of a peer's compound packet to the uplink or the slot it is about.
func (s *Shard) handleRTCP(now time.Duration, p *peer, part rtcp.Packet) {
	switch part.Type {
	case rtcp.TypeSR:
		if sr, ok := part.SenderReport(); ok {
			if u := p.bySSRC[sr.SSRC]; u != nil && u.up != nil && u.cfg.SSRC == sr.SSRC {
				u.up.HandleSenderReport(now, sr.NTP, sr.RTP)
				for _, m := range u.track.mirrors {
					if t := &m.taps[u.index]; t.open && !t.report {
						s.pourReport(u, m)
					}
				}
				s.flushPipes()
			}
		}
		s.handleBlocks(now, p, part)
	case rtcp.TypeRR:
		s.handleBlocks(now, p, part)
	case rtcp.TypeRTPFB:
		switch part.Count {
		case rtcp.FmtNACK:
			s.handleNACK(now, p, part)
		case rtcp.FmtTWCC:
			s.handleArrivals(now, p, part)
		case rtcp.FmtCCFB:
			s.handleStreamArrivals(now, p, part)
		}
	case rtcp.TypePSFB:
		switch part.Count {
		case rtcp.FmtREMB:
			s.handleREMB(now, p, part)
		case rtcp.FmtPLI:
			if ssrc, ok := part.MediaSSRC(); ok {
				s.handleKeyframeRequest(now, p, ssrc)
			}
		case rtcp.FmtFIR:
			for ssrc := range part.FIRs() {
				s.handleKeyframeRequest(now, p, ssrc)
			}
		}
	}
}

func (s *Shard) handleKeyframeRequest(now time.Duration, p *peer, ssrc uint32) {
	if sl := p.byOut[ssrc]; sl != nil && sl.source != nil && sl.source.up != nil {
		s.stats.KeyframesWanted++
		s.wantKeyframe(now, sl.source)
	}
}

// handleBlocks reads a subscriber's receiver reports: the round trip from LSR and DLSR (RFC 3550 §6.4.1).
func (s *Shard) handleBlocks(now time.Duration, p *peer, part rtcp.Packet) {
	s.handleReception(now, p, part)
	s.hearReports(now, p, part)
	for i := range int(part.Count) {
		block, ok := part.Block(i)
		if !ok {
			return
		}
		sl := p.byOut[block.SSRC]
		if sl == nil || block.LastSR == 0 {
			continue
		}
		mid := uint32(rtcp.NTP(s.epoch.Add(now)) >> 16)
		if d := int32(mid - block.LastSR - block.DelaySinceLastSR); d >= 0 {
			rtt := time.Duration(d) * time.Second / 65536
			if rtt < 10*time.Second {
				s.setRTT(now, p, rtt)
			}
		}
	}
}

// setRTT tells everything of a peer that paces itself by the round trip. Smoothed like TCP's (RFC 6298); where samples are seconds
// apart, as of who saves, the newest counts for more.
func (s *Shard) setRTT(now time.Duration, p *peer, sample time.Duration) {
	if p.rtt == 0 {
		p.rtt = sample
	} else {
		p.rtt += time.Duration(float64(sample-p.rtt) * min(max((now-p.rttAt).Seconds(), 1)/8, 1))
	}
	p.rttAt = now
	if g := p.congestion; g != nil {
		g.estimator.RoundTrip(now, sample)
	}
	for _, u := range p.uplinks {
		if u.up != nil {
			u.up.SetRTT(p.rtt)
		}
	}
	if g := p.congestion; g != nil && g.trip > 0 {
		return // its slots know better
	}
	for _, sl := range p.slots {
		sl.down.SetRTT(p.rtt)
	}
}

// handleNACK answers what a subscriber asks for again.
func (s *Shard) handleNACK(now time.Duration, p *peer, part rtcp.Packet) {
	media, ok := part.MediaSSRC()
	sl := p.byOut[media]
	if !ok || sl == nil {
		return
	}
	if now-p.askedAt >= nackInterval {
		p.asked, p.askedAt = 0, now
	}
	for seq := range part.NACKs() {
		s.stats.NACKsReceived++
		if p.asked++; p.asked > maxNACKs {
			s.stats.Drops.NACKFlood++
			return
		}
		s.hearNACK(now, p, sl, seq)
		s.repairSoon(now, p, sl, seq)
	}
	if sl.class == audio {
		s.tendHearing(now, p)
	}
}
