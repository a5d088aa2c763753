package packet

import "encoding/binary"

// Sizes of RFC 3550 §5.1, in bytes.
const (
	fixedSize     = 12
	csrcSize      = 4
	extHeaderSize = 4
	maxCSRCs      = 15
)

const (
	versionBits  = 2 << 6
	versionMask  = 3 << 6
	paddingBit   = 1 << 5
	extensionBit = 1 << 4
	csrcMask     = 0x0f
	markerBit    = 1 << 7
	payloadMask  = 0x7f
)

// Header is an RTP header (RFC 3550 §5.1) as a value without pointers: everything variable is an offset into the packet.
type Header struct {
	Sequence    uint16
	Timestamp   uint32 // in the codec's clock
	SSRC        uint32
	PayloadType uint8 // 0..127
	Marker      bool
	Padding     bool

	Size       int    // bytes of the whole header with CSRCs and extension block: the payload's offset
	ExtProfile uint16 // 0 when there is no extension block
	ExtOffset  int    // where the extension elements begin; 0 when there is no extension block
	ExtSize    int    // their bytes, a multiple of 4
	CSRCCount  int    // 0..15
}

// ParseHeader reads the header at the start of b, encrypted or not: SRTP leaves headers readable. It returns false when
// the version is not 2 or a length points beyond b. Padding is inside the encrypted part: see Payload.
func ParseHeader(b []byte) (Header, bool) {
	if len(b) < fixedSize || b[0]&versionMask != versionBits {
		return Header{}, false
	}
	h := Header{
		Sequence:    binary.BigEndian.Uint16(b[2:]),
		Timestamp:   binary.BigEndian.Uint32(b[4:]),
		SSRC:        binary.BigEndian.Uint32(b[8:]),
		PayloadType: b[1] & payloadMask,
		Marker:      b[1]&markerBit != 0,
		Padding:     b[0]&paddingBit != 0,
		CSRCCount:   int(b[0] & csrcMask),
	}
	h.Size = fixedSize + csrcSize*h.CSRCCount
	if b[0]&extensionBit != 0 {
		if len(b) < h.Size+extHeaderSize {
			return Header{}, false
		}
		h.ExtProfile = binary.BigEndian.Uint16(b[h.Size:])
		h.ExtSize = 4 * int(binary.BigEndian.Uint16(b[h.Size+2:]))
		h.ExtOffset = h.Size + extHeaderSize
		h.Size = h.ExtOffset + h.ExtSize
	}
	if len(b) < h.Size {
		return Header{}, false
	}
	return h, true
}

// CSRC returns contributing source i of packet b, false when there is none.
func (h *Header) CSRC(b []byte, i int) (uint32, bool) {
	at := fixedSize + csrcSize*i
	if i < 0 || i >= h.CSRCCount || len(b) < at+csrcSize {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[at:]), true
}

// Payload returns the payload of the decrypted packet b without its padding; it is empty when the packet is padding
// only. False when the padding lies: a count of 0 or one larger than the payload (RFC 3550 §5.1; unchecked, one such
// packet has crashed whole servers: CVE-2025-49140).
func (h *Header) Payload(b []byte) ([]byte, bool) {
	if h.Size < fixedSize || h.Size > len(b) {
		return nil, false
	}
	payload := b[h.Size:]
	if !h.Padding {
		return payload, true
	}
	if len(payload) == 0 {
		return nil, false
	}
	padding := int(payload[len(payload)-1])
	if padding == 0 || padding > len(payload) {
		return nil, false
	}
	return payload[:len(payload)-padding], true
}

// PutHeader writes the 12 fixed bytes of h to dst and returns 12, or 0 when dst is too short. CSRCs and extensions
// follow by PutCSRC and PutExtensions, in this order, which also set their bits; the offsets and counts in h are not used.
func PutHeader(dst []byte, h Header) int {
	if len(dst) < fixedSize {
		return 0
	}
	dst[0] = versionBits
	if h.Padding {
		dst[0] |= paddingBit
	}
	dst[1] = h.PayloadType & payloadMask
	if h.Marker {
		dst[1] |= markerBit
	}
	binary.BigEndian.PutUint16(dst[2:], h.Sequence)
	binary.BigEndian.PutUint32(dst[4:], h.Timestamp)
	binary.BigEndian.PutUint32(dst[8:], h.SSRC)
	return fixedSize
}

// PutCSRC adds a contributing source to the header of size bytes in dst and returns its new size: size again, with
// nothing written, when dst is too short, 15 are there, or extensions came first.
func PutCSRC(dst []byte, size int, csrc uint32) int {
	if size < fixedSize || len(dst) < size+csrcSize || dst[0]&extensionBit != 0 || dst[0]&csrcMask == maxCSRCs {
		return size
	}
	binary.BigEndian.PutUint32(dst[size:], csrc)
	dst[0]++
	return size + csrcSize
}
