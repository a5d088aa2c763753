package handshake

import (
	"fmt"
	"strconv"
	"strings"
)

// Which SSRCs and header extensions an m-line uses.

// The header extensions we know, as indices.
const (
	extMID = iota
	extTransportSeq
	extAudioLevel
	extColorSpace
	extCount
)

func extensionURIs() [extCount]string {
	return [extCount]string{uriMID, uriTransportSeq, uriAudioLevel, uriColorSpace}
}

// readMedia reads extension ids, SSRCs and candidates.
func (r *offerReader) readMedia(s *section, lines []sdpLine) error {
	grouped := false
	for _, l := range lines {
		name, value := attributeOf(l)
		switch name {
		case "extmap":
			if err := r.readExtension(s, l.number, value); err != nil {
				return err
			}
		case "extmap-allow-mixed":
			r.offer.mixed = true
		case "ssrc-group":
			fields := strings.Fields(value)
			if len(fields) != 3 || fields[0] != "FID" || grouped {
				continue
			}
			grouped = true
			var err error
			if s.ssrc, err = r.readSSRC(l.number, fields[1]); err != nil {
				return err
			}
			if s.repair, err = r.readSSRC(l.number, fields[2]); err != nil {
				return err
			}
			if s.repair == s.ssrc {
				return bad(l.number, "an SSRC cannot repair itself", "name two SSRCs")
			}
		case "ssrc":
			if grouped || s.ssrc != 0 {
				continue
			}
			number, _, _ := strings.Cut(value, " ")
			var err error
			if s.ssrc, err = r.readSSRC(l.number, number); err != nil {
				return err
			}
		case "candidate":
			r.readCandidate(value)
		}
	}
	if s.direction == recvonly || s.direction == inactive {
		s.ssrc, s.repair = 0, 0
	}
	for _, ssrc := range []uint32{s.ssrc, s.repair} {
		if ssrc == 0 {
			continue
		}
		if line, ok := r.ssrcs[ssrc]; ok {
			return bad(s.line, fmt.Sprintf("SSRC %d belongs to the m-line in line %d already", ssrc, line), "give each its own")
		}
		r.ssrcs[ssrc] = s.line
	}
	return nil
}

func (r *offerReader) readSSRC(line int, s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, bad(line, quote(s)+" is no SSRC", "use 1 to 4294967295")
	}
	return uint32(n), nil
}

// readExtension notes an id (RFC 8285 §5). Ids above 14 need two-byte headers and are not answered.
func (r *offerReader) readExtension(s *section, line int, value string) error {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return bad(line, quote(value)+" is no extmap", "write a=extmap:<id> <URI>")
	}
	number, _, _ := strings.Cut(fields[0], "/")
	id, err := strconv.ParseUint(number, 10, 16)
	if err != nil || id == 0 {
		return bad(line, quote(number)+" is no extension id", "use 1 to 14")
	}
	if id > 14 {
		return nil
	}
	uri := fields[1]
	if have := r.agreed.uri[id]; have != "" && have != uri {
		return bad(line, fmt.Sprintf("extension id %d is %s here and %s before", id, quote(uri), quote(have)), "use one id for one extension in the bundle")
	}
	r.agreed.uri[id] = uri
	for i, known := range extensionURIs() {
		if known != uri || i == extAudioLevel && s.video || i == extColorSpace && !s.video {
			continue
		}
		for other, have := range r.agreed.uri {
			if have == uri && other != int(id) {
				return bad(line, fmt.Sprintf("extension %s has ids %d and %d", quote(uri), other, id), "use one id for one extension in the bundle")
			}
		}
		s.extensions[i] = uint8(id)
	}
	return nil
}
