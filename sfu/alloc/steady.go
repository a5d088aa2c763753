package alloc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// What is sent may be 5 % above the bits for 200 ms: encoders' rates waver by that from second to second, an estimate
	// from report to report. More than that builds a queue.
	toleranceOf, toleranceBy = 105, 100
	tolerance                = 200 * time.Millisecond

	// Who rises leaves 15 % of headroom: rates waver, the keyframe that it begins with is a burst, and an estimate that has
	// just risen is the one most likely to be wrong. A layer that is entered without a keyframe can be left without one.
	headroomOf, headroomBy = 115, 100
	littleOf, littleBy     = 105, 100

	// dwell is from a fall to the next rise: as long as a queue takes to drain and an estimate to find its level.
	dwell = 3 * time.Second
	// A rise that is taken back within trial has failed: the next one to as much waits twice as long, at most longest.
	trial   = 10 * time.Second
	longest = time.Minute
	// A bound of failedBy % of what failed is not what failed.
	failedOf, failedBy = 95, 100
	// With a third more bits than what failed took the path is another one.
	anotherOf, anotherBy = 4, 3

	// rest is how long what has just changed is left alone when bits are only shared in another way.
	rest = time.Second
)

// steady keeps the share from swinging. Its zero value has seen neither rise nor fall.
type steady struct {
	fallen    bool
	fellAt    time.Duration // the last fall
	risen     bool
	roseAt    time.Duration // the last rise that was not taken back
	peak      bwe.Bitrate   // it led to
	failures  int           // rises in a row that were taken back
	failed    bwe.Bitrate   // what the last of them led to
	above     bool          // more is sent than there is, within the tolerance
	aboveFrom time.Duration
}

func withHeadroom(bits bwe.Bitrate) bwe.Bitrate { return bits * headroomBy / headroomOf }

func withLittleHeadroom(bits bwe.Bitrate) bwe.Bitrate { return bits * littleBy / littleOf }

// exceeds says whether what is sent must fall.
func (t *steady) exceeds(now time.Duration, bits, sent bwe.Bitrate) bool {
	if sent <= bits {
		t.above = false
		return false
	}
	if !t.above {
		t.above, t.aboveFrom = true, now
	}
	return sent*toleranceBy > bits*toleranceOf || now-t.aboveFrom >= tolerance
}

// fell notes a fall.
func (t *steady) fell(now time.Duration, bits, from, to bwe.Bitrate) {
	t.above = false
	if to >= from {
		return
	}
	if t.risen && now-t.roseAt < trial {
		t.failures = min(t.failures+1, 8)
		t.failed = t.peak
	}
	t.risen = false
	t.fallen, t.fellAt = true, now
}

// rose notes what a call without a fall led to.
func (t *steady) rose(now time.Duration, from, to bwe.Bitrate) {
	if t.risen && now-t.roseAt >= trial {
		t.risen, t.failures, t.failed = false, 0, 0
	}
	if to > from {
		t.risen, t.roseAt, t.peak = true, now, to
	}
}

// isNew says whether a source is paused because it has had no turn yet.
func (t *steady) isNew(s *source) bool {
	return s.current == Paused && (!t.fallen || s.since > t.fellAt)
}

// mayRise says whether the last fall is long enough ago.
func (t *steady) mayRise(now time.Duration) bool { return !t.fallen || now-t.fellAt >= dwell }

// bound keeps a rise below what failed until its time has come.
func (t *steady) bound(now time.Duration, bits, room bwe.Bitrate) bwe.Bitrate {
	if t.held(now, bits) {
		return min(room, t.failed*failedOf/failedBy)
	}
	return room
}

// held says whether a rise to what failed has to wait.
func (t *steady) held(now time.Duration, bits bwe.Bitrate) bool {
	return t.failures > 0 && now < t.retryAt() && bits*anotherBy < t.failed*anotherOf
}

func (t *steady) retryAt() time.Duration { return t.fellAt + min(dwell<<t.failures, longest) }

// next is when something may be decided in another way although nothing changes; 0: never.
func (t *steady) next(now time.Duration, bits bwe.Bitrate, limited bool) time.Duration {
	switch {
	case t.above:
		return t.aboveFrom + tolerance
	case !limited:
		return 0
	case !t.mayRise(now):
		return t.fellAt + dwell
	case t.held(now, bits):
		return t.retryAt()
	}
	return 0
}
