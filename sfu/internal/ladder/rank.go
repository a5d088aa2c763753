package ladder

import (
	"cmp"
	"math"
)

// Rates can be compared when they were measured at the same time: what an encoding brought before it was paused belongs to
// another scene and another link, and a guess to none. So what flows ranks by its rate, and what does not by the rate that it
// would have now: as much more or less than another's as when both were last measured, else as its picture is larger or
// smaller. It follows that a pause by itself changes no order, or a publisher would be turned on and off for ever.

// bits is what all layers of an encoding bring, or brought; at least 1, to be compared to.
func (e *encoding) bits() uint64 {
	sum := uint64(0)
	for k := range e.layers[:e.n] {
		sum += uint64(e.layers[k].Bits)
	}
	return max(sum, 1)
}

// steady is bits without what a stream that is about to stop already lacks.
func (e *encoding) steady() uint64 {
	sum := uint64(0)
	for k := range e.layers[:e.n] {
		l := &e.layers[k]
		bits := l.Bits
		if l.flows {
			bits = max(bits, l.marks[0].bits, l.marks[1].bits)
		}
		sum += uint64(bits)
	}
	return max(sum, 1)
}

// area is that of its largest picture, 0 unknown.
func (e *encoding) area() (largest int) {
	for k := range e.layers[:e.n] {
		largest = max(largest, int(e.layers[k].Width)*int(e.layers[k].Height))
	}
	return largest
}

// leave notes what is measured beside an encoding that is measured no longer.
func (l *Ladder) leave(i int) {
	e := &l.encodings[i]
	e.beside = -1
	for k := range l.encodings {
		o := &l.encodings[k]
		if k != i && o.measured && (e.beside < 0 || near(e, o) < near(e, &l.encodings[e.beside])) {
			e.beside, e.besideBits = k, o.steady()
		}
	}
}

// near is how many times larger the one's picture is than the other's; without sizes all are as near.
func near(a, b *encoding) float64 {
	x, y := float64(a.area()), float64(b.area())
	if x == 0 || y == 0 {
		return 0
	}
	return max(x/y, y/x)
}

// order finds every encoding's rank; true when their order is another.
func (l *Ladder) order() (changed bool) {
	var before [8]uint64
	n := min(len(before), len(l.encodings))
	for i := range n {
		before[i] = l.encodings[i].rank
	}
	for i := range l.encodings {
		l.encodings[i].rank = l.rankOf(i, len(l.encodings))
	}
	for i := range l.encodings {
		if e := &l.encodings[i]; e.at == 0 {
			e.rank = l.between(e)
		}
	}
	for i := range n {
		for k := range i {
			changed = changed || cmp.Compare(before[i], before[k]) != cmp.Compare(l.encodings[i].rank, l.encodings[k].rank)
		}
	}
	return changed
}

// rankOf follows encodings to those they were measured beside, each of which was measured longer: so there are fewer hops
// than encodings.
func (l *Ladder) rankOf(i, hops int) uint64 {
	e := &l.encodings[i]
	own := e.bits()
	if e.measured || hops == 0 {
		return own
	}
	if e.at > 0 && e.beside >= 0 {
		return uint64(float64(own) * float64(l.rankOf(e.beside, hops-1)) / float64(e.besideBits))
	}
	if o := l.measure(e); o != nil && o != e {
		return uint64(float64(o.bits()) * float64(e.area()) / float64(o.area()))
	}
	return own
}

// between is the rank of an encoding of which no second was ever known, kept below those of larger pictures and above those of
// smaller ones that are known: bits do not grow as pictures do, and a view would be given the larger of two that fill it.
func (l *Ladder) between(e *encoding) uint64 {
	least, most := uint64(1), uint64(math.MaxUint64)
	for k := range l.encodings {
		switch o := &l.encodings[k]; {
		case o.at == 0 || o.area() == 0 || e.area() == 0:
		case o.area() < e.area():
			least = max(least, o.rank+1)
		case o.area() > e.area():
			most = min(most, max(o.rank, 2)-1)
		}
	}
	return min(max(e.rank, least), most)
}

// measure is what an encoding is compared to by size: the nearest that is measured now, else the one that was last. nil
// where a size is unknown or none was ever measured.
func (l *Ladder) measure(e *encoding) (nearest *encoding) {
	if e.area() == 0 {
		return nil
	}
	var last *encoding
	for k := range l.encodings {
		o := &l.encodings[k]
		if o.at == 0 || o.area() == 0 {
			continue
		}
		if o.measured && (nearest == nil || near(e, o) < near(e, nearest)) {
			nearest = o
		}
		if last == nil || o.at >= last.at {
			last = o
		}
	}
	if nearest == nil {
		return last
	}
	return nearest
}
