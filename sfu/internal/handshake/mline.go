package handshake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What an offer says of its session and of each m-line, and what of it is refused.

func (r *offerReader) session(lines []sdpLine) error {
	r.direction = sendrecv
	for _, l := range lines {
		name, value := attributeOf(l)
		switch name {
		case "ice-ufrag":
			r.ufrag = value
		case "ice-pwd":
			r.pwd = value
		case "fingerprint":
			r.fingerprint = betterFingerprint(r.fingerprint, value)
		case "setup":
			r.setup = value
		case "extmap-allow-mixed":
			r.offer.mixed = true
		case "group":
			if tags, ok := strings.CutPrefix(value, "BUNDLE"); ok && r.bundled == nil {
				r.bundled = map[string]bool{}
				for _, mid := range strings.Fields(tags) {
					if len(r.bundled) == 0 {
						r.tagged = mid
					}
					r.bundled[mid] = true
				}
			}
		default:
			if d := directionOf(name); d != 0 {
				r.direction = d
			}
		}
	}
	return nil
}

// inherit takes ICE and DTLS from the m-line that stands first in the BUNDLE group, which speaks for those that say nothing of
// it (RFC 8843 §7.1.3): even when it is one that we refuse, as a data channel.
func (r *offerReader) inherit(blocks [][]sdpLine) {
	tag := "mid:" + r.tagged
	for _, lines := range blocks {
		if !slices.ContainsFunc(lines, func(l sdpLine) bool { return l.key == 'a' && l.value == tag }) {
			continue
		}
		own := ""
		for _, l := range lines {
			switch name, value := attributeOf(l); name {
			case "ice-ufrag":
				r.ufrag = value
			case "ice-pwd":
				r.pwd = value
			case "fingerprint":
				own = betterFingerprint(own, value)
			case "setup":
				r.setup = value
			}
		}
		if own != "" {
			r.fingerprint = own
		}
		return
	}
}

func (r *offerReader) section(lines []sdpLine) error {
	m := lines[0]
	fields := strings.Fields(m.value)
	if len(fields) < 4 {
		return bad(m.number, quote("m="+m.value)+" has too few words", "write m=<media> <port> <proto> <fmt> …")
	}
	port, _, _ := strings.Cut(fields[1], "/")
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad(m.number, quote(fields[1])+" is no port", "write 9, or 0 for a stopped m-line")
	}
	s := section{line: m.number, media: fields[0], proto: fields[2], formats: strings.Join(fields[3:], " "), direction: r.direction, mixed: r.offer.mixed}
	s.video = s.media == "video"
	s.saver = r.policy.Saver && !s.video
	bundleOnly := false
	setup, ufrag, pwd, fingerprint := r.setup, r.ufrag, r.pwd, r.fingerprint
	own := "" // a fingerprint of the section's own
	for _, l := range lines[1:] {
		name, value := attributeOf(l)
		switch name {
		case "mid":
			if s.mid != "" {
				return bad(l.number, "a second a=mid in one m-line", "give each m-line one")
			}
			if !isToken(value) || len(value) > maxMIDSize {
				return bad(l.number, quote(value)+" is no mid", fmt.Sprintf("use a token of 1 to %d characters", maxMIDSize))
			}
			if first, ok := r.mids[value]; ok {
				return bad(l.number, fmt.Sprintf("mid %s was given in line %d already", quote(value), first), "give each m-line its own")
			}
			s.mid = strings.Clone(value) // kept for long: not the whole offer with it
			r.mids[s.mid] = l.number
		case "bundle-only":
			bundleOnly = true
		case "extmap-allow-mixed":
			s.mixed = true
		case "setup":
			setup = value
		case "ice-ufrag":
			ufrag = value
		case "ice-pwd":
			pwd = value
		case "fingerprint":
			own = betterFingerprint(own, value)
		default:
			if d := directionOf(name); d != 0 {
				s.direction = d
			}
		}
	}
	if own != "" {
		fingerprint = own
	}
	if s.mid == "" {
		return bad(m.number, "the m-line has no a=mid", "offer in unified plan")
	}
	s.refused = port == "0" && !bundleOnly || s.media != "audio" && s.media != "video" || !isSRTP(s.proto)
	before, known := r.agreed.lines[s.mid]
	if s.refused {
		if known {
			r.agreed.lines[s.mid] = mline{video: before.video}
		}
		r.offer.sections = append(r.offer.sections, s)
		return nil
	}
	if known && before.video != s.video {
		return bad(m.number, fmt.Sprintf("mid %s was another kind of media before", quote(s.mid)), "give a recycled m-line a new mid")
	}
	if !known && len(r.agreed.lines) >= maxRecycled {
		return recycledTooOften()
	}
	if setup != "" && setup != "actpass" && setup != "active" {
		return bad(m.number, fmt.Sprintf("a=setup:%s leaves us no role but DTLS client", quote(setup)), "offer a=setup:actpass")
	}
	if r.bundled != nil && !r.bundled[s.mid] {
		return bad(m.number, fmt.Sprintf("mid %s is not in the BUNDLE group", quote(s.mid)), "bundle all m-lines (bundlePolicy max-bundle)")
	}
	if r.offer.ufrag == "" {
		if err := checkTransport(m.number, ufrag, pwd, fingerprint); err != nil {
			return err
		}
		r.offer.ufrag, r.offer.pwd, r.offer.fingerprint = strings.Clone(ufrag), strings.Clone(pwd), fingerprint
	}
	if err := r.readFormats(&s, lines[1:]); err != nil {
		return err
	}
	if err := r.readExtensions(&s, lines[1:]); err != nil {
		return err
	}
	r.settleFeedback(&s)
	if err := r.readSimulcast(&s, lines[1:]); err != nil {
		return err
	}
	if err := r.readStreams(&s, lines[1:]); err != nil {
		return err
	}
	now := mline{video: s.video}
	switch {
	case s.direction == inactive, before.live(&s):
		now = before // what is missing now may come back
		now.video = s.video
	case s.sends():
		now.taken, now.extensions, now.rids = s.taken[0], s.extensions, s.rids
	}
	r.agreed.lines[s.mid] = now
	r.offer.sections = append(r.offer.sections, s)
	return nil
}

func recycledTooOften() error {
	return &OfferError{
		ErrTooManyMLines, 0, fmt.Sprintf("this session has recycled m-lines more than %d times", maxRecycled),
		"join again",
	}
}

// isSRTP takes what browsers and others write for DTLS-SRTP (RFC 8829 §5.1.2).
func isSRTP(proto string) bool {
	switch proto {
	case "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF":
		return true
	default:
		return false
	}
}
