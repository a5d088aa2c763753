package pionbwe

import (
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

const (
	transportWideURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

	maxPacket  = 1200
	remembered = 512 // packets of a stream: two seconds of 2.5 Mbit/s
	maxPadding = 255 // bytes of a packet, RFC 3550 §5.1

	leastRoundTrip = 50 * time.Millisecond
	repairMargin   = 20 * time.Millisecond  // of jitter, before a packet is sent again once more
	repairStale    = 400 * time.Millisecond // what waits longer comes behind its time to be played
	repairOld      = time.Second            // and so does what is asked for later than that
)

// stream is one that the estimator paces, and its RTX.
type stream struct {
	// Fixed.
	estimator        *Estimator
	writer           interceptor.RTPWriter
	ssrc, repairSSRC uint32
	repairType       uint8
	extension        uint8 // of the transport-wide number; 0: not agreed
	class            pace.Class
	priority         uint8
	remembers        bool // somebody may ask for a packet

	// Guarded by the Estimator's mu.
	highest      uint16
	numbers      []numbered // by sequence number; nil: nothing has left, or nobody asks
	repaired     []repaired // by original sequence number; nil: nothing was sent again yet
	repairNumber uint16     // of the RTX stream, the next
	timestamp    uint32     // of the last packet
	report       report
}

// numbered is the transport-wide number that a packet left under.
type numbered struct {
	sequence uint16
	number   uint64 // 0: none
	at       time.Duration
}

// repaired is when a packet was last sent again, or put in the queue for it.
type repaired struct {
	sequence uint16
	at       time.Duration
}

// packet is one that waits.
type packet struct {
	stream     *stream
	header     rtp.Header
	payload    *[]byte
	attributes interceptor.Attributes
}

var payloads = sync.Pool{New: func() any { b := make([]byte, 0, 1500); return &b }}

func (p *packet) release() { payloads.Put(p.payload) }

// Write implements interceptor.RTPWriter.
func (s *stream) Write(header *rtp.Header, payload []byte, attributes interceptor.Attributes) (int, error) {
	e := s.estimator
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	n, err := e.write(now, s, header, payload, attributes)
	e.arm(now)
	return n, err
}

// write sends a packet, or has it wait.
func (e *Estimator) write(now time.Duration, s *stream, header *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
	h := header.Clone()
	if e.core == nil || e.closed { // nothing leaves before the keys are there, so there is nothing to pace
		return e.send(now, s, &h, payload, a, 0)
	}
	class, stale := s.class, time.Duration(0)
	if h.SSRC != s.ssrc {
		if class, stale = pace.Repair, now+repairStale; !s.mayRepair(now, e.estimate.RTT, &h, payload) {
			e.spared++
			return header.MarshalSize() + len(payload), nil
		}
	}
	size := e.wire(&h, payload)
	if e.queue.Stats().Waiting == 0 {
		if probe, ok := e.queue.Take(now, class, size); ok {
			return e.send(now, s, &h, payload, a, probe)
		}
	}
	p := &packet{stream: s, header: h, payload: payloads.Get().(*[]byte), attributes: a}
	*p.payload = append((*p.payload)[:0], payload...)
	e.queue.Push(now, pace.Item[*packet]{Class: class, Priority: s.priority, Size: size, Stale: stale, Value: p})
	e.drain(now)
	return header.MarshalSize() + len(payload), nil
}

// mayRepair says whether a packet may be sent again on RTX (RFC 4588 §4: its number stands before its payload). Who asks each
// 100 ms, as pion's NACK generator does, asks for what is under way, and in a full queue for ever more of it.
func (s *stream) mayRepair(now, roundTrip time.Duration, h *rtp.Header, payload []byte) bool {
	if h.SSRC != s.repairSSRC || len(payload) < 2 {
		return true
	}
	sequence := uint16(payload[0])<<8 | uint16(payload[1])
	if first := s.find(sequence); first == nil || now-first.at > repairOld {
		return false
	}
	if s.repaired == nil {
		s.repaired = make([]repaired, remembered)
	}
	last := &s.repaired[sequence%remembered]
	if last.at > 0 && last.sequence == sequence && now-last.at < max(roundTrip, leastRoundTrip)+repairMargin {
		return false
	}
	*last = repaired{sequence, now}
	return true
}

// find returns what is known of a packet that has left; nil: nothing.
func (s *stream) find(sequence uint16) *numbered {
	if s.numbers == nil {
		return nil
	}
	if x := &s.numbers[sequence%remembered]; x.number > 0 && x.sequence == sequence {
		return x
	}
	return nil
}

// wire is the size of a packet on the wire, the transport-wide number among it.
func (e *Estimator) wire(h *rtp.Header, payload []byte) int {
	const extension = 4 // id and length, number, what rounds up to a word
	return h.MarshalSize() + int(h.PaddingSize) + len(payload) + extension + e.cfg.Overhead
}

// drain sends what may leave now.
func (e *Estimator) drain(now time.Duration) {
	for {
		it, probe, ok := e.queue.Pop(now)
		if !ok {
			break
		}
		p := it.Value
		// Whoever wrote it has gone on: an error is a connection that ends, as pion's own pacer takes it.
		_, _ = e.send(now, p.stream, &p.header, *p.payload, p.attributes, probe)
		p.release()
	}
	for e.queue.Probing() && e.padded != nil && e.queue.Padding(now) > 0 && e.queue.Bucket.Next(now, pace.Padding) <= now {
		if !e.pad(now, e.padded) {
			return
		}
	}
}

// pad sends one packet of padding on the RTX of a stream.
func (e *Estimator) pad(now time.Duration, s *stream) bool {
	h := rtp.Header{Version: 2, Padding: true, PaddingSize: maxPadding, PayloadType: s.repairType, SSRC: s.repairSSRC, Timestamp: s.timestamp}
	probe, ok := e.queue.Take(now, pace.Padding, e.wire(&h, nil))
	if !ok {
		return false
	}
	n, err := e.send(now, s, &h, nil, interceptor.Attributes{}, probe)
	return n > 0 && err == nil
}

// send numbers a packet and lets it go.
func (e *Estimator) send(now time.Duration, s *stream, h *rtp.Header, payload []byte, a interceptor.Attributes, probe uint32) (int, error) {
	number, again := e.number+1, false
	switch {
	case s.repairSSRC != 0 && h.SSRC == s.repairSSRC:
		h.SequenceNumber = s.repairNumber
	case h.SSRC == s.ssrc && s.numbers != nil:
		x := s.find(h.SequenceNumber)
		if x == nil && int16(s.highest-h.SequenceNumber) >= remembered {
			e.spared++ // it may have left, and under which number is forgotten
			return h.MarshalSize() + len(payload), nil
		}
		if again = x != nil; again { // the same bytes under the same nonce
			number = x.number
		}
	}
	if s.extension != 0 {
		if err := h.SetExtension(s.extension, []byte{byte(number >> 8), byte(number)}); err != nil {
			return 0, err
		}
	}
	size := h.MarshalSize() + int(h.PaddingSize) + len(payload) + e.cfg.Overhead
	n, err := s.writer.Write(h, payload, a)
	if n == 0 || err != nil || again {
		return n, err
	}
	if e.core == nil {
		e.core = bwe.New(now, e.cfg.Config)
		e.core.Wants(now, e.wants)
		e.poll(now) // what follows is paced
	}
	if s.extension == 0 && e.wide {
		return n, nil // we will not be told that it came: under a number it would seem lost
	}
	e.sent(now, s, h, number, size, probe)
	return n, nil
}

// sent notes a packet that has left under a number of its own.
func (e *Estimator) sent(now time.Duration, s *stream, h *rtp.Header, number uint64, size int, probe uint32) {
	e.number, e.lastSent = number, now
	e.core.Sent(now, bwe.Packet{Number: number, Size: size, Probe: probe})
	e.size += (float64(size) - e.size) / 64
	if h.SSRC == s.repairSSRC {
		s.repairNumber++
	}
	if h.SSRC != s.ssrc {
		if !h.Padding {
			e.repair.bytes += size
		}
		return
	}
	s.timestamp = h.Timestamp
	if s.repairSSRC != 0 {
		e.padded = s
	}
	if s.remembers {
		s.note(h.SequenceNumber, number, now)
	}
}

func (s *stream) note(sequence uint16, number uint64, now time.Duration) {
	if s.numbers == nil {
		s.numbers, s.highest = make([]numbered, remembered), sequence
	}
	if int16(sequence-s.highest) > 0 {
		s.highest = sequence
	}
	s.numbers[sequence%remembered] = numbered{sequence, number, now}
}
