package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash/crc32"
)

// The STUN of RFC 8489 that the shard does itself, on bytes: find whose check it is, believe it or not, and ask an
// address whether the client is really there. Everything here is pure and safe from any goroutine.

// STUN message types, attributes and sizes (RFC 8489 §14, RFC 8445 §16.1).
const (
	stunHeader      = 20
	stunCookie      = 0x2112A442
	bindingRequest  = 0x0001
	bindingSuccess  = 0x0101
	attrUsername    = 0x0006
	attrIntegrity   = 0x0008
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
	Username     string // ours:theirs
	UseCandidate bool   // the client nominates this pair
	Priority     uint32
	Tx           TransactionID
}

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
// Nothing is authenticated yet.
func LocalUfragOf(b []byte) (ufrag string, ok bool) {
	if !isSTUN(b, bindingRequest) {
		return "", false
	}
	for at := stunHeader; ; {
		a, next, more := nextAttribute(b, at)
		if !more {
			return "", false
		}
		if a.kind == attrUsername {
			i := bytes.IndexByte(a.value, ':')
			if i <= 0 {
				return "", false
			}
			return string(a.value[:i]), true
		}
		at = next
	}
}

// CheckBinding authenticates a binding request with our password. Attributes after MESSAGE-INTEGRITY are ignored
// (RFC 8489 §14.5).
func CheckBinding(b []byte, pwd string) (Binding, bool) {
	if !isSTUN(b, bindingRequest) {
		return Binding{}, false
	}
	c := Binding{Tx: TransactionID(b[8:20])}
	for at := stunHeader; ; {
		a, next, more := nextAttribute(b, at)
		if !more {
			return Binding{}, false
		}
		switch a.kind {
		case attrUsername:
			c.Username = string(a.value)
		case attrUse:
			c.UseCandidate = true
		case attrPriority:
			if len(a.value) == 4 {
				c.Priority = binary.BigEndian.Uint32(a.value)
			}
		case attrIntegrity:
			return c, c.Username != "" && wellFormed(b, next) && checkIntegrity(b, a, pwd)
		}
		at = next
	}
}

// AppendCheck appends an authenticated binding request as the controlled agent sends it (RFC 8445 §7.1), without
// USE-CANDIDATE. tieBreaker is any number that stays the same for the session.
func AppendCheck(dst []byte, tx TransactionID, remoteUfrag, localUfrag, remotePwd string, tieBreaker uint64) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, bindingRequest)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, stunCookie)
	dst = append(dst, tx[:]...)

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

	b := dst[start:]
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+4+integritySize))
	mac := hmac.New(sha1.New, []byte(remotePwd))
	mac.Write(b)
	dst = appendAttributeHeader(dst, attrIntegrity, integritySize)
	dst = mac.Sum(dst)

	b = dst[start:]
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-stunHeader+8))
	sum := crc32.ChecksumIEEE(b) ^ fingerprintXOR
	dst = appendAttributeHeader(dst, attrFingerprint, 4)
	return binary.BigEndian.AppendUint32(dst, sum)
}

// CheckResponse authenticates the success response to the request tx with the client's password.
func CheckResponse(b []byte, tx TransactionID, remotePwd string) bool {
	if !isSTUN(b, bindingSuccess) || TransactionID(b[8:20]) != tx {
		return false
	}
	for at := stunHeader; ; {
		a, next, more := nextAttribute(b, at)
		if !more {
			return false
		}
		if a.kind == attrIntegrity {
			return checkIntegrity(b, a, remotePwd)
		}
		at = next
	}
}

// ResponseTransaction returns the transaction that a success response answers; false when b is none.
func ResponseTransaction(b []byte) (TransactionID, bool) {
	if !isSTUN(b, bindingSuccess) {
		return TransactionID{}, false
	}
	return TransactionID(b[8:20]), true
}

func appendAttributeHeader(dst []byte, kind uint16, size int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	return binary.BigEndian.AppendUint16(dst, uint16(size))
}

// checkIntegrity computes the HMAC over all before the attribute, with a header whose length ends after it
// (RFC 8489 §14.5).
func checkIntegrity(b []byte, a stunAttribute, pwd string) bool {
	if len(a.value) != integritySize {
		return false
	}
	var header [4]byte
	copy(header[:], b[:2])
	binary.BigEndian.PutUint16(header[2:], uint16(a.offset+4+integritySize-stunHeader))
	mac := hmac.New(sha1.New, []byte(pwd))
	mac.Write(header[:])
	mac.Write(b[4:a.offset])
	var sum [integritySize]byte
	return subtle.ConstantTimeCompare(mac.Sum(sum[:0]), a.value) == 1
}
