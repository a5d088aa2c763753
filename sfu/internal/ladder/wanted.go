package ladder

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

// offAfter is how long nobody must want an encoding or a layer before its publisher is told. 400 ms: a slot that changes
// its source twice in a breath costs no keyframe, and the word still reaches the publisher within a second of the last
// viewer's going, over half a second of network.
const offAfter = 400 * time.Millisecond

// tellGap is the least time between two words to a publisher: the first goes at once, and whoever comes and goes ten times a
// second costs it four words.
const tellGap = 250 * time.Millisecond

// Wanted says which encodings of a track anybody wants, and up to which layer: more at once, less after a while. One
// goroutine.
type Wanted struct {
	encodings []wish
	gap       time.Duration // tellGap; 0 through a pipe, which passes a word on for nothing
	late      bool          // there is something to tell
	spoke     bool          // it was told something before
	toldAt    time.Duration // that was
}

// wish is what is wanted of one encoding.
type wish struct {
	told, wanted       codec.Layer // wanted: collected since Begin
	toldAny, wantedAny bool
	off, lower         delay
}

// delay lets a state count only when it has lasted.
type delay struct {
	waiting bool
	since   time.Duration
}

// lasts says whether is has been true for offAfter, else when to ask again, 0 for no need.
func (d *delay) lasts(now time.Duration, is bool) (lasted bool, next time.Duration) {
	switch {
	case !is:
		d.waiting = false
		return false, 0
	case !d.waiting:
		d.waiting, d.since = true, now
	case now-d.since >= offAfter:
		d.waiting = false
		return true, 0
	}
	return false, d.since + offAfter
}

// NewWanted returns the wishes for a track. Of one that is new, all is sent: its publisher sends everything, and is told so by
// nobody; what nobody has come to want 400 ms later is told off then. Of a track that is mirrored, nothing is.
func NewWanted(encodings int, all bool) *Wanted {
	w := &Wanted{encodings: make([]wish, encodings)}
	if !all {
		return w
	}
	w.gap = tellGap
	for i := range w.encodings {
		w.encodings[i].told, w.encodings[i].toldAny = codec.Everything, true
	}
	return w
}

// Begin forgets all that Want has collected.
func (w *Wanted) Begin() {
	for i := range w.encodings {
		w.encodings[i].wanted, w.encodings[i].wantedAny = codec.Layer{}, false
	}
}

// Want says that somebody wants encoding i up to a layer.
func (w *Wanted) Want(i int, l codec.Layer) {
	e := &w.encodings[i]
	e.wantedAny = true
	e.wanted.Spatial = max(e.wanted.Spatial, l.Spatial)
	e.wanted.Temporal = max(e.wanted.Temporal, l.Temporal)
}

// Settle compares what is wanted now with what the publisher is told. It returns whether to tell it anew, how many
// encodings are turned off, and when to settle again, 0 for no need.
func (w *Wanted) Settle(now time.Duration) (changed bool, off int, next time.Duration) {
	for i := range w.encodings {
		e := &w.encodings[i]
		if e.wantedAny && !e.toldAny {
			e.told, e.toldAny, changed = e.wanted, true, true
		}
		if e.wantedAny && !e.told.Holds(e.wanted) {
			e.told.Spatial, e.told.Temporal = max(e.told.Spatial, e.wanted.Spatial), max(e.told.Temporal, e.wanted.Temporal)
			changed = true
		}
		isOff, again := e.off.lasts(now, e.toldAny && !e.wantedAny)
		next = earlier(next, again)
		isLower, again := e.lower.lasts(now, e.toldAny && e.wantedAny && e.told != e.wanted)
		next = earlier(next, again)
		if isOff {
			e.toldAny, changed = false, true
			off++
		}
		if isLower {
			e.told, changed = e.wanted, true
		}
	}
	w.late = w.late || changed
	switch {
	case !w.late:
		return false, off, next
	case w.spoke && now < w.toldAt+w.gap:
		return false, off, earlier(next, w.toldAt+w.gap)
	}
	w.late, w.spoke, w.toldAt = false, true, now
	return true, off, next
}

// earlier of two times, of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Told returns what the publisher is told of encoding i, when it is told next.
func (w *Wanted) Told(i int) (l codec.Layer, wanted bool) {
	return w.encodings[i].told, w.encodings[i].toldAny
}
