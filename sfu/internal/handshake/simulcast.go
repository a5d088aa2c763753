package handshake

import (
	"slices"
	"strconv"
	"strings"
)

// Which streams of a simulcast are taken (RFC 8853), each named by its RID (RFC 8851). pion hears nothing of it.

const (
	defaultEncodings = 3
	maxRIDSize       = 16 // the one-byte header extension carries no more (RFC 8285 §4.2)
)

// readSimulcast reads the simulcast of an m-line on which the client sends. The streams of a live m-line stay as they were
// agreed: those that are new are left out of the answer, and some may be missing.
func (r *offerReader) readSimulcast(s *section, lines []sdpLine) error {
	before := r.agreed.lines[s.mid]
	if !s.video || !s.sends() {
		s.rids = before.rids
		return nil
	}
	if before.taken.Codec == 0 || len(before.rids) > 0 {
		s.rids = r.offeredRIDs(s, lines, before.rids)
	}
	if len(before.rids) == 1 && len(s.rids) == 0 && !hasSimulcast(lines) {
		// One stream is all that was taken, and Firefox speaks of no simulcast any more.
		s.rids, s.unnamed = before.rids, true
		return nil
	}
	if len(before.rids) > 0 && len(s.rids) == 0 {
		return bad(s.line, "mid "+quote(s.mid)+" sent a simulcast of "+strings.Join(before.rids, ", ")+" before and offers none of it any more",
			"stop the transceiver and send on a new one")
	}
	return nil
}

// offeredRIDs lists the streams that are taken, in the order of the offer: of each choice of alternatives the first, and
// nothing but what was agreed before, if anything was.
func (r *offerReader) offeredRIDs(s *section, lines []sdpLine, before []string) (taken []string) {
	if s.extensions[extRID].id == 0 {
		return nil // its packets could not be told apart
	}
	streams, sends := "", map[string]bool{}
	for _, l := range lines {
		name, value := attributeOf(l)
		switch name {
		case "rid":
			fields := strings.Fields(value)
			if len(fields) >= 2 && fields[1] == "send" && isRID(fields[0]) && s.allowed(fields[2:]) {
				sends[fields[0]] = true
			}
		case "simulcast":
			fields := strings.Fields(value)
			for i := 0; i+1 < len(fields) && streams == ""; i += 2 {
				if fields[i] == "send" {
					streams = fields[i+1]
				}
			}
		}
	}
	limit := r.policy.MaxEncodings
	if limit <= 0 {
		limit = defaultEncodings
	}
	for alternatives := range strings.SplitSeq(streams, ";") {
		for rid := range strings.SplitSeq(alternatives, ",") {
			rid = strings.TrimPrefix(rid, "~") // paused for now
			if len(taken) < limit && sends[rid] && (before == nil || slices.Contains(before, rid)) {
				sends[rid] = false
				taken = append(taken, strings.Clone(rid))
				break
			}
		}
	}
	return taken
}

func hasSimulcast(lines []sdpLine) bool {
	return slices.ContainsFunc(lines, func(l sdpLine) bool { name, _ := attributeOf(l); return name == "simulcast" })
}

// allowed says whether a RID's restrictions (RFC 8851 §5) let it carry the codec that was taken. Of the others we hold
// nobody to anything.
func (s *section) allowed(restrictions []string) bool {
	for _, part := range restrictions {
		for restriction := range strings.SplitSeq(part, ";") {
			if list, ok := strings.CutPrefix(restriction, "pt="); ok {
				return slices.Contains(strings.Split(list, ","), strconv.Itoa(int(s.taken[0].PayloadType)))
			}
		}
	}
	return true
}

// isRID follows RFC 8851 §10 with its erratum 7132.
func isRID(s string) bool {
	if s == "" || len(s) > maxRIDSize {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return true
}
