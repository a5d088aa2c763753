package codec

// Codec is a media format that the server forwards. The zero value is none of them.
type Codec uint8

// The codecs. Count is one more than the last: the size of an array indexed by Codec.
const (
	Opus Codec = iota + 1
	VP8
	VP9
	H264
	AV1
	Count int = iota + 1
)

// String returns the codec's name as it stands in SDP, "unknown" for none.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case VP8:
		return "VP8"
	case VP9:
		return "VP9"
	case H264:
		return "H264"
	case AV1:
		return "AV1"
	default:
		return "unknown"
	}
}

// ClockRate returns the RTP timestamp's ticks a second (RFC 7587 §4.1, RFC 7741 §4.1, RFC 9628 §4.1, RFC 6184 §5.1, AV1's
// RTP specification §4.1), 0 for no codec.
func (c Codec) ClockRate() uint32 {
	switch c {
	case Opus:
		return 48000
	case VP8, VP9, H264, AV1:
		return 90000
	default:
		return 0
	}
}

// Video reports whether the codec carries pictures.
func (c Codec) Video() bool { return c >= VP8 && int(c) < Count }

// Layer is a point in a scalable stream: a spatial and a temporal layer, counted from 0, the base.
type Layer struct{ Spatial, Temporal uint8 }

// Holds says whether who receives l receives a frame of layer of, as a rule: structures may say otherwise (Descriptor).
func (l Layer) Holds(of Layer) bool { return of.Spatial <= l.Spatial && of.Temporal <= l.Temporal }

// Everything is above every layer there is.
var Everything = Layer{Spatial: 255, Temporal: 255}

// Meta is what forwarding needs to know of one packet. It holds no pointers. A frame is one spatial layer of one picture;
// where there is one spatial layer, frame and picture are the same.
type Meta struct {
	Keyframe bool // set on the first packet only of a frame that a decoder can begin with; of a picture, its base layer
	Start    bool // first packet of a frame; of H.264, where one packet cannot tell that, of a NAL unit
	End      bool // last packet of a frame
	Last     bool // last packet of a picture: the RTP marker

	HasPictureID  bool // VP8, VP9
	LongPictureID bool // 15 bits rather than 7
	HasTL0        bool // VP8, VP9
	HasLayer      bool // Layer is told; else it is the base

	// SwitchUp: a way up in temporal layers. VP8's Y: who has had only the base layer may receive this frame and its
	// temporal layer from here on (RFC 7741 §4.2). VP9's U: who receives this frame's temporal layer may receive all above
	// it from the next picture on (RFC 9628 §4.2).
	SwitchUp bool
	// Entry: this frame needs no earlier picture, so that its spatial layer can be received from here on by who has had only
	// those below (VP9 without P). Of a base layer it comes with Keyframe.
	Entry bool
	// Inherits: this frame needs the spatial layer below, of the same picture (VP9's D).
	Inherits bool
	// Unused: no higher spatial layer needs this frame (VP9's Z).
	Unused bool
	// Discardable: no later picture needs this frame (VP8's N; H.264's nal_ref_idc 0, on packets with slices).
	Discardable bool

	PictureID uint16
	TL0       uint8 // TL0PICIDX, the running number of base-layer frames
	Layer     Layer

	Width, Height uint16 // in pixels, where the packet tells: of the highest spatial layer that it tells of; 0 else
}

// Inspect reads one packet's payload, with padding removed. marker is the RTP header's marker bit. An empty payload,
// which is what padding-only packets have, yields the zero Meta and true; false means malformed or no known codec.
func (c Codec) Inspect(payload []byte, marker bool) (Meta, bool) {
	if c == 0 || int(c) >= Count {
		return Meta{}, false
	}
	if len(payload) == 0 {
		return Meta{}, true
	}
	switch c {
	case Opus:
		return inspectOpus(), true
	case VP8:
		return inspectVP8(payload, marker)
	case VP9:
		return inspectVP9(payload, marker)
	case H264:
		return inspectH264(payload, marker)
	case AV1:
		return inspectAV1(payload, marker)
	default:
		return Meta{}, false
	}
}
