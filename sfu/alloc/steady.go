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

	// A rise to what failed, or 5 % less, is the same rise. With a third more bits than failed the path is another one.
	failedOf, failedBy   = 95, 100
	anotherOf, anotherBy = 4, 3

	// Right after a fall a rise leaves half as much again: bits that are back at once were a dip, and one far below them does no
	// harm when they were not. What that is more than the usual headroom goes away until dwell is over.
	cautiousOf   = 150
	cautiousStep = 250 * time.Millisecond

	// rest is how long what has just changed is left alone when bits are only shared in another way.
	rest = time.Second
)

// Headroom is what a rise leaves: who knows better than to need it multiplies bits by it.
const Headroom = float64(headroomOf) / headroomBy

// patience is how one kind of rise waits after a fall.
type patience struct {
	rest    time.Duration // from a fall to the next rise
	dwell   time.Duration // from a fall until rises leave no more than the usual headroom
	trial   time.Duration // a rise that is taken back within it has failed: the next to as much waits twice as long
	longest time.Duration // but no longer
	grows   time.Duration // by how much longer
}

var (
	// 3 s: as long as a queue takes to drain and an estimate to find its level again.
	byKeyframe = patience{time.Second, 3 * time.Second, 30 * time.Second, time.Minute, 3}
	// 1 s: an estimator that drains a queue is back by then. Nothing breaks when it was too early.
	atOnce = patience{time.Second, time.Second, 10 * time.Second, 16 * time.Second, 2}
)

// history is what rises of one kind have led to. Its zero value has seen none.
type history struct {
	fallen   bool
	fellAt   time.Duration // the last fall
	risen    bool
	roseAt   time.Duration // the last rise that was not taken back
	peak     bwe.Bitrate   // it led to
	failures int           // rises in a row that were taken back
	failed   bwe.Bitrate   // what the last of them led to
}

// fell notes that something was taken back.
func (h *history) fell(now time.Duration, p *patience) {
	if h.risen && now-h.roseAt < p.trial {
		h.failures = min(h.failures+1, 8)
		h.failed = h.peak
	}
	h.risen = false
	h.fallen, h.fellAt = true, now
}

// rose notes that something was given.
func (h *history) rose(now time.Duration, to bwe.Bitrate) {
	h.risen, h.roseAt, h.peak = true, now, to
}

// settle forgets failures when a rise has stood its trial, or when it was not the rise that failed: bits that stay far below
// what it led to are those of another path.
func (h *history) settle(now time.Duration, bits bwe.Bitrate, p *patience) {
	if h.failures > 0 && now-h.fellAt >= rest && bits*anotherOf < h.failed*anotherBy {
		h.failures, h.failed = 0, 0
	}
	if h.risen && now-h.roseAt >= p.trial {
		h.risen, h.failures, h.failed = false, 0, 0
	}
}

// at is when the next rise may be.
func (h *history) at(p *patience) time.Duration {
	if !h.fallen {
		return 0
	}
	return h.fellAt + p.rest
}

// room is what bits leave for a rise with keyframes.
func (h *history) room(now time.Duration, bits bwe.Bitrate, p *patience) bwe.Bitrate {
	of := bwe.Bitrate(headroomOf)
	if since := now - h.fellAt; h.fallen && since < p.dwell {
		of += bwe.Bitrate((cautiousOf - headroomOf) * (p.dwell - since) / (p.dwell - p.rest))
	}
	return h.bound(now, bits, bits*headroomBy/of, p)
}

// retryAt is when the next rise to what failed may be.
func (h *history) retryAt(p *patience) time.Duration {
	wait := p.dwell
	for range h.failures {
		wait = min(wait*p.grows, p.longest)
	}
	return h.fellAt + wait
}

// held says whether a rise to what failed has to wait.
func (h *history) held(now time.Duration, bits bwe.Bitrate, p *patience) bool {
	return h.failures > 0 && now < h.retryAt(p) && bits*anotherBy < h.failed*anotherOf
}

// bound keeps a rise below what failed until its time has come.
func (h *history) bound(now time.Duration, bits, room bwe.Bitrate, p *patience) bwe.Bitrate {
	if h.held(now, bits, p) {
		return min(room, h.failed*failedOf/failedBy)
	}
	return room
}

// steady keeps the share from swinging. Its zero value has seen neither rise nor fall.
type steady struct {
	keyed     history // changes that take a keyframe, or pause
	cheap     history // those that do not
	above     bool    // more is sent than there is, within the tolerance
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
	return s.current == Paused && (!t.keyed.fallen || s.since > t.keyed.fellAt)
}

// mayRise says which rises may be.
func (t *steady) mayRise(now time.Duration) (keyed, cheap bool) {
	cheap = now >= t.cheap.at(&atOnce)
	return cheap && now >= t.keyed.at(&byKeyframe), cheap
}

// next is when something may be decided in another way although nothing changes; 0: never.
func (t *steady) next(now time.Duration, bits bwe.Bitrate, limited bool) (at time.Duration) {
	if t.above {
		return t.aboveFrom + tolerance
	}
	if !limited {
		return 0
	}
	times := [...]time.Duration{t.cheap.at(&atOnce), t.keyed.at(&byKeyframe), 0, 0}
	if t.cheap.held(now, bits, &atOnce) {
		times[2] = t.cheap.retryAt(&atOnce)
	}
	if t.keyed.held(now, bits, &byKeyframe) {
		times[3] = t.keyed.retryAt(&byKeyframe)
	}
	if since := now - t.keyed.fellAt; t.keyed.fallen && since >= byKeyframe.rest && since < byKeyframe.dwell {
		at = min(now+cautiousStep, t.keyed.fellAt+byKeyframe.dwell) // there is more room with every moment
	}
	for _, t := range times {
		if t > now && (at == 0 || t < at) {
			at = t
		}
	}
	return at
}

func withLittleHeadroom(bits bwe.Bitrate) bwe.Bitrate { return bits * littleBy / littleOf }
