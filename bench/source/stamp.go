package source

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/tolkyn/tolkyn/internal/clip"
)

// Stamp says who sent a frame, which of its frames it is, and when. For sound, a frame is a packet of Opus.
type Stamp struct {
	Sender uint32 // see Sender
	Frame  uint32 // counts the frames that this sender sent, from 0
	Sent   int64  // µs since the Unix epoch, -2⁵⁵ to 2⁵⁵-1: a thousand years each way
}

// StampSize is how many bytes a stamp takes in a VP8 frame: 20. In a packet of Opus it is opusStamp, and up to three bytes
// for what a packet must say of its padding.
//
//	0        4        8    9          16      20
//	| sender | frame  |0xa7|   sent   | CRC-32C of all before |   big-endian
const StampSize = 20

// stampMagic and a checksum of 32 bits keep other bytes from being taken for a stamp: one in 2⁴⁰ would be.
const stampMagic = 0xa7

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Limits of what Sender packs.
const (
	MaxCaller = 1<<24 - 1
	MaxTrack  = 1<<4 - 1
	MaxLayer  = 1<<4 - 1
)

// Sender packs who sends into the field of a Stamp: caller 0 to MaxCaller, track 0 to MaxTrack, layer 0 to MaxLayer. Higher
// bits of each are cut off.
func Sender(caller, track, layer int) uint32 {
	return uint32(caller&MaxCaller)<<8 | uint32(track&MaxTrack)<<4 | uint32(layer&MaxLayer)
}

// Caller is the caller's number, as Sender packed it.
func (s Stamp) Caller() int { return int(s.Sender >> 8) }

// Track is the number of the caller's track, as Sender packed it.
func (s Stamp) Track() int { return int(s.Sender >> 4 & MaxTrack) }

// Layer is the layer of the track, as Sender packed it.
func (s Stamp) Layer() int { return int(s.Sender & MaxLayer) }

func (s Stamp) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, s.Sender)
	dst = binary.BigEndian.AppendUint32(dst, s.Frame)
	dst = binary.BigEndian.AppendUint64(dst, stampMagic<<56|uint64(s.Sent)&(1<<56-1))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// readStamp reads exactly the bytes that append wrote.
func readStamp(b []byte) (Stamp, bool) {
	if len(b) != StampSize || b[8] != stampMagic ||
		binary.BigEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return Stamp{}, false
	}
	return Stamp{
		Sender: binary.BigEndian.Uint32(b),
		Frame:  binary.BigEndian.Uint32(b[4:]),
		Sent:   int64(binary.BigEndian.Uint64(b[8:])<<8) >> 8, // the shift back keeps the sign
	}, true
}

// AppendVP8 appends the frame and, behind its last partition, the stamp. Where clip.PacketizeVP8 would cut the stamp in two,
// zeros before it push it into the next packet whole, so that whoever has the last packet has the stamp. It allocates only
// where dst has no room; dst and frame must not overlap.
func AppendVP8(dst, frame []byte, s Stamp) []byte {
	dst = append(dst, frame...)
	if left := clip.VP8Piece - len(frame)%clip.VP8Piece; left < StampSize {
		var zeros [StampSize]byte
		dst = append(dst, zeros[:left]...)
	}
	return s.append(dst)
}

// ReadVP8 reads the stamp of a whole frame; false when it has none.
func ReadVP8(frame []byte) (Stamp, bool) { return ReadTail(frame) }

// ReadTail reads the stamp from the payload of the last packet of a VP8 frame (that with the marker), RTP padding removed.
func ReadTail(payload []byte) (Stamp, bool) {
	if len(payload) < StampSize {
		return Stamp{}, false
	}
	return readStamp(payload[len(payload)-StampSize:])
}
