package plan

import (
	"cmp"
	"slices"
	"time"
)

// receiver is what one peer receives: its slots and its wishes.
type receiver struct {
	self *peer

	// What its device takes.
	maxVideos int    // 0: no bound
	maxHeight uint32 // of cameras; 0: no bound

	// What it wants.
	wanted []Wish          // the visible ones, best first
	named  map[PeerID]bool // peers of wanted
	ranks  map[TrackRef]want
	paused bool
	lastN  int

	// What it has.
	audio, video slots
	where        map[*track]int // slot index of each track that has one
	settled      bool           // settled once: before, the answer to the join carries the map

	// The room's speakers as this receiver hears them; see Room.balance.
	front, stage *peer
	staged       bool          // slots 0 are a stage
	due          time.Duration // when a slot may be taken that is held until then; 0: nobody waits for one
}

// want is what a wish says of a track.
type want struct {
	rank          rank
	width, height uint32
	priority      uint32
}

// rank is how much a receiver wants a track: hidden, no wish, and above that the wishes by their place.
type rank int

const (
	hidden rank = iota - 1
	unnamed
)

// slots are the receive slots of one kind.
type slots struct {
	now    []*track        // nil: free, or closed
	since  []time.Duration // when the track got a slot
	said   []*track        // what the effects said last
	views  []View          // likewise
	closed []bool          // its m-line is stopped: nothing is put there
	open   int             // those not closed
	used   int
	most   int // tracks at once, at most open
}

// takes says whether a track may be put into a slot.
func (s *slots) takes(i int) bool { return s.now[i] == nil && !s.closed[i] }

func (v *receiver) init(self *peer, maxVideos int, maxHeight uint32) {
	v.self, v.maxVideos, v.maxHeight = self, maxVideos, maxHeight
	v.where = map[*track]int{}
}

// grow opens slots up to these numbers.
func (v *receiver) grow(audio, video int) {
	v.audio.grow(audio)
	v.video.grow(video)
	v.bound()
}

func (s *slots) grow(size int) {
	if more := size - len(s.now); more > 0 {
		s.now = append(s.now, make([]*track, more)...)
		s.since = append(s.since, make([]time.Duration, more)...)
		s.said = append(s.said, make([]*track, more)...)
		s.views = append(s.views, make([]View, more)...)
		s.closed = append(s.closed, make([]bool, more)...)
		s.open += more
	}
}

// shut closes and opens slots as told, and takes what was shown out of those that close.
func (v *receiver) shut(s *slots, open []bool) {
	for i, is := range open {
		switch {
		case is && s.closed[i]:
			s.closed[i] = false
			s.open++
		case !is && !s.closed[i]:
			if t := s.now[i]; t != nil {
				v.drop(t)
			}
			s.closed[i] = true
			s.open--
		}
	}
	v.bound()
}

// bound counts how many tracks there may be at once.
func (v *receiver) bound() {
	v.audio.most, v.video.most = v.audio.open, v.video.open
	if v.maxVideos > 0 {
		v.video.most = min(v.video.most, v.maxVideos)
	}
	if v.lastN > 0 {
		v.video.most = min(v.video.most, v.lastN)
	}
	if v.paused {
		v.video.most = 0
	}
}

// wish replaces the wishes, and empties the slots of what is hidden from now on.
func (v *receiver) wish(c Subscribe) {
	v.wanted = slices.DeleteFunc(slices.Clone(c.Wishes), func(w Wish) bool { return w.Hidden })
	slices.SortStableFunc(v.wanted, func(a, b Wish) int { return cmp.Compare(b.Priority, a.Priority) })
	v.ranks, v.named = make(map[TrackRef]want, len(c.Wishes)), make(map[PeerID]bool, len(v.wanted))
	for i, w := range v.wanted {
		v.named[w.Peer] = true
		ref := TrackRef{Peer: w.Peer, ID: w.Track}
		if _, twice := v.ranks[ref]; !twice {
			v.ranks[ref] = want{rank(len(v.wanted) - i), w.Width, w.Height, w.Priority}
		}
	}
	for _, w := range c.Wishes {
		if w.Hidden {
			v.ranks[TrackRef{Peer: w.Peer, ID: w.Track}] = want{rank: hidden}
		}
	}
	v.paused, v.lastN = c.VideoPaused, c.LastN
	v.bound()
	for _, s := range []*slots{&v.audio, &v.video} {
		for _, t := range s.now {
			if t != nil && v.rank(t) == hidden {
				v.drop(t)
			}
		}
	}
}

// want looks for a wish for the track, then for one for its peer. Who wishes to see a peer does not wish to hear him rather
// than those who speak: of sound, such a wish says only whether it is hidden.
func (v *receiver) want(t *track) want {
	if len(v.ranks) == 0 {
		return want{}
	}
	if w, ok := v.ranks[t.ref()]; ok {
		return w
	}
	w := v.ranks[TrackRef{Peer: t.owner.id}]
	if t.Kind == Audio && w.rank != hidden {
		return want{}
	}
	return w
}

func (v *receiver) rank(t *track) rank { return v.want(t).rank }

// view is how large the receiver shows a video.
func (v *receiver) view(t *track) View {
	w := v.want(t)
	view := View{Width: w.width, Height: w.height, Detail: t.Source == Screen, Priority: w.priority}
	if v.maxHeight == 0 || t.Source == Screen { // text of 360 lines cannot be read
		return view
	}
	if view.Height == 0 || view.Height > v.maxHeight {
		if view.Height > 0 {
			view.Width = uint32(uint64(view.Width) * uint64(v.maxHeight) / uint64(view.Height))
		} else {
			view.Width = 0 // as wide as that height makes it
		}
		view.Height, view.Limited = v.maxHeight, true
	}
	return view
}

// choose picks a free slot for the track; there is one.
func (v *receiver) choose(t *track) int {
	s, other := v.slotsOf(t.Source), &v.video
	if t.Kind == Video {
		other = &v.audio
	}
	if t.Source == Screen || t.Source == ScreenAudio {
		if i := v.partner(t, other); i >= 0 && i < len(s.now) && s.takes(i) {
			return i
		}
		return s.lastFree()
	}
	from := 0
	switch v.stage {
	case nil:
	case t.owner:
		if len(s.now) > 0 && s.takes(0) {
			return 0
		}
	default:
		from = 1 // while another will do: the pair of slot 0 is that of the stage
	}
	if i := v.partner(t, other); i >= from && i < len(s.now) && s.takes(i) {
		return i
	}
	pairs := min(len(s.now), len(other.now))
	for i := from; i < pairs; i++ {
		if s.takes(i) && other.takes(i) && v.partner(t, other) < 0 {
			return i
		}
	}
	for _, first := range [...]int{max(pairs, from), from} {
		if i := s.firstFree(first); i >= 0 {
			return i
		}
	}
	return s.firstFree(0)
}

// partner is the slot of the track that this one should be in lip sync with, -1 when it has none.
func (v *receiver) partner(t *track, other *slots) int {
	var source Source
	switch t.Source {
	case Microphone:
		source = Camera
	case Camera:
		source = Microphone
	case Screen:
		source = ScreenAudio
	case ScreenAudio:
		source = Screen
	}
	return slices.IndexFunc(other.now, func(o *track) bool {
		return o != nil && o.owner == t.owner && o.Source == source
	})
}

// firstFree is the first free slot from an index on, -1 without one.
func (s *slots) firstFree(from int) int {
	for i := from; i < len(s.now); i++ {
		if s.takes(i) {
			return i
		}
	}
	return -1
}

func (s *slots) lastFree() int {
	for i := len(s.now) - 1; i >= 0; i-- {
		if s.takes(i) {
			return i
		}
	}
	return -1
}

func (v *receiver) put(now time.Duration, t *track, i int) {
	s := v.slotsOf(t.Source)
	s.now[i], s.since[i] = t, now
	s.used++
	v.where[t] = i
}

// drop frees the track's slot; false when it has none.
func (v *receiver) drop(t *track) bool {
	i, has := v.where[t]
	if !has {
		return false
	}
	s := v.slotsOf(t.Source)
	s.now[i] = nil
	s.used--
	delete(v.where, t)
	return true
}

// swap lets two slots change what they show. Who holds one keeps the time since when.
func (v *receiver) swap(s *slots, i, j int) {
	s.now[i], s.now[j] = s.now[j], s.now[i]
	s.since[i], s.since[j] = s.since[j], s.since[i]
	for _, at := range [...]int{i, j} {
		if t := s.now[at]; t != nil {
			v.where[t] = at
		}
	}
}

// shows says whether a track of the peer has a slot.
func (v *receiver) shows(p *peer) bool {
	for _, t := range p.published {
		if _, has := v.where[t]; has {
			return true
		}
	}
	return false
}

func (v *receiver) slotsOf(source Source) *slots {
	if source == Microphone || source == ScreenAudio {
		return &v.audio
	}
	return &v.video
}

func (v *receiver) slotMap() SlotMap {
	return SlotMap{Audio: v.audio.refs(), Video: v.video.refs()}
}

func (s *slots) refs() []TrackRef {
	refs := make([]TrackRef, len(s.now))
	for i, t := range s.now {
		if t != nil {
			refs[i] = t.ref()
		}
	}
	return refs
}
