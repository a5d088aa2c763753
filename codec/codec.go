package codec

// Codec is a media format that the server forwards. The zero value is none of them.
type Codec uint8

// The codecs. Count is one more than the last: the size of an array indexed by Codec.
const (
	Opus Codec = iota + 1
	VP8
	Count int = iota + 1
)

// String returns the codec's name as it stands in SDP, "unknown" for none.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case VP8:
		return "VP8"
	default:
		return "unknown"
	}
}

// ClockRate returns the RTP timestamp's ticks a second (RFC 7587 §4.1, RFC 7741 §4.1), 0 for no codec.
func (c Codec) ClockRate() uint32 {
	switch c {
	case Opus:
		return 48000
	case VP8:
		return 90000
	default:
		return 0
	}
}

// Video reports whether the codec carries pictures.
func (c Codec) Video() bool { return c == VP8 }

// Meta is what forwarding needs to know of one packet. It holds no pointers.
type Meta struct {
	Keyframe bool // set on the first packet of a keyframe only
	Start    bool // first packet of a frame
	End      bool // last packet of a frame

	HasPictureID  bool
	LongPictureID bool // 15 bits rather than 7
	HasTL0        bool
	HasTID        bool
	Sync          bool // layer sync: decodable after base-layer frames alone; meaningful with HasTID

	PictureID uint16
	TL0       uint8 // TL0PICIDX, the running number of base-layer frames
	TID       uint8 // temporal layer, 0 is the base

	Width, Height uint16 // in pixels, on keyframes
}

// Inspect reads one packet's payload, with padding removed. marker is the RTP header's marker bit. An empty payload,
// which is what padding-only packets have, yields the zero Meta and true; false means malformed or no known codec.
func (c Codec) Inspect(payload []byte, marker bool) (Meta, bool) {
	if c != Opus && c != VP8 {
		return Meta{}, false
	}
	if len(payload) == 0 {
		return Meta{}, true
	}
	if c == Opus {
		return inspectOpus(), true
	}
	return inspectVP8(payload, marker)
}
