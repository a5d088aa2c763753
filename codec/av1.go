package codec

import "math"

// Bits of the aggregation header, AV1's RTP specification §4.4.
const (
	av1Continues = 0x80 // Z: the first element goes on with an OBU of the packet before
	av1Continued = 0x40 // Y: the next packet goes on with the last element
	av1Sequence  = 0x08 // N: first packet of a coded video sequence
)

// OBU types that matter here, AV1 §6.2.2.
const (
	obuSequenceHeader       = 1
	obuFrameHeader          = 3
	obuTileGroup            = 4
	obuFrame                = 6
	obuRedundantFrameHeader = 7
	obuTileList             = 8
)

// Bits of the OBU header, AV1 §5.3.2.
const (
	obuForbidden = 0x80
	obuExtension = 0x04
	obuHasSize   = 0x02
)

// inspectAV1 reads the aggregation header and the headers of the OBUs that begin in the packet (AV1's RTP specification §4.4
// and §4.5). What one packet tells of frames is less than in other codecs; where there is a dependency descriptor, it is
// the one to believe.
//
//   - Start: an OBU begins here that is not the rest of a frame. Where sequence header, metadata and frame have a packet
//     each, all of them are such: the first after another timestamp or spatial layer is the frame's first.
//   - End and Last: the marker, that is the end of the picture. Frames of lower spatial layers have none that can be told.
//   - Layer: of the OBUs that begin here. A packet that only goes on with one, or of a stream without layers, has none: it
//     is of the layer of the packet before.
//   - Keyframe: the packet begins a coded video sequence and has the sequence header without which decoders know nothing.
//     Senders say so by N; of one that does not, a readable frame header that says so does as well.
//   - Entry: with Keyframe only. In AV1 it takes the descriptor to know where else a layer can be entered, or up to where
//     temporal layers can be switched.
func inspectAV1(payload []byte, marker bool) (Meta, bool) {
	head, rest := payload[0], payload[1:]
	continues, sequence := head&av1Continues != 0, head&av1Sequence != 0
	if continues && sequence {
		return Meta{}, false
	}
	m := Meta{End: marker, Last: marker}
	var header av1SequenceHeader
	elements := int(head >> 4 & 3) // W; 0: as many as there are, each with its length
	if elements == 0 && len(rest) == 0 {
		return Meta{}, false
	}
	keyframe := false
	for i := 1; len(rest) > 0 || i <= elements; i++ {
		size := len(rest)
		if i != elements {
			var n int
			if size, n = readLEB128(rest); n == 0 || size > len(rest)-n {
				return Meta{}, false
			}
			rest = rest[n:]
		}
		element := rest[:size]
		rest = rest[size:]
		last := len(rest) == 0 && i >= elements
		if i == 1 && continues {
			continue
		}
		o, ok := readOBU(element, last && head&av1Continued != 0)
		if !ok {
			return Meta{}, false
		}
		if o.extended && !m.HasLayer {
			m.HasLayer, m.Layer = true, o.layer
		}
		switch o.kind {
		case obuSequenceHeader:
			if header, ok = readAV1SequenceHeader(o.payload); !ok && !o.cut {
				return Meta{}, false
			}
			header.here = true
		case obuFrameHeader, obuFrame:
			keyframe = keyframe || header.beginsKeyframe(o.payload)
		}
		if i == 1 {
			m.Start = o.kind != obuTileGroup && o.kind != obuRedundantFrameHeader && o.kind != obuTileList
		}
	}
	if header.here {
		m.Width, m.Height = header.width, header.height
		m.Keyframe = m.Start && (sequence || keyframe && m.Layer.Spatial == 0)
		m.Entry = m.Keyframe
	}
	return m, true
}

// readLEB128 reads a length: n is how many bytes it has, 0 when it does not end within 8, or has more than 31 bits: AV1 §4.10.5
// allows 32, but no packet is so long, and where an int has 32 bits it would be negative.
func readLEB128(b []byte) (v, n int) {
	var sum uint64
	for i := range min(len(b), 8) {
		sum |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			if sum > math.MaxInt32 {
				return 0, 0
			}
			return int(sum), i + 1
		}
	}
	return 0, 0
}

// obu is an open bitstream unit, or the beginning of one.
type obu struct {
	kind     uint8
	extended bool // layer is told
	layer    Layer
	cut      bool // the rest is in the next packet
	payload  []byte
}

// readOBU reads obu_header and, where there is one, obu_size (AV1 §5.3).
func readOBU(b []byte, cut bool) (o obu, ok bool) {
	o.cut = cut
	if len(b) == 0 {
		return o, cut // no more than the news that one begins
	}
	head, at := b[0], 1
	if head&obuForbidden != 0 {
		return o, false
	}
	o.kind = head >> 3 & 0x0f
	if head&obuExtension != 0 {
		if len(b) < 2 {
			return o, cut
		}
		o.extended, o.layer = true, Layer{Spatial: b[1] >> 3 & 3, Temporal: b[1] >> 5}
		at++
	}
	o.payload = b[at:]
	if head&obuHasSize != 0 {
		size, n := readLEB128(o.payload)
		if n == 0 || size > len(o.payload)-n {
			o.payload = nil
			return o, cut
		}
		o.payload = o.payload[n : n+size]
	}
	return o, true
}

// av1SequenceHeader is what we need of sequence_header_obu.
type av1SequenceHeader struct {
	here          bool
	still         bool // reduced_still_picture_header
	width, height uint16
}

// readAV1SequenceHeader reads up to the size of the largest pictures (AV1 §5.5.1).
func readAV1SequenceHeader(b []byte) (h av1SequenceHeader, ok bool) {
	r := fieldReader{b: b}
	r.skip(3 + 1) // seq_profile, still_picture
	if h.still = r.flag(); h.still {
		r.skip(5) // seq_level_idx
	} else {
		skipOperatingPoints(&r)
	}
	widthBits, heightBits := int(r.bits(4))+1, int(r.bits(4))+1
	width, height := r.bits(widthBits)+1, r.bits(heightBits)+1
	if r.ended {
		return h, false
	}
	h.width, h.height = uint16(min(width, math.MaxUint16)), uint16(min(height, math.MaxUint16))
	return h, true
}

// skipOperatingPoints passes over the timing and the list of operating points.
func skipOperatingPoints(r *fieldReader) {
	decoderModel, delayBits := false, 0
	if r.flag() { // timing_info_present_flag
		r.skip(32 + 32)
		if r.flag() { // equal_picture_interval
			skipUVLC(r)
		}
		if decoderModel = r.flag(); decoderModel {
			delayBits = int(r.bits(5)) + 1
			r.skip(32 + 5 + 5)
		}
	}
	displayDelay := r.flag()
	points := int(r.bits(5)) + 1
	for range points {
		r.skip(12)         // operating_point_idc
		if r.bits(5) > 7 { // seq_level_idx
			r.skip(1) // seq_tier
		}
		if decoderModel && r.flag() {
			r.skip(2*delayBits + 1)
		}
		if displayDelay && r.flag() {
			r.skip(4)
		}
	}
}

// skipUVLC passes over a number of variable length (AV1 §4.10.3).
func skipUVLC(r *fieldReader) {
	zeros := 0
	for !r.flag() {
		if zeros++; r.ended {
			return
		}
	}
	if zeros < 32 {
		r.skip(zeros)
	}
}

// beginsKeyframe reads the first fields of uncompressed_header (AV1 §5.9.2), which mean something only behind a sequence
// header: is this a frame that needs no other, and is it shown?
func (h *av1SequenceHeader) beginsKeyframe(b []byte) bool {
	if !h.here || len(b) == 0 {
		return false
	}
	if h.still {
		return true
	}
	const (
		showExisting = 0x80
		frameType    = 0x60 // KEY_FRAME is 0
		show         = 0x10
	)
	return b[0]&(showExisting|frameType) == 0 && b[0]&show != 0
}
