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
	extRID
	extRepairedRID
	extDescriptor
	extAbsSendTime
	extCount
)

// headerExtension is one as it is agreed; the zero value is none.
type headerExtension struct {
	id uint8
	// The client's (RFC 8285 §6), 0 when it does not tell.
	direction direction
}

func extensionURIs() [extCount]string {
	return [extCount]string{uriMID, uriTransportSeq, uriAudioLevel, uriColorSpace, uriRID, uriRepairedRID, uriDescriptor, uriAbsSendTime}
}

// wants says whether an extension is answered on the m-line.
func (s *section) wants(extension int) bool {
	switch extension {
	case extAudioLevel:
		return !s.video
	case extColorSpace, extDescriptor:
		return s.video
	case extRID, extRepairedRID:
		return s.video && s.sends() // nothing that we send has a RID
	case extAbsSendTime:
		return s.sends()
	default:
		return true
	}
}

// readStreams reads SSRCs and candidates. Of a simulcast the SSRCs do not count: Firefox lists them, others do not, and the
// RID tells whose a packet is.
func (r *offerReader) readStreams(s *section, lines []sdpLine) error {
	grouped := false
	for _, l := range lines {
		name, value := attributeOf(l)
		switch name {
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
	if !s.sends() || len(s.rids) > 0 && !s.unnamed {
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

func (r *offerReader) readExtensions(s *section, lines []sdpLine) error {
	for _, l := range lines {
		if name, value := attributeOf(l); name == "extmap" {
			if err := r.readExtension(s, l.number, value); err != nil {
				return err
			}
		}
	}
	if before := r.agreed.lines[s.mid]; before.live(s) {
		for i := range s.extensions {
			if before.extensions[i].id == 0 {
				s.extensions[i] = headerExtension{} // the shard does not look for it
			}
		}
	}
	return nil
}

// readExtension notes an id (RFC 8285 §5). Ids above 14 need two-byte headers: without leave to mix the two forms they are
// not answered, and in slots, whose packets have the one-byte form unless a dependency descriptor takes the other, for that alone.
func (r *offerReader) readExtension(s *section, line int, value string) error {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return bad(line, quote(value)+" is no extmap", "write a=extmap:<id> <URI>")
	}
	number, way, _ := strings.Cut(fields[0], "/")
	id, err := strconv.ParseUint(number, 10, 16)
	if err != nil || id == 0 {
		return bad(line, quote(number)+" is no extension id", "use 1 to 14")
	}
	if id > 255 || id == 15 || id > 14 && !s.mixed {
		return nil
	}
	uri := fields[1]
	if len(uri) > maxURISize {
		return bad(line, quote(uri)+" is no name of an extension", fmt.Sprintf("use at most %d bytes", maxURISize))
	}
	if have := r.agreed.uri[uint8(id)]; have != "" && have != uri {
		return bad(line, fmt.Sprintf("extension id %d is %s here and %s before", id, quote(uri), quote(have)), "use one id for one extension in the bundle")
	} else if have == "" {
		r.agreed.uri[uint8(id)] = strings.Clone(uri)
	}
	for i, known := range extensionURIs() {
		to := directionOf(way)
		if to == sendrecv {
			to = 0 // as if it were not told
		}
		if known != uri || !s.wants(i) || to == inactive || to == recvonly && s.sends() || to == sendonly && s.direction == recvonly {
			continue // Firefox sends the dependency descriptor and does not take it
		}
		if id > 14 && i != extDescriptor && s.direction == recvonly {
			continue // what a slot says with every packet it says in the one-byte form
		}
		for other, have := range r.agreed.uri {
			if have == uri && other != uint8(id) {
				return bad(line, fmt.Sprintf("extension %s has ids %d and %d", quote(uri), other, id), "use one id for one extension in the bundle")
			}
		}
		s.extensions[i] = headerExtension{uint8(id), to}
	}
	return nil
}
