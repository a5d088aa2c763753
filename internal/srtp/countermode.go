package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
)

// Session key sizes of RFC 3711 §5.2 and §8.2, in bytes.
const (
	cmAuthKeySize = 20
	cmSaltSize    = 14
)

// counterMode is AES128_CM_HMAC_SHA1_80, RFC 3711 §4.1.1 and §4.2.1. cipher.NewCTR allocates for each packet, so the key
// stream is made block by block.
type counterMode struct {
	rtp, rtcp         cipher.Block
	rtpMAC, rtcpMAC   hash.Hash
	rtpSalt, rtcpSalt [cmSaltSize]byte

	counter [aes.BlockSize]byte
	stream  [aes.BlockSize]byte
	suffix  [4]byte // authenticated after the packet: the rollover counter
	sum     [sha1.Size]byte
}

func newCounterMode(k Key) (*counterMode, error) {
	c := &counterMode{}
	var err error
	if c.rtp, c.rtpMAC, err = newCounterKeys(k, labelRTPKey, labelRTPAuth, labelRTPSalt, &c.rtpSalt); err != nil {
		return nil, err
	}
	if c.rtcp, c.rtcpMAC, err = newCounterKeys(k, labelRTCPKey, labelRTCPAuth, labelRTCPSalt, &c.rtcpSalt); err != nil {
		return nil, err
	}
	return c, nil
}

// newCounterKeys derives cipher, authenticator and salt of RTP or of RTCP.
func newCounterKeys(k Key, keyLabel, authLabel, saltLabel byte, salt *[cmSaltSize]byte) (cipher.Block, hash.Hash, error) {
	key, err := k.derive(keyLabel, len(k.Master))
	if err != nil {
		return nil, nil, err
	}
	auth, err := k.derive(authLabel, cmAuthKeySize)
	if err != nil {
		return nil, nil, err
	}
	s, err := k.derive(saltLabel, cmSaltSize)
	if err != nil {
		return nil, nil, err
	}
	copy(salt[:], s)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make SRTP cipher: %w", err)
	}
	return block, hmac.New(sha1.New, auth), nil
}

// setCounter: salt and two zero bytes, xor SSRC in bytes 4 to 7, xor the 48-bit packet index in bytes 8 to 13 (RFC 3711
// §4.1.1). The last two bytes count blocks.
func (c *counterMode) setCounter(salt *[cmSaltSize]byte, ssrc uint32, index uint64) {
	copy(c.counter[:], salt[:])
	c.counter[14], c.counter[15] = 0, 0
	binary.BigEndian.PutUint32(c.counter[4:], binary.BigEndian.Uint32(c.counter[4:])^ssrc)
	binary.BigEndian.PutUint64(c.counter[8:], binary.BigEndian.Uint64(c.counter[8:])^index<<16)
}

// xor encrypts or decrypts b in place with the key stream from the current counter.
func (c *counterMode) xor(block cipher.Block, b []byte) {
	low := binary.BigEndian.Uint16(c.counter[14:])
	for len(b) > 0 {
		block.Encrypt(c.stream[:], c.counter[:])
		if len(b) < aes.BlockSize {
			subtle.XORBytes(b, b, c.stream[:])
			return
		}
		p := b[:aes.BlockSize]
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^binary.LittleEndian.Uint64(c.stream[:]))
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^binary.LittleEndian.Uint64(c.stream[8:]))
		b = b[aes.BlockSize:]
		low++
		binary.BigEndian.PutUint16(c.counter[14:], low)
	}
}

// tagRTP computes the tag over packet and rollover counter (RFC 3711 §4.2); valid until the next call.
func (c *counterMode) tagRTP(b []byte, rollover uint32) []byte {
	binary.BigEndian.PutUint32(c.suffix[:], rollover)
	c.rtpMAC.Reset()
	c.rtpMAC.Write(b)
	c.rtpMAC.Write(c.suffix[:])
	return c.rtpMAC.Sum(c.sum[:0])[:cmTagSize]
}

// tagRTCP computes the tag over packet, E and index; valid until the next call.
func (c *counterMode) tagRTCP(b []byte) []byte {
	c.rtcpMAC.Reset()
	c.rtcpMAC.Write(b)
	return c.rtcpMAC.Sum(c.sum[:0])[:cmTagSize]
}

func (c *counterMode) sealRTP(b []byte, header, size int, ssrc, rollover uint32, sequence uint16) {
	c.setCounter(&c.rtpSalt, ssrc, uint64(rollover)<<16|uint64(sequence))
	c.xor(c.rtp, b[header:size])
	copy(b[size:size+cmTagSize], c.tagRTP(b[:size], rollover))
}

func (c *counterMode) openRTP(b []byte, header int, ssrc, rollover uint32, sequence uint16) bool {
	size := len(b) - cmTagSize
	if !hmac.Equal(b[size:], c.tagRTP(b[:size], rollover)) {
		return false
	}
	c.setCounter(&c.rtpSalt, ssrc, uint64(rollover)<<16|uint64(sequence))
	c.xor(c.rtp, b[header:size])
	return true
}

func (c *counterMode) sealRTCP(b []byte, size int, ssrc, index uint32) {
	c.setCounter(&c.rtcpSalt, ssrc, uint64(index))
	c.xor(c.rtcp, b[rtcpHeaderSize:size])
	end := size + rtcpIndexSize
	binary.BigEndian.PutUint32(b[size:end], encryptedBit|index)
	copy(b[end:end+cmTagSize], c.tagRTCP(b[:end]))
}

func (c *counterMode) openRTCP(b []byte, ssrc, index uint32) bool {
	end := len(b) - cmTagSize
	if !hmac.Equal(b[end:], c.tagRTCP(b[:end])) {
		return false
	}
	c.setCounter(&c.rtcpSalt, ssrc, uint64(index))
	c.xor(c.rtcp, b[rtcpHeaderSize:end-rtcpIndexSize])
	return true
}

// rtcpIndex: the word of E and index stands before the tag (RFC 3711 §3.4).
func (c *counterMode) rtcpIndex(b []byte) uint32 {
	return binary.BigEndian.Uint32(b[len(b)-cmTagSize-rtcpIndexSize:])
}
