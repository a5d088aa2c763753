package control

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"time"
)

const (
	nonceSize = 16 // bytes in NONCE: with a realm of 4, a 401 is of 56 bytes
	// nonceLife is how long a nonce is good, in seconds. The server remembers none: it tells by the time in it.
	nonceLife = 3600
)

// signer computes HMACs (RFC 2104) with keys of up to 64 bytes, and leaves no garbage.
type signer struct {
	sha1, sha256 hash.Hash
	pad          [64]byte
	sum          [sha256.Size]byte
	scratch      [64]byte
}

func newSigner() signer { return signer{sha1: sha1.New(), sha256: sha256.New()} }

func (s *signer) key(h hash.Hash, key []byte, with byte) {
	for i := range s.pad {
		s.pad[i] = with
	}
	for i, b := range key {
		s.pad[i] ^= b
	}
	h.Reset()
	h.Write(s.pad[:])
}

// mac returns the HMAC of head and then b, valid until the next call.
func (s *signer) mac(h hash.Hash, key, head, b []byte) []byte {
	s.key(h, key, 0x36)
	h.Write(head)
	h.Write(b)
	inner := h.Sum(s.sum[:0])
	s.key(h, key, 0x5C)
	h.Write(inner)
	return h.Sum(s.sum[:0])
}

// integrity is the value that the attribute at this byte of a message has, whose own length in bytes is n: over what is before it,
// with the length of a message that ends behind it (RFC 8489 §14.5).
func (s *signer) integrity(h hash.Hash, key, raw []byte, at, n int) []byte {
	head := s.scratch[:4]
	copy(head, raw[:2])
	binary.BigEndian.PutUint16(head[2:], uint16(at+4+n-headerSize))
	return s.mac(h, key, head, raw[4:at])
}

// proves reports whether the message was made by who has the key. MESSAGE-INTEGRITY-SHA256 counts where there are both.
func (s *signer) proves(m *message, key []byte) bool {
	h, at := s.sha1, m.integrity
	if m.integrity256 != 0 {
		h, at = s.sha256, m.integrity256
	}
	_, value, _ := attributeAt(m.raw, at)
	want := s.integrity(h, key, m.raw, at, len(value))
	return subtle.ConstantTimeCompare(value, want[:min(len(value), len(want))]) == 1
}

// nonce appends the nonce of a client's address at this Unix second: the second, and a MAC of both.
func (c *Core) nonce(dst []byte, from Client, at uint32) []byte {
	b := c.sign.scratch[:0]
	b = binary.BigEndian.AppendUint32(b, at)
	ip := from.Addr.Addr().As16()
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, from.Addr.Port())
	b = append(b, byte(from.Way))
	sum := c.sign.mac(c.sign.sha256, c.cfg.NonceKey[:], nil, b)
	var raw [12]byte
	binary.BigEndian.PutUint32(raw[:], at)
	copy(raw[4:], sum)
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// fresh reports whether a nonce is one that this client address was given within the hour.
func (c *Core) fresh(value []byte, from Client, now time.Time) bool {
	var raw [12]byte
	if len(value) != nonceSize {
		return false
	}
	if n, err := base64.RawURLEncoding.Decode(raw[:], value); err != nil || n != len(raw) {
		return false
	}
	at := binary.BigEndian.Uint32(raw[:])
	if age := int32(uint32(now.Unix()) - at); age < -1 || age > nonceLife {
		return false
	}
	var want [nonceSize]byte
	return subtle.ConstantTimeCompare(value, c.nonce(want[:0], from, at)) == 1
}
