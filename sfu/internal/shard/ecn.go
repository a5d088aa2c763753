package shard

import "github.com/tolkyn/tolkyn/internal/packet"

// Whether what leaves for a subscriber asks to be marked rather than dropped (ECT(1), RFC 9331): only who reports marks (RFC 8888)
// is sent it, only media is marked (RFC 6679 §7.1), and only after the path has shown that it carries it. There are networks that
// clear the bits, and a few that drop what has them.

const (
	// ecnTrial is the share of packets that a path is tried with: one in so many, so that one that drops them costs a picture now
	// and then and no call (RFC 6679 §7.2.1).
	ecnTrial = 8
	// ecnProof is how many packets must have arrived with the bits before all are marked. A network that clears them clears all.
	ecnProof = 8
	// ecnPatience is how many may arrive in a row without before the path is given up: of a trial 25 of them left with the bits, and
	// chance takes all of those only where it takes nearly everything.
	ecnPatience = 200
)

// ecnPath is what is known of ECN on the way to one subscriber. The zero value begins a trial.
type ecnPath struct {
	refused bool // nothing is marked any more
	proved  uint8
	sent    uint8 // packets since the last one that was marked, of a trial
	without int   // packets that arrived without the bits since the last one with them
}

// next is what the next packet leaves with.
func (e *ecnPath) next() packet.ECN {
	switch {
	case e.refused:
		return packet.NotECT
	case e.proved == ecnProof:
		return packet.ECT1
	}
	if e.sent++; e.sent < ecnTrial {
		return packet.NotECT
	}
	e.sent = 0
	return packet.ECT1
}

// arrived notes with what one packet is reported to have come.
func (e *ecnPath) arrived(ecn packet.ECN) {
	switch ecn {
	case packet.ECT1, packet.CE:
		e.without = 0
		e.proved = min(e.proved+1, ecnProof)
	case packet.ECT0: // nobody of ours sends that: somebody rewrites the bits
		e.refused = true
	default:
		if e.without++; e.without >= ecnPatience {
			e.refused = true
		}
	}
}
