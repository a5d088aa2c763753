package downlink

import (
	"encoding/binary"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	headerSize = 12 // RFC 3550 §5.1, without CSRC and extension

	transportSeqSize = 2 // draft-holmer-rmcat-transport-wide-cc-extensions-01 §2
	audioLevelSize   = 1 // RFC 6464 §3
	colorSpaceSize   = 4 // libwebrtc's docs/native-code/rtp-hdrext/color-space

	oneByteMost = 16     // bytes of an element of the one-byte form (RFC 8285 §4.2)
	oneByteForm = 0xbede // (RFC 8285 §4.2)
	twoByteForm = 0x1000 // with no application bits (RFC 8285 §4.3)
)

// elements are the sizes of what an extension block has beside the dependency descriptor.
type elements struct{ count, bytes int }

// blockSize returns the bytes of the block that has them and a descriptor of so many bytes (0: none) when each element is
// preceded by head bytes: the block's 4-byte head and the elements, padded to 32 bits; 0 when there is none.
func (e elements) blockSize(head, descriptor int) int {
	n := e.count*head + e.bytes
	if descriptor > 0 {
		n += head + descriptor
	}
	if n == 0 {
		return 0
	}
	return 4 + (n+3)&^3
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
	}
	return sets
}

// head is what a packet's header is made of.
type head struct {
	payloadType        uint8
	marker, padding    bool
	sequence, tseq     uint16
	timestamp          uint32
	ssrc               uint32
	name               uint32 // CSRC; 0: none
	descriptor         []byte // nil: none
	frame              uint16 // to be written into it
	extension, element int    // bytes of the extension block, and of the head of each of its elements
}

// head returns what is the same of a packet's header whenever it goes out.
func (d *Downlink) head(s *segment, p *uplink.Packet, at place) head {
	h := head{marker: at.marker && !at.blank, timestamp: p.Timestamp + s.timestamps, element: 1}
	if s.described && p.Structure != 0 && !at.blank {
		h.descriptor, h.frame = d.described(s, p, at), p.Frame.Number+s.frames
		if len(h.descriptor) > oneByteMost {
			h.element = 2
		}
	}
	h.extension = d.extensions[p.Ext.Has].blockSize(h.element, len(h.descriptor))
	return h
}

// describes reports whether a segment that begins with p takes dependency descriptors along. Without the structure, which p
// brings, the others would mean nothing.
func (d *Downlink) describes(p *uplink.Packet) bool {
	return d.cfg.DescriptorID != 0 && p.Frame.Structure && (d.cfg.Mixed || len(d.current.Descriptor(p)) <= oneByteMost)
}

// described returns the packet's dependency descriptor but for the frame number, nil when the subscriber cannot be told.
func (d *Downlink) described(s *segment, p *uplink.Packet, at place) []byte {
	b := s.source.Descriptor(p)
	if at.active != 0 {
		if t := s.source.Structure(p.Structure); t != nil {
			if d.descriptor == nil {
				d.descriptor = make([]byte, 0, codec.MaxDescriptor)
			}
			if told := t.AppendDescriptor(d.descriptor[:0], b, p.Frame.Number, at.active); len(told) > 0 {
				b = told
			}
		}
	}
	if len(b) > oneByteMost && !d.cfg.Mixed {
		return nil
	}
	return b
}

func (h *head) size() int {
	if h.name != 0 {
		return headerSize + 4 + h.extension
	}
	return headerSize + h.extension
}

// write puts the RTP header in front of the payload of p: fixed part, CSRC, extension block.
func (d *Downlink) write(dst []byte, p *uplink.Packet, h *head) {
	n := packet.PutHeader(dst, packet.Header{
		Sequence: h.sequence, Timestamp: h.timestamp, SSRC: h.ssrc, PayloadType: h.payloadType, Marker: h.marker, Padding: h.padding,
	})
	if h.name != 0 {
		n = packet.PutCSRC(dst, n, h.name)
	}
	if h.extension == 0 {
		return
	}
	dst[0] |= 0x10 // X
	w := blockWriter{b: dst[n : n+h.extension], at: 4, long: h.element == 2}
	form := uint32(oneByteForm)
	if w.long {
		form = twoByteForm
	}
	binary.BigEndian.PutUint32(w.b, form<<16|uint32(h.extension/4-1))
	if id := d.cfg.TransportSeqID; id != 0 {
		binary.BigEndian.PutUint16(w.element(id, transportSeqSize), h.tseq)
	}
	if id := d.cfg.AudioLevelID; id != 0 && p.Ext.Has&uplink.HasLevel != 0 {
		w.element(id, audioLevelSize)[0] = p.Ext.Level
	}
	if id := d.cfg.ColorSpaceID; id != 0 && p.Ext.Has&uplink.HasColorSpace != 0 {
		copy(w.element(id, colorSpaceSize), p.Ext.ColorSpace[:])
	}
	if h.descriptor != nil {
		b := w.element(d.cfg.DescriptorID, len(h.descriptor))
		copy(b, h.descriptor)
		binary.BigEndian.PutUint16(b[1:], h.frame)
	}
	clear(w.b[w.at:])
}

// blockWriter writes the elements of an extension block whose size is known.
type blockWriter struct {
	b    []byte
	at   int
	long bool // the two-byte form
}

// element writes the head of one and returns where its data go.
func (w *blockWriter) element(id uint8, size int) []byte {
	if w.long {
		w.b[w.at], w.b[w.at+1] = id, uint8(size)
		w.at += 2
	} else {
		w.b[w.at] = id<<4 | uint8(size-1)
		w.at++
	}
	b := w.b[w.at : w.at+size]
	w.at += size
	return b
}
