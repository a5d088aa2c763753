package oneport

import (
	"bytes"
	"encoding/binary"
)

// Datagram is whom a datagram is for.
type Datagram uint8

const (
	// Junk is for nobody.
	Junk Datagram = iota
	// Check is a STUN Binding request with short-term credentials, as ICE sends it (RFC 8445 §7.2.2): for the SFU.
	Check
	// Answer is a STUN Binding response: to a check of the SFU's.
	Answer
	// Relay is any other STUN message, or ChannelData: for TURN.
	Relay
	// Media is DTLS, SRTP or SRTCP: for the SFU.
	Media
	// QUIC is for the signaling sessions.
	QUIC
)

// Classify says whom a datagram is for, by its first byte (RFC 9443 §3), and of STUN by its message. allocated says whether its
// sender has a TURN allocation: only then is 64 to 79 ChannelData; else it is QUIC, of which those are a quarter of all short
// headers.
func Classify(b []byte, allocated bool) Datagram {
	if len(b) == 0 {
		return Junk
	}
	switch first := b[0]; {
	case first <= 3:
		return classifySTUN(b)
	case first < 20:
		return Junk
	case first < 64:
		return Media
	case first < 80 && allocated:
		return Relay
	case first < 128 || first >= 192:
		return QUIC
	}
	return Media
}

const (
	stunHeader     = 20
	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingFailure = 0x0111
	attrUsername   = 0x0006
	attrRealm      = 0x0014
)

func classifySTUN(b []byte) Datagram {
	if len(b) < stunHeader || string(b[4:8]) != magic {
		return Junk
	}
	switch binary.BigEndian.Uint16(b) {
	case bindingSuccess, bindingFailure:
		return Answer
	case bindingRequest:
		if Ufrag(b) != nil {
			return Check
		}
	}
	return Relay
}

// Ufrag returns our half of the USERNAME of an ICE check, without proof of who sends it: it is for finding who can tell. Nil for
// anything else; a request with a REALM, which TURN's credentials have, is no check.
func Ufrag(b []byte) (ours []byte) {
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != bindingRequest || string(b[4:8]) != magic {
		return nil
	}
	for rest := b[stunHeader:]; len(rest) >= 4; {
		kind, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if rest = rest[4:]; size > len(rest) {
			return nil
		}
		switch kind {
		case attrRealm:
			return nil
		case attrUsername:
			if i := bytes.IndexByte(rest[:size], ':'); i > 0 {
				ours = rest[:i]
			}
		}
		rest = rest[min(len(rest), (size+3)&^3):]
	}
	return ours
}
