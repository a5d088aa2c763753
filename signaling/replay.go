package signaling

import (
	"time"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// replay numbers events from 1 and keeps the newest for clients that come back: at most maxReplay, none longer than keep,
// none that the client has acknowledged.
//
//	1 2 3 │ 4 5 6 7 8 │
//	gone    kept     last
type replay struct {
	last uint64 // number of the newest event; 0: none yet
	kept []kept // the newest len(kept) events, rising to last
	keep time.Duration
}

type kept struct {
	at    time.Duration
	frame *wire.ServerFrame
}

// append numbers the event and keeps it.
func (r *replay) append(now time.Duration, frame *wire.ServerFrame) {
	r.last++
	frame.Seq = r.last
	if len(r.kept) == maxReplay {
		r.drop(1)
	}
	r.kept = append(r.kept, kept{at: now, frame: frame})
}

// skip stands for events that could not be kept: whoever has not had them needs a Snapshot.
func (r *replay) skip() {
	r.last++
	r.drop(len(r.kept))
}

// holds tells whether every event after seq is still kept; not so for a number that was never given.
func (r *replay) holds(seq uint64) bool {
	return seq <= r.last && r.last-seq <= uint64(len(r.kept))
}

// after returns the events after seq, which must be held.
func (r *replay) after(seq uint64) []*wire.ServerFrame {
	missed := r.kept[len(r.kept)-int(r.last-seq):]
	frames := make([]*wire.ServerFrame, len(missed))
	for i, k := range missed {
		frames[i] = k.frame
	}
	return frames
}

// forget lets go of events up to seq: the client has them.
func (r *replay) forget(seq uint64) {
	oldest := r.last - uint64(len(r.kept)) // the newest event that is gone
	if seq > oldest {
		r.drop(int(min(seq, r.last) - oldest))
	}
}

// expire lets go of events that are too old.
func (r *replay) expire(now time.Duration) {
	n := 0
	for n < len(r.kept) && now-r.kept[n].at > r.keep {
		n++
	}
	r.drop(n)
	if len(r.kept) == 0 {
		r.kept = nil
	}
}

// drop moves the rest down, so that the array does not grow and holds no frame alive.
func (r *replay) drop(n int) {
	if n == 0 {
		return
	}
	rest := copy(r.kept, r.kept[n:])
	clear(r.kept[rest:])
	r.kept = r.kept[:rest]
}
