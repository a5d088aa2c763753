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
	Rate          uint8       // pictures a second; 0 unknown
	Cheap         bool        // it can be left or entered without a keyframe from the layer one below
}

// Source is one slot that wants video.
type Source struct {
	Kind          Kind
	Priority      uint32  // of the client's wish: a higher one is served first within its kind
	Width, Height uint32  // pixels it is shown in; 0 unknown: as large as there is
	Layers        []Layer // from the least bits to the most; no more than the view takes
	Current       int     // index of the layer that it was given last, sent already or on its way; Paused: none
	Since         time.Duration
	// Since is when Current began. Of a slot that has just begun to show this source it is that moment.
}

// Paused is the layer of a source that gets nothing.
const Paused = -1

// Choice is what one source gets.
type Choice struct {
	Layer   int  // index in Source.Layers, or Paused
	Limited bool // it would get more if there were more bits
}

// Allocator shares one subscriber's bits among its sources. One goroutine; the zero value is ready.
type Allocator struct {
	steady
	search search

	sources []source // as they are weighed now
	options []option // of all sources
	order   []int
	steps   []upgrade
	plan    plan // of this call
	anew    plan
	step    bwe.Bitrate
}

// Allocate shares bits, of which audio and repair are off already, among sources. It appends a choice for each to out and
// says what all of them would take if there were no bound, and when to ask again although nothing changes (0: no need).
// Ask whenever bits, sources or their layers change. Nothing is kept of the slices.
func (a *Allocator) Allocate(now time.Duration, bits bwe.Bitrate, sources []Source, out []Choice) (
	choices []Choice, wants bwe.Bitrate, next time.Duration,
) {
	bits = max(bits, 0)
	a.weigh(sources)
	sent := a.sent()
	if a.exceeds(now, bits, sent) {
		a.fall(bits)
		a.fell(now, bits, sent, a.plan.bits)
	} else {
		a.rise(now, bits, sent)
		a.rose(now, sent, a.plan.bits)
	}
	for i := range a.sources {
		s := &a.sources[i]
		chosen := a.plan.layers[i]
		out = append(out, Choice{Layer: chosen, Limited: chosen < s.best})
		if s.best != Paused {
			wants += a.bitsOf(i, s.best)
		}
	}
	a.step = a.nextStep(&a.plan)
	return out, wants, a.next(now, bits, a.plan.bits < wants)
}

// Step is the least of bits with which the last Allocate would have given somebody more, headroom included; 0: nobody would
// take more. It is what a probe has to prove.
func (a *Allocator) Step() bwe.Bitrate { return a.step }

// fall takes from those who have, and gives nobody more but the least layer to who is new. Nothing that takes a keyframe
// begins here, except that a lower encoding takes the place of a higher one.
func (a *Allocator) fall(bits bwe.Bitrate) {
	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = Paused, s.current
		if s.current == Paused && a.isNew(s) {
			s.cap = s.base
		}
	}
	a.share(&a.plan, bits)
}

// rise gives what is spare. What flows stays, unless sharing all of it again is clearly better.
func (a *Allocator) rise(now time.Duration, bits, sent bwe.Bitrate) {
	room := a.bound(now, bits, withHeadroom(bits))
	allowed := a.mayRise(now)
	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = s.current, s.best
		if !allowed && !a.isNew(s) {
			s.cap = s.current
		}
	}
	a.share(&a.plan, room)
	if allowed {
		a.fillCheaply(&a.plan, a.bound(now, bits, withLittleHeadroom(bits)))
	}

	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = Paused, s.best
		if now-s.since < rest && s.current != Paused {
			s.floor, s.cap = s.current, s.current
		}
	}
	a.share(&a.anew, max(room, min(sent, bits)))
	if a.anew.clearlyBetter(&a.plan) {
		a.plan, a.anew = a.anew, a.plan
	}
}
