package client

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// reorderGrace is how long a hole may be one that is overtaken only.
	reorderGrace = 10 * time.Millisecond
	// leastAgain is how soon after the first time a packet is asked for again, and twice as soon each time after that: the server may
	// miss it too, and wait for its own repair.
	leastAgain = 50 * time.Millisecond
	// voiceUseful is how old a hole is asked for at most: a voice that is held back longer for its holes is worse than they are. Where
	// a round trip is so long that a second try would not be answered by then, 2.5 of them, and no longer than usefulMost.
	voiceUseful, usefulMost = 400 * time.Millisecond, 800 * time.Millisecond
	// mostMissing is how many holes are kept: of more in a row nobody waits for the first.
	mostMissing = 32
	// unknownRTT is taken until the path's is measured.
	unknownRTT = 100 * time.Millisecond
)

// askedFor is the attribute of a packet that came after it was asked for.
type askedFor struct{}

// missing is the interceptor that asks for packets of sound that did not come (NACK, RFC 4585 §6.2.1). pion's own asks every 100 ms
// for as long as the packet is among the last 512, whatever the round trip: several times for each where that is long, and for what
// nobody waits for any more. This one asks again after a round trip, as long as the sound is of use, and not for what a copy has
// brought (RED).
type missing struct {
	interceptor.NoOp

	// Fixed before the first stream.
	rtt     func() time.Duration // of the path; 0: not known
	overTCP func() bool          // TCP carries the call: what it has not brought was too old to be sent

	answered atomic.Bool // the server takes NACKs of sound

	// Guarded by mu.
	mu      sync.Mutex
	writer  interceptor.RTCPWriter
	streams []*voiceHoles
	timer   *time.Timer
	closed  bool
}

// voiceHoles are those of one stream of sound.
type voiceHoles struct {
	ssrc    uint32
	numbers seq.Unwrapper
	newest  rtp.Header // of the packet with the highest number
	ticks   uint32     // of the clock, from packet to packet
	holes   []hole     // by number
	trip    time.Duration
}

type hole struct {
	number    seq.Extended
	timestamp uint32 // that its packet would have
	since     time.Time
	again     time.Time // when it is asked for next
	times     int       // it was asked for
}

func newMissing() *missing {
	return &missing{rtt: func() time.Duration { return 0 }, overTCP: func() bool { return false }}
}

// isVoice says whether it is up to missing to ask for a stream's packets. Of both payload types of a voice it is Opus that nack is
// answered for: what comes first may be either.
func isVoice(info *interceptor.StreamInfo) bool {
	return info.MimeType == webrtc.MimeTypeOpus || info.MimeType == mimeRED
}

// answersNACK says whether a server answers NACKs of the sound that it sends: whether any such m-line of its answer has nack for Opus.
func answersNACK(answer string) bool {
	_, lines, _ := strings.Cut(answer, "\r\nm=")
	for section := range strings.SplitSeq(lines, "\r\nm=") {
		if strings.HasPrefix(section, "audio ") && strings.Contains(section, "\r\na=sendonly") &&
			strings.Contains(section, fmt.Sprintf("\r\na=rtcp-fb:%d nack\r\n", payloadOpus)) {
			return true
		}
	}
	return false
}

// takesNACK says whether nack was answered for a stream of pictures.
func takesNACK(info *interceptor.StreamInfo) bool {
	return !isVoice(info) && slices.ContainsFunc(info.RTCPFeedback, func(f interceptor.RTCPFeedback) bool {
		return f.Type == webrtc.TypeRTCPFBNACK && f.Parameter == ""
	})
}

// NewInterceptor implements interceptor.Factory: each PeerConnection has one of its own.
func (m *missing) NewInterceptor(string) (interceptor.Interceptor, error) { return m, nil }

// BindRTCPWriter implements interceptor.Interceptor.
func (m *missing) BindRTCPWriter(writer interceptor.RTCPWriter) interceptor.RTCPWriter {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writer = writer
	return writer
}

// BindRemoteStream implements interceptor.Interceptor.
func (m *missing) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	if !isVoice(info) {
		return reader
	}
	s := &voiceHoles{ssrc: info.SSRC}
	m.mu.Lock()
	m.streams = append(m.streams, s)
	m.mu.Unlock()
	return interceptor.RTPReaderFunc(func(b []byte, attributes interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, attributes, err := reader.Read(b, attributes)
		if err != nil {
			return n, attributes, err
		}
		var p rtp.Packet
		if m.answered.Load() && p.Unmarshal(b[:n]) == nil && m.note(s, &p) { // else whoever reads it next says what is wrong
			if attributes == nil {
				attributes = interceptor.Attributes{}
			}
			attributes.Set(askedFor{}, true)
		}
		return n, attributes, nil
	})
}

// UnbindRemoteStream implements interceptor.Interceptor.
func (m *missing) UnbindRemoteStream(info *interceptor.StreamInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams = slices.DeleteFunc(m.streams, func(s *voiceHoles) bool { return s.ssrc == info.SSRC })
}

// note takes a packet and says whether it had been asked for.
func (m *missing) note(s *voiceHoles, p *rtp.Packet) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, before := time.Now(), s.newest.SequenceNumber
	was := s.take(now, p)
	if p.SequenceNumber != before+1 && len(s.holes) > 0 {
		m.arm(now) // a hole may be new
	}
	return was
}

// take takes a packet: it may open holes, and fill one; its copies fill others.
func (s *voiceHoles) take(now time.Time, p *rtp.Packet) (wasAsked bool) {
	own, copies := p.Payload, []codec.REDBlock(nil)
	if p.PayloadType == payloadRED {
		if blocks, n, ok := codec.ReadRED(p.Payload); ok {
			own, copies = blocks[n-1].Data, blocks[:n-1]
		}
	}
	number := s.numbers.Unwrap(p.SequenceNumber)
	highest, begun := s.numbers.Highest()
	step := int64(number) - int64(highest)
	switch {
	case !begun || step > 3000 || step < -3000: // it begins, or begins anew (RFC 3550 §A.1)
		s.numbers, s.holes, s.ticks = seq.Unwrapper{}, nil, 0
		s.numbers.Accept(s.numbers.Unwrap(p.SequenceNumber))
		s.newest = p.Header
	case step > 0:
		s.ticks = (p.Timestamp - s.newest.Timestamp) / uint32(step)
		if sound, read := codec.ReadOpus(own); read {
			s.ticks = min(s.ticks, uint32(sound.Samples)) // before it there may have been silence
		}
		far := seq.Extended(mostMissing)
		if s.ticks > 0 {
			far = min(far, seq.Extended(uint32(useful(s.trip)*48000/time.Second)/s.ticks)) // as when the path has changed
		}
		for n := max(highest+1, number-min(number, far)); n < number; n++ {
			s.holes = append(s.holes, hole{
				number: n, timestamp: p.Timestamp - uint32(number-n)*s.ticks, since: now, again: now.Add(reorderGrace),
			})
		}
		s.holes = s.holes[max(0, len(s.holes)-mostMissing):]
		s.numbers.Accept(number)
		s.newest = p.Header
	default:
		s.holes = slices.DeleteFunc(s.holes, func(h hole) bool {
			wasAsked = wasAsked || h.number == number && h.times > 0
			return h.number == number
		})
	}
	for _, c := range copies {
		s.holes = slices.DeleteFunc(s.holes, func(h hole) bool { return h.timestamp == p.Timestamp-uint32(c.Offset) })
	}
	return wasAsked
}

// useful is how old a hole is asked for.
func useful(rtt time.Duration) time.Duration { return min(max(voiceUseful, rtt*5/2), usefulMost) }

// due forgets what is of no use any more and returns the numbers to ask for now; those are due again after a round trip.
func (s *voiceHoles) due(now time.Time, rtt time.Duration) []uint16 {
	s.trip = rtt
	s.holes = slices.DeleteFunc(s.holes, func(h hole) bool { return now.Sub(h.since) > useful(rtt) })
	var numbers []uint16
	for i := range s.holes {
		if h := &s.holes[i]; !now.Before(h.again) {
			h.again = now.Add(max(rtt+rtt/4+2*reorderGrace, leastAgain<<h.times))
			h.times++
			numbers = append(numbers, uint16(h.number))
		}
	}
	return numbers
}

// arm sets the timer to the next hole that is due. m.mu is held.
func (m *missing) arm(now time.Time) {
	var next time.Time
	for _, s := range m.streams {
		for _, h := range s.holes {
			if next.IsZero() || h.again.Before(next) {
				next = h.again
			}
		}
	}
	if m.closed || next.IsZero() {
		return
	}
	if m.timer == nil {
		m.timer = time.AfterFunc(next.Sub(now), m.ask)
	} else {
		m.timer.Reset(next.Sub(now))
	}
}

// ask is the timer's.
func (m *missing) ask() {
	rtt := m.rtt()
	if rtt <= 0 {
		rtt = unknownRTT
	}
	quiet := m.overTCP()
	m.mu.Lock()
	now := time.Now()
	var packets []rtcp.Packet
	for _, s := range m.streams {
		if quiet {
			s.holes = nil
		}
		if numbers := s.due(now, rtt); len(numbers) > 0 {
			packets = append(packets, &rtcp.TransportLayerNack{MediaSSRC: s.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)})
		}
	}
	m.arm(now)
	writer, closed := m.writer, m.closed
	m.mu.Unlock()
	if len(packets) > 0 && writer != nil && !closed {
		_, _ = writer.Write(packets, nil) // a connection that ends misses nothing
	}
}

// Close implements interceptor.Interceptor.
func (m *missing) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
	return nil
}
