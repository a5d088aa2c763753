package codec

import "encoding/binary"

// Bits of the VP8 payload descriptor, RFC 7741 §4.2.
const (
	vp8Extended  = 0x80 // X, first byte
	vp8Unneeded  = 0x20 // N, first byte: no later frame is predicted from this one
	vp8Start     = 0x10 // S, first byte
	vp8Partition = 0x07 // PID, first byte

	vp8HasPictureID = 0x80 // I, second byte
	vp8HasTL0       = 0x40 // L
	vp8HasTID       = 0x20 // T
	vp8HasKeyIndex  = 0x10 // K

	vp8LongPictureID = 0x80 // M, first byte of the picture id
	vp8Sync          = 0x20 // Y, byte of TID and KEYIDX

	vp8Inter = 0x01 // first byte of a frame, RFC 6386 §9.1: not a keyframe
)

// vp8KeyframeSize is the uncompressed header of a keyframe: frame tag 3, start code 3, width 2, height 2 (RFC 6386 §9.1).
const vp8KeyframeSize = 10

// vp8Descriptor says where the optional fields stand in the payload; 0 where there is none.
type vp8Descriptor struct {
	pictureID, tl0, tid int
	long                bool
	size                int
}

// parseVP8Descriptor reads the shape of the descriptor, false when it does not fit into the payload.
func parseVP8Descriptor(payload []byte) (d vp8Descriptor, ok bool) {
	if len(payload) == 0 {
		return d, false
	}
	d.size = 1
	if payload[0]&vp8Extended == 0 {
		return d, true
	}
	if len(payload) < 2 {
		return d, false
	}
	fields := payload[1]
	d.size = 2
	if fields&vp8HasPictureID != 0 {
		if len(payload) <= d.size {
			return d, false
		}
		d.pictureID = d.size
		d.long = payload[d.size]&vp8LongPictureID != 0
		d.size++
		if d.long {
			d.size++
		}
	}
	if fields&vp8HasTL0 != 0 {
		d.tl0 = d.size
		d.size++
	}
	if fields&(vp8HasTID|vp8HasKeyIndex) != 0 {
		if fields&vp8HasTID != 0 {
			d.tid = d.size
		}
		d.size++
	}
	return d, d.size <= len(payload)
}

// inspectVP8 reads the descriptor (RFC 7741 §4.2) and, on a frame's first packet, the frame header (RFC 6386 §9.1).
func inspectVP8(payload []byte, marker bool) (Meta, bool) {
	d, ok := parseVP8Descriptor(payload)
	if !ok || d.size == len(payload) {
		return Meta{}, false
	}
	m := Meta{
		Start:         payload[0]&vp8Start != 0 && payload[0]&vp8Partition == 0,
		Discardable:   payload[0]&vp8Unneeded != 0,
		End:           marker,
		Last:          marker,
		HasPictureID:  d.pictureID != 0,
		LongPictureID: d.long,
		HasTL0:        d.tl0 != 0,
		HasLayer:      d.tid != 0,
	}
	switch {
	case d.long:
		m.PictureID = binary.BigEndian.Uint16(payload[d.pictureID:]) & 0x7fff
	case d.pictureID != 0:
		m.PictureID = uint16(payload[d.pictureID])
	}
	if m.HasTL0 {
		m.TL0 = payload[d.tl0]
	}
	if m.HasLayer {
		m.Layer.Temporal, m.SwitchUp = payload[d.tid]>>6, payload[d.tid]&vp8Sync != 0
	}
	frame := payload[d.size:]
	if !m.Start || frame[0]&vp8Inter != 0 {
		return m, true
	}
	return m.withVP8Keyframe(frame)
}

// withVP8Keyframe adds what the first bytes of a keyframe tell. One cut short of its size or without its start code is
// malformed: no decoder could begin with it.
func (m Meta) withVP8Keyframe(frame []byte) (Meta, bool) {
	if len(frame) < vp8KeyframeSize || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return Meta{}, false
	}
	m.Keyframe, m.Entry = true, true
	m.Width = binary.LittleEndian.Uint16(frame[6:]) & 0x3fff
	m.Height = binary.LittleEndian.Uint16(frame[8:]) & 0x3fff
	return m, true
}

// RewriteVP8 renumbers a payload in place: the picture id where m has one, cut to 7 bits where it is a short one, and
// TL0PICIDX where m has one. KEYIDX and all else stay, and the size. That is enough for who drops temporal layers: the
// picture ids of what is left shall follow each other, base layers are never dropped. payload must be a private copy of
// the one m was read from; bytes that do not fit m are left alone.
func RewriteVP8(payload []byte, m Meta, pictureID uint16, tl0 uint8) {
	d, ok := parseVP8Descriptor(payload)
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

// putPictureID writes a picture id of 15 bits, or the lower 7 of it.
func putPictureID(dst []byte, long bool, id uint16) {
	if long {
		binary.BigEndian.PutUint16(dst, id|0x8000)
	} else {
		dst[0] = uint8(id) & 0x7f
	}
}
