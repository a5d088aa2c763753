package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
)

// The STUN of RFC 8489 that the shard does itself, on bytes: find whose check it is, believe it or not, and ask an
// address whether the client is really there. Everything here is pure and, on the packet path, allocates nothing.

// STUN message types, attributes and sizes (RFC 8489 §14, RFC 8445 §16.1).
const (
	stunHeader      = 20
	stunCookie      = 0x2112A442
	bindingRequest  = 0x0001
	bindingSuccess  = 0x0101
	attrUsername    = 0x0006
	attrIntegrity   = 0x0008
	attrXORMapped   = 0x0020
	attrPriority    = 0x0024
	attrUse         = 0x0025
	attrFingerprint = 0x8028
	attrControlled  = 0x8029
	integritySize   = 20
	fingerprintXOR  = 0x5354554e
)

// TransactionID names one STUN transaction.
type TransactionID [12]byte

// Binding is an authenticated connectivity check.
type Binding struct {
	UseCandidate bool // the client nominates this pair
	Priority     uint32
	Tx           TransactionID
}

// Secret is one side's ICE password, ready to authenticate with. One goroutine.
type Secret struct {
	mac hash.Hash
	sum [integritySize]byte
}

// NewSecret returns the secret of a password.
func NewSecret(pwd string) *Secret { return &Secret{mac: hmac.New(sha1.New, []byte(pwd))} }

type stunAttribute struct {
	kind   uint16
	offset int // of the attribute's header in the message
	value  []byte
}

// nextAttribute returns the attribute at offset and the offset after it; false at the end and at a lying length.
func nextAttribute(b []byte, offset int) (stunAttribute, int, bool) {
	if offset+4 > len(b) {
		return stunAttribute{}, 0, false
	}
	size := int(binary.BigEndian.Uint16(b[offset+2:]))
	end := offset + 4 + size
	if end > len(b) {
		return stunAttribute{}, 0, false
	}
	next := end + -size&3
	return stunAttribute{binary.BigEndian.Uint16(b[offset:]), offset, b[offset+4 : end]}, min(next, len(b)), true
}

// isSTUN checks header, cookie and length: the whole datagram is one message.
func isSTUN(b []byte, kind uint16) bool {
	return len(b) >= stunHeader &&
		binary.BigEndian.Uint16(b) == kind &&
		binary.BigEndian.Uint32(b[4:]) == stunCookie &&
		int(binary.BigEndian.Uint16(b[2:])) == len(b)-stunHeader &&
		len(b)&3 == 0
}

// wellFormed says whether the attributes from offset on end where the message does. pion drops what does not.
func wellFormed(b []byte, offset int) bool {
	for offset < len(b) {
		_, next, ok := nextAttribute(b, offset)
		if !ok {
			return false
		}
		offset = next
	}
	return true
}

// LocalUfragOf returns the ufrag of ours that a binding request names: the first half of its USERNAME (RFC 8445 §7.2.2).
// Nothing is authenticated yet; the ufrag is a part of b.
func LocalUfragOf(b []byte) (ufrag []byte, ok bool) {
	if !isSTUN(b, bindingRequest) {
		return nil, false
	}
	for at := stunHeader; ; {
		a, next, more := nextAttribute(b, at)
		if !more {
			return nil, false
		}
		if a.kind == attrUsername {
			i := bytes.IndexByte(a.value, ':')
			if i <= 0 {
				return nil, false
			}
			return a.value[:i], true
		}
		at = next
	}
}

// CheckBinding authenticates a binding request with our password. Attributes after MESSAGE-INTEGRITY are ignored
// (RFC 8489 §14.5).
func (s *Secret) CheckBinding(b []byte) (Binding, bool) {
	if !isSTUN(b, bindingRequest) {
		return Binding{}, false
	}
	named := false
	c := Binding{Tx: TransactionID(b[8:20])}
	for at := stunHeader; ; {
		a, next, more := nextAttribute(b, at)
		if !more {
			return Binding{}, false
		}
		switch a.kind {
		case attrUsername:
			named = len(a.value) > 0
		case attrUse:
			c.UseCandidate = true
		case attrPriority:
			if len(a.value) == 4 {
				c.Priority = binary.BigEndian.Uint32(a.value)
			}
		case attrIntegrity:
			return c, named && wellFormed(b, next) && s.checkIntegrity(b, a)
		}
		at = next
	}
}

// AppendResponse appends the success response to a check that came from an address, authenticated with our password
// (RFC 8445 §7.3.1.2).
func (s *Secret) AppendResponse(dst []byte, tx TransactionID, from netip.AddrPort) []byte {
	start := len(dst)
	dst = appendMessageHeader(dst, bindingSuccess, tx)
	var cookie [16]byte // and transaction: what an address is masked with (RFC 8489 §14.2)
	binary.BigEndian.PutUint32(cookie[:], stunCookie)
	copy(cookie[4:], tx[:])
	family, size := byte(1), 4
	ip := from.Addr().Unmap().As16()
	masked := ip[12:]
	if from.Addr().Unmap().Is6() {
		family, size, masked = 2, 16, ip[:]
	}
	dst = appendAttributeHeader(dst, attrXORMapped, 4+size)
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^stunCookie>>16)
	for i, b := range masked {
		dst = append(dst, b^cookie[i])
	}
	return s.appendProof(dst, start)
}

// AppendCheck appends an authenticated binding request as the controlled agent sends it (RFC 8445 §7.1), without
// USE-CANDIDATE. tieBreaker is any number that stays the same for the session.
// The secret is the client's.
func (s *Secret) AppendCheck(dst []byte, tx TransactionID, remoteUfrag, localUfrag string, tieBreaker uint64) []byte {
	start := len(dst)
	dst = appendMessageHeader(dst, bindingRequest, tx)
	username := len(remoteUfrag) + 1 + len(localUfrag)
	dst = appendAttributeHeader(dst, attrUsername, username)
	dst = append(dst, remoteUfrag...)
	dst = append(dst, ':')
	dst = append(dst, localUfrag...)
	for range -username & 3 {
		dst = append(dst, 0)
	}
	dst = appendAttributeHeader(dst, attrControlled, 8)
	dst = binary.BigEndian.AppendUint64(dst, tieBreaker)
	dst = appendAttributeHeader(dst, attrPriority, 4)
	// That of a peer-reflexive candidate (RFC 8445 §7.1.1).
	dst = binary.BigEndian.AppendUint32(dst, 110<<24|65535<<8|255)

	return s.appendProof(dst, start)
}

// CheckResponse authenticates the success response to the request tx with the client's password.
func (s *Secret) CheckResponse(b []byte, tx TransactionID) bool {
	if !isSTUN(b, bindingSuccess) || TransactionID(b[8:20]) != tx {
		return false
	}
	for at := stunHeader; ; {
		a, next, more := nextAttribute(b, at)
		if !more {
			return false
		}
		if a.kind == attrIntegrity {
			return s.checkIntegrity(b, a)
		}
		at = next
	}
}

func appendMessageHeader(dst []byte, kind uint16, tx TransactionID) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, stunCookie)
	return append(dst, tx[:]...)
}

// appendProof ends the message that begins at start with MESSAGE-INTEGRITY and FINGERPRINT.
func (s *Secret) appendProof(dst []byte, start int) []byte {
	b := dst[start:]
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+4+integritySize))
	s.mac.Reset()
	s.mac.Write(b)
	dst = appendAttributeHeader(dst, attrIntegrity, integritySize)
	dst = s.mac.Sum(dst)

	b = dst[start:]
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+8))
	sum := crc32.ChecksumIEEE(b) ^ fingerprintXOR
	dst = appendAttributeHeader(dst, attrFingerprint, 4)
	return binary.BigEndian.AppendUint32(dst, sum)
}

func appendAttributeHeader(dst []byte, kind uint16, size int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	return binary.BigEndian.AppendUint16(dst, uint16(size))
}

// checkIntegrity computes the HMAC over all before the attribute, with a header whose length ends after it
// (RFC 8489 §14.5).
func (s *Secret) checkIntegrity(b []byte, a stunAttribute) bool {
	if len(a.value) != integritySize {
		return false
	}
	// The length in the header is restored: pion may read the message after us.
	length := binary.BigEndian.Uint16(b[2:])
	binary.BigEndian.PutUint16(b[2:], uint16(a.offset+4+integritySize-stunHeader))
	s.mac.Reset()
	s.mac.Write(b[:a.offset])
	binary.BigEndian.PutUint16(b[2:], length)
	return subtle.ConstantTimeCompare(s.mac.Sum(s.sum[:0]), a.value) == 1
}
