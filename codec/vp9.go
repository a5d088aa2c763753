package codec

import "encoding/binary"

// Bits of the VP9 payload descriptor, RFC 9628 §4.2.
const (
	vp9HasPictureID = 0x80 // I, first byte
	vp9Inter        = 0x40 // P: predicted from earlier pictures
	vp9HasLayer     = 0x20 // L
	vp9Flexible     = 0x10 // F
	vp9Start        = 0x08 // B
	vp9End          = 0x04 // E
	vp9HasStructure = 0x02 // V
	vp9Unused       = 0x01 // Z: no higher spatial layer needs the frame

	vp9LongPictureID = 0x80 // M, first byte of the picture id
	vp9SwitchUp      = 0x10 // U, byte of layer indices
	vp9Inherits      = 0x01 // D
	vp9MoreRefs      = 0x01 // N, byte of a P_DIFF

	vp9HasSizes = 0x10 // Y, first byte of the scalability structure
	vp9HasGroup = 0x08 // G
)

const (
	// A frame has three references (RFC 9628 §4.2, P_DIFF).
	vp9References = 3

	// Spatial layers that a packet may be of: no decoder has more, and libwebrtc drops packets of higher ones. The
	// structure may name 8.
	vp9SpatialLayers = 5

	// frame_sync_code, VP9 bitstream specification §7.2.
	vp9SyncCode = 0x498342
)

// vp9Descriptor says where the optional fields stand in the payload; 0 where there is none.
type vp9Descriptor struct {
	pictureID, layer, tl0, structure int
	long                             bool
	size                             int
}

// parseVP9Descriptor reads the shape of the descriptor, false when it does not fit into the payload or breaks a rule.
func parseVP9Descriptor(payload []byte) (d vp9Descriptor, ok bool) {
	if len(payload) == 0 {
		return d, false
	}
	fields := payload[0]
	d.size = 1
	if fields&vp9HasPictureID != 0 {
		if len(payload) <= d.size {
			return d, false
		}
		d.pictureID = d.size
		d.long = payload[d.size]&vp9LongPictureID != 0
		d.size++
		if d.long {
			d.size++
		}
	}
	if fields&vp9HasLayer != 0 {
		d.layer = d.size
		d.size++
		if fields&vp9Flexible == 0 {
			d.tl0 = d.size
			d.size++
		}
	}
	if d.size > len(payload) {
		return d, false
	}
	if fields&(vp9Inter|vp9Flexible) == vp9Inter|vp9Flexible {
		// References are differences of picture ids.
		if d.pictureID == 0 || !d.skipReferences(payload) {
			return d, false
		}
	}
	if fields&vp9HasStructure != 0 {
		d.structure = d.size
		return d, d.skipStructure(payload)
	}
	return d, true
}

// skipReferences passes the list of P_DIFF.
func (d *vp9Descriptor) skipReferences(payload []byte) bool {
	for range vp9References {
		if len(payload) <= d.size {
			return false
		}
		more := payload[d.size]&vp9MoreRefs != 0
		d.size++
		if !more {
			return true
		}
	}
	return false
}

// skipStructure passes the scalability structure, RFC 9628 §4.2.1.
func (d *vp9Descriptor) skipStructure(payload []byte) bool {
	if len(payload) <= d.size {
		return false
	}
	head := payload[d.size]
	d.size++
	if head&vp9HasSizes != 0 {
		d.size += 4 * (int(head>>5) + 1)
	}
	if head&vp9HasGroup == 0 {
		return d.size <= len(payload)
	}
	if len(payload) <= d.size {
		return false
	}
	pictures := payload[d.size]
	d.size++
	for range pictures {
		if len(payload) <= d.size {
			return false
		}
		d.size += 1 + int(payload[d.size]>>2&3)
	}
	return d.size <= len(payload)
}

// inspectVP9 reads the descriptor and, on the first packet of what it calls a keyframe, the frame's uncompressed header.
func inspectVP9(payload []byte, marker bool) (Meta, bool) {
	d, ok := parseVP9Descriptor(payload)
	if !ok || d.size >= len(payload) {
		return Meta{}, false
	}
	fields := payload[0]
	m := Meta{
		Start:         fields&vp9Start != 0,
		End:           fields&vp9End != 0,
		Last:          marker,
		Entry:         fields&vp9Inter == 0,
		Unused:        fields&vp9Unused != 0,
		HasPictureID:  d.pictureID != 0,
		LongPictureID: d.long,
		HasTL0:        d.tl0 != 0,
		HasLayer:      d.layer != 0,
	}
	switch {
	case d.long:
		m.PictureID = binary.BigEndian.Uint16(payload[d.pictureID:]) & 0x7fff
	case d.pictureID != 0:
		m.PictureID = uint16(payload[d.pictureID])
	}
	if d.layer != 0 {
		b := payload[d.layer]
		m.Layer = Layer{Spatial: b >> 1 & 7, Temporal: b >> 5}
		if m.Layer.Spatial >= vp9SpatialLayers {
			return Meta{}, false
		}
		m.SwitchUp, m.Inherits = b&vp9SwitchUp != 0, b&vp9Inherits != 0
	}
	if d.tl0 != 0 {
		m.TL0 = payload[d.tl0]
	}
	if d.structure != 0 {
		m.Width, m.Height = vp9HighestSize(payload[d.structure:])
	}
	if m.Start && m.Entry && !m.Inherits && m.Layer.Spatial == 0 {
		m = m.withVP9Frame(payload[d.size:])
	}
	return m, true
}

// vp9HighestSize returns the size of the highest spatial layer of a scalability structure that fits; 0 when it has none.
func vp9HighestSize(structure []byte) (width, height uint16) {
	if structure[0]&vp9HasSizes == 0 {
		return 0, 0
	}
	at := 1 + 4*int(structure[0]>>5)
	return binary.BigEndian.Uint16(structure[at:]), binary.BigEndian.Uint16(structure[at+2:])
}

// withVP9Frame adds what the uncompressed header tells (VP9 bitstream specification §6.2). The descriptor has said that the
// frame needs no other: that makes it a keyframe, unless the header shows an intra-only frame, which leaves a new decoder
// without most of its references. Only the sync code proves a header: where it is not found the payload is taken for
// encrypted and the descriptor is believed.
func (m Meta) withVP9Frame(frame []byte) Meta {
	m.Keyframe = true
	r := fieldReader{b: frame}
	if r.bits(2) != 2 { // frame_marker
		return m
	}
	profile := r.bit() | r.bit()<<1
	if profile == 3 {
		r.bit() // reserved
	}
	if r.bit() != 0 { // show_existing_frame: it has no more header
		return m
	}
	inter, shown, resilient := r.bit(), r.bit(), r.bit()
	if inter != 0 {
		intraOnly := shown == 0 && r.bit() != 0
		if resilient == 0 {
			r.bits(2) // reset_frame_context
		}
		if intraOnly && r.bits(24) == vp9SyncCode {
			m.Keyframe, m.Entry = false, false
		}
		return m
	}
	if r.bits(24) != vp9SyncCode {
		return m
	}
	if profile >= 2 {
		r.bit() // ten_or_twelve_bit
	}
	const rgb = 7
	switch colors := r.bits(3); {
	case colors != rgb && profile&1 != 0:
		r.bits(4) // color_range, subsampling, reserved
	case colors != rgb || profile&1 != 0:
		r.bit() // color_range, or reserved
	}
	width, height := r.bits(16)+1, r.bits(16)+1
	if m.Width == 0 && !r.ended && width <= 0xffff && height <= 0xffff {
		m.Width, m.Height = uint16(width), uint16(height)
	}
	return m
}

// VP9Structure is what the scalability structure of a VP9 stream says of its spatial layers (RFC 9628 §4.2.1).
type VP9Structure struct {
	Layers        int       // spatial layers, 1 to 8
	Width, Height [8]uint16 // in pixels, by spatial layer; 0 where not told
}

// ReadVP9Structure reads the structure that a VP9 packet carries, as keyframes' first packets do; ok is false when it
// carries none or is malformed.
func ReadVP9Structure(payload []byte) (s VP9Structure, ok bool) {
	d, ok := parseVP9Descriptor(payload)
	if !ok || d.structure == 0 {
		return VP9Structure{}, false
	}
	b := payload[d.structure:]
	s.Layers = int(b[0]>>5) + 1
	if b[0]&vp9HasSizes != 0 {
		for i := range s.Layers {
			s.Width[i] = binary.BigEndian.Uint16(b[1+4*i:])
			s.Height[i] = binary.BigEndian.Uint16(b[3+4*i:])
		}
	}
	return s, true
}

// RewriteVP9 renumbers a payload in place: the picture id where m has one, cut to 7 bits where it is a short one, and
// TL0PICIDX where m has one. References are differences of picture ids and stay true when all of a stream's ids are moved
// alike. The size stays. payload must be a private copy of the one m was read from; bytes that do not fit m are left alone.
func RewriteVP9(payload []byte, m Meta, pictureID uint16, tl0 uint8) {
	d, ok := parseVP9Descriptor(payload)
	if !ok {
		return
	}
	if m.HasPictureID && d.pictureID != 0 && m.LongPictureID == d.long {
		putPictureID(payload[d.pictureID:], d.long, pictureID)
	}
	if m.HasTL0 && d.tl0 != 0 {
		payload[d.tl0] = tl0
	}
}
