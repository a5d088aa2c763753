package uplink

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// MaxPayload is the largest payload kept, in bytes: behind it a 1,500-byte buffer has room for our header with every
	// extension, an RTX number and the authentication tag.
	MaxPayload = 1440

	// window is how far behind the highest number a packet may come, in packets; older ones are not worth their memory
	// in the seen-before bitmap. It is the longest history.
	window = 1024

	// restartJump is the step in sequence numbers that is read as a new stream rather than as loss (MAX_DROPOUT of
	// RFC 3550 §A.1): 3,000 packets are 10 s of video or a minute of voice, nobody resends those.
	restartJump = 3000

	// skipRate is how many numbers a second a stream may leave out for long; beyond it, and restartJump at once, it is read
	// as a new stream. 2,000 packets a second with every third one lost stay below. Subscribers see our numbers move as
	// the publisher's do: one who skipped 3,000 with each packet would make a subscriber that misses eleven of them lose
	// count of the rollovers, and so whatever the slot shows from then on.
	skipRate = 1000

	// restartStep separates the numbers of a restarted stream from those before, by more than the window, so that no
	// late packet of the old stream can pass for one of the new.
	restartStep = 4 * window
)

// Config describes one encoding. It is fixed for the life of an Uplink.
type Config struct {
	SSRC, RTXSSRC               uint32 // as negotiated; SSRC 0: taken from the first packet
	PayloadType, RTXPayloadType uint8
	Codec                       codec.Codec
	// NACK asks for lost packets. It is safe with RTX, or on an m-line without transport-cc: a browser's plain resend under
	// a new transport-wide number would use its nonce twice. Video without it gets a keyframe for each hole instead.
	NACK bool
	// RED is the payload type of packets that bring copies of earlier ones (RFC 2198); 0: none do. The copies must be readable:
	// not encrypted end to end.
	RED     uint8
	History int    // packets kept at most, rounded up to a power of two; 0: 1,024 for video, 256 for audio
	Clock   *Clock // the publisher's clock, shared by all its uplinks for lip sync; nil: one of its own
}

// Verdict says what became of a packet handed in.
type Verdict uint8

// The verdicts.
const (
	Stored    Verdict = iota // in the history, to be forwarded
	Duplicate                // was there already (publishers probe with resent packets)
	TooOld                   // more than the window behind, or of a stream that has restarted since
	Malformed                // a resend cut short, longer than MaxPayload, or a payload the codec cannot read
)

// String names the verdict for logs and counters.
func (v Verdict) String() string {
	switch v {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	case TooOld:
		return "too old"
	default:
		return "malformed"
	}
}

// Uplink is one published encoding. One goroutine.
type Uplink struct {
	// Fixed after New.
	cfg      Config
	rate     uint32        // of the timestamps, ticks a second
	playout  time.Duration // how long a missing packet is worth asking for
	interval time.Duration // how long the history shall reach back

	// The stream's numbers.
	ssrc         uint32
	previousSSRC uint32        // before the last restart; its stragglers are too old
	started      bool          // the first packet has come
	epoch        uint32        // restarts so far
	shift        seq.Extended  // our number minus the wire's extended number, modulo 2^64
	highest      seq.Extended  // ours
	skipped      int64         // numbers left out, less skipRate a second
	skippedAt    time.Duration // up to when that was subtracted
	suspect      seq.Extended  // the wire number that would confirm a jump backwards (RFC 3550 §A.1, bad_seq)
	seen         [window / 64]uint64

	// What arrived.
	history     history
	keyframe    uint64 // arrival index of the last keyframe's first packet
	hasKeyframe bool
	keyPicture  uint32 // its timestamp
	keyBytes    int    // payload bytes of it that have come

	// What is wished for.
	missing missing
	wish    keyframeWish
	rtt     roundTrip
	output  []uint16 // the NACK list handed out by the last Poll

	// What is reported.
	report report
	sender senderMapping
	stats  Stats

	fec    fec    // of a voice
	copies copies // likewise
	taken  struct{ restored, repaired uint64 }

	// What layers there are.
	structures *structures // nil before the first dependency descriptor
	rates      *rates      // nil for audio
}

// Stats are counters since New.
type Stats struct {
	Packets, Bytes uint64 // stored, resent ones included; payload bytes
	Repaired       uint64 // of these: had been missing, and came by themselves
	Restored       uint64 // of these: out of copies in later packets (RED)
	Duplicates     uint64
	TooOld         uint64
	Malformed      uint64
	Undescribed    uint64 // stored, but their dependency descriptor is malformed or by a structure that has not come
	NACKed         uint64 // requests for a packet sent, repeats included
	GivenUp        uint64 // packets no longer asked for
	KeyframesAsked uint64
	Keyframes      uint64
	Restarts       uint64
	HistoryBytes   int           // memory held by the rings now
	Missing        int           // packets being asked for now
	RTT            time.Duration // that gates the NACKs; 0 unknown
	Jitter         time.Duration // RFC 3550 §A.8
	Lost           int64         // RFC 3550 §A.3; negative when duplicates outnumber losses
}

// New returns an uplink that holds no memory for packets until the first one comes.
func New(cfg Config) *Uplink {
	u := &Uplink{cfg: cfg, ssrc: cfg.SSRC, rate: max(cfg.Codec.ClockRate(), 1), playout: audioPlayout, interval: audioHistory}
	limit := 256
	if cfg.Codec.Video() {
		u.playout, u.interval, limit = videoPlayout, videoHistory, window
		if !cfg.NACK {
			u.playout = unaskedPlayout
		}
		u.rates = new(rates)
	}
	if cfg.History > 0 {
		limit = min(cfg.History, window)
	}
	if u.cfg.Clock == nil {
		u.cfg.Clock = new(Clock)
	}
	u.history.init(limit)
	return u
}

// Config returns what the uplink was made from; its SSRC is the one in use.
func (u *Uplink) Config() Config {
	cfg := u.cfg
	cfg.SSRC = u.ssrc
	return cfg
}

// Codec returns the encoding's codec.
func (u *Uplink) Codec() codec.Codec { return u.cfg.Codec }

// Handle takes one authenticated packet of the primary stream: its header, its number as the SRTP opener extended it,
// its payload without padding (empty: a padding-only packet, kept as such), the extensions it carries, and its dependency
// descriptor (nil: none). Payload and descriptor are copied. Of a RED packet its own payload is stored, plain, behind those of
// its copies that had not come; the verdict is that on its own.
func (u *Uplink) Handle(now time.Duration, h *packet.Header, e seq.Extended, payload []byte, x Extensions, descriptor []byte) Verdict {
	if !u.follow(now, h.SSRC, e) {
		u.stats.TooOld++
		return TooOld
	}
	u.report.handle(now, e, h.Timestamp, u.rate)
	if h.PayloadType == u.cfg.RED && u.cfg.RED != 0 && len(payload) > 0 {
		return u.unpack(now, h, e+u.shift, payload, x)
	}
	return u.store(now, h, e+u.shift, payload, x, descriptor, original)
}

// HandleRTX takes one authenticated packet of the RTX stream (RFC 4588 §4): payload opens with the original sequence
// number. Its extensions are the original's: senders repeat them. An empty one is how publishers probe for bandwidth; it
// repairs nothing and counts as a Duplicate.
func (u *Uplink) HandleRTX(now time.Duration, h *packet.Header, payload []byte, x Extensions, descriptor []byte) Verdict {
	switch len(payload) {
	case 0:
		u.stats.Duplicates++
		return Duplicate
	case 1:
		u.stats.Malformed++
		return Malformed
	}
	if !u.started {
		u.stats.TooOld++ // nothing to place the number by; the publisher will send the primary anyway
		return TooOld
	}
	wire := u.highest - u.shift
	original := binary.BigEndian.Uint16(payload)
	e := wire + seq.Extended(int64(int16(original-wire.Uint16())))
	if e > wire && !u.maySkip(now, int64(e-wire)-1) {
		u.stats.TooOld++
		return TooOld
	}
	return u.store(now, h, e+u.shift, payload[2:], x, descriptor, resent)
}

// follow keeps our numbers rising through restarts of the publisher's stream: a new SSRC or a jump of the sequence. It
// reports false for a packet that belongs to the past.
func (u *Uplink) follow(now time.Duration, ssrc uint32, e seq.Extended) bool {
	if !u.started {
		u.started, u.ssrc = true, ssrc
		u.highest = e - 1
		u.report.restart(e)
		return true
	}
	if ssrc != u.ssrc {
		if ssrc == u.previousSSRC {
			return false
		}
		u.previousSSRC, u.ssrc = u.ssrc, ssrc
		u.restart(e)
		return true
	}
	step := int64(e + u.shift - u.highest)
	switch {
	case step > 1 && !u.maySkip(now, step-1):
		u.restart(e)
	case step < -restartJump:
		// One such packet may be a stray; two in a row are a restart (RFC 3550 §A.1).
		if e != u.suspect {
			u.suspect = e + 1
			return false
		}
		u.restart(e)
	}
	return true
}

// maySkip says whether the stream may leave out so many numbers more, and counts them if so.
func (u *Uplink) maySkip(now time.Duration, n int64) bool {
	const each = time.Second / skipRate
	forgotten := (now - u.skippedAt) / each
	u.skipped = max(u.skipped-int64(forgotten), 0)
	u.skippedAt += forgotten * each
	if u.skipped+n >= restartJump {
		return false
	}
	u.skipped += n
	return true
}

// restart opens a new epoch with the packet that the wire numbers e: nothing before it is missed or asked for.
func (u *Uplink) restart(e seq.Extended) {
	u.epoch++
	u.stats.Restarts++
	u.shift = u.highest + restartStep - e
	u.highest += restartStep - 1
	u.suspect = 0
	u.seen = [window / 64]uint64{}
	u.missing.clear()
	u.hasKeyframe = false
	u.structures.forget()
	u.report.restart(e)
	u.sender.forget()
	if u.cfg.Codec.Video() {
		u.wish.request = true
	}
}

// origin says how a packet came.
type origin uint8

const (
	original origin = iota
	resent          // on the RTX stream
	copied          // within a later one
)

// store places the packet that we number e.
func (u *Uplink) store(
	now time.Duration, h *packet.Header, e seq.Extended, payload []byte, x Extensions, descriptor []byte, how origin,
) Verdict {
	newest := e > u.highest
	switch {
	case newest:
		u.advance(now, e, payload)
	case u.highest-e >= window:
		u.stats.TooOld++
		return TooOld
	case u.seen[e/64%(window/64)]&(1<<(e%64)) != 0:
		u.stats.Duplicates++
		return Duplicate
	}
	u.seen[e/64%(window/64)] |= 1 << (e % 64)
	u.missing.arrived++
	if m, ok := u.missing.remove(e); ok {
		if how != copied {
			u.stats.Repaired++
		}
		if m.tries == 1 && (how == resent || how == original && u.cfg.RTXSSRC == 0) {
			// Only the answer to a single request tells the round trip (Karn).
			u.rtt.measure(now - m.asked)
		}
	}

	p := Packet{
		Seq: e, Arrival: now, Timestamp: h.Timestamp, Epoch: u.epoch,
		Marker: h.Marker, Newest: newest, Ext: x,
	}
	if len(payload) == 0 || len(descriptor) > codec.MaxDescriptor {
		descriptor = nil
	}
	if len(payload) > 0 && !u.inspect(&p, h, payload, descriptor) {
		u.stats.Malformed++
		return Malformed
	}
	i := u.history.push(p, descriptor, payload, now-u.interval)
	u.stats.Packets++
	u.stats.Bytes += uint64(len(payload))
	if p.Meta.Keyframe {
		u.noteKeyframe(&p, i)
	}
	key := p.Timestamp == u.keyPicture && u.hasKeyframe
	if key {
		u.keyBytes += len(payload)
	}
	if u.rates != nil && len(payload) > 0 {
		u.rates.add(now, &p.Meta, len(payload), key, u.own(&p))
	}
	return Stored
}

// inspect finds out what p carries; false when nobody could use it.
func (u *Uplink) inspect(p *Packet, h *packet.Header, payload, descriptor []byte) bool {
	if len(payload) > MaxPayload {
		return false
	}
	meta, ok := u.cfg.Codec.Inspect(payload, h.Marker)
	if u.cfg.Codec == codec.Opus {
		u.readVoice(p, payload)
	}
	if len(descriptor) > 0 {
		if p.Frame, p.Structure = u.describe(p.Seq, p.Newest, descriptor); p.Structure != 0 {
			if ok { // else it is encrypted
				p.Meta = meta
			}
			u.described(p)
			return true
		}
		u.stats.Undescribed++
	}
	p.Meta = u.inContext(meta, h, p.Seq)
	return ok
}

// advance moves the highest number to e, of the packet with payload, and notes the numbers skipped as missing.
func (u *Uplink) advance(now time.Duration, e seq.Extended, payload []byte) {
	skipped := e - u.highest - 1
	if skipped >= window {
		u.seen = [window / 64]uint64{}
	} else {
		for s := u.highest + 1; s <= e; s++ {
			u.seen[s/64%(window/64)] &^= 1 << (s % 64)
		}
	}
	if skipped > 0 && (u.cfg.NACK || u.cfg.Codec.Video()) {
		first := max(u.highest+1, e-min(u.useful(payload), skipped))
		u.giveUp(now, int(first-u.highest-1)+u.missing.add(now, first, e, u.copies, u.eager()))
	}
	u.highest = e
}

// useful is how many packets before one with payload may still be asked for: of a voice those of a playout. What is lost while a path
// changes is older, and all of it at once would stand before what is said now, for a second on a path that carries no more than
// a voice.
func (u *Uplink) useful(payload []byte) seq.Extended {
	if u.cfg.Codec == codec.Opus {
		if lasts := time.Duration(duration(payload)) * time.Second / 48000; lasts > 0 {
			return seq.Extended(u.patience() / lasts)
		}
	}
	return math.MaxInt64
}

// noteKeyframe remembers where the newest keyframe starts: p, at arrival index i. Whatever was missing before it no longer
// matters to anybody, and the wish for one is fulfilled.
func (u *Uplink) noteKeyframe(p *Packet, i uint64) {
	if u.hasKeyframe {
		if q := u.At(u.keyframe); q != nil {
			same := q.Timestamp == p.Timestamp
			if same && q.Seq < p.Seq {
				return // H.264 may repeat its parameter sets within a picture
			}
			if !same && q.Seq > p.Seq {
				u.stats.Keyframes++
				return // a straggler of an older keyframe
			}
		}
	}
	u.stats.Keyframes++
	if !u.hasKeyframe || u.keyPicture != p.Timestamp {
		u.keyPicture, u.keyBytes = p.Timestamp, 0
	}
	u.keyframe, u.hasKeyframe = i, true
	u.missing.removeBefore(p.Seq)
	u.wish.fulfilled()
}

// Head returns the arrival index of the next packet to be stored.
func (u *Uplink) Head() uint64 { return u.history.head }

// Tail returns the arrival index of the oldest packet still held; Head when there is none.
func (u *Uplink) Tail() uint64 { return u.history.tail }

// Epoch counts the restarts of the publisher's stream; packets of different epochs have unrelated timestamps.
func (u *Uplink) Epoch() uint32 { return u.epoch }

// At returns the packet with the given arrival index, nil when it has been overwritten or has not come. The packet is
// valid until the next Handle, HandleRTX or Release.
func (u *Uplink) At(i uint64) *Packet { return u.history.at(i) }

// Payload returns the packet's decrypted payload, valid as long as the packet; it must not be written to.
func (u *Uplink) Payload(p *Packet) []byte { return u.history.payload(p) }

// Descriptor returns the packet's dependency descriptor as the publisher wrote it, nil when it has none; valid and kept
// from writing as its payload.
func (u *Uplink) Descriptor(p *Packet) []byte { return u.history.descriptor(p) }

// Find returns the packet with the given number, nil when it never came or is gone. It is valid as long as At's.
func (u *Uplink) Find(s seq.Extended) *Packet {
	if i, ok := u.history.index(s); ok {
		return u.history.at(i)
	}
	return nil
}

// LastKeyframe returns the arrival index of the first packet of the newest keyframe; ok is false when none has come
// since the stream's last restart or it has been overwritten.
func (u *Uplink) LastKeyframe() (i uint64, ok bool) {
	return u.keyframe, u.hasKeyframe && u.keyframe >= u.history.tail
}

// KeyframeSize returns how many bytes of payload the newest keyframe took, as far as it has come, of all its layers; 0 when none
// has come since the stream's last restart. It is known for longer than the keyframe is kept.
func (u *Uplink) KeyframeSize() int {
	if !u.hasKeyframe {
		return 0
	}
	return u.keyBytes
}

// From returns how many packets there are from arrival index i on, and about how many bytes they hold.
func (u *Uplink) From(i uint64) (packets, bytes int) {
	i = max(i, u.history.tail)
	p := u.history.at(i)
	if p == nil {
		return 0, 0
	}
	return int(u.history.head - i), int(u.history.written - p.at)
}

// EarliestAfter returns the lowest arrival index among the packets numbered above that of the packet at arrival index i,
// i+1 when none of them came before it. A reader who starts with a keyframe's first packet continues there, and so
// misses none that overtook it.
func (u *Uplink) EarliestAfter(i uint64) uint64 {
	earliest := i + 1
	p := u.At(i)
	if p == nil {
		return earliest
	}
	for s := p.Seq + 1; s <= u.highest; s++ {
		if j, ok := u.history.index(s); ok && j < earliest {
			earliest = j
		}
	}
	return earliest
}

// Stats returns the counters.
func (u *Uplink) Stats() Stats {
	s := u.stats
	s.HistoryBytes = u.history.memory()
	s.Missing = len(u.missing.list)
	s.RTT, _ = u.rtt.value()
	s.Jitter = time.Duration(u.report.jitter>>4) * time.Second / time.Duration(u.rate)
	s.Lost = u.report.lost()
	return s
}

// Release gives the history's memory back. Downlinks that still point here find nothing any more; packets handed in
// later are stored as in a new history.
func (u *Uplink) Release() {
	u.history.release()
	u.missing.clear()
	u.hasKeyframe = false
}
