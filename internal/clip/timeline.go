package clip

import "time"

// maxSkew is how far timestamps may leave the clock on the wall before they are not believed: 5 s.
const maxSkew = 5 * time.Second

// Timeline finds the place in a file for what was received. Within a stretch that flows without interruption timestamps
// decide; between stretches, and where timestamps leap, the time of arrival. So the file is as long as the call was, however
// often a track left its slot and came back, and nobody's timestamps make it longer.
type Timeline struct {
	// Rate is the ticks a second of timestamps and places. Fixed before the first Place.
	Rate int64

	begun   bool
	first   time.Duration // arrival of place 0
	stretch bool          // timestamp and place are of the stretch that flows
	stamp   uint32
	place   int64
}

// Break ends a stretch.
func (t *Timeline) Break() { t.stretch = false }

// Place returns where something belongs that came at now, in ticks from the first. It may go back where timestamps do.
func (t *Timeline) Place(now time.Duration, stamp uint32) int64 {
	if !t.begun {
		t.begun, t.first = true, now
	}
	onWall := t.ticks(now - t.first)
	if t.stretch {
		t.place += int64(int32(stamp - t.stamp))
		limit := t.ticks(maxSkew)
		t.stretch = t.place-onWall <= limit && onWall-t.place <= limit
	}
	if !t.stretch {
		t.place, t.stretch = onWall, true
	}
	t.stamp = stamp
	return t.place
}

func (t *Timeline) ticks(d time.Duration) int64 {
	seconds, rest := d/time.Second, d%time.Second
	return int64(seconds)*t.Rate + int64(rest)*t.Rate/int64(time.Second)
}
