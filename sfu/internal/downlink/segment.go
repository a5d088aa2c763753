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

	// 5 ms: how exactly the sender reports of two encodings tell that they show the same picture.
	sameCapture = 5 * time.Millisecond

	// 1 s: reports that are further from the packets' arrival than that are wrong.
	captureDoubt = time.Second

	// 1 h: a longer pause would come near the half of the timestamp's range (6.6 h) and look like a step back.
	longestPause = time.Hour
)

// segment is a part of the slot's stream that comes from one source: constants added to the source's numbers, and from where
// on the table says more.
type segment struct {
	source *uplink.Uplink // nil: unused
	epoch  uint32

	first  seq.Extended // source's number of the segment's first packet
	out    seq.Extended // the slot's number for it
	offset seq.Extended // out − first, modulo 2^64

	table      seq.Extended // the slot's number from which on the table counts; 0: it does not
	tableFirst seq.Extended // the source's number for it

	timestamps uint32 // added to timestamps, modulo 2^32
	pictures   uint16 // added to picture ids, modulo 2^15
	tl0        uint8  // added to TL0 indices, modulo 2^8
	frames     uint16 // added to frame numbers of dependency descriptors, modulo 2^16
	described  bool   // its packets take their dependency descriptors along

	payload    Payload
	name       uint32 // the participant's CSRC
	namedUntil time.Duration
}

// newSegment continues the stream that ended as q tells with p of src: sequence, picture id, TL0 index and frame number go on
// by one, the timestamp by step.
func newSegment(q *sequenceState, step uint32, src *uplink.Uplink, p *uplink.Packet, name uint32, namedUntil time.Duration) segment {
	s := segment{
		source: src, epoch: p.Epoch, first: p.Seq, out: q.highest + 1, offset: q.highest + 1 - p.Seq,
		name: name, namedUntil: namedUntil,
	}
	if !q.started {
		s.timestamps = q.timestamp - p.Timestamp
		return s
	}
	s.timestamps = q.timestamp + step - p.Timestamp
	if p.Meta.HasPictureID {
		s.pictures = (q.picture + 1 - p.Meta.PictureID) & 0x7fff
	}
	if p.Meta.HasTL0 {
		s.tl0 = q.tl0 + 1 - p.Meta.TL0
	}
	if p.Structure != 0 && q.numbered {
		s.frames = q.number + 1 - p.Frame.Number
	}
	return s
}

// captured returns how long after the newest frame of the slot the frame of p was captured: both are of one publisher, and
// its sender reports have told. ok is false when that is not known, or cannot be.
func (d *Downlink) captured(src *uplink.Uplink, p *uplink.Packet) (after time.Duration, ok bool) {
	q, s := &d.sequence, &d.ring[d.newest]
	if s.source == nil || !s.source.Together(src) || s.epoch != s.source.Epoch() || p.Epoch != src.Epoch() {
		return 0, false
	}
	before, ok := s.source.CaptureClock(d.lastNow)
	if !ok {
		return 0, false
	}
	clock, ok := src.CaptureClock(d.lastNow)
	if !ok {
		return 0, false
	}
	after = clock.At(p.Timestamp) - before.At(q.source)
	doubt := after - (p.Arrival - q.stamped)
	return after, doubt <= captureDoubt && doubt >= -captureDoubt
}

// follows reports whether the frame of p, of another source, can be shown next: it is no older than the newest that was
// shown. Going back in time would put the subscriber's clock, and so every later picture, behind.
func (d *Downlink) follows(src *uplink.Uplink, p *uplink.Packet) bool {
	if !d.sequence.started {
		return true
	}
	if d.goesOn(src, p) {
		return int32(p.Timestamp-d.sequence.source) > 0
	}
	if after, ok := d.captured(src, p); ok {
		return after >= -sameCapture
	}
	return p.Arrival >= d.sequence.arrival
}

// goesOn reports whether p is of the stream that the newest segment is of.
func (d *Downlink) goesOn(src *uplink.Uplink, p *uplink.Packet) bool {
	s := &d.ring[d.newest]
	return s.source == src && s.epoch == p.Epoch
}

// step returns how far the timestamp moves to p, the first packet of src: as src's own where it goes on, by what lies between the captures where that is
// known, else between the arrivals.
func (d *Downlink) step(src *uplink.Uplink, p *uplink.Packet) uint32 {
	q := &d.sequence
	if d.cfg.Video && d.goesOn(src, p) {
		return p.Timestamp - q.source
	}
	if after, ok := d.captured(src, p); ok && d.cfg.Video && after <= longestPause {
		due := (int64(after)*int64(src.Codec().ClockRate())+int64(time.Second)/2)/int64(time.Second) - q.ahead
		step := max(due, videoStep)
		q.ahead = step - due
		return uint32(step)
	}
	q.ahead = 0
	return q.step(p.Arrival, src.Codec())
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

// rewrite moves the numbers inside a payload that is ours to write to.
func (s *segment) rewrite(payload []byte, p *uplink.Packet, at place) {
	pictures := s.pictures - at.pictures
	if pictures == 0 && s.tl0 == 0 {
		return
	}
	switch s.payload.Codec {
	case codec.VP8:
		codec.RewriteVP8(payload, p.Meta, (p.Meta.PictureID+pictures)&0x7fff, p.Meta.TL0+s.tl0)
	case codec.VP9:
		codec.RewriteVP9(payload, p.Meta, (p.Meta.PictureID+pictures)&0x7fff, p.Meta.TL0+s.tl0)
	}
}

// move notes that p went out at its place with the given timestamp.
func (q *sequenceState) move(s *segment, p *uplink.Packet, at place, timestamp uint32, video bool) {
	number := at.number
	q.arrival = max(q.arrival, p.Arrival)
	if number > q.highest {
		if !video && number == q.highest+1 && number != s.out {
			if step := timestamp - q.timestamp; step <= longestFrame {
				q.frame = step
			}
		}
		if at.how&blank == 0 {
			q.renumber(s, p, at)
		}
		q.highest = number
	}
	if !q.started || int32(timestamp-q.timestamp) > 0 {
		q.timestamp, q.source, q.stamped = timestamp, p.Timestamp, p.Arrival
	}
	q.started = true
}

// renumber notes the newest numbers inside the media.
func (q *sequenceState) renumber(s *segment, p *uplink.Packet, at place) {
	if p.Meta.HasPictureID {
		q.picture = (p.Meta.PictureID + s.pictures - at.pictures) & 0x7fff
	}
	if p.Meta.HasTL0 {
		q.tl0 = p.Meta.TL0 + s.tl0
	}
	if s.described && p.Structure != 0 {
		q.number, q.numbered = p.Frame.Number+s.frames, true
	}
}
