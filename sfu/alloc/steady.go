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

	// Who rises leaves 10 % of headroom: rates waver, a keyframe is a burst, and an estimate that has just risen is the one most
	// likely to be wrong. In the sfu cases of bench/cc 15 % show less and change no less often, 7 % change more often.
	headroomOf, headroomBy = 110, 100

	// Right after a fall a rise leaves half as much again: bits that are back at once were a dip, and one far below them does no
	// harm when they were not. What that is more than the usual headroom goes away until dwell is over.
	cautiousOf   = 150
	cautiousStep = 250 * time.Millisecond

	// 1 s after a fall nothing rises that takes a keyframe, 500 ms after anything was taken nothing at all: an estimator that
	// drains a queue is back by then. After 3 s it has found its level.
	keyedRest = time.Second
	cheapRest = 500 * time.Millisecond
	dwell     = 3 * time.Second

	// A rise that is taken back within trial has failed. The next one to as much waits three times as long after its fall, a
	// minute at most: who fails again and again does so once a minute.
	trial   = 30 * time.Second
	grows   = 3
	longest = time.Minute
	// mostFailures bounds the count: four are a minute.
	mostFailures = 8
	// A rise to what failed, or 5 % less, is the same rise. With a third more bits than failed the path is another one.
	failedOf, failedBy   = 95, 100
	anotherOf, anotherBy = 4, 3

	// rest is how long what has just changed is left alone when bits are only shared in another way.
	rest = time.Second
	// lately is how long it is left alone unless the other way is much better.
	lately = 10 * time.Second
)

// Headroom is what a rise leaves: a layer is given when bits are at least so many times what is sent with it.
const Headroom = float64(headroomOf) / headroomBy

// steady keeps the share from swinging: it knows what rises have led to. Its zero value has seen neither rise nor fall. A rise
// or a fall takes a keyframe or pauses, else it is cheap.
type steady struct {
	fallen   bool
	fellAt   time.Duration // the last fall
	risen    bool
	roseAt   time.Duration // the last rise that was not taken back
	peak     bwe.Bitrate   // it led to
	failures int           // rises in a row that were taken back
	failed   bwe.Bitrate   // what the last of them led to

	shed   bool
	shedAt time.Duration // the last cheap fall

	above     bool // more is sent than there is, within the tolerance
	aboveFrom time.Duration
}

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

// isNew says whether a source is paused because it has had no turn yet.
func (t *steady) isNew(s *source) bool {
	return s.current == Paused && (!t.fallen || s.since > t.fellAt)
}

// mayRise says which rises may be.
func (t *steady) mayRise(now time.Duration) (keyed, cheap bool) {
	cheap = !t.shed || now >= t.shedAt+cheapRest
	return cheap && (!t.fallen || now >= t.fellAt+keyedRest), cheap
}

// room is what bits leave for rises.
func (t *steady) room(now time.Duration, bits bwe.Bitrate) bwe.Bitrate {
	of := bwe.Bitrate(headroomOf)
	if t.cautious(now) {
		of += bwe.Bitrate((cautiousOf - headroomOf) * min(dwell-(now-t.fellAt), dwell-keyedRest) / (dwell - keyedRest))
	}
	room := bits * headroomBy / of
	if t.held(now, bits) {
		return min(room, t.failed*failedOf/failedBy)
	}
	return room
}

// cautious says whether the last fall was so lately that rises leave more than the usual headroom.
func (t *steady) cautious(now time.Duration) bool { return t.fallen && now-t.fellAt < dwell }

// held says whether a rise to what failed has to wait.
func (t *steady) held(now time.Duration, bits bwe.Bitrate) bool {
	return t.failures > 0 && now < t.retryAt() && bits*anotherBy < t.failed*anotherOf
}

// retryAt is when the next rise to what failed may be.
func (t *steady) retryAt() time.Duration {
	wait := dwell
	for range t.failures {
		wait = min(wait*grows, longest)
	}
	return t.fellAt + wait
}

// settle forgets failures when a rise has stood its trial, or when it was not the rise that failed: bits that stay far below
// what it led to are those of another path.
func (t *steady) settle(now time.Duration, bits bwe.Bitrate) {
	if t.failures > 0 && !t.risen && now-t.fellAt >= rest && bits*anotherOf < t.failed*anotherBy {
		t.failures, t.failed = 0, 0
	}
	if t.risen && now-t.roseAt >= trial {
		t.risen, t.failures, t.failed = false, 0, 0
	}
}

// rose notes that something was given that took a keyframe.
func (t *steady) rose(now time.Duration, to bwe.Bitrate) {
	t.risen, t.roseAt, t.peak = true, now, to
}

// fell notes that something was taken back that cannot be had again without a keyframe.
func (t *steady) fell(now time.Duration) {
	if t.risen && now-t.roseAt < trial {
		t.failures = min(t.failures+1, mostFailures)
		t.failed = t.peak
	}
	t.risen = false
	t.fallen, t.fellAt = true, now
}

// next is when something may be decided in another way although nothing changes; 0: never.
func (t *steady) next(now time.Duration, bits bwe.Bitrate, limited bool, sources []source) (at time.Duration) {
	if t.above {
		return t.aboveFrom + tolerance
	}
	if !limited {
		return 0
	}
	soonest := func(than time.Duration, when bool) {
		if when && than > now && (at == 0 || than < at) {
			at = than
		}
	}
	soonest(t.shedAt+cheapRest, t.shed)
	soonest(t.fellAt+keyedRest, t.fallen)
	soonest(min(now+cautiousStep, t.fellAt+dwell), t.cautious(now) && now >= t.fellAt+keyedRest) // there is ever more room
	soonest(t.retryAt(), t.held(now, bits))
	for i := range sources {
		soonest(sources[i].since+rest, sources[i].current != Paused)
		soonest(sources[i].since+lately, sources[i].current != Paused)
	}
	return at
}
