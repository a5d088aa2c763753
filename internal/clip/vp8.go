package clip

import (
	"encoding/binary"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// vp8KeyframeSize is the uncompressed header of a keyframe (RFC 6386 §9.1).
const vp8KeyframeSize = 10

// keyframe reads the size of a picture from the beginning of a frame; false when it is no keyframe.
func keyframe(frame []byte) (width, height int, ok bool) {
	if len(frame) < vp8KeyframeSize || frame[0]&1 != 0 || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return 0, 0, false
	}
	width = int(binary.LittleEndian.Uint16(frame[6:]) & 0x3fff)
	height = int(binary.LittleEndian.Uint16(frame[8:]) & 0x3fff)
	return width, height, true
}

// vp8Payload is the most that goes into one packet: with headers, extensions and IP it stays below 1,280 bytes, which
// every path carries.
const vp8Payload = 1100

const vp8Descriptor = 4 // bytes of RFC 7741 §4.2 in front of each payload, with a picture id of 15 bits

// VP8Piece is how many bytes of a frame PacketizeVP8 puts into each packet but the last.
const VP8Piece = vp8Payload - vp8Descriptor

// PacketizeVP8 cuts a frame into payloads (RFC 7741 §4.2), with a picture id of 15 bits in each.
func PacketizeVP8(frame []byte, pictureID uint16) [][]byte {
	var out [][]byte
	for start := byte(0x10); len(frame) > 0; start = 0 {
		n := min(len(frame), VP8Piece)
		b := make([]byte, vp8Descriptor, vp8Descriptor+n)
		b[0], b[1] = 0x80|start, 0x80
		binary.BigEndian.PutUint16(b[2:], pictureID|0x8000)
		out = append(out, append(b, frame[:n]...))
		frame = frame[n:]
	}
	return out
}

// Frame is a whole frame that was received.
type Frame struct {
	Data          []byte // the receiver's to keep
	Timestamp     uint32
	Keyframe      bool
	Width, Height int // pixels, on keyframes
}

// Assembler makes frames of packets in order. A frame is given out whole or not at all, and after one that is not, nothing
// before the next keyframe: what a decoder gets it can decode. The zero value waits for a keyframe.
type Assembler struct {
	// Abandoned counts the frames that were begun, or needed, and not given out.
	Abandoned uint64

	flows bool // everything since a keyframe is whole
	open  bool // frame has begun
	frame Frame
	last  uint32 // timestamp of the frame counted last
	any   bool
}

// Break says that packets are missing before the next one.
func (a *Assembler) Break() {
	if a.open {
		a.count(a.frame.Timestamp)
	}
	a.flows, a.open = false, false
}

// WantsKeyframe reports whether everything is dropped until one comes.
func (a *Assembler) WantsKeyframe() bool { return !a.flows && (!a.open || !a.frame.Keyframe) }

// Push takes the next packet, and returns the frame it completes.
func (a *Assembler) Push(p *rtp.Packet) (Frame, bool) {
	if len(p.Payload) == 0 {
		return Frame{}, false // padding
	}
	var vp8 codecs.VP8Packet
	data, err := vp8.Unmarshal(p.Payload)
	if err != nil || len(data) == 0 {
		a.spoil(p.Timestamp)
		return Frame{}, false
	}
	switch {
	case vp8.S == 1 && vp8.PID == 0:
		if a.open {
			a.spoil(a.frame.Timestamp) // its end never came
		}
		width, height, key := keyframe(data)
		if !key && (!a.flows || data[0]&1 == 0) {
			a.spoil(p.Timestamp)
			return Frame{}, false
		}
		a.open = true
		a.frame = Frame{Timestamp: p.Timestamp, Keyframe: key, Width: width, Height: height}
	case !a.open || p.Timestamp != a.frame.Timestamp || len(a.frame.Data)+len(data) > maxFrame:
		a.spoil(p.Timestamp)
		return Frame{}, false
	}
	a.frame.Data = append(a.frame.Data, data...)
	if !p.Marker {
		return Frame{}, false
	}
	a.open, a.flows = false, true
	return a.frame, true
}

// spoil drops everything up to the next keyframe.
func (a *Assembler) spoil(timestamp uint32) {
	a.Break()
	a.count(timestamp)
}

func (a *Assembler) count(timestamp uint32) {
	if !a.any || a.last != timestamp {
		a.Abandoned++
		a.last, a.any = timestamp, true
	}
}
