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
)

// extensionSize returns the extension block's bytes for packets without and with an audio level: the 4-byte head and the
// elements, padded to 32 bits (RFC 8285 §4.2); 0 when there is no element.
func extensionSize(cfg Config) (plain, level int) {
	block := func(n int) int {
		if n == 0 {
			return 0
		}
		return 4 + (n+3)&^3
	}
	n := 0
	if cfg.TransportSeqID != 0 {
		n = transportSeqSize
	}
	plain, level = block(n), block(n)
	if cfg.AudioLevelID != 0 {
		level = block(n + audioLevelSize)
	}
	return plain, level
}

// write puts the RTP header in front of the payload of p: fixed part, CSRC unless name is 0, extension block.
func (d *Downlink) write(dst []byte, p *uplink.Packet, payloadType uint8, ssrc uint32, sequence uint16, timestamp, name uint32, tseq uint16, padding bool) int {
	n := packet.PutHeader(dst, packet.Header{
		Sequence: sequence, Timestamp: timestamp, SSRC: ssrc, PayloadType: payloadType, Marker: p.Marker, Padding: padding,
	})
	if name != 0 {
		n = packet.PutCSRC(dst, n, name)
	}
	size := d.extSize
	if p.Level != uplink.NoLevel {
		size = d.extLevel
	}
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
	if id := d.cfg.AudioLevelID; id != 0 && p.Level != uplink.NoLevel {
		b[at], b[at+1] = id<<4, p.Level
		at += audioLevelSize
	}
	clear(b[at:])
	return n + size
}
