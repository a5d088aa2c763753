package bench

// near is how close the largest load that held must be to the smallest that did not: a twentieth is less than two runs differ.
const near = 1.05

// bracket closes in on the largest load that holds. It is pure.
//
//	held ├───── next ─────┤ failed
//
// Until something fails it doubles, until something holds it halves, then it goes by the middle.
type bracket struct {
	to     int // the largest load that is tried; 0: no bound
	held   int // the largest that held; 0: none did
	failed int // the smallest that did not; 0: none was found
}

// next takes how a load fared and says which is tried next; false: there is none left that would tell more.
func (b *bracket) next(load int, held bool) (int, bool) {
	if held {
		b.held = max(b.held, load)
	} else if b.failed == 0 || load < b.failed {
		b.failed = load
	}
	next := 0
	switch {
	case b.failed == 0 && b.to > 0:
		next = min(2*load, b.to)
	case b.failed == 0:
		next = 2 * load
	case b.held == 0:
		next = b.failed / 2
	case float64(b.failed) > near*float64(b.held):
		next = b.held + (b.failed-b.held)/2
	}
	return next, next >= 1 && next != load && next != b.held
}
