package clip

import (
	"slices"
	"time"
)

const (
	// answered: a keyframe that went out so shortly before a request is on its way to whoever asked.
	answered = 250 * time.Millisecond
	// encoded is how long an encoder's keyframe that was asked for answers whoever else asks: libwebrtc's makes no two in 300 ms.
	encoded = 300 * time.Millisecond
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

	next    int
	shift   int64 // from times in the file to times of playing
	last    int64 // when the last frame was due
	lastKey int64
	any     bool // something went out
	anyKey  bool
	jumped  int64 // when Encode was answered last
	jumps   bool  // it has been, since Rest
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
	if r.keys[r.next] {
		r.lastKey, r.anyKey = r.last, true
	}
	r.next++
}

// End is when the clip is over, as things stand.
func (r *Reel) End() int64 { return r.shift + r.length }

// Request asks for a keyframe now: what lies before the next one in the clip is skipped, and it is due at once. A request
// right after a keyframe is taken as answered by it; one where none is left, without a loop, changes nothing.
func (r *Reel) Request(now int64) {
	if !r.any || r.anyKey && now-r.lastKey < r.rate*int64(answered)/int64(time.Second) {
		return // the first frame is one
	}
	r.jump(now)
}

// Encode is Request as an encoder takes it: one that the clip has brought by itself answers nobody, for whoever asks has no use for it,
// but only one that was asked for, for 300 ms.
func (r *Reel) Encode(now int64) {
	if r.any && (!r.jumps || now-r.jumped >= r.rate*int64(encoded)/int64(time.Second)) && r.jump(now) {
		r.jumped, r.jumps = now, true
	}
}

// Rest tells that what went out last reached nobody, as of an encoder that is off: it answers no Encode.
func (r *Reel) Rest() { r.jumps = false }

// jump goes on to the next keyframe; false where none is left.
func (r *Reel) jump(now int64) bool {
	i := slices.Index(r.keys[r.next:], true)
	if i < 0 && !r.loop {
		r.Unanswered++
		return false
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
	return true
}

// Late tells that the next frame can be sent no sooner than now; a long delay moves all that is to come.
func (r *Reel) Late(now int64) {
	if _, at, ok := r.Next(); ok && now-at > r.rate*int64(maxLate)/int64(time.Second) {
		r.shift += now - at
		r.Stalls++
	}
}
