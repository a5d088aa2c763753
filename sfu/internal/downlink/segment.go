package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	// 20 ms of Opus: browsers' audio buffers work in such steps; a timestamp step that is no multiple of it cost 400 to
	// 800 concealed samples a switch, rounded none.
	audioStep = 960

	// 120 ms, the longest Opus packet (RFC 6716 §2.1.4); longer steps are silence.
	longestFrame = 5760

	// 10 ms: two frames never share a timestamp, even when two switches fall together.
	videoStep = 900

	// 1 h: a longer pause would come near the half of the timestamp's range (6.6 h) and look like a step back.
	longestPause = time.Hour
)

// segment is a part of the slot's stream that comes from one source: constants added to the source's numbers.
type segment struct {
	source *uplink.Uplink // nil: unused
	epoch  uint32

	first  seq.Extended // source's number of the segment's first packet
	out    seq.Extended // the slot's number for it
	offset seq.Extended // out − first, modulo 2^64

	timestamps uint32 // added to timestamps, modulo 2^32
	pictures   uint16 // added to picture ids, modulo 2^15
	tl0        uint8  // added to TL0 indices, modulo 2^8

	payload    Payload
	name       uint32 // the participant's CSRC
	namedUntil time.Duration
}

// newSegment continues the stream that ended as q tells with p of src: sequence, picture id and TL0 index go on by one,
// the timestamp by the time that has passed.
func newSegment(q *sequenceState, src *uplink.Uplink, p *uplink.Packet, name uint32, namedUntil time.Duration) segment {
	s := segment{
		source: src, epoch: p.Epoch, first: p.Seq, out: q.highest + 1, offset: q.highest + 1 - p.Seq,
		name: name, namedUntil: namedUntil,
	}
	if !q.started {
		s.timestamps = q.timestamp - p.Timestamp
		return s
	}
	s.timestamps = q.timestamp + q.step(p.Arrival, src.Codec()) - p.Timestamp
	if p.Meta.HasPictureID {
		s.pictures = (q.picture + 1 - p.Meta.PictureID) & 0x7fff
	}
	if p.Meta.HasTL0 {
		s.tl0 = q.tl0 + 1 - p.Meta.TL0
	}
	return s
}

// step returns how far the timestamp moves from the newest frame to one that arrived at the given time.
func (q *sequenceState) step(arrival time.Duration, c codec.Codec) uint32 {
	rate := time.Duration(c.ClockRate())
	elapsed := uint32(min(max(arrival-q.stamped, 0), longestPause) * rate / time.Second)
	if c.Video() {
		return max(elapsed, videoStep)
	}
	rounded := (elapsed + audioStep/2) / audioStep * audioStep
	return max(rounded, audioStep, q.frame)
}

// sequence returns the slot's number for the source's.
func (s *segment) sequence(e seq.Extended) seq.Extended { return e + s.offset }

// rewrite moves the numbers inside a payload that is ours to write to.
func (s *segment) rewrite(payload []byte, p *uplink.Packet) {
	if s.payload.Codec == codec.VP8 && (s.pictures != 0 || s.tl0 != 0) {
		codec.RewriteVP8(payload, p.Meta, (p.Meta.PictureID+s.pictures)&0x7fff, p.Meta.TL0+s.tl0)
	}
}

// move notes that p went out with the given number and timestamp.
func (q *sequenceState) move(s *segment, p *uplink.Packet, number seq.Extended, timestamp uint32, video bool) {
	q.arrival = max(q.arrival, p.Arrival)
	if number > q.highest {
		if !video && number == q.highest+1 && number != s.out {
			if step := timestamp - q.timestamp; step <= longestFrame {
				q.frame = step
			}
		}
		if p.Meta.HasPictureID {
			q.picture = (p.Meta.PictureID + s.pictures) & 0x7fff
		}
		if p.Meta.HasTL0 {
			q.tl0 = p.Meta.TL0 + s.tl0
		}
		q.highest = number
	}
	if !q.started || int32(timestamp-q.timestamp) > 0 {
		q.timestamp, q.source, q.stamped = timestamp, p.Timestamp, p.Arrival
	}
	q.started = true
}
