package caller

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/signaling/client"
)

const (
	// maxUnknown packets of a slot wait to hear whose they are, for unknownFor: media may overtake signaling.
	maxUnknown = 2048
	unknownFor = 2 * time.Second
	// maxRecordings bounds what a call remembers: later tracks count as unknown.
	maxRecordings = 10_000
	// goneFor is how long the file of somebody who has left stays open for packets still on their way.
	goneFor = clip.Hold + time.Second
	// flowing: a stream that brought nothing for so long is muted, and no keyframe would help.
	flowing = 2 * time.Second
	// askAfter is how long a picture may be missing before we ask for a keyframe; the server asks by itself sooner.
	askAfter = 500 * time.Millisecond
	askEvery = time.Second
)

// receiver takes what comes in the slots apart by whose it is. Its lock guards all below it.
type receiver struct {
	// Fixed after newReceiver.
	room  *client.Room
	files *store
	began time.Time

	// Guarded by mu.
	mu         sync.Mutex
	taps       map[*client.Slot]*tap
	recordings map[owner]*recording
	order      []*recording
	strangers  uint64 // packets of nobody we know
	err        error
	swept      time.Duration
}

// owner is whose media it is: of one stay of a participant in the room.
type owner struct {
	peer, track string
	kind        client.Kind
}

// tap is one slot.
type tap struct {
	slot    *client.Slot
	order   clip.Reorder
	waiting []clip.Arrived // in order, not known whose
	named   bool           // the last packet named its publisher
	current *recording
	of      owner
}

func newReceiver(room *client.Room, files *store, began time.Time) *receiver {
	r := &receiver{room: room, files: files, began: began, taps: map[*client.Slot]*tap{}, recordings: map[owner]*recording{}}
	for _, s := range room.Slots() {
		r.taps[s] = &tap{slot: s}
	}
	return r
}

func (r *receiver) now() time.Duration { return time.Since(r.began) }

// read takes a slot's packets until the room ends.
func (r *receiver) read(s *client.Slot) {
	for {
		p, err := s.ReadRTP(context.Background())
		if err != nil {
			return // io.EOF
		}
		r.mu.Lock()
		t := r.taps[s]
		now := r.now()
		t.order.Push(now, p)
		r.pull(t, now)
		r.mu.Unlock()
	}
}

// poll gives up gaps and asks for keyframes where they are due. It returns the first error of a file.
func (r *receiver) poll() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, t := range r.taps {
		r.pull(t, now)
		if t.current != nil && t.current.tap == t && t.current.needsKeyframe(now) {
			// Without a connection there is nobody to ask; it is asked again.
			_ = t.slot.RequestKeyframe()
		}
	}
	if now-r.swept >= time.Second {
		r.swept = now
		r.sweep(now)
	}
	return r.err
}

// pull moves a slot's packets to whom they belong.
func (r *receiver) pull(t *tap, now time.Duration) {
	for {
		a, ok := t.order.Pop(now)
		if !ok {
			break
		}
		t.waiting = append(t.waiting, a)
	}
	done := 0
	for _, a := range t.waiting {
		if !r.place(t, a) {
			if now-a.At < unknownFor && len(t.waiting)-done <= maxUnknown {
				break
			}
			r.strangers++
		}
		done++
	}
	t.waiting = append(t.waiting[:0], t.waiting[done:]...)
}

// place hands a packet to its recording; false while nobody knows whose it is.
func (r *receiver) place(t *tap, a clip.Arrived) bool {
	who, track, ok := r.ownerOf(t, a)
	if !ok {
		return false
	}
	of := owner{who.ID, track.ID, t.slot.Kind()}
	if t.current == nil || t.of != of || t.current.over {
		rec := r.recordingOf(of, who, track)
		if rec == nil {
			return false
		}
		rec.tap = t // what still comes in another slot is older
		rec.interrupt()
		t.current, t.of = rec, of
	}
	if t.current.tap != t {
		return true
	}
	if err := t.current.take(a); err != nil && r.err == nil {
		r.err = err
	}
	return true
}

// ownerOf says whose packet it is. For 2 s after each change packets carry a CSRC, the low half of the publisher's id; after
// that it is whose it was. Which of a publisher's tracks it is, the slot map tells: where the publisher stays the same, the
// change is where the CSRC comes back, or else a keyframe.
func (r *receiver) ownerOf(t *tap, a clip.Arrived) (client.Participant, client.Track, bool) {
	named := len(a.Packet.CSRC) == 1
	begins := named && !t.named
	t.named = named
	if t.current != nil && (!named || csrcOf(t.of.peer) == a.Packet.CSRC[0]) {
		who, track, ok := t.slot.Shows()
		other := ok && who.ID == t.of.peer && track.ID != t.of.track && track.Kind == t.of.kind
		if !other || !begins && !(t.of.kind == client.Video && t.current.startsKeyframe(a.Packet)) {
			return t.current.who, t.current.track, true
		}
		return who, track, true
	}
	who, track, ok := t.slot.Shows()
	if ok && (!named || csrcOf(who.ID) == a.Packet.CSRC[0]) {
		return who, track, true
	}
	if !named {
		return who, track, false
	}
	// The slot shows somebody else by now, or not yet.
	for _, who := range r.room.Participants() {
		if csrcOf(who.ID) != a.Packet.CSRC[0] {
			continue
		}
		var only client.Track
		count := 0
		for _, track := range who.Tracks {
			if track.Kind == t.slot.Kind() {
				only = track
				count++
			}
		}
		return who, only, count == 1
	}
	return client.Participant{}, client.Track{}, false
}

// csrcOf is how packets name a participant: the low 32 bits of the id, read in base 36; 0 for an id that is no number.
func csrcOf(id string) uint32 {
	n, err := strconv.ParseUint(id, 36, 64)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func (r *receiver) recordingOf(of owner, who client.Participant, track client.Track) *recording {
	if rec := r.recordings[of]; rec != nil && !rec.over { // a track may end and come back under its id
		return rec
	}
	if len(r.order) >= maxRecordings {
		return nil
	}
	rec := newRecording(r.files, who, track, of.kind)
	r.recordings[of] = rec
	r.order = append(r.order, rec)
	return rec
}

// sweep closes the files of those who have gone.
func (r *receiver) sweep(now time.Duration) {
	there := map[owner]bool{}
	for _, p := range r.room.Participants() {
		for _, track := range p.Tracks {
			there[owner{p.ID, track.ID, track.Kind}] = true
		}
	}
	for of, rec := range r.recordings {
		switch {
		case there[of]:
			rec.gone = 0
		case rec.gone == 0:
			rec.gone = now
		case now-rec.gone > goneFor:
			if err := rec.close(); err != nil && r.err == nil {
				r.err = err
			}
		}
	}
}

// close takes what is left and closes every file. The slots' readers have ended.
func (r *receiver) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, t := range r.taps {
		t.order.Drain()
		r.pull(t, now)
	}
	for _, rec := range r.order {
		if err := rec.close(); err != nil && r.err == nil {
			r.err = err
		}
	}
	return r.err
}

func (r *receiver) unknown() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.strangers
	for _, t := range r.taps {
		n += uint64(len(t.waiting))
	}
	return n
}

func (r *receiver) report() []Track {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Track, 0, len(r.order))
	for _, rec := range r.order {
		out = append(out, rec.report())
	}
	return out
}
