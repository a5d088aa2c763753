package alloc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Kind is what a source shows; it decides what is given up first.
type Kind uint8

// The kinds.
const (
	Camera  Kind = iota // one of many
	Speaker             // who speaks, or holds the stage
	Screen              // shared: sharpness before motion
)

// Layer is one of the choices that a source offers.
type Layer struct {
	Bits          bwe.Bitrate // of all that is sent for it, on the wire
	Width, Height uint16      // pixels; 0 unknown
	Rate          uint8       // pictures a second
	Cheap         bool        // it can be left or entered without a keyframe from the layer one below
}

// Source is one slot that wants video.
type Source struct {
	Kind          Kind
	Priority      uint32  // of the client's wish: a higher one is served first within its kind
	Width, Height uint32  // pixels it is shown in; 0 unknown: as large as there is
	Layers        []Layer // from the least bits to the most; no more than the view takes
	Current       int     // index of the layer that is sent now; Paused: none
	Since         time.Duration
}

// Paused is the layer of a source that gets nothing.
const Paused = -1

// Choice is what one source gets.
type Choice struct {
	Layer   int  // index in Source.Layers, or Paused
	Limited bool // it would get more if there were more bits
}

// Allocator shares one subscriber's bits among its sources. One goroutine; the zero value is ready.
type Allocator struct{}

// Allocate shares bits, of which audio and repair are off already, among sources. It appends a choice for each to out and
// says what all of them would take if there were no bound, and when to ask again although nothing changes (0: no need).
func (a *Allocator) Allocate(now time.Duration, bits bwe.Bitrate, sources []Source, out []Choice) (
	choices []Choice, wants bwe.Bitrate, next time.Duration,
) {
	for range sources {
		out = append(out, Choice{})
	}
	return out, 0, 0
}
