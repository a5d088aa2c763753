package codec

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The dependency descriptor is a header extension that says of a frame, in any codec, what it depends on and who needs it
// (Dependency Descriptor RTP Header Extension, annex A of AV1's RTP specification; §A below). With it a server forwards
// layers of what it cannot read: payloads may be encrypted end to end.
//
// What a server must keep whole, so that libwebrtc's receivers, hence browsers, go on showing pictures:
//   - Numbers may have gaps, for references are differences: where frames are left out, and where a publisher counts the
//     frames of all encodings of a simulcast together, as Chromium does; so a gap is no loss. They must not repeat or go
//     back: a structure with a number before that of the structure in force is dropped.
//   - A descriptor that cannot be read by the structure in force makes its packet wait for one, or be dropped. So a stream
//     begins with the packet that carries the structure, and every change of source with that of the new source.
//   - The structure is what makes a frame a keyframe, and is read from the first packet of a frame only. Nothing but a
//     keyframe may carry one; where spatial layers stand alone (modes S2T1 and the like) each layer's keyframe does.
//   - Start and End tell frames apart; the RTP marker must stand on the last packet of the picture that is sent, which is
//     not the publisher's where higher spatial layers are left out.
//   - A frame is decoded when all those it refers to were: those must have been sent. (Chromium's AV1 encoder, when it
//     leaves out the first picture behind a keyframe, lets a frame refer to one before the keyframe. Who has not had that
//     one loses the frame, of the highest temporal layer, and goes on.)

// Limits of a descriptor. A larger one is refused: no encoder makes it, and it would cost every packet.
const (
	MaxDecodeTargets = 32  // as many as the format has (§A.8.2: dt_cnt_minus_one has 5 bits)
	MaxTemplates     = 64  // likewise: frame_dependency_template_id has 6
	MaxDescriptor    = 255 // bytes: what an element of the two-byte form holds (RFC 8285 §4.3)
	MaxReferences    = 8   // of one frame: AV1 and VP9 have 8 reference slots, VP8 3
)

// Descriptor is what the dependency descriptor of one packet says, with the structure in force applied. It holds no
// pointers.
type Descriptor struct {
	Number     uint16 // frame_number
	Start, End bool   // first and last packet of the frame
	Structure  bool   // it carries a structure: a decoder can begin here with the targets in Switch
	Layer      Layer

	// By decode target, the lowest bit the first one.
	Needed      uint32 // those that need the frame: neither not-present
	Switch      uint32 // those that may be entered at it
	Discardable uint32 // those that need it, but in which nothing depends on it
	Active      uint32 // those that the sender produces, as last told
}

// Bits and sizes of §A.8.2.
const (
	mandatorySize = 3 // bytes of mandatory_descriptor_fields

	startOfFrame = 0x80 // first byte
	endOfFrame   = 0x40
	templateID   = 0x3f

	structurePresent = 1 << 4 // of the five flags of extended_descriptor_fields
	activePresent    = 1 << 3
	customTargets    = 1 << 2 // custom_dtis_flag
	customReferences = 1 << 1 // custom_fdiffs_flag
	customChains     = 1 << 0
	flagBits         = 5
)

// ReadDescriptor reads the descriptor of one packet by the structure in force, and replaces that when the packet carries a
// new one. False: malformed, or it needs a structure that has not come; then s is as before. It allocates nothing.
//
// Packets are to come in the order of their RTP sequence numbers: both the structure and the active decode targets hold
// until the next. One that comes late is read with a copy of s, which leaves what newer packets have told alone.
func (s *Structure) ReadDescriptor(b []byte) (Descriptor, bool) {
	if len(b) < mandatorySize || len(b) > MaxDescriptor {
		return Descriptor{}, false
	}
	if len(b) == mandatorySize {
		t := s.template(b)
		if t == nil {
			return Descriptor{}, false
		}
		return t.describe(b, s.active), true
	}
	r := fieldReader{b: b, at: 8 * mandatorySize}
	flags := r.bits(flagBits)
	if flags&structurePresent == 0 {
		return s.readFrame(b, &r, flags)
	}
	if b[0]&startOfFrame == 0 {
		return Descriptor{}, false
	}
	return s.readSequence(b, &r, flags)
}

// readSequence reads a descriptor that carries a structure, the rest of which is by that one.
func (s *Structure) readSequence(b []byte, r *fieldReader, flags uint32) (Descriptor, bool) {
	next, ok := readStructure(r)
	if !ok {
		return Descriptor{}, false
	}
	d, ok := next.readFrame(b, r, flags)
	if !ok {
		return Descriptor{}, false
	}
	*s = next
	return d, true
}

// readFrame reads the active decode targets and frame_dependency_definition (§A.8.2).
func (s *Structure) readFrame(b []byte, r *fieldReader, flags uint32) (Descriptor, bool) {
	t := s.template(b)
	if t == nil {
		return Descriptor{}, false
	}
	active := s.active
	if flags&activePresent != 0 {
		active = r.bits(int(s.targets))
	}
	d := t.describe(b, active)
	d.Structure = flags&structurePresent != 0
	if flags&customTargets != 0 {
		d.Needed, d.Switch, d.Discardable = s.readTargets(r)
	}
	if flags&customReferences != 0 {
		readReferences(r, 0)
	}
	if flags&customChains != 0 {
		r.skip(8 * int(s.chains))
	}
	if r.ended {
		return Descriptor{}, false
	}
	s.active = active
	return d, true
}

// template is the one that descriptor b names, nil when the structure has none of that id.
func (s *Structure) template(b []byte) *template {
	i := (b[0] - s.offset) & templateID
	if i >= s.templateCount {
		return nil
	}
	return &s.templates[i]
}

func (t *template) describe(b []byte, active uint32) Descriptor {
	return Descriptor{
		Number: binary.BigEndian.Uint16(b[1:]),
		Start:  b[0]&startOfFrame != 0, End: b[0]&endOfFrame != 0,
		Layer: t.layer, Needed: t.needed, Switch: t.enter, Discardable: t.discardable, Active: active,
	}
}

// readTargets reads one frame's decode target indications (table A.1), two bits each, of the first target first.
func (s *Structure) readTargets(r *fieldReader) (needed, enter, discardable uint32) {
	const atOnce = 16 // targets in 32 bits
	for from := 0; from < int(s.targets); from += atOnce {
		n := min(int(s.targets)-from, atOnce)
		// Turned round, target i has the high bit of its indication at 2i and the low one behind it.
		pairs := bits.Reverse32(r.bits(2*n) << (2 * (atOnce - n)))
		high, low := evenBits(pairs)<<from, evenBits(pairs>>1)<<from
		needed |= high | low
		enter |= high &^ low
		discardable |= low &^ high
	}
	return needed, enter, discardable
}

// evenBits moves every second bit, the lowest among them, together.
func evenBits(x uint32) uint32 {
	x &= 0x55555555
	x = (x | x>>1) & 0x33333333
	x = (x | x>>2) & 0x0f0f0f0f
	x = (x | x>>4) & 0x00ff00ff
	return (x | x>>8) & 0x0000ffff
}

// readReferences reads frame_fdiffs of the frame with this number. More than MaxReferences are malformed.
func readReferences(r *fieldReader, number uint16) (numbers [MaxReferences]uint16, n int) {
	for {
		size := 4 * int(r.bits(2))
		if size == 0 {
			return numbers, n
		}
		difference := uint16(r.bits(size)) + 1
		if n == MaxReferences {
			r.ended = true
			return numbers, n
		}
		numbers[n] = number - difference
		n++
	}
}

// References lists the numbers of the frames that the frame of this descriptor depends on, at most 8 of them; ok is false
// when b is malformed. For decisions that come now and then; it allocates nothing. b is one that s has read last, or is
// from under the same structure.
func (s *Structure) References(b []byte) (numbers [MaxReferences]uint16, n int, ok bool) {
	t, r, flags, ok := s.custom(b)
	if !ok {
		return numbers, 0, false
	}
	number := binary.BigEndian.Uint16(b[1:])
	if flags&customReferences != 0 {
		numbers, n = readReferences(&r, number)
		return numbers, n, !r.ended
	}
	for i := range t.references {
		numbers[i] = number - uint16(t.difference[i])
	}
	return numbers, int(t.references), true
}

// ChainDistance is how many numbers before this frame the previous frame of a chain stands; 0 when the chain needs none
// before it. When that one was not sent or has not come, the chain is broken: the decode targets it protects show nothing
// until a frame comes in which the distance is 0. Every frame tells it for every chain, so one packet after a gap is enough
// to know (§A.6). ok is false when b is malformed or there is no such chain.
func (s *Structure) ChainDistance(b []byte, chain int) (distance uint8, ok bool) {
	if chain < 0 || chain >= int(s.chains) {
		return 0, false
	}
	t, r, flags, ok := s.custom(b)
	if !ok {
		return 0, false
	}
	if flags&customChains == 0 {
		return t.chain[chain/2] >> (4 * (chain & 1)) & 0x0f, true
	}
	if flags&customReferences != 0 {
		readReferences(&r, 0)
	}
	r.skip(8 * chain)
	distance = uint8(r.bits(8))
	return distance, !r.ended
}

// custom goes to where a descriptor's own references and chains stand.
func (s *Structure) custom(b []byte) (t *template, r fieldReader, flags uint32, ok bool) {
	if len(b) < mandatorySize || len(b) > MaxDescriptor {
		return nil, r, 0, false
	}
	if t = s.template(b); t == nil {
		return nil, r, 0, false
	}
	if len(b) == mandatorySize {
		return t, r, 0, true
	}
	r = fieldReader{b: b, at: 8 * mandatorySize}
	flags = r.bits(flagBits)
	if flags&structurePresent != 0 {
		if _, ok := readStructure(&r); !ok {
			return nil, r, 0, false
		}
	}
	if flags&activePresent != 0 {
		r.skip(int(s.targets))
	}
	if flags&customTargets != 0 {
		r.skip(2 * int(s.targets))
	}
	return t, r, flags, !r.ended
}

// AppendDescriptor appends the descriptor b with the frame number replaced and the decode targets in active told as those
// that are produced; 0, or none that the structure has, leaves what b tells of them. It returns dst as it was when b is
// malformed or the result has more than MaxDescriptor bytes.
//
// s is the structure that b is read by; b may carry its own. The result means what b does but for the number and the active
// targets, and has at most 5 bytes more. b must not lie in dst's spare room. It allocates only when dst has none.
func (s *Structure) AppendDescriptor(dst, b []byte, number uint16, active uint32) []byte {
	if len(b) < mandatorySize || len(b) > MaxDescriptor {
		return dst
	}
	if active == 0 {
		at := len(dst)
		dst = append(dst, b...)
		binary.BigEndian.PutUint16(dst[at+1:], number)
		return dst
	}
	return s.appendActive(dst, b, number, active)
}

func (s *Structure) appendActive(dst, b []byte, number uint16, active uint32) []byte {
	r := fieldReader{b: b, at: 8 * mandatorySize}
	var flags uint32
	if len(b) > mandatorySize {
		flags = r.bits(flagBits)
	}
	structure := r
	targets := int(s.targets)
	chains := int(s.chains)
	if flags&structurePresent != 0 {
		own, ok := readStructure(&r)
		if !ok {
			return dst
		}
		targets, chains = int(own.targets), int(own.chains)
	}
	structureBits := r.at - structure.at
	if flags&activePresent != 0 {
		r.skip(targets)
	}
	frame := r
	if flags&customTargets != 0 {
		r.skip(2 * targets)
	}
	if flags&customReferences != 0 {
		readReferences(&r, 0)
	}
	if flags&customChains != 0 {
		r.skip(8 * chains)
	}
	if r.ended || targets == 0 {
		return dst
	}
	frameBits := r.at - frame.at
	all := uint32(1)<<targets - 1 // 32 targets: the shift gives 0, less 1 is all of them
	if active &= all; active == 0 {
		return s.AppendDescriptor(dst, b, number, 0)
	}
	activeBits := targets
	flags |= activePresent
	if active == all && flags&structurePresent != 0 { // what a structure says without a mask
		activeBits = 0
		flags &^= activePresent
	}
	size := mandatorySize + (flagBits+structureBits+activeBits+frameBits+7)/8
	if size > MaxDescriptor {
		return dst
	}
	at := len(dst)
	dst = slices.Grow(dst, size)[:at+size]
	clear(dst[at:])
	w := fieldWriter{b: dst[at:], at: 8 * mandatorySize}
	w.b[0] = b[0]
	binary.BigEndian.PutUint16(w.b[1:], number)
	w.bits(flags, flagBits)
	w.copy(&structure, structureBits)
	if activeBits != 0 {
		w.bits(active, activeBits)
	}
	w.copy(&frame, frameBits)
	return dst
}
