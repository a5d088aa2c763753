package codec

import "encoding/binary"

// Types of NAL units and of payloads, ITU-T H.264 table 7-1 and RFC 6184 §5.2.
const (
	h264Slice     = 1 // coded slice of a picture that is no IDR; 2 to 4 are its data partitions
	h264IDR       = 5
	h264SPS       = 7
	h264LastUnit  = 23 // the last type of a payload that is one NAL unit
	h264Aggregate = 24 // STAP-A
	h264Fragment  = 28 // FU-A
)

// Bits of a NAL unit's header and of the FU header, RFC 6184 §5.3 and §5.8.
const (
	h264Forbidden = 0x80 // F
	h264Reference = 0x60 // NRI; 0: no other picture needs it
	h264Type      = 0x1f

	h264FragmentStart = 0x80
	h264FragmentEnd   = 0x40
)

// h264Units is what the NAL units of one packet are.
type h264Units struct {
	sps       []byte // the first of them, with header; nil when there is none
	slice     bool   // of a picture, IDR or not
	idr       bool
	reference bool // a slice that other pictures need
}

// add notes a unit, whole or from its start; false when its header is none.
func (u *h264Units) add(unit []byte) bool {
	kind := unit[0] & h264Type
	switch {
	case unit[0]&h264Forbidden != 0 || kind == 0 || kind > h264LastUnit:
		return false
	case kind == h264SPS && u.sps == nil:
		u.sps = unit
	case kind >= h264Slice && kind <= h264IDR:
		u.slice = true
		u.idr = u.idr || kind == h264IDR
		u.reference = u.reference || unit[0]&h264Reference != 0
	}
	return true
}

// inspectH264 reads the payload structures of packetization-mode 1: single unit, STAP-A and FU-A (RFC 6184 §5.4). The
// others are for interleaving, which nobody negotiates, and refused.
//
// What begins a picture cannot be told from one packet: Start says that a NAL unit begins here, and a picture has several.
// The first packet after a marker, or with a new timestamp, is a picture's first.
//
// A keyframe begins where the sequence parameter set is. Encoders for calls put one in front of every IDR picture, and
// libwebrtc's receivers (H26xPacketBuffer) drop an IDR picture that brings no SPS and PPS of its own: it may have been
// coded by those of a source that the slot showed before. So an IDR slice alone is none, and an SPS alone is; in one packet
// with slices it takes an IDR slice to be one.
func inspectH264(payload []byte, marker bool) (Meta, bool) {
	m := Meta{Start: true, End: marker, Last: marker}
	var u h264Units
	switch payload[0] & h264Type {
	case h264Aggregate:
		if !u.addAggregate(payload) {
			return Meta{}, false
		}
	case h264Fragment:
		var ok bool
		if m.Start, ok = u.addFragment(payload); !ok {
			return Meta{}, false
		}
	default:
		if !u.add(payload) {
			return Meta{}, false
		}
	}
	m.Discardable = u.slice && !u.reference
	if u.sps != nil && (u.idr || !u.slice) {
		m.Keyframe, m.Entry = true, true
		m.Width, m.Height = h264Size(u.sps)
	}
	return m, true
}

// addAggregate notes the units of a STAP-A, RFC 6184 §5.7.1.
func (u *h264Units) addAggregate(payload []byte) bool {
	if payload[0]&h264Forbidden != 0 {
		return false
	}
	rest := payload[1:]
	for len(rest) >= 2 {
		size := int(binary.BigEndian.Uint16(rest))
		rest = rest[2:]
		if size == 0 || size > len(rest) || !u.add(rest[:size]) {
			return false
		}
		rest = rest[size:]
	}
	return len(rest) == 0 && len(payload) > 1
}

// addFragment notes the unit of a FU-A and tells whether it begins here, RFC 6184 §5.8. Other than the type, which every
// fragment repeats, only the first fragment has what can be read.
func (u *h264Units) addFragment(payload []byte) (start, ok bool) {
	if len(payload) < 3 || payload[0]&h264Forbidden != 0 {
		return false, false
	}
	flags, kind := payload[1], payload[1]&h264Type
	start = flags&h264FragmentStart != 0
	if start && flags&h264FragmentEnd != 0 || kind == 0 || kind > h264LastUnit {
		return false, false
	}
	if kind >= h264Slice && kind <= h264IDR {
		u.slice, u.idr = true, kind == h264IDR
		u.reference = payload[0]&h264Reference != 0
	}
	if kind == h264SPS && start {
		u.sps = payload[1:]
	}
	return start, true
}

// Limits of a sequence parameter set. What stands behind the size is not read, and what is in front of it ends within this
// unless it has many scaling lists, which no encoder for calls writes: then the size is unknown.
const (
	h264SPSRead   = 128
	h264SPSHeader = 4 // NAL unit header, profile, constraints, level
)

// h264Size reads the picture size out of a sequence parameter set with its NAL unit header (ITU-T H.264 §7.3.2.1.1), 0 when
// it does not tell a size that can be.
func h264Size(sps []byte) (width, height uint16) {
	if len(sps) < h264SPSHeader {
		return 0, 0
	}
	var plain [h264SPSRead]byte
	r := fieldReader{b: plain[:h264Unescape(&plain, sps[h264SPSHeader:])]}
	r.golomb() // seq_parameter_set_id
	chroma := uint32(1)
	separate := false
	if h264TellsChroma(sps[1]) {
		if chroma = r.golomb(); chroma == 3 {
			separate = r.bit() != 0
		}
		r.golomb() // bit_depth_luma_minus8
		r.golomb() // bit_depth_chroma_minus8
		r.bit()    // qpprime_y_zero_transform_bypass_flag
		if r.bit() != 0 {
			r.skipScalingLists(chroma)
		}
	}
	r.golomb() // log2_max_frame_num_minus4
	r.skipPictureOrder()
	r.golomb() // max_num_ref_frames
	r.bit()    // gaps_in_frame_num_value_allowed_flag
	columns, rows := r.golomb()+1, r.golomb()+1
	progressive := r.bit()
	if progressive == 0 {
		r.bit() // mb_adaptive_frame_field_flag
	}
	r.bit() // direct_8x8_inference_flag
	var left, right, top, bottom uint32
	if r.bit() != 0 { // frame_cropping_flag
		left, right, top, bottom = r.golomb(), r.golomb(), r.golomb(), r.golomb()
	}
	if r.ended || chroma > 3 {
		return 0, 0
	}
	// Cropping counts in units of chroma samples, and of two lines where fields may be coded (§7.4.2.1.1).
	unitX, unitY := uint64(1), uint64(2-progressive)
	if !separate && (chroma == 1 || chroma == 2) {
		unitX = 2
	}
	if !separate && chroma == 1 {
		unitY *= 2
	}
	w, ok := cropped(uint64(columns)*16, unitX*(uint64(left)+uint64(right)))
	if !ok {
		return 0, 0
	}
	h, ok := cropped(uint64(rows)*16*uint64(2-progressive), unitY*(uint64(top)+uint64(bottom)))
	if !ok {
		return 0, 0
	}
	return w, h
}

// cropped takes crop from size; ok is false when nothing is left or it is larger than any picture.
func cropped(size, crop uint64) (left uint16, ok bool) {
	if crop >= size || size-crop > 0xffff {
		return 0, false
	}
	return uint16(size - crop), true
}

// h264Unescape copies what fits without the emulation prevention bytes, the 3 in 0 0 3 (ITU-T H.264 §7.3.1), and returns
// how many bytes it copied.
func h264Unescape(dst *[h264SPSRead]byte, src []byte) (n int) {
	zeros := 0
	for _, b := range src {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if n == len(dst) {
			return n
		}
		dst[n] = b
		n++
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return n
}

// h264TellsChroma says for which profile_idc the set has chroma format, bit depths and scaling lists.
func h264TellsChroma(profile uint8) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	default:
		return false
	}
}

// skipScalingLists passes the scaling lists, ITU-T H.264 §7.3.2.1.1.1.
func (r *fieldReader) skipScalingLists(chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if r.bit() == 0 {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for j := 0; j < size && next != 0 && !r.ended; j++ {
			// Differences are -128 to 127; the mask keeps liars' within int32.
			next = (last + r.signedGolomb()&0xff + 256) & 0xff
			if next != 0 {
				last = next
			}
		}
	}
}

// skipPictureOrder passes pic_order_cnt_type and what belongs to it.
func (r *fieldReader) skipPictureOrder() {
	switch r.golomb() {
	case 0:
		r.golomb() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.bit()          // delta_pic_order_always_zero_flag
		r.signedGolomb() // offset_for_non_ref_pic
		r.signedGolomb() // offset_for_top_to_bottom_field
		for n := r.golomb(); n > 0 && !r.ended; n-- {
			r.signedGolomb() // offset_for_ref_frame
		}
	}
}
