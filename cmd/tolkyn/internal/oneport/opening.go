package oneport

// Opening is what the first bytes of a stream say it is.
type Opening uint8

const (
	// More: too few bytes to tell.
	More Opening = iota
	// Hello is a TLS handshake (RFC 8446 §5.1).
	Hello
	// STUN is a message of STUN or TURN that stands in the stream as it is (RFC 8489 §6.2.2).
	STUN
	// Frame is a STUN message behind its length, as ICE-TCP has it (RFC 6544, RFC 4571).
	Frame
	// HTTP is a method's name.
	HTTP
	// Strange is nothing that is served here.
	Strange
)

// enough is the number of bytes after which Open never returns More.
const enough = 10

// magic is the second word of every STUN message (RFC 8489 §5).
const magic = "\x21\x12\xa4\x42"

// Open says what a stream is that begins with b. A TURN client begins with a STUN message: what ChannelData needs first, an
// allocation and a binding, ends with the connection. So a first byte of 0x41 to 0x4f is a letter of a method here. ICE-TCP
// begins with a check, which has less than 1,024 bytes.
func Open(b []byte) Opening {
	switch {
	case len(b) == 0:
		return More
	case b[0] >= 'A' && b[0] <= 'Z':
		return HTTP
	case b[0] == 0x16: // handshake
		switch {
		case len(b) < 2:
			return More
		case b[1] == 3: // every version from SSL 3 on
			return Hello
		}
		return Strange
	case b[0] > 3:
		return Strange
	case len(b) < 8:
		return More
	case string(b[4:8]) == magic:
		return STUN
	case b[2] > 3:
		return Strange
	case len(b) < enough:
		return More
	case string(b[6:10]) == magic:
		return Frame
	}
	return Strange
}
