package handshake

import "strings"

// How a receiver of media tells its sender of congestion. One way is answered on each m-line, the best that both know.

// offersCCFB says whether a first offer has congestion control feedback (RFC 8888 §6) on every m-line of media. It is of the
// whole path, which all m-lines share: libwebrtc does not take it for some of them alone, and expects it everywhere once it is
// answered. So the first answer decides for the session.
func offersCCFB(blocks [][]sdpLine) bool {
	offered := false
	for _, lines := range blocks {
		fields := strings.Fields(lines[0].value)
		if len(fields) < 2 || fields[0] != "audio" && fields[0] != "video" {
			continue
		}
		live, has := fields[1] != "0", false
		for _, l := range lines[1:] {
			switch name, value := attributeOf(l); name {
			case "bundle-only":
				live = true
			case "rtcp-fb":
				_, kind, _ := strings.Cut(value, " ")
				has = has || kind == "ack ccfb"
			}
		}
		if live && !has {
			return false
		}
		offered = offered || live
	}
	return offered
}

// settleFeedback leaves one way: RFC 8888, which also tells of ECN, else transport-wide feedback, else REMB, and of the header
// extensions what it needs. Sound that the client is asked to send again has RFC 8888 or none: the others need a number or a time
// in each packet, browsers write new ones into what they send again, and without RTX that is the old nonce with other bytes, which
// gives the key of authentication away.
func (r *offerReader) settleFeedback(s *section) {
	all := s.feedback()
	take := feedbackTransportCC // offered without its header extension it stays in the answer and says nothing
	switch {
	case r.agreed.ccfb && all&feedbackCCFB != 0:
		take = feedbackCCFB
		s.extensions[extTransportSeq] = headerExtension{}
	case all&feedbackTransportCC == 0 && all&feedbackREMB != 0:
		take = feedbackREMB
	}
	if take != feedbackCCFB && (s.saver || s.resendsAsIs()) {
		if s.saver || take == feedbackREMB {
			take = 0 // else the word stays: pion agrees on feedback by kind, offers what is left here anew, and slots would open anew
		}
		s.extensions[extTransportSeq] = headerExtension{}
	}
	if s.saver && !s.sends() {
		// NACK stays: nothing is asked for where nothing is lost, and where something is, reports say so too late.
		s.extensions[extAudioLevel] = headerExtension{}
	}
	if take != feedbackREMB {
		s.extensions[extAbsSendTime] = headerExtension{}
	}
	for i := range s.taken {
		s.taken[i].feedback &^= (feedbackCCFB | feedbackTransportCC | feedbackREMB) &^ take
	}
}

// resendsAsIs says whether the client is asked to send packets again, and has no RTX for that.
func (s *section) resendsAsIs() bool {
	return !s.video && s.sends() && s.feedback()&feedbackNACK != 0
}
