package downlink

import (
	"encoding/binary"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	headerSize = 12 // RFC 3550 §5.1, without CSRC and extension
	sealSize   = 16 // what sealing adds at most: the tag of AES-GCM (RFC 7714 §13)

	transportSeqSize = 2 // draft-holmer-rmcat-transport-wide-cc-extensions-01 §2
	audioLevelSize   = 1 // RFC 6464 §3
	colorSpaceSize   = 4 // libwebrtc's docs/native-code/rtp-hdrext/color-space

	// RFC 8285 §4.2 and §4.3.
	oneByteForm    = 0xbede
	oneByteMost    = 16 // bytes of an element
	oneByteHighest = 14 // id
	twoByteForm    = 0x1000
)

// elements are the sizes of what an extension block has beside the dependency descriptor.
type elements struct {
	count, bytes int
	size         int // of the block without a descriptor
}

// extensionElements returns what the slot has negotiated of each set that a packet may carry.
func extensionElements(cfg Config) (sets [uplink.CarriedSets]elements) {
	for has := range uplink.CarriedSets {
		e := &sets[has]
		if cfg.TransportSeqID != 0 {
			e.count, e.bytes = e.count+1, e.bytes+transportSeqSize
		}
		if cfg.AudioLevelID != 0 && has&uplink.HasLevel != 0 {
			e.count, e.bytes = e.count+1, e.bytes+audioLevelSize
		}
		if cfg.ColorSpaceID != 0 && has&uplink.HasColorSpace != 0 {
			e.count, e.bytes = e.count+1, e.bytes+colorSpaceSize
		}
		if e.count > 0 {
			e.size = blockSize(e.count + e.bytes)
		}
	}
	return sets
}

// blockSize is that of a block with so many bytes of elements: a 4-byte head, and padding to 32 bits.
func blockSize(n int) int { return 4 + (n+3)&^3 }

// measure returns the header's size without a CSRC, in bytes, and the dependency descriptor to go into it but for the frame
// number; nil when there is none.
func (d *Downlink) measure(s *segment, p *uplink.Packet, at place) (size int, descriptor []byte) {
	e := &d.extensions[p.Ext.Has]
	if s.described && at.how&blank == 0 {
		if descriptor = d.described(s, p, at); descriptor != nil {
			each := 1
			if d.long(len(descriptor)) {
				each = 2
			}
			return headerSize + blockSize((e.count+1)*each+e.bytes+len(descriptor)), descriptor
		}
	}
	return headerSize + e.size, nil
}

// long reports whether it takes the two-byte form to tell a dependency descriptor of so many bytes.
func (d *Downlink) long(descriptor int) bool {
	return descriptor > oneByteMost || d.cfg.DescriptorID > oneByteHighest
}

// describes reports whether a segment that begins with p takes dependency descriptors along. Without the structure, which p
// brings, the others would mean nothing.
func (d *Downlink) describes(p *uplink.Packet) bool {
	return d.cfg.DescriptorID != 0 && p.Frame.Structure && (d.cfg.Mixed || !d.long(len(d.current.Descriptor(p))))
}

// described returns the packet's dependency descriptor but for the frame number, nil when there is none or the subscriber
// cannot be told. One that could not be read goes along: its structure may still come.
func (d *Downlink) described(s *segment, p *uplink.Packet, at place) []byte {
	b := s.source.Descriptor(p)
	if at.active != 0 {
		if t := s.source.Structure(p.Structure); t != nil {
			if d.descriptor == nil {
				d.descriptor = make([]byte, 0, codec.MaxDescriptor)
			}
			told := t.AppendDescriptor(d.descriptor[:0], b, p.Frame.Number, at.active)
			// The structure counts for more than what is left out of it.
			if len(told) > 0 && (d.cfg.Mixed || len(told) <= oneByteMost || len(b) > oneByteMost) {
				b = told
			}
		}
	}
	if len(b) < 3 || !d.cfg.Mixed && d.long(len(b)) {
		return nil
	}
	return b
}

// write puts the RTP header of size bytes in front of the payload of p: fixed part, CSRC unless name is 0, extension block
// with the dependency descriptor, unless that is nil, its frame number moved by frames.
func (d *Downlink) write(
	dst []byte, size int, p *uplink.Packet, payloadType uint8, how fate, ssrc uint32, sequence uint16, timestamp, name uint32, tseq uint16,
	descriptor []byte, frames uint16,
) {
	n := packet.PutHeader(dst, packet.Header{
		Sequence: sequence, Timestamp: timestamp, SSRC: ssrc, PayloadType: payloadType, Marker: how&marked != 0, Padding: how&blank != 0,
	})
	if name != 0 {
		n = packet.PutCSRC(dst, n, name)
	}
	if n == size {
		return
	}
	dst[0] |= 0x10 // X
	b := dst[n:size]
	if descriptor != nil {
		d.describe(b, p, descriptor, frames, tseq)
		return
	}
	binary.BigEndian.PutUint32(b, oneByteForm<<16|uint32(len(b)/4-1))
	at := 4
	if id := d.cfg.TransportSeqID; id != 0 {
		b[at] = id<<4 | transportSeqSize - 1
		binary.BigEndian.PutUint16(b[at+1:], tseq)
		at += 1 + transportSeqSize
	}
	if id := d.cfg.AudioLevelID; id != 0 && p.Ext.Has&uplink.HasLevel != 0 {
		b[at], b[at+1] = id<<4|audioLevelSize-1, p.Ext.Level
		at += 1 + audioLevelSize
	}
	if id := d.cfg.ColorSpaceID; id != 0 && p.Ext.Has&uplink.HasColorSpace != 0 {
		b[at] = id<<4 | colorSpaceSize - 1
		copy(b[at+1:], p.Ext.ColorSpace[:])
		at += 1 + colorSpaceSize
	}
	clear(b[at:])
}

// describe writes the extension block of a packet with a dependency descriptor, whose frame number it moves by frames, to b. One too long
// for the one-byte form takes the whole block with it (RFC 8285 §4.1).
func (d *Downlink) describe(b []byte, p *uplink.Packet, descriptor []byte, frames, tseq uint16) {
	long := d.long(len(descriptor))
	form := uint32(oneByteForm)
	if long {
		form = twoByteForm
	}
	binary.BigEndian.PutUint32(b, form<<16|uint32(len(b)/4-1))
	b = b[4:]
	if id := d.cfg.TransportSeqID; id != 0 {
		b = putElement(b, id, transportSeqSize, long)
		binary.BigEndian.PutUint16(b, tseq)
		b = b[transportSeqSize:]
	}
	if id := d.cfg.AudioLevelID; id != 0 && p.Ext.Has&uplink.HasLevel != 0 {
		b = putElement(b, id, audioLevelSize, long)
		b[0] = p.Ext.Level
		b = b[audioLevelSize:]
	}
	if id := d.cfg.ColorSpaceID; id != 0 && p.Ext.Has&uplink.HasColorSpace != 0 {
		b = putElement(b, id, colorSpaceSize, long)
		b = b[copy(b, p.Ext.ColorSpace[:]):]
	}
	b = putElement(b, d.cfg.DescriptorID, len(descriptor), long)
	copy(b, descriptor)
	binary.BigEndian.PutUint16(b[1:], binary.BigEndian.Uint16(descriptor[1:])+frames)
	clear(b[len(descriptor):])
}

// putElement writes the head of an element and returns where its data go.
func putElement(b []byte, id uint8, size int, long bool) []byte {
	if long {
		b[0], b[1] = id, uint8(size)
		return b[2:]
	}
	b[0] = id<<4 | uint8(size-1)
	return b[1:]
}
