package downlink

// 256: browsers' frames refer to one at most 17 before them, in the largest structures.
const frameSpan = 256

// frames remembers, of the last 256 frame numbers of a dependency descriptor, which came and which of them were left out.
type frames struct {
	started      bool
	newest       uint16
	came, hidden [frameSpan / 64]uint64
}

// knows reports whether the frame numbered n came.
func (f *frames) knows(n uint16) bool {
	came, _ := f.find(n)
	return came
}

// find tells whether the frame numbered n came, and whether it was left out.
func (f *frames) find(n uint16) (came, hidden bool) {
	if !f.started || f.newest-n >= frameSpan {
		return false, false
	}
	i, bit := n/64%(frameSpan/64), uint64(1)<<(n%64)
	return f.came[i]&bit != 0, f.hidden[i]&bit != 0
}

// whole reports whether none of them was left out.
func (f *frames) whole() bool { return f.hidden == [frameSpan / 64]uint64{} }

// note remembers the frame numbered n.
func (f *frames) note(n uint16, hidden bool) {
	step := int16(n - f.newest)
	switch {
	case !f.started || step >= frameSpan || step <= -frameSpan:
		*f = frames{started: true, newest: n}
	case step > 0:
		for range step {
			f.newest++
			i, bit := f.newest/64%(frameSpan/64), uint64(1)<<(f.newest%64)
			f.came[i] &^= bit
			f.hidden[i] &^= bit
		}
	}
	i, bit := n/64%(frameSpan/64), uint64(1)<<(n%64)
	f.came[i] |= bit
	if hidden {
		f.hidden[i] |= bit
	}
}
