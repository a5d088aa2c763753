package ladder

import (
	"cmp"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

const (
	// Silence is how long an encoding that flows may bring nothing before it counts as silent. 700 ms: a screen share sends
	// two pictures a second when nothing moves, and a hole of the network that is longer makes a worse picture than a change
	// to a lower encoding does.
	Silence = 700 * time.Millisecond

	// measured is how long an encoding must flow before what a second of it brought is its rate.
	measured = time.Second

	// usual is what a picture's size lets expect until then, in bits a second and pixel: 350 kbit/s for 360 lines, 1.4 Mbit/s
	// for 720. The first keyframes of three encodings come at once, and the largest of them shall be entered at its own.
	usual = 1.5

	// shortest is the least of a second that tells of the whole, and mostPictures how many a layer is expected to bring at most;
	// of temporal layers the highest has half of that.
	shortest     = 300 * time.Millisecond
	mostPictures = 30

	// markEvery is how often a rate is marked. A second's rate falls for a second before a stream counts as silent: what is
	// remembered of it is the higher of the last two marks, one of which is from before.
	markEvery = 1200 * time.Millisecond

	// stopped is how many pictures are late of an encoding that stops. The rate of a second falls for as long as nothing comes:
	// when it counts as silent a third would be left, and what is dear would look as if it fitted.
	stopped = 3

	// maxLayers of one encoding: four spatial, four temporal; no mode of WebRTC's Scalable Video Coding has more than 3 × 3.
	maxLayers = 16
)

// Rung is one choice: an encoding of a track, and how much of it.
type Rung struct {
	Encoding      int // in the publisher's order
	Layer         codec.Layer
	Bits          uint32 // a second, with all the layers that it needs, as measured
	Peak          uint32 // at least Bits: the highest of the last seconds, for an encoder that begins or that has had little to say
	Width, Height uint16 // 0 unknown
	Rate          uint8  // pictures a second, as measured
	Flows         bool   // else it is remembered: the publisher has paused it
	Guess         bool   // Bits are not measured yet: by the picture's size, or nothing at all

	whole uint32 // what it ranks by: Bits of the same spatial layer at its full rate, as they would be now; see rank.go
}

// Area is that of its picture, 0 unknown.
func (r *Rung) Area() int { return int(r.Width) * int(r.Height) }

// same says whether two rungs are the same layers of one encoding.
func (r *Rung) same(o *Rung) bool { return r.Encoding == o.Encoding && r.Layer == o.Layer }

// LayerRate is what one layer of an encoding brings, without the layers below: uplink.LayerRate.
type LayerRate struct {
	Layer         codec.Layer
	Bits          uint32 // a second, payload
	Frames        uint16 // a second
	Width, Height uint16 // of the spatial layer; 0 unknown
	Own           uint32 // of Bits: whoever shows a higher spatial layer does not get these
}

// along is what of it goes to who shows top, which holds it.
func (r *LayerRate) along(top codec.Layer) uint32 {
	if r.Layer.Spatial == top.Spatial {
		return r.Bits
	}
	return r.Bits - min(r.Own, r.Bits)
}

// guess puts another rate in the place of the measured one, with as great a part of its own.
func (r *LayerRate) guess(bits uint32) {
	if r.Bits > 0 {
		r.Own = uint32(uint64(bits) * uint64(min(r.Own, r.Bits)) / uint64(r.Bits))
	}
	r.Bits = bits
}

// Ladder remembers what the encodings of one track bring. One goroutine.
type Ladder struct {
	encodings []encoding
	rungs     []Rung
	before    []Rung
}

// encoding is what one of them brought when it last flowed.
type encoding struct {
	flows    bool
	measured bool          // it flows, and a second of it is known
	at       time.Duration // when that was so last; 0 never
	began    time.Duration // to flow, this time
	marked   time.Duration
	layers   [maxLayers]layer
	n        int

	// When it was measured last, another was too, and brought that: what it brings itself is worth comparing to that alone.
	beside     int // -1: it was the only one
	besideBits uint64

	rank uint64 // bits a second that it would bring now
}

type layer struct {
	LayerRate
	flows bool
	young bool // Bits are a guess, its first second has not passed
	marks [2]mark
}

// mark is a rate of a moment ago.
type mark struct {
	bits   uint32
	frames uint16
}

// stop keeps the rate from before a layer began to stop.
func (l *layer) stop() {
	if !l.flows {
		return
	}
	l.flows = false
	for _, m := range l.marks {
		if m.bits > l.Bits {
			l.guess(m.bits)
			l.Frames = m.frames
		}
	}
}

// peak is its rate, or that of a moment ago when that was higher.
func (l *layer) peak() *LayerRate {
	high := l.LayerRate
	if most := max(l.marks[0].bits, l.marks[1].bits); l.flows && most > high.Bits {
		high.guess(most)
	}
	return &high
}

// New returns the ladder of a track with so many encodings, none of which flows.
func New(encodings int) *Ladder {
	l := &Ladder{encodings: make([]encoding, encodings)}
	for i := range l.encodings {
		l.encodings[i].beside = -1
	}
	return l
}

// Measure takes what encoding i brings: the time of its last packet, 0 for none yet, and its rates of the last second or
// since it began.
// What is silent is remembered with its last rate, for it may be silent because nobody wanted it.
func (l *Ladder) Measure(now time.Duration, i int, heard time.Duration, rates []LayerRate) {
	e := &l.encodings[i]
	if heard == 0 || now-heard > Silence {
		if e.measured {
			l.leave(i)
		}
		e.flows, e.measured = false, false
		for k := range e.layers[:e.n] {
			e.layers[k].stop()
		}
		return
	}
	if !e.flows {
		e.flows, e.began = true, now
	}
	age := now - e.began
	if age >= measured && e.n > 0 && stops(now-heard, rates) {
		return // what is known is from before
	}
	if age >= measured && len(rates) > 0 {
		e.measured, e.at = true, now
	}
	for k := range e.layers[:e.n] {
		if l := &e.layers[k]; !slices.ContainsFunc(rates, func(r LayerRate) bool { return r.Layer == l.Layer }) {
			l.stop()
		}
	}
	for _, r := range rates {
		have := e.layer(r.Layer)
		if have == nil {
			continue
		}
		known := have.LayerRate
		expected := have.young || known.Bits == 0
		have.LayerRate, have.flows, have.young = r, true, false
		if r.Width == 0 {
			have.Width, have.Height = known.Width, known.Height
		}
		if age >= measured {
			continue
		}
		// A second that it did not flow whole. What it brought before it paused is nearer to what it will bring.
		if !expected {
			have.Bits, have.Frames, have.Own = known.Bits, known.Frames, known.Own
			continue
		}
		have.young = true
		if area := float64(have.Width) * float64(have.Height); area > 0 {
			have.guess(uint32(min(area*usual/float64(beside(rates, r.Layer)), 1<<31)))
		}
		// What a part of a second brought is no second's, and the part ends with the last packet: an encoding that stops brings
		// nothing for as long as nobody has noticed. Too many are put right within a second; too few would be remembered, and a large
		// picture that is taken for a stuttering one is not shown where a smaller moves.
		most := int64(mostPictures)
		if beside(rates, r.Layer) > 1 {
			most /= 2
		}
		have.Frames = max(r.Frames, uint16(min(int64(r.Frames)*int64(measured)/int64(max(heard-e.began, shortest)), most)))
	}
	if age >= measured && now-e.marked >= markEvery {
		e.marked = now
		for k := range e.layers[:e.n] {
			l := &e.layers[k]
			l.marks = [2]mark{l.marks[1], {l.Bits, l.Frames}}
		}
	}
}

// stops says whether an encoding that has brought nothing for so long is about to fall silent.
func stops(gap time.Duration, rates []LayerRate) bool {
	pictures := 0
	for _, r := range rates {
		if r.Layer.Spatial == rates[0].Layer.Spatial {
			pictures += int(r.Frames)
		}
	}
	return gap*time.Duration(pictures) > stopped*time.Second
}

// beside counts the layers that share the size of a picture with one.
func beside(rates []LayerRate, of codec.Layer) (n int) {
	for _, r := range rates {
		if r.Layer.Spatial == of.Spatial {
			n++
		}
	}
	return n
}

// State is all that is known of one encoding, to be told to another ladder of the same track. It holds no pointers.
type State struct{ encoding }

// State returns what is known of encoding i.
func (l *Ladder) State(i int) State { return State{l.encodings[i]} }

// Adopt takes what another ladder knows of encoding i for its own.
func (l *Ladder) Adopt(i int, s State) { l.encodings[i] = s.encoding }

// layer finds or adds a layer; nil when there are too many.
func (e *encoding) layer(of codec.Layer) *layer {
	for k := range e.layers[:e.n] {
		if e.layers[k].Layer == of {
			return &e.layers[k]
		}
	}
	if e.n == maxLayers {
		return nil
	}
	e.n++
	e.layers[e.n-1] = layer{LayerRate: LayerRate{Layer: of}}
	return &e.layers[e.n-1]
}

// Flows says whether an encoding flows, as last measured.
func (l *Ladder) Flows(i int) bool { return l.encodings[i].flows }

// Moves says whether an encoding brings, or brought, at least smooth pictures a second in all: then each is due soon after the
// one before.
func (l *Ladder) Moves(i int) bool {
	e := &l.encodings[i]
	frames := 0
	for k := range e.layers[:e.n] {
		if part := &e.layers[k]; part.Layer.Spatial == e.layers[0].Layer.Spatial {
			frames += max(int(part.Frames), int(part.marks[0].frames), int(part.marks[1].frames))
		}
	}
	return frames >= smooth
}

// Known says whether an encoding can be chosen for what it is: the size of its pictures is known or, where no keyframe tells
// one, a second of it.
func (l *Ladder) Known(i int) bool {
	e := &l.encodings[i]
	return e.at > 0 || e.area() > 0
}

// Rungs returns what there is to choose from, least bits first, and whether it differs in more than rates from what it was
// when it was last asked for. The slice is valid until the next call.
func (l *Ladder) Rungs() (rungs []Rung, changed bool) {
	l.before, l.rungs = l.rungs, l.before[:0]
	reordered := l.order()
	for i := range l.encodings {
		l.rungs = l.encodings[i].appendRungs(l.rungs, i)
	}
	slices.SortFunc(l.rungs, func(a, b Rung) int {
		return cmp.Or(cmp.Compare(a.Bits, b.Bits), cmp.Compare(a.Encoding, b.Encoding), compareLayers(a.Layer, b.Layer))
	})
	changed = reordered || !slices.EqualFunc(l.before, l.rungs, func(a, b Rung) bool {
		return a.same(&b) && a.Flows == b.Flows && a.Width == b.Width && a.Height == b.Height &&
			(a.Rate >= smooth) == (b.Rate >= smooth)
	})
	return l.rungs, changed
}

func compareLayers(a, b codec.Layer) int {
	return cmp.Or(cmp.Compare(a.Spatial, b.Spatial), cmp.Compare(a.Temporal, b.Temporal))
}

// appendRungs sums up the layers of one encoding.
func (e *encoding) appendRungs(dst []Rung, i int) []Rung {
	if e.n == 0 {
		if e.flows { // nothing is measured yet
			dst = append(dst, Rung{Encoding: i, Layer: codec.Everything, Flows: true, Guess: true})
		}
		return dst
	}
	first := len(dst)
	for k := range e.layers[:e.n] {
		top := &e.layers[k]
		r := Rung{Encoding: i, Layer: top.Layer, Width: top.Width, Height: top.Height, Flows: top.flows}
		bits, peak, frames := uint64(0), uint64(0), 0
		for j := range e.layers[:e.n] {
			part := &e.layers[j]
			if !top.Layer.Holds(part.Layer) {
				continue
			}
			bits += uint64(part.along(top.Layer))
			peak += uint64(part.peak().along(top.Layer))
			r.Guess = r.Guess || part.young
			if part.Layer.Spatial == top.Layer.Spatial {
				frames += int(part.Frames)
			}
		}
		r.Bits, r.Peak, r.Rate = uint32(min(bits, 1<<31)), uint32(min(peak, 1<<31)), uint8(min(frames, 255))
		dst = append(dst, r)
	}
	all := e.bits()
	for a := range dst[first:] {
		r := &dst[first+a]
		whole := uint32(0)
		for _, o := range dst[first:] {
			if o.Layer.Spatial == r.Layer.Spatial {
				whole = max(whole, o.Bits)
			}
		}
		r.whole = uint32(min(float64(whole)*float64(e.rank)/float64(all), 1<<31))
	}
	return dst
}

// Shown says what comes of an encoding through a downlink that lets layers up to of pass: the highest that flows, the size
// of its pictures, 0 unknown, and the bits of all.
func (l *Ladder) Shown(i int, of codec.Layer) (top codec.Layer, width, height uint16, bits uint32) {
	e := &l.encodings[i]
	for k := range e.layers[:e.n] {
		part := &e.layers[k]
		if !of.Holds(part.Layer) || !part.flows {
			continue
		}
		top.Temporal = max(top.Temporal, part.Layer.Temporal)
		if part.Layer.Spatial >= top.Spatial {
			top.Spatial, width, height = part.Layer.Spatial, part.Width, part.Height
		}
	}
	for k := range e.layers[:e.n] {
		if part := &e.layers[k]; of.Holds(part.Layer) && part.flows {
			bits += part.along(top)
		}
	}
	return top, width, height, bits
}

// Open is the layer to ask a downlink for when it shall show a rung: without a bound where the rung is the highest there
// is, so that a layer which begins only now is not cut off.
func (l *Ladder) Open(r Rung) codec.Layer {
	open := r.Layer
	spatial, temporal := true, true
	e := &l.encodings[r.Encoding]
	for k := range e.layers[:e.n] {
		spatial = spatial && e.layers[k].Layer.Spatial <= r.Layer.Spatial
		temporal = temporal && e.layers[k].Layer.Temporal <= r.Layer.Temporal
	}
	if spatial {
		open.Spatial = codec.Everything.Spatial
	}
	if temporal {
		open.Temporal = codec.Everything.Temporal
	}
	return open
}
