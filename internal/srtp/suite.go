package srtp

import "encoding/binary"

// rtcpHeaderSize is the readable part of an SRTCP packet: the first RTCP header and its sender's SSRC.
const rtcpHeaderSize = 8

// encryptedBit is E, beside the 31-bit SRTCP index.
const encryptedBit = 1 << 31

// suite is the cryptography of one direction; it keeps no count of packets. Lengths have been checked by the caller.
type suite interface {
	// sealRTP encrypts b[header:size] in place and writes the tag after it.
	sealRTP(b []byte, header, size int, ssrc, rollover uint32, sequence uint16)
	// openRTP authenticates all of b, then decrypts b[header:] up to the tag in place. When it returns false the
	// bytes after the header are undefined.
	openRTP(b []byte, header int, ssrc, rollover uint32, sequence uint16) bool
	// sealRTCP encrypts b[8:size] in place and writes tag and index after it.
	sealRTCP(b []byte, size int, ssrc, index uint32)
	// openRTCP authenticates all of b, then decrypts b[8:] up to tag and index in place.
	openRTCP(b []byte, ssrc, index uint32) bool
	// rtcpIndex returns E and index as they stand in b.
	rtcpIndex(b []byte) uint32
}

// newSuite derives the session keys of k.
func newSuite(k Key) (suite, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if k.Profile == AES128CMHMACSHA180 {
		return newCounterMode(k)
	}
	return newGCM(k)
}

// ssrcAt reads the SSRC at offset i; the caller has checked the length.
func ssrcAt(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }
