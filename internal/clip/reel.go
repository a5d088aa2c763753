package clip

import (
	"slices"
	"time"
)

const (
	// answered is how long a keyframe that was asked for answers whoever else asks: libwebrtc's senders make no two in 300 ms for
	// requests. One that the clip brings by itself answers nobody: whoever asks has no use for it.
	answered = 300 * time.Millisecond
	// maxLate: whoever is later than this was asleep, and goes on from here instead of sending all at once.
	maxLate = time.Second
)

// Reel says which frame of a clip is due when. Times are those of playing: they begin at 0 and never go back, however often
// the clip is looped or jumped in.
type Reel struct {
	// Skipped counts frames that a jump left out, Jumps the jumps, Unanswered the requests for a keyframe where the clip has
	// none left, Stalls how often playing fell so far behind that it went on later.
	Skipped, Jumps, Unanswered, Stalls uint64

	at     []int64 // ticks, rising from 0
	keys   []bool
	length int64
	rate   int64 // ticks a second
	loop   bool

	next   int
	shift  int64 // from times in the file to times of playing
	last   int64 // when the last frame was due
	any    bool  // something went out
	jumped int64 // when a request was answered last
	jumps  bool  // one has been, since Rest
}

// Next returns which frame comes next and when it is due, in ticks; false when the clip has been played.
func (r *Reel) Next() (frame int, at int64, ok bool) {
	if r.next == len(r.at) {
		if !r.loop {
			return 0, r.End(), false
		}
		r.shift += r.length
		r.next = 0
	}
	return r.next, r.shift + r.at[r.next], true
}

// Played moves past the frame that Next named.
func (r *Reel) Played() {
	r.last, r.any = r.shift+r.at[r.next], true
	r.next++
}

// End is when the clip is over, as things stand.
func (r *Reel) End() int64 { return r.shift + r.length }

// Rest tells that what went out last reached nobody, as of an encoder that is off: it answers no request.
func (r *Reel) Rest() { r.jumps = false }

// Request asks for a keyframe now: what lies before the next one in the clip is skipped, and it is due at once. A request
// right after another one is answered with it; one where no keyframe is left, without a loop, changes nothing.
func (r *Reel) Request(now int64) {
	if !r.any || r.jumps && now-r.jumped < r.rate*int64(answered)/int64(time.Second) {
		return // the first frame is one
	}
	i := slices.Index(r.keys[r.next:], true)
	if i < 0 && !r.loop {
		r.Unanswered++
		return
	}
	r.Jumps++
	target := r.next + i
	if i < 0 {
		r.Skipped += uint64(len(r.at) - r.next)
		target = slices.Index(r.keys, true)
		r.Skipped += uint64(target)
	} else {
		r.Skipped += uint64(i)
	}
	r.next = target
	r.shift = max(now, r.last+1) - r.at[target]
	r.jumped, r.jumps = now, true
}

// Late tells that the next frame can be sent no sooner than now; a long delay moves all that is to come.
func (r *Reel) Late(now int64) {
	if _, at, ok := r.Next(); ok && now-at > r.rate*int64(maxLate)/int64(time.Second) {
		r.shift += now - at
		r.Stalls++
	}
}
