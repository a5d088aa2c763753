package codec

import (
	"encoding/binary"
	"time"
)

// The values of header extensions that speak of the media in a packet. Readers take the value alone, without id and length.

// AudioLevel is how loud a packet is (RFC 6464).
type AudioLevel struct {
	Level uint8 // in −dBov: 0 the loudest, 127 silence
	Voice bool  // the encoder believes that somebody speaks
}

// ReadAudioLevel reads RFC 6464's byte.
func ReadAudioLevel(b []byte) (l AudioLevel, ok bool) {
	if len(b) != 1 {
		return AudioLevel{}, false
	}
	return AudioLevel{Level: b[0] & 0x7f, Voice: b[0]&0x80 != 0}, true
}

// AppendAudioLevel appends RFC 6464's byte.
func AppendAudioLevel(dst []byte, l AudioLevel) []byte {
	b := min(l.Level, 0x7f)
	if l.Voice {
		b |= 0x80
	}
	return append(dst, b)
}

// Orientation is how a picture is to be shown (coordination of video orientation, 3GPP TS 26.114 §7.4.5).
type Orientation struct {
	Rotation   uint16 // by how many degrees the receiver turns it clockwise: 0, 90, 180 or 270
	Mirrored   bool   // the receiver flips it left to right
	BackCamera bool   // it looks away from the person who holds the device
}

// ReadOrientation reads the CVO byte; its four reserved bits are ignored.
func ReadOrientation(b []byte) (o Orientation, ok bool) {
	if len(b) != 1 {
		return Orientation{}, false
	}
	return Orientation{Rotation: 90 * uint16(b[0]&3), Mirrored: b[0]&4 != 0, BackCamera: b[0]&8 != 0}, true
}

// AppendOrientation appends the CVO byte, the rotation cut to whole quarters of a turn.
func AppendOrientation(dst []byte, o Orientation) []byte {
	b := uint8(o.Rotation / 90 & 3)
	if o.Mirrored {
		b |= 4
	}
	if o.BackCamera {
		b |= 8
	}
	return append(dst, b)
}

// CaptureTime is when the first sample or the picture of a packet was captured (abs-capture-time of WebRTC). Times are in
// 2^-32 s.
type CaptureTime struct {
	NTP       uint64 // since 1900, by the clock of whoever captured it
	Offset    int64  // what to add to that clock to get the sender's
	HasOffset bool
}

// ReadCaptureTime reads 8 bytes, or 16 with the offset.
func ReadCaptureTime(b []byte) (t CaptureTime, ok bool) {
	switch len(b) {
	case 8:
		return CaptureTime{NTP: binary.BigEndian.Uint64(b)}, true
	case 16:
		return CaptureTime{
			NTP: binary.BigEndian.Uint64(b), Offset: int64(binary.BigEndian.Uint64(b[8:])), HasOffset: true,
		}, true
	default:
		return CaptureTime{}, false
	}
}

// AppendCaptureTime appends 8 bytes, or 16 with the offset.
func AppendCaptureTime(dst []byte, t CaptureTime) []byte {
	dst = binary.BigEndian.AppendUint64(dst, t.NTP)
	if t.HasOffset {
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.Offset))
	}
	return dst
}

// playoutStep is the unit of a playout delay, and its 12 bits make 40.95 s the most that can be asked for.
const (
	playoutStep  = 10 * time.Millisecond
	playoutLimit = 1<<12 - 1
)

// PlayoutDelay is how long a receiver should hold the pictures back (playout-delay of WebRTC), in steps of 10 ms.
type PlayoutDelay struct{ Min, Max time.Duration }

// ReadPlayoutDelay reads two numbers of 12 bits; a least above the most is refused.
func ReadPlayoutDelay(b []byte) (d PlayoutDelay, ok bool) {
	if len(b) != 3 {
		return PlayoutDelay{}, false
	}
	d.Min = time.Duration(int(b[0])<<4|int(b[1])>>4) * playoutStep
	d.Max = time.Duration(int(b[1]&0xf)<<8|int(b[2])) * playoutStep
	if d.Min > d.Max {
		return PlayoutDelay{}, false
	}
	return d, true
}

// AppendPlayoutDelay appends the delays cut to whole steps between 0 and 40.95 s, the most no less than the least.
func AppendPlayoutDelay(dst []byte, d PlayoutDelay) []byte {
	least := min(max(d.Min/playoutStep, 0), playoutLimit)
	most := min(max(d.Max/playoutStep, least), playoutLimit)
	return append(dst, byte(least>>4), byte(least<<4)|byte(most>>8), byte(most))
}

// Limits of a layers allocation, those of its format.
const (
	MaxAllocatedStreams = 4 // RTP streams of a simulcast
	MaxAllocatedSpatial = 4 // spatial layers in each
)

// LayersAllocation is what a publisher says of the layers it sends (video-layers-allocation00 of WebRTC). It is a claim:
// good for what to expect, not for how much has come.
type LayersAllocation struct {
	Stream   int // number of the RTP stream that it came on, from 0, the smallest
	Streams  int // how many there are, 1 to 4; 0: nothing is sent
	HasSizes bool
	Layers   [MaxAllocatedStreams][MaxAllocatedSpatial]AllocatedLayer // by stream and spatial layer
}

// AllocatedLayer is one spatial layer of one RTP stream.
type AllocatedLayer struct {
	Temporal  uint8     // temporal layers, 1 to 4; 0: the layer is not sent
	Rates     [4]uint32 // kbit/s by temporal layer, with all the layers that it needs
	Width     uint16    // in pixels; 0 without sizes
	Height    uint16
	FrameRate uint8 // pictures a second at most
}

// ReadLayersAllocation reads a layers allocation. False: cut short, something behind its end, or a rate above 32 bits.
func ReadLayersAllocation(b []byte) (a LayersAllocation, ok bool) {
	if len(b) == 1 && b[0] == 0 {
		return LayersAllocation{}, true
	}
	if len(b) == 0 {
		return LayersAllocation{}, false
	}
	a.Stream, a.Streams = int(b[0]>>6), int(b[0]>>4&3)+1
	active, rest, ok := allocatedMasks(b, a.Streams)
	if !ok || a.Stream >= a.Streams {
		return LayersAllocation{}, false
	}
	// The layers sent, as one number each: 4·stream + spatial layer.
	var sent [MaxAllocatedStreams * MaxAllocatedSpatial]uint8
	n := 0
	for i := range uint8(MaxAllocatedStreams * MaxAllocatedSpatial) {
		if active>>i&1 != 0 {
			sent[n] = i
			n++
		}
	}
	if rest, ok = a.readTemporal(sent[:n], rest); !ok {
		return LayersAllocation{}, false
	}
	if rest, ok = a.readRates(sent[:n], rest); !ok {
		return LayersAllocation{}, false
	}
	if len(rest) == 0 {
		return a, true
	}
	if len(rest) != 5*n {
		return LayersAllocation{}, false
	}
	a.readSizes(sent[:n], rest)
	return a, true
}

// allocatedMasks reads which layers are sent: bit 4·stream + spatial layer.
func allocatedMasks(b []byte, streams int) (active uint16, rest []byte, ok bool) {
	if same := uint16(b[0] & 0xf); same != 0 {
		for i := range streams {
			active |= same << (4 * i)
		}
		return active, b[1:], true
	}
	size := (streams + 1) / 2
	if len(b) < 1+size {
		return 0, nil, false
	}
	for i := range streams {
		mask := b[1+i/2]
		if i%2 == 0 {
			mask >>= 4
		}
		active |= uint16(mask&0xf) << (4 * i)
	}
	return active, b[1+size:], true
}

func (a *LayersAllocation) layer(number uint8) *AllocatedLayer {
	return &a.Layers[number/4%4][number%4]
}

// readTemporal reads the numbers of temporal layers, four to a byte.
func (a *LayersAllocation) readTemporal(sent []uint8, b []byte) (rest []byte, ok bool) {
	size := (len(sent) + 3) / 4
	if len(b) < size {
		return nil, false
	}
	for i, number := range sent {
		a.layer(number).Temporal = b[i/4]>>(6-2*(i%4))&3 + 1
	}
	return b[size:], true
}

// readRates reads a leb128 number for each temporal layer.
func (a *LayersAllocation) readRates(sent []uint8, b []byte) (rest []byte, ok bool) {
	for _, number := range sent {
		l := a.layer(number)
		for t := range l.Temporal {
			v, at := uint64(0), 0
			for {
				if at == len(b) || at == 5 {
					return nil, false
				}
				v |= uint64(b[at]&0x7f) << (7 * at)
				at++
				if b[at-1]&0x80 == 0 {
					break
				}
			}
			if v > 1<<32-1 {
				return nil, false
			}
			l.Rates[t], b = uint32(v), b[at:]
		}
	}
	return b, true
}

// readSizes reads width and height less 1, and the frame rate, of each layer.
func (a *LayersAllocation) readSizes(sent []uint8, b []byte) {
	a.HasSizes = true
	for i, number := range sent {
		l := a.layer(number)
		l.Width = uint16(min(int(binary.BigEndian.Uint16(b[5*i:]))+1, 0xffff))
		l.Height = uint16(min(int(binary.BigEndian.Uint16(b[5*i+2:]))+1, 0xffff))
		l.FrameRate = b[5*i+4]
	}
}
