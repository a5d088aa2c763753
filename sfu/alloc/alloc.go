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

	// Since is when Current began. Of a slot that has just begun to show this source it is that moment.
	Since time.Duration
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
		a.above = false
		if !a.thin(bits) {
			a.fall(bits)
		}
	} else {
		a.rise(now, bits, sent)
	}
	a.note(now, bits)
	for i := range a.sources {
		s := &a.sources[i]
		chosen := a.plan.layers[i]
		out = append(out, Choice{Layer: chosen, Limited: chosen < s.best})
		if s.best != Paused {
			wants += a.bitsOf(i, s.best)
		}
		if chosen != s.current {
			s.current, s.since = chosen, now
		}
	}
	return out, wants, a.next(now, bits, a.plan.bits < wants, a.sources)
}

// Step is the least of bits with which the last Allocate would have given somebody more, headroom included; 0: nobody would
// take more. It is what a probe has to prove. Valid until the next call of Allocate or Best.
func (a *Allocator) Step() bwe.Bitrate { return a.nextStep(&a.plan) }

// Best shares bits as if for the first and the only time: without headroom, and whatever flows. It appends a choice for each
// source to out. What it gives is the measure of what Allocate gives.
func (a *Allocator) Best(bits bwe.Bitrate, sources []Source, out []Choice) []Choice {
	a.weigh(sources)
	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = Paused, s.best
	}
	a.share(&a.anew, bits)
	for i, l := range a.anew.layers {
		out = append(out, Choice{Layer: l, Limited: l < a.sources[i].best})
	}
	return out
}

// thin takes what can be taken without a keyframe, and says whether that is enough. An estimator that drains a queue asks for
// much less for a moment, and for nearly as much as before in the next: no picture is worth changing its size for that.
func (a *Allocator) thin(bits bwe.Bitrate) bool {
	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = a.bottom(i, s.current), s.current
		if a.isNew(s) {
			s.cap = s.base
		}
	}
	a.share(&a.plan, bits)
	return a.plan.bits <= bits
}

// fall takes from those who have, and gives nobody more but the least layer to who is new.
func (a *Allocator) fall(bits bwe.Bitrate) {
	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = Paused, s.current
		if a.isNew(s) {
			s.cap = s.base
		}
	}
	a.share(&a.plan, bits)
}

// rise gives what is spare. What flows stays, unless sharing all of it again is clearly better.
func (a *Allocator) rise(now time.Duration, bits, sent bwe.Bitrate) {
	keyed, cheap := a.mayRise(now)
	room := a.room(now, bits)
	a.mayHave(keyed, cheap)
	a.share(&a.plan, room)
	if cheap && a.held(now, bits) && !a.cautious(now) { // what failed took keyframes
		for i := range a.sources {
			s := &a.sources[i]
			s.floor, s.cap = a.plan.layers[i], a.top(i, a.plan.layers[i])
		}
		a.share(&a.plan, bits*headroomBy/headroomOf)
	}

	a.mayHave(keyed, cheap)
	for i := range a.sources {
		if s := &a.sources[i]; s.current == Paused || now-s.since >= rest {
			s.floor = Paused
		} else {
			s.cap = s.floor
		}
	}
	a.share(&a.anew, max(room, min(sent, bits)))
	if a.better(now, &a.anew) {
		a.plan, a.anew = a.anew, a.plan
	}
}

// mayHave says what each source may have when nothing is taken.
func (a *Allocator) mayHave(keyed, cheap bool) {
	for i := range a.sources {
		s := &a.sources[i]
		s.floor, s.cap = s.current, s.best
		switch {
		case keyed || a.isNew(s):
		case cheap:
			s.cap = a.top(i, s.current)
		default:
			s.cap = s.current
		}
	}
}

// note keeps what the plan changes.
func (a *Allocator) note(now time.Duration, bits bwe.Bitrate) {
	var keyedUp, keyedDown, cheapUp, cheapDown bool
	for i := range a.sources {
		from, to := a.sources[i].current, a.plan.layers[i]
		keyed := a.bottom(i, from) != a.bottom(i, to)
		keyedUp, keyedDown = keyedUp || keyed && to > from, keyedDown || keyed && to < from
		cheapUp, cheapDown = cheapUp || !keyed && to > from, cheapDown || !keyed && to < from
	}
	a.settle(now, bits)
	switch {
	case keyedUp && !keyedDown:
		a.rose(now, a.plan.bits)
	case keyedDown && !keyedUp:
		a.fell(now)
	}
	if cheapDown && !cheapUp {
		a.shed, a.shedAt = true, now
	}
}

// bottom is the lowest layer that a source can leave another one for without a keyframe, and top the highest.
func (a *Allocator) bottom(i, layer int) int {
	for layer > 0 && a.optionsOf(i)[layer].cheap {
		layer--
	}
	return layer
}

func (a *Allocator) top(i, layer int) int {
	options := a.optionsOf(i)
	for layer != Paused && layer+1 < len(options) && options[layer+1].cheap {
		layer++
	}
	return layer
}
