package caller

import (
	"slices"
	"time"
)

const (
	// pictures that a receiver remembers: five seconds of 30 a second. What a repair took longer ago says little of the next one.
	remembered = 150
	// relearn is how many pictures pass until the delay is worked out again.
	relearn = 10
	// clump: pictures that come together were held up by one thing, of which the first tells.
	clump = 5 * time.Millisecond
	// holdMost is the longest that a picture is held back, to be shown evenly or with its sound: in a call, later is as bad as not.
	holdMost = 600 * time.Millisecond
)

// evenly decides when pictures are shown: as late as 19 of 20 of the last seconds came, so that those that had to be repaired do
// not stop the others; after a stop, in which many waited for one, no later than before. On a path that loses nothing and delays all alike it holds nothing back. The zero value is ready.
type evenly struct {
	delays  [remembered]time.Duration // ring
	count   int
	last    time.Duration // when the newest was whole
	delay   time.Duration
	sorting []time.Duration
}

// shown returns when to show a picture that is whole at now and was sent at sent.
func (e *evenly) shown(now, sent time.Duration) time.Duration {
	together := e.count > 0 && now-e.last < clump
	e.last = now
	if !together {
		e.delays[e.count%remembered] = now - sent
		e.count++
	}
	if !together && e.count%relearn == 1 {
		e.sorting = append(e.sorting[:0], e.delays[:min(e.count, remembered)]...)
		slices.Sort(e.sorting)
		e.delay = e.sorting[len(e.sorting)*19/20]
	}
	return min(max(now, sent+e.delay), now+holdMost)
}
