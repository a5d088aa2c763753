package packet

// Kind is what a datagram on a shared media port carries.
type Kind uint8

// The kinds of RFC 7983 §7 that a media port serves; all else (ZRTP, TURN channels, junk) is Unknown.
const (
	Unknown Kind = iota
	STUN
	DTLS
	RTP
	RTCP
)

// String returns the protocol's name in lower case, as metrics use it.
func (k Kind) String() string {
	switch k {
	case STUN:
		return "stun"
	case DTLS:
		return "dtls"
	case RTP:
		return "rtp"
	case RTCP:
		return "rtcp"
	default:
		return "unknown"
	}
}

// Classify looks at the first byte of a datagram (RFC 7983 §7), and for RTP and RTCP at the second (RFC 5761 §4). It
// promises nothing about the rest.
func Classify(b []byte) Kind {
	if len(b) < 2 {
		return Unknown
	}
	switch first := b[0]; {
	case first <= 3:
		return STUN
	case first >= 20 && first <= 63:
		return DTLS
	case first < 128 || first > 191:
		return Unknown
	}
	if b[1] >= 192 && b[1] <= 223 {
		return RTCP
	}
	return RTP
}
