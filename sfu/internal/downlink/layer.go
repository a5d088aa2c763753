package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

// SetLayer says how much of its source the slot shall show, codec.Everything at first. Less begins with the next frame; more
// where the stream lets it in: a temporal layer at a frame that may be switched up to, a spatial one at its entry.
// WantsKeyframe is true while that is not in sight.
func (d *Downlink) SetLayer(now time.Duration, l codec.Layer) {}

// Layer returns what of the current source flows now.
func (d *Downlink) Layer() codec.Layer { return codec.Layer{} }
