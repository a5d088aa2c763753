package sfu

import (
	"slices"
	"sync"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
)

// news is what shards have for a room's loop. A shard never waits for a room: news replaces older news of the same thing, so
// that there is no more of it than tracks and slots. Nor does it wait for a peer, which may be waiting for it: what it says
// is put into the client's words by the room's loop.
type news struct {
	// Fixed after newNews.
	wake chan struct{} // buffered: there is something

	// Guarded by mu.
	mu       sync.Mutex
	speakers [][]plan.Speaker // by shard
	spoke    bool             // speakers are new
	notices  []notice
	place    map[topic]int // in notices
}

// notice is what a shard has found out for a peer: of the four one is there.
type notice struct {
	peer    *Peer
	topic   topic
	wanted  []shard.EncodingWanted
	codec   bool // wanted
	thin    bool // its way carries less than a voice takes
	changed []shard.SlotLayer
}

// topic is what a notice is about; of two about one topic the later holds, and of two about slots the later where both speak
// of one slot.
type topic struct {
	peer  *Peer
	track shard.TrackID // 0: its slots
	codec codec.Codec   // 0: the track's encodings
	path  bool          // no track nor slots, but its way
}

func newNews(shards int) *news {
	return &news{wake: make(chan struct{}, 1), speakers: make([][]plan.Speaker, shards), place: map[topic]int{}}
}

// hear notes who speaks on a shard, loudest first.
func (n *news) hear(shard int, speakers []speaker.Speaker) {
	list := make([]plan.Speaker, len(speakers))
	for i, s := range speakers {
		list[i] = plan.Speaker{Peer: plan.PeerID(s.ID), Level: s.Level}
	}
	n.mu.Lock()
	n.speakers[shard], n.spoke = list, true
	n.mu.Unlock()
	n.ring()
}

// loudest is who speaks on all shards, loudest first. Those of one shard stay in its order: there, who is a little louder
// than another does not pass him. Guarded by mu.
func (n *news) loudest() []plan.Speaker {
	var all []plan.Speaker
	at := make([]int, len(n.speakers))
	for len(all) < speaker.Most {
		next := -1
		for i, list := range n.speakers {
			if at[i] < len(list) && (next < 0 || list[at[i]].Level > n.speakers[next][at[next]].Level) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		all = append(all, n.speakers[next][at[next]])
		at[next]++
	}
	return all
}

// tell notes something for a peer of the room. It reaches Events in order with the room's own; a peer that has left, or not
// come yet, does not get it.
func (n *news) tell(one notice) {
	one.topic.peer = one.peer
	n.mu.Lock()
	if i, waits := n.place[one.topic]; waits {
		if one.topic.track == 0 && !one.topic.path {
			one.changed = merged(n.notices[i].changed, one.changed)
		}
		n.notices[i] = one
	} else {
		n.place[one.topic] = len(n.notices)
		n.notices = append(n.notices, one)
	}
	n.mu.Unlock()
	n.ring()
}

// merged is both, the later one where they speak of one slot.
func merged(before, now []shard.SlotLayer) []shard.SlotLayer {
	before = slices.DeleteFunc(before, func(s shard.SlotLayer) bool {
		return slices.ContainsFunc(now, func(o shard.SlotLayer) bool { return o.Slot == s.Slot })
	})
	return append(before, now...)
}

func (n *news) ring() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take returns what there is.
func (n *news) take() (speakers []plan.Speaker, spoke bool, notices []notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	speakers, spoke, notices = n.loudest(), n.spoke, n.notices
	n.spoke, n.notices = false, nil
	clear(n.place)
	return speakers, spoke, notices
}

// event is a notice in the client's words; nil when what it is about has ended meanwhile.
func (one notice) event() Event {
	p := one.peer
	if one.thin {
		return ProfileWanted{SaverProfile}
	}
	if one.topic.track == 0 {
		if layers := p.slotLayers(one.changed); len(layers) > 0 {
			return LayersChanged{Slots: layers}
		}
		return nil
	}
	id, ok := p.trackID(one.topic.track)
	switch {
	case !ok:
		return nil
	case one.topic.codec != 0:
		return CodecWanted{TrackID: id, Codec: one.topic.codec, Wanted: one.codec}
	}
	e := LayersWanted{TrackID: id}
	for _, w := range one.wanted {
		e.Encodings = append(e.Encodings, EncodingWanted(w))
	}
	return e
}

// heard is told by a shard who speaks in a room.
func (s *SFU) heard(core int, id shard.RoomID, speakers []speaker.Speaker) {
	s.mu.Lock()
	r := s.numbered[id]
	s.mu.Unlock()
	if r != nil {
		r.news.hear(core, speakers)
	}
}

// layersWanted is told by a shard which encodings of a track are watched.
func (s *SFU) layersWanted(id shard.PeerID, track shard.TrackID, encodings []shard.EncodingWanted) {
	s.tell(id, notice{topic: topic{track: track}, wanted: encodings})
}

// codecWanted is told by a shard that a track is needed in another codec, or no longer.
func (s *SFU) codecWanted(id shard.PeerID, track shard.TrackID, c codec.Codec, wanted bool) {
	s.tell(id, notice{topic: topic{track: track, codec: c}, codec: wanted})
}

// layersChanged is told by a shard what video slots receive.
func (s *SFU) layersChanged(id shard.PeerID, slots []shard.SlotLayer) {
	s.tell(id, notice{changed: slots})
}

// thin is told by a shard that the way to a peer carries less than a voice takes.
func (s *SFU) thin(id shard.PeerID) { s.tell(id, notice{topic: topic{path: true}, thin: true}) }

// tell passes on what a shard has found out for a peer; it waits for nobody.
func (s *SFU) tell(id shard.PeerID, one notice) {
	s.mu.Lock()
	one.peer = s.peers[id]
	s.mu.Unlock()
	if one.peer != nil {
		one.peer.room.news.tell(one)
	}
}
