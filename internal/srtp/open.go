package srtp

import (
	"fmt"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// How many SSRCs one opener remembers, few enough that a hostile peer costs some 50 kB. None is ever forgotten: its
// packets could be replayed from then on. A screen shared anew on a new m-line takes two, a browser's reports may take
// one for each of up to 65 receive slots.
const (
	maxRTPStreams  = 256
	maxRTCPStreams = 256
)

// Opener authenticates and decrypts what the other side sends under one master key. Nothing in it moves before a packet
// has proved genuine. One goroutine.
type Opener struct {
	// Fixed after NewOpener.
	suite        suite
	rtpOverhead  int
	rtcpOverhead int

	// Grows with authenticated packets only.
	rtp, rtcp streams
}

// NewOpener derives the session keys of k; an error means that k does not fit its profile.
func NewOpener(k Key) (*Opener, error) {
	s, err := newSuite(k)
	if err != nil {
		return nil, fmt.Errorf("make SRTP opener: %w", err)
	}
	return &Opener{suite: s, rtpOverhead: k.Profile.RTPOverhead(), rtcpOverhead: k.Profile.RTCPOverhead()}, nil
}

// OpenRTP opens packet b in place, of which h was parsed, and returns the size of header and plaintext and the extended
// sequence number. The rollover counter of a new SSRC is 0 (RFC 3711 §3.3.1): senders begin in the lower half of the
// sequence numbers, or their first packets must arrive. Unless the verdict is OK, size and number are 0.
func (o *Opener) OpenRTP(b []byte, h *packet.Header) (int, seq.Extended, Verdict) {
	if h.Size < minRTPHeader || len(b) < h.Size+o.rtpOverhead {
		return 0, 0, Malformed
	}
	known := o.rtp.find(h.SSRC)
	e := known.unwrap(h.Sequence)
	if e < 1<<16 {
		return 0, 0, Malformed
	}
	if known != nil && known.window.seen(uint64(e)) {
		return 0, 0, Replayed
	}
	if !o.suite.openRTP(b, h.Size, h.SSRC, e.Rollover(), h.Sequence) {
		return 0, 0, Forged
	}
	if known == nil {
		if known = o.rtp.add(h.SSRC, maxRTPStreams); known == nil {
			return 0, 0, TooManyStreams
		}
	}
	known.numbers.Accept(e)
	known.window.add(uint64(e))
	return len(b) - o.rtpOverhead, e, OK
}

// OpenRTCP opens compound packet b in place and returns its size without tag and index. Unencrypted SRTCP is Malformed:
// WebRTC has none. Replay is judged per sender's SSRC. Unless the verdict is OK, size is 0.
func (o *Opener) OpenRTCP(b []byte) (int, Verdict) {
	if len(b) < rtcpHeaderSize+o.rtcpOverhead {
		return 0, Malformed
	}
	word := o.suite.rtcpIndex(b)
	if word&encryptedBit == 0 {
		return 0, Malformed
	}
	ssrc, index := ssrcAt(b, 4), word&^encryptedBit
	known := o.rtcp.find(ssrc)
	if known != nil && known.window.seen(uint64(index)) {
		return 0, Replayed
	}
	if !o.suite.openRTCP(b, ssrc, index) {
		return 0, Forged
	}
	if known == nil {
		if known = o.rtcp.add(ssrc, maxRTCPStreams); known == nil {
			return 0, TooManyStreams
		}
	}
	known.window.add(uint64(index))
	return len(b) - o.rtcpOverhead, OK
}

// stream is what an opener remembers of one SSRC.
type stream struct {
	numbers seq.Unwrapper // RTP only
	window  window
}

// unwrap estimates the extended number of s (RFC 3711 §3.3.1); a stream not known yet is nil.
func (s *stream) unwrap(n uint16) seq.Extended {
	if s == nil {
		var first seq.Unwrapper
		return first.Unwrap(n)
	}
	return s.numbers.Unwrap(n)
}

// streams are the SSRCs seen so far; the one found last is looked at first, because packets come in bursts of one SSRC.
type streams struct {
	ssrcs []uint32
	list  []*stream
	last  int
}

// find returns nil when the SSRC is not known.
func (t *streams) find(ssrc uint32) *stream {
	if t.last < len(t.ssrcs) && t.ssrcs[t.last] == ssrc {
		return t.list[t.last]
	}
	for i, known := range t.ssrcs {
		if known == ssrc {
			t.last = i
			return t.list[i]
		}
	}
	return nil
}

// add returns nil when all places are taken.
func (t *streams) add(ssrc uint32, places int) *stream {
	if len(t.list) >= places {
		return nil
	}
	s := &stream{}
	t.ssrcs, t.list = append(t.ssrcs, ssrc), append(t.list, s)
	return s
}
