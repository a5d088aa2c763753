package shard

import (
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// published is one encoding of a track and who listens to it.
type published struct {
	track   *track
	index   int // among the track's encodings
	owner   *peer
	rid     string
	cfg     uplink.Config
	wished  time.Duration  // a keyframe, of another shard; 0: never
	askFEC  time.Duration  // of another shard, not before
	heard   time.Duration  // last packet with a payload; 0: none yet
	stalled time.Duration  // it stopped while another encoding of its track came; see track.stalls
	up      *uplink.Uplink // nil until its SSRC is known
	subs    []*slot        // slots that show it or wait for its keyframe
	dirty   bool           // stored packets in this batch
}

// inbound is what a peer's receive side keeps for feedback.
type inbound struct {
	transport    rtcp.TransportRecorder
	congestion   *rtcp.CongestionRecorder // instead, of a publisher that reads RFC 8888; nil without
	transportAny bool
	mediaSSRC    uint32 // any of the peer's: transport feedback names one
	feedbackAt   time.Duration

	// How often feedback goes: by the rate that came in since the last one.
	feedbackEvery time.Duration
	feedbackSent  time.Duration
	feedbackBytes int
	meter         meter

	remb *remb // of a publisher that reads neither; nil without
}

// receiveRTP opens one packet and puts it into its uplink's history; true when it is authentic.
func (s *Shard) receiveRTP(now time.Duration, p *peer, b []byte) bool {
	if p.opener == nil {
		s.hold(p, b)
		return false
	}
	h, ok := packet.ParseHeader(b)
	if !ok {
		s.stats.Drops.Malformed++
		return false
	}
	s.suspect = p
	size, e, v := p.opener.OpenRTP(b, &h)
	if v != srtp.OK {
		s.stats.Drops.opened(v)
		return false
	}
	b = b[:size]
	s.heard(p, now)
	s.stats.PacketsIn++
	s.stats.BytesIn += uint64(size)
	read := p.read(&h, b)
	u := p.bySSRC[h.SSRC]
	if u == nil {
		u = s.bindNew(p, &h, &read)
	}
	if u == nil || u.up == nil && h.SSRC == u.cfg.RTXSSRC { // repairs came before anything that they could repair
		s.stats.Drops.UnknownSSRC++
		return true
	}
	video := u.cfg.Codec.Video()
	if !video && u.cfg.NACK && (read.transport != nil || read.sent != nil) {
		u.askNothing()
	}
	// Before it is noted: a sender that hears of loss slows down.
	if !s.within(now, p, u, size) {
		return true
	}
	s.noteArrival(now, p, u, &h, &read, size)
	payload, ok := h.Payload(b)
	if !ok {
		s.stats.Drops.Malformed++
		return true
	}
	var x uplink.Extensions
	if video {
		x.SetColorSpace(read.colors)
	} else {
		x.SetLevel(read.level)
	}
	var verdict uplink.Verdict
	if h.SSRC == u.cfg.RTXSSRC {
		verdict = u.up.HandleRTX(now, &h, payload, x, read.descriptor)
	} else {
		verdict = u.up.Handle(now, &h, e, payload, x, read.descriptor)
	}
	s.stats.Drops.uplinked(verdict)
	if !video {
		copied, repaired := u.up.TakeRestored()
		s.stats.VoicesRestored += copied
		s.stats.VoicesRepaired += repaired
	}
	if verdict == uplink.Stored {
		s.stored(now, u, len(payload) > 0)
		if x.Has&uplink.HasLevel != 0 {
			s.hear(now, u.track, x.Level)
		}
	}
	return true
}

// askNothing ends NACKs for sound whose packets say when or as which they were sent, though its m-line has no such extension: pion
// agrees on extensions by the kind of media. Sent again they would say something else under the nonce of before.
func (u *published) askNothing() {
	u.cfg.NACK = false
	u.up.StopNACK()
}

// stored notes that an encoding has got a packet, and whether that is media and no padding.
func (s *Shard) stored(now time.Duration, u *published, media bool) {
	if media {
		if u.heard == 0 || now-u.heard > ladder.Silence {
			u.track.measureAt = now // it begins to flow: its slots need not wait
		}
		u.heard = max(now, 1)
	}
	if !u.dirty {
		u.dirty = true
		s.touched = append(s.touched, u)
	}
}

// within holds an authentic packet to the rates of its track and its peer: what one publisher sends, the server sends as
// many times as there are subscribers. The track comes first, so that one that floods leaves the others of its peer alone.
func (s *Shard) within(now time.Duration, p *peer, u *published, size int) bool {
	rate := s.cfg.AudioRate
	if u.cfg.Codec.Video() {
		rate = s.cfg.VideoRate
	}
	if !u.track.meter.take(now, rate, size) {
		s.stats.Drops.TrackFlood++
		return false
	}
	if !p.inbound.meter.take(now, s.cfg.PeerRate, size) {
		s.stats.Drops.PeerFlood++
		return false
	}
	return true
}

// extensions are the header extensions of a packet that the shard reads, nil where there is none.
type extensions struct {
	transport, sent           []byte
	mid, rid, repaired        []byte
	level, colors, descriptor []byte
}

// read walks a packet's header extensions once. Ids that are not negotiated are 0, which no element has.
func (p *peer) read(h *packet.Header, b []byte) (x extensions) {
	for e := h.Elements(b); e.Next(); {
		switch e.ID {
		case p.ext.TransportSeq:
			x.transport = e.Data()
		case p.ext.AbsSendTime:
			x.sent = e.Data()
		case p.ext.AudioLevel:
			x.level = e.Data()
		case p.ext.Descriptor:
			x.descriptor = e.Data()
		case p.ext.ColorSpace:
			x.colors = e.Data()
		case p.ext.MID:
			x.mid = e.Data()
		case p.ext.RID:
			x.rid = e.Data()
		case p.ext.RepairedRID:
			x.repaired = e.Data()
		}
	}
	return x
}

// noteArrival notes a packet for what its publisher is told of arrivals: it tells him when his path is full.
func (s *Shard) noteArrival(now time.Duration, p *peer, u *published, h *packet.Header, x *extensions, size int) {
	switch {
	case u.track.ccfb:
		p.inbound.congestion.Handle(now, h.SSRC, h.Sequence, s.ecn)
		s.feedbackSoon(now, p, h.SSRC, size)
	case u.track.remb:
		s.noteREMB(now, p, u, h, x.sent, size)
	case len(x.transport) == 2:
		p.inbound.transport.Handle(now, binary.BigEndian.Uint16(x.transport))
		s.feedbackSoon(now, p, h.SSRC, size)
	}
}

// open makes ready what the publisher of a track is told by.
func (in *inbound) open(now time.Duration, t *track) {
	if t.ccfb && in.congestion == nil {
		in.congestion = &rtcp.CongestionRecorder{}
	}
	if t.remb && in.remb == nil {
		in.remb = newREMB(now)
	}
}

// feedbackSoon has feedback on arrivals follow within 50 to 250 ms, as the rate is.
func (s *Shard) feedbackSoon(now time.Duration, p *peer, ssrc uint32, size int) {
	p.inbound.feedbackBytes += size
	p.inbound.mediaSSRC = ssrc
	if !p.inbound.transportAny {
		p.inbound.transportAny = true
		every := max(p.inbound.feedbackEvery, feedbackInterval)
		if p.inbound.feedbackAt += every; p.inbound.feedbackAt <= now { // after a pause
			p.inbound.feedbackAt = now + every
		}
		s.wheel.arm(&p.timer, p.inbound.feedbackAt)
	}
}

// hold keeps the first packets that overtake the end of our side of the DTLS handshake.
func (s *Shard) hold(p *peer, b []byte) {
	if len(p.early) == maxEarly {
		s.stats.Drops.BeforeKeys++
		return
	}
	p.early = append(p.early, append([]byte(nil), b...))
}

func (s *Shard) openEarly(now time.Duration, p *peer) {
	early := p.early
	p.early = nil
	for _, b := range early {
		if packet.Classify(b) == packet.RTP {
			s.receiveRTP(now, p, b)
		} else {
			s.receiveRTCP(now, p, b)
		}
	}
}

// bind gives an uplink its SSRC.
func (s *Shard) bind(u *published, ssrc uint32) {
	u.cfg.SSRC = ssrc
	u.up = uplink.New(u.cfg)
	u.owner.bySSRC[ssrc] = u
	if u.cfg.RTXSSRC != 0 {
		u.owner.bySSRC[u.cfg.RTXSSRC] = u
	}
	if _, taken := s.ssrcs[ssrc]; !taken {
		s.ssrcs[ssrc] = u.owner
	}
	for _, sl := range u.subs {
		sl.show(s, s.now(), u)
	}
}

// bindNew finds the encoding of a new SSRC by the MID the packet carries (RFC 8843 §9.2) and, where the track has several, by
// its RID; a repair names the RID of what it repairs (RFC 8852 §3.2). Repairs may come first. Nothing is bound on less: a
// sender leaves its RID out as soon as a report names the SSRC.
func (s *Shard) bindNew(p *peer, h *packet.Header, x *extensions) *published {
	if len(x.mid) == 0 {
		return nil
	}
	for _, u := range p.uplinks {
		if u.track.mid != string(x.mid) {
			continue
		}
		switch h.PayloadType {
		case u.cfg.PayloadType:
			if u.up == nil && u.named(x.rid) {
				s.bind(u, h.SSRC)
				return u
			}
		case u.cfg.RTXPayloadType:
			if u.cfg.RTXPayloadType != 0 && u.cfg.RTXSSRC == 0 && u.named(x.repaired) {
				u.cfg.RTXSSRC = h.SSRC
				p.bySSRC[h.SSRC] = u
				return u
			}
		}
	}
	return nil
}

// named says whether a RID names the encoding: it is its own, or none and the track has no other.
func (u *published) named(rid []byte) bool {
	if len(rid) == 0 {
		return len(u.track.encodings) == 1
	}
	return u.rid == string(rid) || u.rid == ""
}

// closeUplink ends an uplink and empties the slots that show it.
func (s *Shard) closeUplink(now time.Duration, u *published) {
	for len(u.subs) > 0 {
		sl := u.subs[0]
		if sl.source == u {
			s.assign(now, sl, nil, 0)
			continue
		}
		// It flowed until another's keyframe, which is all that is left now.
		u.unsubscribe(sl)
		sl.old = nil
		sl.down.Assign(now, nil, 0)
		sl.begin(now)
	}
	if u.up != nil {
		u.up.Release() // downlinks may still name it for a while, to answer NACKs
	}
	p := u.owner
	for i, other := range p.uplinks {
		if other == u {
			p.uplinks = append(p.uplinks[:i], p.uplinks[i+1:]...)
			break
		}
	}
	for _, ssrc := range [2]uint32{u.cfg.SSRC, u.cfg.RTXSSRC} {
		if p.bySSRC[ssrc] == u {
			delete(p.bySSRC, ssrc)
		}
		if s.ssrcs[ssrc] == p {
			delete(s.ssrcs, ssrc)
		}
	}
}

// receiveRTCP opens a compound packet and gives each part to whom it concerns; true when it is authentic.
func (s *Shard) receiveRTCP(now time.Duration, p *peer, b []byte) bool {
	if p.opener == nil {
		s.hold(p, b)
		return false
	}
	s.suspect = p
	size, v := p.opener.OpenRTCP(b)
	if v != srtp.OK {
		s.stats.Drops.opened(v)
		return false
	}
	s.heard(p, now)
	r := rtcp.Read(b[:size])
	for {
		part, ok := r.Next()
		if !ok {
			break
		}
		s.handleRTCP(now, p, part)
	}
	if r.Err() {
		s.stats.Drops.Malformed++
	}
	return true
}
