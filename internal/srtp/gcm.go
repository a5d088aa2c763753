package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// gcm is AEAD_AES_128_GCM and AEAD_AES_256_GCM, RFC 7714. Nonce and additional data are kept here because slices handed
// to a cipher.AEAD escape to the heap.
type gcm struct {
	rtp, rtcp         cipher.AEAD
	rtpSalt, rtcpSalt [12]byte

	nonce      [12]byte
	additional [rtcpHeaderSize + rtcpIndexSize]byte
}

func newGCM(k Key) (*gcm, error) {
	c := &gcm{}
	var err error
	if c.rtp, err = newAEAD(k, labelRTPKey, labelRTPSalt, &c.rtpSalt); err != nil {
		return nil, err
	}
	if c.rtcp, err = newAEAD(k, labelRTCPKey, labelRTCPSalt, &c.rtcpSalt); err != nil {
		return nil, err
	}
	return c, nil
}

// newAEAD derives one session key and its salt.
func newAEAD(k Key, keyLabel, saltLabel byte, salt *[12]byte) (cipher.AEAD, error) {
	key, err := k.derive(keyLabel, len(k.Master))
	if err != nil {
		return nil, err
	}
	s, err := k.derive(saltLabel, len(salt))
	if err != nil {
		return nil, err
	}
	copy(salt[:], s)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make SRTP cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make SRTP cipher: %w", err)
	}
	return aead, nil
}

// setRTPNonce: 00 00, SSRC, rollover counter, sequence; xor salt (RFC 7714 §8.1).
func (c *gcm) setRTPNonce(ssrc, rollover uint32, sequence uint16) {
	binary.BigEndian.PutUint16(c.nonce[0:], binary.BigEndian.Uint16(c.rtpSalt[0:]))
	binary.BigEndian.PutUint32(c.nonce[2:], binary.BigEndian.Uint32(c.rtpSalt[2:])^ssrc)
	binary.BigEndian.PutUint32(c.nonce[6:], binary.BigEndian.Uint32(c.rtpSalt[6:])^rollover)
	binary.BigEndian.PutUint16(c.nonce[10:], binary.BigEndian.Uint16(c.rtpSalt[10:])^sequence)
}

// setRTCPNonce: 00 00, SSRC, 00 00, index; xor salt (RFC 7714 §9.1). The additional data is the header and the word of E
// and index (§9.2).
func (c *gcm) setRTCPNonce(header []byte, ssrc, index uint32) {
	binary.BigEndian.PutUint16(c.nonce[0:], binary.BigEndian.Uint16(c.rtcpSalt[0:]))
	binary.BigEndian.PutUint32(c.nonce[2:], binary.BigEndian.Uint32(c.rtcpSalt[2:])^ssrc)
	binary.BigEndian.PutUint16(c.nonce[6:], binary.BigEndian.Uint16(c.rtcpSalt[6:]))
	binary.BigEndian.PutUint32(c.nonce[8:], binary.BigEndian.Uint32(c.rtcpSalt[8:])^index)
	copy(c.additional[:], header[:rtcpHeaderSize])
	binary.BigEndian.PutUint32(c.additional[rtcpHeaderSize:], encryptedBit|index)
}

func (c *gcm) sealRTP(b []byte, header, size int, ssrc, rollover uint32, sequence uint16) {
	c.setRTPNonce(ssrc, rollover, sequence)
	c.rtp.Seal(b[:header], c.nonce[:], b[header:size], b[:header])
}

func (c *gcm) openRTP(b []byte, header int, ssrc, rollover uint32, sequence uint16) bool {
	c.setRTPNonce(ssrc, rollover, sequence)
	_, err := c.rtp.Open(b[:header], c.nonce[:], b[header:], b[:header])
	return err == nil
}

func (c *gcm) sealRTCP(b []byte, size int, ssrc, index uint32) {
	c.setRTCPNonce(b, ssrc, index)
	c.rtcp.Seal(b[:rtcpHeaderSize], c.nonce[:], b[rtcpHeaderSize:size], c.additional[:])
	binary.BigEndian.PutUint32(b[size+gcmTagSize:size+gcmTagSize+rtcpIndexSize], encryptedBit|index)
}

func (c *gcm) openRTCP(b []byte, ssrc, index uint32) bool {
	c.setRTCPNonce(b, ssrc, index)
	_, err := c.rtcp.Open(b[:rtcpHeaderSize], c.nonce[:], b[rtcpHeaderSize:len(b)-rtcpIndexSize], c.additional[:])
	return err == nil
}

// rtcpIndex: the word of E and index ends the packet, after the tag (RFC 7714 §17.1).
func (c *gcm) rtcpIndex(b []byte) uint32 { return binary.BigEndian.Uint32(b[len(b)-rtcpIndexSize:]) }
