package uplink

// Extensions are the header extensions of a packet that go on to the subscribers as they came: what the publisher says of
// the media in this packet. The zero value carries none.
type Extensions struct {
	Has        Carried
	Level      uint8   // RFC 6464 §3: voice activity and level
	ColorSpace [4]byte // primaries, transfer, matrix, range and chroma siting; libwebrtc's color-space without HDR metadata
}

// Carried is a set of Extensions.
type Carried uint8

// The members of the set, and how many sets there are.
const (
	HasLevel Carried = 1 << iota
	HasColorSpace
	CarriedSets
)

// SetLevel takes the data of an audio level extension; empty data is none.
func (x *Extensions) SetLevel(data []byte) {
	if len(data) > 0 {
		x.Has |= HasLevel
		x.Level = data[0]
	}
}

// SetColorSpace takes the data of a color-space extension. Its form with HDR metadata, 28 bytes in a two-byte header, is
// not carried: cut to 4 it would tell the colours of another picture.
func (x *Extensions) SetColorSpace(data []byte) {
	if len(data) == len(x.ColorSpace) {
		x.Has |= HasColorSpace
		x.ColorSpace = [4]byte(data)
	}
}
