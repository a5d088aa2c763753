package light

import (
	"cmp"
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

// Media is what a track sends. Its times begin at 0 with the first frame. One goroutine at a time; a source.Player is one.
type Media interface {
	// Due is when the next frame is to be sent.
	Due() time.Duration
	// Request asks for a picture that can be decoded alone; it may make the next frame due at once.
	Request(now time.Duration)
	// Take appends the next frame to dst, stamped as sent at sent (µs since the Unix epoch).
	Take(dst []byte, now time.Duration, sent int64) (source.Frame, error)
}

const (
	// opusStamped is what a stamp adds to a packet of one frame: count, length of the padding, the extension.
	opusStamped = 4 + source.StampSize
	// maxOpusFrame is RFC 6716's limit (§3.4, R2).
	maxOpusFrame = 1275
	// keyframeHead is frame tag, start code and size of a VP8 keyframe (RFC 6386 §9.1).
	keyframeHead = 10
)

// Noise is media of any rate that nobody can decode; a server, which looks at headers, cannot tell. One goroutine.
type Noise struct {
	kind   measure.Kind
	every  time.Duration
	sizes  []int // of the frames, over and over, stamp included
	sender uint32
	began  uint32 // timestamp of 0
	width  uint16 // of pictures, in pixels
	height uint16

	raw    []byte
	number uint32 // of the next frame's place in time
	taken  uint32
	key    bool // the next frame is to be one
}

// NewNoise returns media of frames (of sound: packets) of these sizes in bytes, over and over, one after each time every.
func NewNoise(kind measure.Kind, sender uint32, every time.Duration, sizes ...int) *Noise {
	n := &Noise{
		kind: kind, every: max(every, time.Millisecond), sizes: sizes, sender: sender, began: sender * 2654435761, key: true,
		width: 1280, height: 720,
	}
	largest := keyframeHead
	for _, size := range sizes {
		largest = max(largest, size)
	}
	n.raw = make([]byte, largest)
	for i := range n.raw {
		n.raw[i] = byte(i * 151) // not all alike
	}
	return n
}

// noiseOf makes noise at the rate of a layer of a scenario's track.
func noiseOf(t scenario.Track, layer int, sender uint32) *Noise {
	kind, every, rate := measure.Video, time.Second/time.Duration(cmp.Or(t.FPS, 30)), int64(1_200_000)
	width, height := uint16(1280), uint16(720)
	e := t.Encodings()[layer]
	switch e.Profile {
	case scenario.P180:
		rate, width, height = 120_000, 320, 180
	case scenario.P360:
		rate, width, height = 400_000, 640, 360
	}
	if t.Media == scenario.Microphone {
		kind, every, rate = measure.Audio, 20*time.Millisecond, 32_000
		if t.Profile == scenario.Saver || t.Profile == scenario.Lean {
			every = 60 * time.Millisecond
		}
	}
	if e.Bitrate > 0 {
		rate = int64(e.Bitrate)
	}
	n := NewNoise(kind, sender, every, int(rate*int64(every)/int64(8*time.Second)))
	n.width, n.height = width, height
	return n
}

// Due is Media's.
func (n *Noise) Due() time.Duration { return time.Duration(n.number) * n.every }

// Request is Media's: the next frame is a keyframe, when its time has come.
func (n *Noise) Request(time.Duration) { n.key = true }

// Take is Media's. What was slept through for more than a second is left out, not sent at once.
func (n *Noise) Take(dst []byte, now time.Duration, sent int64) (source.Frame, error) {
	if late := now - n.Due(); late > time.Second {
		n.number += uint32(late / n.every)
	}
	f := source.Frame{
		Stamp:     source.Stamp{Sender: n.sender, Frame: n.taken, Sent: sent},
		Timestamp: n.began + uint32(int64(n.Due())*clockOf(n.kind)/int64(time.Second)),
		Keyframe:  n.key || n.kind == measure.Audio,
	}
	size := n.sizes[int(n.number)%len(n.sizes)]
	if n.kind == measure.Audio {
		n.raw[0] = 0x78 // 20 ms of wide sound, one frame (RFC 6716 §3.1)
		if n.every == 60*time.Millisecond {
			n.raw[0] = 0x58
		}
		f.Data = source.AppendOpus(dst, n.raw[:min(max(size-opusStamped, 2), maxOpusFrame)], f.Stamp)
	} else {
		n.raw[0] = 0x11 // not a keyframe, shown
		if n.key {
			copy(n.raw, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a})
			binary.LittleEndian.PutUint16(n.raw[6:], n.width)
			binary.LittleEndian.PutUint16(n.raw[8:], n.height)
		}
		f.Data = source.AppendVP8(dst, n.raw[:max(size-source.StampSize, keyframeHead)], f.Stamp)
	}
	n.key = false
	n.number++
	n.taken++
	return f, nil
}

// clockOf is the RTP clock in Hz: Opus's (RFC 7587 §4.1), VP8's (RFC 7741 §4.1).
func clockOf(kind measure.Kind) int64 {
	if kind == measure.Audio {
		return 48000
	}
	return 90000
}
