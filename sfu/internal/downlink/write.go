package downlink

import (
	"encoding/binary"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	headerSize = 12 // RFC 3550 §5.1, without CSRC and extension

	transportSeqSize = 1 + 2 // one-byte header and 16 bits (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2)
	audioLevelSize   = 1 + 1 // one-byte header and one byte (RFC 6464 §3)
	colorSpaceSize   = 1 + 4 // one-byte header and 4 bytes (libwebrtc's docs/native-code/rtp-hdrext/color-space)
)

// extensionSizes returns the extension block's bytes for each set that a packet may carry: the 4-byte head and the elements
// the slot has negotiated, padded to 32 bits (RFC 8285 §4.2); 0 when there is no element.
func extensionSizes(cfg Config) (sizes [uplink.CarriedSets]int) {
	for has := range uplink.CarriedSets {
		n := 0
		if cfg.TransportSeqID != 0 {
			n += transportSeqSize
		}
		if cfg.AudioLevelID != 0 && has&uplink.HasLevel != 0 {
			n += audioLevelSize
		}
		if cfg.ColorSpaceID != 0 && has&uplink.HasColorSpace != 0 {
			n += colorSpaceSize
		}
		if n > 0 {
			sizes[has] = 4 + (n+3)&^3
		}
	}
	return sizes
}

// write puts the RTP header in front of the payload of p: fixed part, CSRC unless name is 0, extension block.
func (d *Downlink) write(dst []byte, p *uplink.Packet, payloadType uint8, ssrc uint32, sequence uint16, timestamp, name uint32, tseq uint16, padding bool) int {
	n := packet.PutHeader(dst, packet.Header{
		Sequence: sequence, Timestamp: timestamp, SSRC: ssrc, PayloadType: payloadType, Marker: p.Marker, Padding: padding,
	})
	if name != 0 {
		n = packet.PutCSRC(dst, n, name)
	}
	size := d.extSizes[p.Ext.Has]
	if size == 0 {
		return n
	}
	dst[0] |= 0x10 // X
	b := dst[n : n+size]
	binary.BigEndian.PutUint32(b, 0xbede0000|uint32(size/4-1))
	at := 4
	if id := d.cfg.TransportSeqID; id != 0 {
		b[at] = id<<4 | 1
		binary.BigEndian.PutUint16(b[at+1:], tseq)
		at += transportSeqSize
	}
	if id := d.cfg.AudioLevelID; id != 0 && p.Ext.Has&uplink.HasLevel != 0 {
		b[at], b[at+1] = id<<4, p.Ext.Level
		at += audioLevelSize
	}
	if id := d.cfg.ColorSpaceID; id != 0 && p.Ext.Has&uplink.HasColorSpace != 0 {
		b[at] = id<<4 | 3
		copy(b[at+1:], p.Ext.ColorSpace[:])
		at += colorSpaceSize
	}
	clear(b[at:])
	return n + size
}
