package light

import "time"

const (
	// tick is how exact sending is: a browser's own pacer works in steps of 5 ms. Each tick is a wake, of 10 µs and more.
	tick = 2 * time.Millisecond
	// places is a power of two; what is due later than two seconds waits in the last place and goes round.
	places = 1024
)

// timer is a deadline of a device. Arming it again moves it.
type timer struct {
	at     time.Duration
	device *device
	track  *published // whose media is due; nil: the device is to be read and to answer
}

// wheel is a hashed timer wheel. Pure; one goroutine.
type wheel struct {
	places [places][]waiting
	turned int64 // ticks handled so far
	now    []waiting
	seen   uint64 // of no meaning, see approach
}

// waiting is a timer as it was armed: one that has moved since is passed over.
type waiting struct {
	timer *timer
	at    time.Duration
}

func (w *wheel) arm(t *timer, at time.Duration) {
	t.at = at
	w.put(waiting{t, at})
}

func (w *wheel) put(e waiting) {
	due := int64((e.at + tick - 1) / tick)
	due = min(max(due, w.turned+1), w.turned+places-1)
	p := &w.places[due&(places-1)]
	*p = append(*p, e)
}

// approach looks at what is needed first of each timer of this tick and what it is for: none of it is in the processor's caches,
// and reads that do not wait for each other are made at one time.
func (w *wheel) approach() {
	sum := w.seen
	for _, e := range w.now {
		sum += uint64(e.timer.at)
	}
	for _, e := range w.now {
		if t, d := e.timer.track, e.timer.device; t != nil && d != nil {
			sum += uint64(t.number) + uint64(t.began) + uint64(t.packets) + uint64(d.heard) + uint64(d.sentPackets) + uint64(d.ssrc)
		}
	}
	w.seen = sum // so that the reads are made
}

// turn hands over every timer that is due by now, in order of ticks.
func (w *wheel) turn(now time.Duration, fire func(*timer)) {
	for end := int64(now / tick); w.turned < end; {
		w.turned++
		p := &w.places[w.turned&(places-1)]
		w.now, *p = *p, w.now[:0] // what is armed meanwhile comes a tick later at the earliest
		w.approach()
		for _, e := range w.now {
			switch {
			case e.timer.at != e.at || e.timer.device == nil:
			case int64((e.at+tick-1)/tick) > w.turned:
				w.put(e) // was farther away than the wheel is round
			default:
				fire(e.timer)
			}
		}
		clear(w.now)
	}
}
