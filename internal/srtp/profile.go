package srtp

// Profile is an SRTP protection profile. The zero value is none.
type Profile uint8

// The profiles, in the server's order of preference.
const (
	AEADAES128GCM      Profile = iota + 1 // RFC 7714
	AEADAES256GCM                         // RFC 7714
	AES128CMHMACSHA180                    // RFC 3711 with an 80-bit tag
)

// Bytes of an authentication tag and of the E bit with the SRTCP index.
const (
	gcmTagSize    = 16
	cmTagSize     = 10
	rtcpIndexSize = 4
)

// ProfileFromDTLS maps an id of the use_srtp extension (RFC 5764 §4.1.2, RFC 7714 §14.2); false when it is none of ours.
func ProfileFromDTLS(id uint16) (Profile, bool) {
	switch id {
	case 0x0007:
		return AEADAES128GCM, true
	case 0x0008:
		return AEADAES256GCM, true
	case 0x0001:
		return AES128CMHMACSHA180, true
	default:
		return 0, false
	}
}

// String returns the profile's IANA name without its "SRTP_" prefix.
func (p Profile) String() string {
	switch p {
	case AEADAES128GCM:
		return "AEAD_AES_128_GCM"
	case AEADAES256GCM:
		return "AEAD_AES_256_GCM"
	case AES128CMHMACSHA180:
		return "AES128_CM_HMAC_SHA1_80"
	default:
		return "unknown"
	}
}

// KeyLen returns the master key's bytes, 0 for no profile.
func (p Profile) KeyLen() int {
	switch p {
	case AEADAES128GCM, AES128CMHMACSHA180:
		return 16
	case AEADAES256GCM:
		return 32
	default:
		return 0
	}
}

// SaltLen returns the master salt's bytes, 0 for no profile.
func (p Profile) SaltLen() int {
	switch p {
	case AEADAES128GCM, AEADAES256GCM:
		return 12
	case AES128CMHMACSHA180:
		return 14
	default:
		return 0
	}
}

// RTPOverhead returns by how many bytes sealing lengthens an RTP packet.
func (p Profile) RTPOverhead() int {
	switch p {
	case AEADAES128GCM, AEADAES256GCM:
		return gcmTagSize
	case AES128CMHMACSHA180:
		return cmTagSize
	default:
		return 0
	}
}

// RTCPOverhead returns by how many bytes sealing lengthens an RTCP packet: tag and index.
func (p Profile) RTCPOverhead() int {
	if p.RTPOverhead() == 0 {
		return 0
	}
	return p.RTPOverhead() + rtcpIndexSize
}

// ExporterLen returns the bytes of keying material that the profile takes from the DTLS exporter (RFC 5764 §4.2).
func (p Profile) ExporterLen() int { return 2 * (p.KeyLen() + p.SaltLen()) }
