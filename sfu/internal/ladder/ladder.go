package ladder

import "github.com/tolkyn/tolkyn/codec"

// Rung is one choice: an encoding of a track, and how much of it.
type Rung struct {
	Encoding      int // in the publisher's order
	Layer         codec.Layer
	Bits          uint32 // a second, with all the layers that it needs, as measured
	Width, Height uint16 // 0 unknown
	Rate          uint8  // pictures a second, as measured
}
