package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
)

const (
	// Hold is how long the first video waits after the subscriber's keys exist: sent earlier, Chromium drops the keyframe
	// and asks for another only after 3 s.
	Hold = 30 * time.Millisecond

	// 300 ms: an older keyframe would put the joiner's picture that far behind, or flood him with what came since; a new
	// one is there sooner.
	replayLimit = 300 * time.Millisecond

	// 2 s: long enough to be seen by a receiver that has lost the slot map's message, and no longer than the switch
	// matters.
	namedAfterSwitch = 2 * time.Second

	// 8 segments answer NACKs within the history's second even when a slot is switched 8 times in it.
	segments = 8
)

// Payload is what the subscriber negotiated for one codec in this slot.
type Payload struct {
	Codec          codec.Codec
	PayloadType    uint8
	RTXPayloadType uint8 // 0: no RTX for this codec
}

// Config describes one slot. It is fixed for the life of a Downlink.
type Config struct {
	SSRC, RTXSSRC  uint32
	Video          bool
	Payloads       []Payload // one a codec; copied
	TransportSeqID uint8     // header extension id of the transport-wide number, 1 to 14; 0: not negotiated
	AudioLevelID   uint8     // header extension id of the audio level (RFC 6464), 1 to 14; 0: not negotiated
	ColorSpaceID   uint8     // header extension id of libwebrtc's color-space, 1 to 14; 0: not negotiated
	DescriptorID   uint8     // header extension id of the dependency descriptor; 0: not negotiated
	// Mixed: the subscriber takes header extensions in the two-byte form too (a=extmap-allow-mixed, RFC 8285 §6), which
	// descriptors of more than 16 bytes need, and all of them when their id is above 14. Without it the slot leaves out the
	// descriptors of a stream that begins with a longer one.
	Mixed bool
	NACK  bool  // the slot negotiated NACK: without RTX (audio) the sealed bytes are kept to be sent again
	RED   uint8 // payload type under which sound may go out with copies of what was sent before (RFC 2198); 0: never

	// Parity of pictures (RFC 8627): its payload type and SSRC; 0: not negotiated.
	FEC     uint8
	FECSSRC uint32

	// Where the slot's streams start: random numbers, so that a guess at a packet's header is no help (RFC 3550 §5.1).
	// Of the sequence numbers the lower 15 bits are used, so that a receiver who misses the first packets cannot be
	// wrong about the rollover (RFC 3711 §3.3.1).
	FirstSequence, FirstRTXSequence, FirstFECSequence uint16
	FirstTimestamp                                    uint32
}

// 60 ms: as long as a voice still sounds after the slot was given to another who says nothing. The longest frame that
// browsers send ends within it.
const handover = 60 * time.Millisecond

// State says how a call of Next ended.
type State uint8

// The states.
const (
	Empty   State = iota // nothing to send now: come back when a source has got packets or at the hold's end
	Dropped              // a packet was passed over and counted: call again
	Sent                 // dst holds a packet: seal it once, send it, call again
)

// Out describes the packet written to dst.
type Out struct {
	HeaderSize int          // bytes of RTP header, what SRTP leaves readable
	Size       int          // header and plaintext, bytes
	Seq        seq.Extended // to be sealed with; unique for the SSRC written in the packet
	RTX        bool         // it is on the RTX SSRC, or the FEC SSRC
	Parity     bool         // parity of what has gone out is due: see Parity
	First      bool         // first packet of a new source: a sender report should follow at once
	Redundant  int          // bytes of it that a plain packet would not have: copies of earlier ones, and their heads
}

// Downlink is one slot of one subscriber. One goroutine.
type Downlink struct {
	// Fixed after New.
	cfg        Config
	payloads   [codec.Count]Payload         // by codec; PayloadType 0: not negotiated
	hold       time.Duration                // Hold for video
	extensions [uplink.CarriedSets]elements // of the extension block, by what the packet carries

	// Where we are.
	ready       bool
	readyAt     time.Duration
	current     *uplink.Uplink
	next        *uplink.Uplink // video: waits for its keyframe; voice: for its next packet
	currentName uint32         // CSRC
	nextName    uint32
	fresh       bool          // the current source has no segment yet
	opening     bool          // the newest segment has sent nothing yet
	sifts       bool          // something of the current source is left out, or has been in this segment
	cursor      uint64        // arrival index in current of the next packet
	nextCursor  uint64        // voice: the same in next
	nextBy      time.Duration // voice: next takes over by then, silent or not
	sheds       bool          // current is more than the path carries: next takes its place for that

	// What waits.
	paused bool
	lag    lag

	// What of it is shown.
	asked       codec.Layer // by SetLayer
	want        codec.Layer // of that, what the path allows
	wantedSince time.Duration
	nextWant    codec.Layer // the same of next
	layers      layers
	numbers     numbers
	descriptor  []byte // where one that has to be built is; 255 bytes, nil until then

	// What was sent.
	ring     [segments]segment
	newest   int // segment in ring that the stream is in
	sequence sequenceState
	rtt      time.Duration
	rtx      rtx
	parity   *parity // nil: none
	sealed   *sealedRing
	lossless bool
	red      redundancy
	lastNow  time.Duration
	stats    Stats
}

// sequenceState is the end of the stream as the subscriber has seen it.
type sequenceState struct {
	started   bool
	highest   seq.Extended  // number of the newest packet
	arrival   time.Duration // arrival of the packet last forwarded
	timestamp uint32        // newest timestamp
	source    uint32        // the same as the source wrote it
	stamped   time.Duration // arrival of the first packet with it
	frame     uint32        // audio: ticks from one packet to the next
	picture   uint16        // picture id and TL0 index of the newest packet that had them
	tl0       uint8
	numbered  bool   // number is set
	number    uint16 // dependency descriptor's frame number of the newest packet that had one
	ahead     int64  // ticks by which timestamps run ahead of the captures, for want of room between two pictures
}

// Stats are counters since New.
type Stats struct {
	Packets, Octets  uint64 // media packets yielded, without resends; octets of payload
	Resent           uint64 // packets yielded by Resend or Sealed
	ResentOctets     uint64 // their sizes in bytes
	Copies           uint64 // of earlier packets, within later ones
	CopyOctets       uint64 // what these took, their heads included; part of Octets
	Switches         uint64 // segments begun
	Late             uint64 // dropped: of before the segment's start
	Overrun          uint64 // dropped: overwritten before this slot got to them
	TooLong          uint64 // dropped: longer than dst
	Stale            uint64 // passed over: the path was too thin for them, and a keyframe came or was waited for
	Thinnings        uint64 // temporal layers left out for that reason
	Thinned          uint64 // dropped: of a layer that is not shown
	Blanked          uint64 // of these: came late, and padding took the number kept for it
	Unsupported      uint64 // sources assigned whose codec the slot has not negotiated
	ResendGone       uint64 // NACKed and not in any history
	ResendTooSoon    uint64 // NACKed again within a round trip
	ResendOverBudget uint64
	ResendCovered    uint64 // NACKed, and later packets bring a copy
	ResendUseless    uint64 // NACKed, and a keyframe has gone out since
	KeyframesInstead uint64 // wished for because repair costs more or comes too late
	Padding          uint64 // packets yielded by Padding
	PaddingOctets    uint64 // their sizes in bytes
	Parity           uint64 // packets yielded by Parity
	ParityOctets     uint64 // their sizes in bytes
}

// New returns an empty slot that forwards nothing before Ready.
func New(cfg Config) *Downlink {
	d := &Downlink{cfg: cfg, asked: codec.Everything, want: codec.Everything}
	d.lag.patience = never
	d.layers.shown = codec.Everything
	for _, p := range cfg.Payloads {
		if int(p.Codec) < codec.Count {
			d.payloads[p.Codec] = p
		}
	}
	d.cfg.Payloads = nil
	if cfg.Video {
		d.hold = Hold
	}
	d.extensions = extensionElements(cfg)
	d.sequence.highest = seq.Extended(cfg.FirstSequence&0x7fff) + 1<<16 - 1
	d.sequence.timestamp = cfg.FirstTimestamp
	d.rtx.last = seq.Extended(cfg.FirstRTXSequence&0x7fff) + 1<<16 - 1
	if !cfg.Video && cfg.NACK && cfg.RTXSSRC == 0 {
		d.sealed = new(sealedRing)
	}
	return d
}

// Config returns what the downlink was made from, without the payloads.
func (d *Downlink) Config() Config { return d.cfg }

// Ready says that the subscriber's keys exist since now. Voice flows from here on, video Hold later. For a slot made
// after the handshake hand in the time of the keys.
func (d *Downlink) Ready(now time.Duration) {
	if d.ready {
		return
	}
	d.ready, d.readyAt = true, now
	if d.current != nil {
		d.cursor = d.current.Head()
	}
}

// Opens returns when the slot may forward its first packet; ok is false before Ready.
func (d *Downlink) Opens() (at time.Duration, ok bool) { return d.readyAt + d.hold, d.ready }

// Assign changes what the slot shows: src, published by the participant with the given CSRC (0: none is written), or
// nothing when src is nil. Voice changes with src's next packet, and after handover without one; video keeps its old
// source until src's keyframe.
func (d *Downlink) Assign(now time.Duration, src *uplink.Uplink, participant uint32) {
	d.lastNow, d.sheds = now, false
	if src != nil && !d.supports(src.Codec()) {
		d.stats.Unsupported++
		src = nil
	}
	switch {
	case src == nil:
		d.current, d.next = nil, nil
	case src == d.current:
		d.next, d.currentName = nil, participant
	case d.cfg.Video || src == d.next:
		d.next, d.nextName, d.nextWant = src, participant, d.asked
	case d.current != nil && d.ready && !d.fresh:
		d.next, d.nextName, d.nextCursor, d.nextBy = src, participant, src.Head(), now+handover
	default:
		d.next = nil
		d.current, d.currentName, d.fresh = src, participant, true
		d.cursor = src.Head()
	}
}

// supports reports whether the slot negotiated the codec and is of its kind.
func (d *Downlink) supports(c codec.Codec) bool {
	return int(c) < codec.Count && d.payloads[c].PayloadType != 0 && c.Video() == d.cfg.Video
}

// Sources returns the uplink that flows and the one that waits for its keyframe; nil for none.
func (d *Downlink) Sources() (current, next *uplink.Uplink) { return d.current, d.next }

// WantsKeyframe reports whether the slot waits for a keyframe of the source assigned last: from Ready until the switch, or
// for layers that only a keyframe brings. The shard passes the wish to that uplink, which merges them.
func (d *Downlink) WantsKeyframe(now time.Duration) bool {
	if !d.ready || !d.cfg.Video || d.paused {
		return false
	}
	if d.next == nil {
		return d.current != nil && d.rtx.wish || d.wantsLayer(now)
	}
	_, ok := d.entrance(max(now, d.readyAt+d.hold))
	return !ok
}

// entrance returns the arrival index of the keyframe start at which the next source can be entered at the given time.
func (d *Downlink) entrance(at time.Duration) (i uint64, ok bool) {
	i, ok = d.next.LastKeyframe()
	if !ok {
		return 0, false
	}
	p := d.next.At(i)
	return i, at-p.Arrival <= replayLimit && d.follows(d.next, p)
}

// Next writes the next packet of whatever source is due to dst; 1,500 bytes hold any packet and what sealing adds. tseq is
// the transport-wide number to write; it is used up only when Sent is returned. Call it until Empty; a turn may stop
// anywhere in between and go on later.
func (d *Downlink) Next(now time.Duration, dst []byte, tseq uint16) (Out, State) {
	if !d.ready || d.paused || now < d.readyAt+d.hold {
		return Out{}, Empty
	}
	d.lastNow = now
	if d.next != nil && !d.cfg.Video {
		d.handOver(now)
	} else if d.next != nil {
		if i, ok := d.entrance(now); ok && !d.precedes(i) {
			return d.enter(now, i, dst, tseq)
		}
	}
	src := d.current
	if src == nil || d.cursor >= src.Head() {
		if d.lag.began {
			d.caughtUp(now)
		}
		return Out{}, Empty
	}
	p := src.At(d.cursor)
	if p == nil {
		d.overrun()
		return Out{}, Dropped
	}
	s := &d.ring[d.newest]
	if d.fresh || p.Epoch != s.epoch {
		return d.begin(now, p, dst, tseq)
	}
	if d.sheds && d.overtakes(p) {
		d.awaitKeyframe()
		return Out{}, Dropped
	}
	if now-p.Arrival > d.lag.patience && d.hurry(now, p) {
		return Out{}, Dropped
	}
	d.cursor++
	if p.Seq < s.first {
		d.stats.Late++
		return Out{}, Dropped
	}
	if p.Seq == s.first {
		return Out{}, Dropped // sent when the segment began, ahead of those that had overtaken it
	}
	if p.Meta.Keyframe {
		d.passKeyframe(p)
	}
	if d.sifts {
		return d.pass(s, p, dst, tseq)
	}
	return d.forward(s, p, s.plain(p), dst, tseq)
}

// precedes reports whether the current source has a packet to forward that came before the next one's at arrival index i.
func (d *Downlink) precedes(i uint64) bool {
	if d.current == nil || d.fresh {
		return false
	}
	p, first := d.current.At(d.cursor), d.next.At(i)
	return p != nil && first != nil && p.Epoch == d.ring[d.newest].epoch && p.Arrival <= first.Arrival && !d.overtakes(p)
}

// passKeyframe takes note of the first packet of a keyframe in the middle of a segment.
func (d *Downlink) passKeyframe(p *uplink.Packet) {
	if !d.layers.limited && d.spare(p) {
		d.limit()
	}
	d.rtx.keyframe(d.sequence.highest + 1)
}

// handOver switches voice to the next source when its first packet is the next in order of arrival. Until then the old one
// flows on: a frame left out between the two would be concealed, because the timestamp goes on by the time that passed.
func (d *Downlink) handOver(now time.Duration) {
	speaks := d.nextCursor < d.next.Head()
	if !speaks && now < d.nextBy {
		return
	}
	if speaks && d.precedes(d.nextCursor) {
		return
	}
	d.current, d.currentName, d.next, d.fresh = d.next, d.nextName, nil, true
	d.cursor = d.nextCursor
}

// enter switches video to the next source at its keyframe start.
func (d *Downlink) enter(now time.Duration, i uint64, dst []byte, tseq uint16) (Out, State) {
	src := d.next
	d.current, d.currentName, d.next, d.asked, d.sheds = src, d.nextName, nil, d.nextWant, false
	p := src.At(i)
	d.restart(now, d.goesOn(src, p))
	d.cursor = src.EarliestAfter(i)
	return d.start(now, p, dst, tseq)
}

// begin deals with the first packet of a source (audio) or of a restarted stream.
func (d *Downlink) begin(now time.Duration, p *uplink.Packet, dst []byte, tseq uint16) (Out, State) {
	if d.cfg.Video {
		// The publisher's stream restarted: nothing of it can be decoded before its keyframe.
		if d.next == nil {
			d.next, d.nextName, d.nextWant = d.current, d.currentName, d.asked
		}
		d.current = nil
		return Out{}, Dropped
	}
	d.cursor++
	if !p.Newest {
		// A straggler: the numbers between it and the next packet arrived before we came, so they would look like loss.
		d.stats.Late++
		return Out{}, Dropped
	}
	d.fresh = false
	return d.start(now, p, dst, tseq)
}

// start opens a segment with p and forwards p.
func (d *Downlink) start(now time.Duration, p *uplink.Packet, dst []byte, tseq uint16) (Out, State) {
	step := d.step(d.current, p)
	d.newest = (d.newest + 1) % segments
	s := &d.ring[d.newest]
	*s = newSegment(&d.sequence, step, d.current, p, d.currentName, now+namedAfterSwitch)
	s.payload = d.payloads[d.current.Codec()]
	s.described = d.describes(p)
	d.stats.Switches++
	if d.cfg.Video {
		d.sifts = d.want != codec.Everything || d.spare(p)
		d.layers = layers{shown: d.want, limited: d.sifts}
		d.numbers.on, d.wantedSince = false, now
		d.rtx.keyframe(s.out)
	}
	d.opening = true
	return d.pass(s, p, dst, tseq)
}

// pass forwards p unless it is of a layer that is not shown.
func (d *Downlink) pass(s *segment, p *uplink.Packet, dst []byte, tseq uint16) (Out, State) {
	if !d.sifts {
		return d.forward(s, p, s.plain(p), dst, tseq)
	}
	at, ok := d.sift(s, p)
	if !ok {
		return Out{}, Dropped
	}
	return d.forward(s, p, at, dst, tseq)
}

// forward writes p as it stands in segment s and moves the stream's end.
func (d *Downlink) forward(s *segment, p *uplink.Packet, at place, dst []byte, tseq uint16) (Out, State) {
	header, descriptor := d.measure(s, p, at)
	name := uint32(0)
	if s.name != 0 && d.lastNow < s.namedUntil {
		name = s.name
		header += 4
	}
	media := at.how&blank == 0
	size := header + 1
	if media {
		size = header + p.Size()
	}
	if size+sealSize > len(dst) {
		d.stats.TooLong++
		return Out{}, Dropped
	}
	timestamp, payloadType, redundant := p.Timestamp+s.timestamps, s.payload.PayloadType, 0
	if media && d.red.mode != voice.Plain {
		if protected, copies := d.protect(s, p, dst[header:len(dst)-sealSize]); copies > 0 {
			payloadType, redundant = d.cfg.RED, protected-p.Size()
			size = header + protected
			d.stats.Copies += uint64(copies)
			d.stats.CopyOctets += uint64(redundant)
		}
	}
	d.write(dst, header, p, payloadType, at.how, d.cfg.SSRC, at.number.Uint16(), timestamp, name, tseq, descriptor, s.frames)
	switch {
	case !media:
		dst[header] = 1 // one byte of padding (RFC 3550 §5.1): no media, but the sequence has no hole
	case redundant == 0:
		copy(dst[header:size], s.source.Payload(p))
		s.rewrite(dst[header:size], p, at)
	}
	if media {
		d.stats.Octets += uint64(size - header)
	}
	d.sequence.move(s, p, at, timestamp, d.cfg.Video)
	d.stats.Packets++
	d.rtx.budget.media(d.lastNow, size)
	first := d.opening
	d.opening = false
	out := Out{HeaderSize: header, Size: size, Seq: at.number, First: first, Redundant: redundant}
	if d.parity != nil && media {
		out.Parity = d.parity.take(d.lastNow, dst[:size], p)
	}
	return out, Sent
}

// Stats returns the counters.
func (d *Downlink) Stats() Stats { return d.stats }
