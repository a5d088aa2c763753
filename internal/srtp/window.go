package srtp

// windowSize is how many numbers back a late packet is still taken. RFC 3711 §3.3.2 asks for 64 at least; 1024 is half a
// second of a 20 Mbit/s screen share.
const windowSize = 1024

// window is a replay list (RFC 3711 §3.3.2) as a ring of bits. The zero value has seen nothing.
type window struct {
	bits    [windowSize / 64]uint64
	next    uint64 // one above the highest number seen; 0 before the first
	started bool
}

// seen reports whether number i was there before or is too old to tell.
func (w *window) seen(i uint64) bool {
	if !w.started || i >= w.next {
		return false
	}
	return w.next-i > windowSize || w.bits[i/64%(windowSize/64)]&(1<<(i%64)) != 0
}

// add marks i, which is not seen yet, and forgets what falls out of the window.
func (w *window) add(i uint64) {
	switch {
	case !w.started || i >= w.next+windowSize:
		w.bits = [windowSize / 64]uint64{}
	default:
		for n := w.next; n < i; n++ {
			w.bits[n/64%(windowSize/64)] &^= 1 << (n % 64)
		}
	}
	w.bits[i/64%(windowSize/64)] |= 1 << (i % 64)
	if !w.started || i >= w.next {
		w.started, w.next = true, i+1
	}
}
