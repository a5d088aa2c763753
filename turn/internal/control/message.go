package control

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

const (
	headerSize = 20
	cookie     = 0x2112A442
)

// Methods (RFC 8489 §18.2, RFC 8656 §17).
const (
	binding          = 0x001
	allocate         = 0x003
	refresh          = 0x004
	send             = 0x006
	data             = 0x007
	createPermission = 0x008
	channelBind      = 0x009
)

// Classes, as the bits of a message's type.
const (
	request    = 0x000
	indication = 0x010
	success    = 0x100
	failure    = 0x110
)

// Attributes (RFC 8489 §18.3, RFC 8656 §18).
const (
	mappedAddress           = 0x0001
	username                = 0x0006
	messageIntegrity        = 0x0008
	errorCode               = 0x0009
	unknownAttributes       = 0x000A
	channelNumber           = 0x000C
	lifetime                = 0x000D
	xorPeerAddress          = 0x0012
	dataAttribute           = 0x0013
	realm                   = 0x0014
	nonce                   = 0x0015
	xorRelayedAddress       = 0x0016
	requestedAddressFamily  = 0x0017
	evenPort                = 0x0018
	requestedTransport      = 0x0019
	messageIntegritySHA256  = 0x001C
	xorMappedAddress        = 0x0020
	reservationToken        = 0x0022
	additionalAddressFamily = 0x8000
	addressErrorCode        = 0x8001
	alternateServer         = 0x8023
	fingerprint             = 0x8028
)

// known reports whether an attribute that must be understood is. DONT-FRAGMENT is not: relay sockets leave that bit to the kernel, so
// who asks for it is told in 420, and his Send indications with it are discarded (RFC 8656 §7.2, §15).
func known(kind uint16) bool {
	switch kind {
	case mappedAddress, username, messageIntegrity, errorCode, unknownAttributes, channelNumber, lifetime, xorPeerAddress, dataAttribute,
		realm, nonce, xorRelayedAddress, requestedAddressFamily, evenPort, requestedTransport, messageIntegritySHA256, xorMappedAddress,
		reservationToken:
		return true
	}
	return kind >= 0x8000
}

type attribute struct {
	kind  uint16
	value []byte
}

// message is a request as it was parsed. It points into the bytes that it was parsed from.
type message struct {
	raw           []byte
	method, class uint16
	tx            [12]byte
	attributes    []attribute
	integrity     int // where MESSAGE-INTEGRITY begins; 0: there is none
	integrity256  int // likewise of MESSAGE-INTEGRITY-SHA256
	fingerprint   bool
}

// parse reads b, the whole of it. False: it is no STUN message, a torn one, or its FINGERPRINT is wrong. Attributes behind
// MESSAGE-INTEGRITY that it does not cover are left out (RFC 8489 §14.5).
func (m *message) parse(b []byte) bool {
	if len(b) < headerSize || b[0] > 3 || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerSize || len(b)&3 != 0 ||
		binary.BigEndian.Uint32(b[4:]) != cookie {
		return false
	}
	kind := binary.BigEndian.Uint16(b)
	*m = message{raw: b, method: kind&0xF | kind>>1&0x70 | kind>>2&0xF80, class: kind & failure, attributes: m.attributes[:0]}
	copy(m.tx[:], b[8:])
	for at := headerSize; at < len(b); {
		kind, value, next := attributeAt(b, at)
		if next == 0 {
			return false
		}
		switch {
		case kind == fingerprint:
			if len(value) != 4 || next != len(b) || crc(b[:at]) != binary.BigEndian.Uint32(value) {
				return false
			}
			m.fingerprint = true
		case kind == messageIntegritySHA256 && m.integrity256 == 0:
			if len(value) < 16 || len(value) > 32 || len(value)&3 != 0 {
				return false
			}
			m.integrity256 = at
		case m.integrity != 0 || m.integrity256 != 0:
		case kind == messageIntegrity:
			if len(value) != 20 {
				return false
			}
			m.integrity = at
		default:
			m.attributes = append(m.attributes, attribute{kind, value})
		}
		at = next
	}
	return true
}

// attributeAt reads the attribute that begins at this byte; next is 0 where it does not end within b.
func attributeAt(b []byte, at int) (kind uint16, value []byte, next int) {
	if len(b)-at < 4 {
		return 0, nil, 0
	}
	kind = binary.BigEndian.Uint16(b[at:])
	n := int(binary.BigEndian.Uint16(b[at+2:]))
	next = at + 4 + (n+3)&^3
	if next > len(b) {
		return 0, nil, 0
	}
	return kind, b[at+4 : at+4+n], next
}

// get returns the first attribute of a kind; only that one counts (RFC 8489 §14).
func (m *message) get(kind uint16) (value []byte, ok bool) {
	for i := range m.attributes {
		if m.attributes[i].kind == kind {
			return m.attributes[i].value, true
		}
	}
	return nil, false
}

// crc is the value of FINGERPRINT behind b.
func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ 0x5354554E }

// address reads an attribute of the kind XOR-MAPPED-ADDRESS. A v4-mapped address comes out as such.
func address(value []byte, tx [12]byte) (netip.AddrPort, bool) {
	if len(value) < 8 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(value[2:]) ^ cookie>>16
	switch {
	case value[1] == 1 && len(value) == 8:
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(value[4:])^cookie)
		return netip.AddrPortFrom(netip.AddrFrom4(ip), port), true
	case value[1] == 2 && len(value) == 20:
		var ip [16]byte
		binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(value[4:])^cookie)
		for i := range tx {
			ip[4+i] = value[8+i] ^ tx[i]
		}
		return netip.AddrPortFrom(netip.AddrFrom16(ip), port), true
	}
	return netip.AddrPort{}, false
}

func appendHeader(dst []byte, method, class uint16, tx [12]byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, method|class) // all of ours are below 16
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, cookie)
	return append(dst, tx[:]...)
}

func appendAttribute(dst []byte, kind uint16, value []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	dst = append(dst, value...)
	for range -len(value) & 3 {
		dst = append(dst, 0)
	}
	return dst
}

func appendUint32(dst []byte, kind uint16, value uint32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, 4)
	return binary.BigEndian.AppendUint32(dst, value)
}

// appendAddress appends an address, veiled by the cookie and the transaction where veil says so (RFC 8489 §14.2).
func appendAddress(dst []byte, kind uint16, p netip.AddrPort, tx [12]byte, veil bool) []byte {
	ip := p.Addr().Unmap()
	mask := uint32(0)
	if veil {
		mask = cookie
	}
	port := p.Port() ^ uint16(mask>>16)
	dst = binary.BigEndian.AppendUint16(dst, kind)
	if ip.Is4() {
		b := ip.As4()
		dst = append(dst, 0, 8, 0, 1, byte(port>>8), byte(port))
		return binary.BigEndian.AppendUint32(dst, binary.BigEndian.Uint32(b[:])^mask)
	}
	b := ip.As16()
	dst = append(dst, 0, 20, 0, 2, byte(port>>8), byte(port))
	dst = binary.BigEndian.AppendUint32(dst, binary.BigEndian.Uint32(b[:])^mask)
	for i := range tx {
		if veil {
			b[4+i] ^= tx[i]
		}
	}
	return append(dst, b[4:]...)
}

// setLength writes the length of a message that began at the first byte of b, and of more bytes that will follow.
func setLength(b []byte, more int) {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize+more))
}
