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

// View says how large a slot's video should be.
type View struct {
	Width, Height uint32 // pixels on screen; 0 when unknown: as large as there is
	Detail        bool   // a screen: sharpness before motion
	Limited       bool   // the device and not the client's wish keeps it so small
}
