package plan

import (
	"cmp"
	"slices"
)

// receiver is what one peer receives: its slots and its wishes.
type receiver struct {
	self         *peer
	audio, video slots
	where        map[*track]int // slot index of each track that has one
	wanted       []Wish         // the visible ones, best first
	ranks        map[TrackRef]rank
	changed      bool // since the last settle
	settled      bool // settled once: before, the answer to the join carries the map
}

// slots are the receive slots of one kind.
type slots struct {
	now    []*track // nil: free, or closed
	said   []*track // what the effects said last
	closed []bool   // its m-line is stopped: nothing is put there
	free   int
}

// takes says whether a track may be put into a slot.
func (s *slots) takes(i int) bool { return s.now[i] == nil && !s.closed[i] }

// rank is how much a receiver wants a track: hidden, no wish, and above that the wishes by their place.
type rank int

const (
	hidden rank = iota - 1
	unnamed
)

func (v *receiver) init(self *peer) {
	v.self = self
	v.where = map[*track]int{}
}

// grow opens slots up to these numbers.
func (v *receiver) grow(audio, video int) {
	v.audio.grow(audio)
	v.video.grow(video)
	v.changed = true
}

func (s *slots) grow(size int) {
	if more := size - len(s.now); more > 0 {
		s.now = append(s.now, make([]*track, more)...)
		s.said = append(s.said, make([]*track, more)...)
		s.closed = append(s.closed, make([]bool, more)...)
		s.free += more
	}
}

// shut closes and opens slots as told, and takes what was shown out of those that close.
func (v *receiver) shut(s *slots, open []bool) {
	for i, is := range open {
		switch {
		case is && s.closed[i]:
			s.closed[i] = false
			s.free++
		case !is && !s.closed[i]:
			if t := s.now[i]; t != nil {
				v.drop(t)
			}
			s.closed[i] = true
			s.free--
		}
	}
}

// wish replaces the wishes, and empties the slots of what is hidden from now on.
func (v *receiver) wish(wishes []Wish) {
	v.wanted = slices.DeleteFunc(slices.Clone(wishes), func(w Wish) bool { return w.Hidden })
	slices.SortStableFunc(v.wanted, func(a, b Wish) int { return cmp.Compare(b.Priority, a.Priority) })
	v.ranks = make(map[TrackRef]rank, len(wishes))
	for i, w := range v.wanted {
		ref := TrackRef{Peer: w.Peer, ID: w.Track}
		if _, twice := v.ranks[ref]; !twice {
			v.ranks[ref] = rank(len(v.wanted) - i)
		}
	}
	for _, w := range wishes {
		if w.Hidden {
			v.ranks[TrackRef{Peer: w.Peer, ID: w.Track}] = hidden
		}
	}
	for _, s := range []*slots{&v.audio, &v.video} {
		for _, t := range s.now {
			if t != nil && v.rank(t) == hidden {
				v.drop(t)
			}
		}
	}
}

// rank looks for a wish for the track, then for one for its peer.
func (v *receiver) rank(t *track) rank {
	if k, ok := v.ranks[t.ref()]; ok {
		return k
	}
	return v.ranks[TrackRef{Peer: t.owner.id}]
}

// offer gives the track a slot, if it is visible, has none yet, and one is free or held by a track of lower rank.
func (v *receiver) offer(t *track) {
	if _, has := v.where[t]; has || t.owner == v.self {
		return
	}
	want := v.rank(t)
	if want == hidden {
		return
	}
	s := v.slotsOf(t.Source)
	if s.free > 0 {
		v.put(t, v.choose(t))
		return
	}
	if want == unnamed {
		return // displaces nobody
	}
	if lowest := v.lowest(s); lowest != nil && want > v.rank(lowest) {
		i := v.where[lowest]
		v.drop(lowest)
		v.put(t, i)
	}
}

// lowest is the track that makes room first: the least wanted one and, among equals, the last of the waiting order.
func (v *receiver) lowest(s *slots) *track {
	var lowest *track
	for _, t := range s.now {
		if t != nil && (lowest == nil || cmp.Or(
			cmp.Compare(v.rank(t), v.rank(lowest)),
			cmp.Compare(lowest.Source, t.Source),
			cmp.Compare(lowest.owner.place, t.owner.place)) < 0) {
			lowest = t
		}
	}
	return lowest
}

// choose picks a free slot for the track; there is one.
func (v *receiver) choose(t *track) int {
	s, other := v.slotsOf(t.Source), &v.video
	if t.Kind == Video {
		other = &v.audio
	}
	if i := v.partner(t, other); i >= 0 && i < len(s.now) && s.takes(i) {
		return i
	}
	if t.Source == Screen || t.Source == ScreenAudio {
		return s.lastFree()
	}
	pairs := min(len(s.now), len(other.now))
	for i := range pairs {
		if s.takes(i) && other.takes(i) && v.partner(t, other) < 0 {
			return i
		}
	}
	if i := s.firstFree(pairs); i >= 0 {
		return i
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

func (v *receiver) put(t *track, i int) {
	s := v.slotsOf(t.Source)
	s.now[i] = t
	s.free--
	v.where[t] = i
	v.changed = true
}

// drop frees the track's slot; false when it has none.
func (v *receiver) drop(t *track) bool {
	i, has := v.where[t]
	if !has {
		return false
	}
	s := v.slotsOf(t.Source)
	s.now[i] = nil
	s.free++
	delete(v.where, t)
	v.changed = true
	return true
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
