package caller

import (
	"time"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// heard is a packet in the playout buffer.
type heard struct {
	stream    *stream
	timestamp uint32
	came      measure.Repair
	sent      time.Duration
	stamped   bool
	payload   []byte // of a coarse copy: of the packet behind it, which it is in
}

// hear puts a packet of sound into the playout buffer, and before it the coarse copy of the one before that it may carry.
func (r *receiver) hear(s *slot, at time.Duration, p *rtp.Packet, size int, came measure.Repair) {
	samples, ok := clip.OpusDuration(p.Payload)
	if !ok {
		return // padding, or nothing that could be played
	}
	r.take(s, at, p, size, came != measure.FirstTry)
	h := &heard{stream: s.claimed, timestamp: p.Timestamp, came: came, payload: p.Payload}
	if stamp, ok := source.ReadOpus(p.Payload); ok {
		h.stream, _ = r.owner(s, at, stamp)
		h.sent, h.stamped = r.sent(stamp), true
		if h.stream != nil && h.stream.sound != nil && at >= r.warmup {
			h.stream.sound.Stamped(at, h.sent, stamp.Sender)
		}
		if r.firstFrame == 0 && !r.expectsPictures() {
			r.firstFrame = at
		}
	}
	if read, ok := codec.ReadOpus(p.Payload); ok && read.FEC {
		// It is of as long a time as the packet itself (RFC 6716 §2.1.7).
		s.put(at, p.SequenceNumber-1, samples, &heard{
			stream: h.stream, timestamp: p.Timestamp - uint32(samples), came: measure.Coarse, payload: p.Payload,
		})
	}
	verdict := s.put(at, p.SequenceNumber, samples, h)
	if verdict == jitter.Late && came != measure.Copied && at >= r.warmup && h.stream != nil && h.stream.sound != nil {
		h.stream.sound.Late()
	}
}

// put puts it into the playout buffer. Where a coarse copy of it waits there, it takes its place.
func (s *slot) put(at time.Duration, number uint16, samples int, h *heard) jitter.Verdict {
	verdict := s.buffer.Insert(at, jitter.Packet{
		Sequence: number, Timestamp: h.timestamp, Samples: samples, Copy: h.came != measure.FirstTry, Quiet: len(h.payload) <= 2, Value: h,
	})
	switch {
	case h.came == measure.Coarse && verdict == jitter.Accepted:
		s.coarse[s.next] = h
		s.next = (s.next + 1) % len(s.coarse)
	case h.came != measure.Coarse && verdict == jitter.Duplicate:
		for _, c := range s.coarse {
			if c != nil && c.came == measure.Coarse && c.timestamp == h.timestamp {
				*c = *h
			}
		}
	}
	return verdict
}

// play plays the next 10 ms of a slot.
func (r *receiver) play(s *slot, at time.Duration) {
	begins := at
	for _, part := range s.buffer.Pull(at).Parts {
		out := measure.Played{Samples: part.Samples}
		st := s.claimed
		switch part.Action {
		case jitter.Silence:
			out.Silent = part.Samples
		case jitter.Conceal:
			out.Concealed = part.Samples
		default:
			h, _ := part.Packet.Value.(*heard)
			if h.stream != nil && h.stream.sound != nil {
				st = h.stream
			}
			out.Came = h.came
			out.Expanded = max(0, part.Samples-part.Media)
			out.Accelerated = max(0, part.Media-part.Samples)
			if h.stamped {
				out.Stamped = true
				out.Sent = h.sent + samplesToTime(part.Offset)
				out.Waited = max(0, begins-part.Arrived)
				st.hearsAt(begins, out.Sent)
			}
		}
		// Silence where a stream was before is none of its own: it goes on elsewhere.
		if st != nil && st.sound != nil && at >= r.warmup && (part.Media > 0 || st.on == s) {
			st.sound.Played(begins, out)
		}
		if st != nil && st.kept != nil && (part.Media > 0 || st.on == s) {
			st.kept.sound(begins, part)
		}
		begins += samplesToTime(part.Samples)
	}
	if waited := s.buffer.Stats().Waited; waited != s.late {
		if st := s.claimed; st != nil && st.sound != nil && at >= r.warmup {
			for range waited - s.late {
				st.sound.Late()
			}
		}
		s.late = waited
	}
}
