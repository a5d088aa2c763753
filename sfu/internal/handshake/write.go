package handshake

import (
	"fmt"
	"strconv"
	"strings"
)

// The text of an answer: every m-line of the offer in its place, those that nobody wants with port 0.

// answerID names the session in an answer's o= line (RFC 8866 §5.2); version grows with each answer.
type answerID struct{ session, version uint64 }

// write completes an answer: its SDP, and what the media path must know of it.
func (a *Answer) write(o *offer, slots map[string]slotPlace, t transport, id answerID, candidates []string) {
	var b strings.Builder
	b.Grow(512 + 1024*len(o.sections))
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0\r\no=- %d %d IN IP4 0.0.0.0\r\ns=-\r\nt=0 0", id.session, id.version)
	line("a=msid-semantic:WMS *")
	line("a=fingerprint:%s", t.fingerprint)
	if o.mixed {
		line("a=extmap-allow-mixed")
	}
	if o.bundled {
		b.WriteString("a=group:BUNDLE")
		for _, s := range o.sections {
			if !s.refused {
				b.WriteString(" " + s.mid)
			}
		}
		b.WriteString("\r\n")
	}
	for i := range o.sections {
		s := &o.sections[i]
		if s.refused {
			s.writeRefusal(line)
			continue
		}
		line("m=%s 9 %s%s", s.media, s.proto, s.payloadTypes())
		line("c=IN IP4 0.0.0.0")
		line("a=setup:passive\r\na=mid:%s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=rtcp-mux\r\na=rtcp-rsize", s.mid, t.ufrag, t.pwd)
		s.writeFormats(line)
		if s.mixed && !o.mixed {
			line("a=extmap-allow-mixed")
		}
		for i, uri := range extensionURIs() {
			switch x := s.extensions[i]; {
			case x.id == 0:
			case x.direction == 0:
				line("a=extmap:%d %s", x.id, uri)
			default:
				line("a=extmap:%d/%s %s", x.id, answerDirection(x.direction), uri)
			}
		}
		if s.sends() {
			if len(s.rids) > 0 && !s.unnamed {
				for _, rid := range s.rids {
					line("a=rid:%s recv", rid)
				}
				line("a=simulcast:recv %s", strings.Join(s.rids, ";"))
			}
			a.Published = append(a.Published, s.published())
		}
		if place, ok := slots[s.mid]; ok && s.direction == recvonly {
			slot := s.slot(place)
			slot.write(line)
			a.Slots = append(a.Slots, slot)
		}
		line("a=%s", answerDirection(s.direction))
		for _, c := range candidates {
			line("%s", c)
		}
		if candidates != nil {
			line("a=end-of-candidates")
			candidates = nil
		}
	}
	a.SDP = b.String()
}

func (s *section) writeRefusal(line func(string, ...any)) {
	first, _, _ := strings.Cut(s.formats, " ")
	line("m=%s 0 %s %s", s.media, s.proto, first)
	line("c=IN IP4 0.0.0.0\r\na=mid:%s", s.mid)
	if s.media == "audio" || s.media == "video" {
		line("a=inactive")
	}
}

func (s *section) payloadTypes() string {
	var list []byte
	for _, f := range s.taken {
		list = strconv.AppendUint(append(list, ' '), uint64(f.PayloadType), 10)
		for _, pt := range [...]uint8{f.RTXPayloadType, f.red} {
			if pt != 0 {
				list = strconv.AppendUint(append(list, ' '), uint64(pt), 10)
			}
		}
	}
	if s.fec != 0 {
		list = strconv.AppendUint(append(list, ' '), uint64(s.fec), 10)
	}
	return string(list)
}

func (s *section) writeFormats(line func(string, ...any)) {
	for _, f := range s.taken {
		if f.Codec.Video() {
			line("a=rtpmap:%d %v/%d", f.PayloadType, f.Codec, f.Codec.ClockRate())
		} else {
			line("a=rtpmap:%d %v/%d/2", f.PayloadType, f.Codec, f.Codec.ClockRate())
		}
		switch {
		case s.saver && s.sends():
			line("a=fmtp:%d %s", f.PayloadType, saverFmtp)
		case f.fmtp != "":
			line("a=fmtp:%d %s", f.PayloadType, f.fmtp)
		}
		for i, kind := range feedbackKinds() {
			if f.feedback&(1<<i)&^feedbackCCFB != 0 {
				line("a=rtcp-fb:%d %s", f.PayloadType, kind)
			}
		}
		if f.RTXPayloadType != 0 {
			line("a=rtpmap:%d rtx/%d", f.RTXPayloadType, f.Codec.ClockRate())
			line("a=fmtp:%d apt=%d", f.RTXPayloadType, f.PayloadType)
		}
		if f.red != 0 {
			line("a=rtpmap:%d red/%d/2", f.red, f.Codec.ClockRate())
			line("a=fmtp:%d %d/%d", f.red, f.PayloadType, f.PayloadType)
		}
	}
	if s.fec != 0 {
		line("a=rtpmap:%d flexfec/90000", s.fec)
		line("a=fmtp:%d %s", s.fec, fecFmtp)
	}
	if s.saver && s.sends() {
		line("a=ptime:%d", saverPtime)
	}
	if s.feedback()&feedbackCCFB != 0 {
		line("a=rtcp-fb:* ack ccfb") // RFC 8888 §6 has it for all payload types; Chromium offers it for each and takes this
	}
}

// write names the slot's SSRCs and its stream (RFC 5576, RFC 8830).
func (s *Slot) write(line func(string, ...any)) {
	kind := "audio"
	if s.Video {
		kind = "video"
	}
	line("a=msid:%s %s%d", s.CNAME, kind, s.Index) // before the SSRCs: pion reads from top to bottom
	if s.RTXSSRC != 0 {
		line("a=ssrc-group:FID %d %d", s.SSRC, s.RTXSSRC)
	}
	if s.FECSSRC != 0 {
		line("a=ssrc-group:FEC-FR %d %d", s.SSRC, s.FECSSRC) // RFC 5956 §4.3
	}
	line("a=ssrc:%d cname:%s", s.SSRC, s.CNAME)
	if s.RTXSSRC != 0 {
		line("a=ssrc:%d cname:%s", s.RTXSSRC, s.CNAME)
	}
	if s.FECSSRC != 0 {
		line("a=ssrc:%d cname:%s", s.FECSSRC, s.CNAME)
	}
}

// answerDirection turns the client's direction into ours. Who offers both gets only his sending: slots are m-lines of
// their own.
func answerDirection(d direction) string {
	switch d {
	case recvonly:
		return "sendonly"
	case inactive:
		return "inactive"
	default:
		return "recvonly"
	}
}

// feedback is what any of the m-line's codecs has.
func (s *section) feedback() (all feedback) {
	for _, f := range s.taken {
		all |= f.feedback
	}
	if s.extensions[extTransportSeq].id == 0 {
		all &^= feedbackTransportCC
	}
	return all
}

func (s *section) ext() ExtensionIDs {
	return ExtensionIDs{
		MID: s.extensions[extMID].id, TransportSeq: s.extensions[extTransportSeq].id, AudioLevel: s.extensions[extAudioLevel].id,
		ColorSpace: s.extensions[extColorSpace].id, RID: s.extensions[extRID].id, RepairedRID: s.extensions[extRepairedRID].id,
		Descriptor: s.extensions[extDescriptor].id, AbsSendTime: s.extensions[extAbsSendTime].id,
	}
}

func (s *section) published() Published {
	p := Published{
		MID: s.mid, Video: s.video, Payload: s.taken[0].Payload, RED: s.taken[0].red,
		NACK: s.feedback()&feedbackNACK != 0, TransportCC: s.feedback()&feedbackTransportCC != 0,
		CCFB: s.feedback()&feedbackCCFB != 0, REMB: s.feedback()&feedbackREMB != 0, Ext: s.ext(),
	}
	for _, rid := range s.rids {
		p.Encodings = append(p.Encodings, Encoding{RID: rid, SSRC: s.ssrc, RTXSSRC: s.repair})
	}
	if p.Encodings == nil {
		p.Encodings = []Encoding{{SSRC: s.ssrc, RTXSSRC: s.repair}}
	}
	return p
}

func (s *section) slot(place slotPlace) Slot {
	slot := Slot{
		MID: s.mid, Video: s.video, Index: place.index, SSRC: place.ssrc,
		NACK: s.feedback()&feedbackNACK != 0, TransportCC: s.feedback()&feedbackTransportCC != 0,
		CCFB: s.feedback()&feedbackCCFB != 0, REMB: s.feedback()&feedbackREMB != 0, Ext: s.ext(), Mixed: s.mixed, CNAME: place.stream(),
		FEC: place.fec, FECSSRC: place.parity,
	}
	for _, f := range s.taken {
		slot.Payloads = append(slot.Payloads, f.Payload)
		if f.RTXPayloadType != 0 {
			slot.RTXSSRC = place.rtx
		}
		slot.RED = max(slot.RED, f.red)
	}
	return slot
}
