package srtp

// Verdict is what became of a packet; every one but OK is a drop to be counted under its name.
type Verdict uint8

// The verdicts.
const (
	OK             Verdict = iota
	Malformed              // too short, unencrypted, or numbered before its stream's beginning
	Replayed               // seen before, or older than the replay window
	Forged                 // authentication failed: the bytes after the header are undefined
	TooManyStreams         // genuine, but its SSRC would be one too many to remember
)

// String returns the verdict as metrics name it.
func (v Verdict) String() string {
	switch v {
	case OK:
		return "ok"
	case Malformed:
		return "malformed"
	case Replayed:
		return "replayed"
	case Forged:
		return "forged"
	case TooManyStreams:
		return "too_many_streams"
	default:
		return "unknown"
	}
}
