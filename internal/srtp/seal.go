package srtp

import (
	"encoding/binary"
	"fmt"

	"github.com/tolkyn/tolkyn/internal/seq"
)

// minRTPHeader is the fixed RTP header, RFC 3550 §5.1.
const minRTPHeader = 12

// maxRTCPIndex is the last SRTCP index of a master key (RFC 3711 §9.2).
const maxRTCPIndex = 1<<31 - 1

// Sealer encrypts and authenticates what this side sends under one master key. One goroutine.
type Sealer struct {
	// Fixed after NewSealer.
	suite        suite
	rtpOverhead  int
	rtcpOverhead int

	// Moves with each SealRTCP; one counter serves all SSRCs.
	rtcpIndex uint32
}

// NewSealer derives the session keys of k; an error means that k does not fit its profile.
func NewSealer(k Key) (*Sealer, error) {
	s, err := newSuite(k)
	if err != nil {
		return nil, fmt.Errorf("make SRTP sealer: %w", err)
	}
	return &Sealer{suite: s, rtpOverhead: k.Profile.RTPOverhead(), rtcpOverhead: k.Profile.RTCPOverhead()}, nil
}

// SealRTP seals the packet in b[:size], whose first headerSize bytes stay readable, in place, and returns its new size:
// size plus Profile.RTPOverhead, for which b must have the capacity. e is the packet's extended sequence number; its low
// 16 bits must be the header's. The caller seals each (SSRC, e) at most once: a second seal with other bytes under GCM
// gives the authentication key away. 0 means that the arguments do not fit together and nothing was sealed.
func (s *Sealer) SealRTP(b []byte, headerSize, size int, e seq.Extended) int {
	if headerSize < minRTPHeader || size < headerSize || size > cap(b)-s.rtpOverhead || e < 1<<16 {
		return 0
	}
	sealed := size + s.rtpOverhead
	b = b[:sealed]
	if binary.BigEndian.Uint16(b[2:]) != e.Uint16() {
		return 0
	}
	s.suite.sealRTP(b, headerSize, size, ssrcAt(b, 8), e.Rollover(), e.Uint16())
	return sealed
}

// SealRTCP seals the compound packet in b[:size] in place under the next SRTCP index and returns its new size: size plus
// Profile.RTCPOverhead, for which b must have the capacity. 0 means that nothing was sealed: no room, less than a header,
// or the 2^31 packets of a master key are used up.
func (s *Sealer) SealRTCP(b []byte, size int) int {
	if size < rtcpHeaderSize || size > cap(b)-s.rtcpOverhead || s.rtcpIndex > maxRTCPIndex {
		return 0
	}
	sealed := size + s.rtcpOverhead
	b = b[:sealed]
	s.suite.sealRTCP(b, size, ssrcAt(b, 4), s.rtcpIndex)
	s.rtcpIndex++
	return sealed
}
