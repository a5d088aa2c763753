package uplink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

// LayerRate is what one layer of an encoding brings, without the layers below.
type LayerRate struct {
	Layer         codec.Layer
	Bits          uint32 // a second, payload
	Frames        uint16 // a second
	Width, Height uint16 // of the spatial layer; 0 unknown
}

// Rates appends what each layer that sends brought within the last second, base first; nothing when none does. For
// decisions that come a few times a second.
func (u *Uplink) Rates(now time.Duration, dst []LayerRate) []LayerRate { return dst }
