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
// that there is no more of it than tracks and slots.
type news struct {
	// Fixed after newNews.
	wake chan struct{} // buffered: there is something

	// Guarded by mu.
	mu       sync.Mutex
	speakers []plan.Speaker
	spoke    bool // speakers are new
	notices  []notice
	place    map[topic]int // in notices
}

// notice is an event on its way to a peer.
type notice struct {
	peer  *Peer
	event Event
}

// topic is what a notice is about; of two about one topic the later holds.
type topic struct {
	peer    *Peer
	kind    uint8
	trackID string
}

func newNews() *news { return &news{wake: make(chan struct{}, 1), place: map[topic]int{}} }

// hear notes who speaks, loudest first.
func (n *news) hear(speakers []speaker.Speaker) {
	list := make([]plan.Speaker, len(speakers))
	for i, s := range speakers {
		list[i] = plan.Speaker{Peer: plan.PeerID(s.ID), Level: s.Level}
	}
	n.mu.Lock()
	n.speakers, n.spoke = list, true
	n.mu.Unlock()
	n.ring()
}

// tell notes an event for a peer of the room: LayersWanted, CodecWanted or LayersChanged. It reaches Events in order with
// the room's own; a peer that has left, or not come yet, does not get it.
func (n *news) tell(p *Peer, e Event) {
	t := topic{peer: p}
	switch e := e.(type) {
	case LayersWanted:
		t.kind, t.trackID = 1, e.TrackID
	case CodecWanted:
		t.kind, t.trackID = 2, e.TrackID+"/"+e.Codec.String()
	case LayersChanged:
		t.kind = 3
	default:
		return
	}
	n.mu.Lock()
	if i, waits := n.place[t]; waits {
		if c, ok := e.(LayersChanged); ok {
			e = merged(n.notices[i].event.(LayersChanged), c)
		}
		n.notices[i].event = e
	} else {
		n.place[t] = len(n.notices)
		n.notices = append(n.notices, notice{p, e})
	}
	n.mu.Unlock()
	n.ring()
}

// merged is both, the later one where they speak of one slot.
func merged(before, now LayersChanged) LayersChanged {
	slots := slices.DeleteFunc(slices.Clone(before.Slots), func(s SlotLayer) bool {
		return slices.ContainsFunc(now.Slots, func(o SlotLayer) bool { return o.MID == s.MID })
	})
	return LayersChanged{Slots: append(slots, now.Slots...)}
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
	speakers, spoke, notices = n.speakers, n.spoke, n.notices
	n.spoke, n.notices = false, nil
	clear(n.place)
	return speakers, spoke, notices
}

// heard is told by a shard who speaks in a room.
func (s *SFU) heard(id shard.RoomID, speakers []speaker.Speaker) {
	s.mu.Lock()
	r := s.numbered[id]
	s.mu.Unlock()
	if r != nil {
		r.news.hear(speakers)
	}
}

// layersWanted passes on which encodings of a track are watched.
func (s *SFU) layersWanted(id shard.PeerID, track shard.TrackID, encodings []shard.EncodingWanted) {
	p, name, ok := s.publication(id, track)
	if !ok {
		return
	}
	e := LayersWanted{TrackID: name}
	for _, w := range encodings {
		e.Encodings = append(e.Encodings, EncodingWanted(w))
	}
	p.room.news.tell(p, e)
}

// codecWanted passes on that a track is needed in another codec, or no longer.
func (s *SFU) codecWanted(id shard.PeerID, track shard.TrackID, c codec.Codec, wanted bool) {
	if p, name, ok := s.publication(id, track); ok {
		p.room.news.tell(p, CodecWanted{TrackID: name, Codec: c, Wanted: wanted})
	}
}

// publication finds a track by what the shard knows it by.
func (s *SFU) publication(id shard.PeerID, track shard.TrackID) (p *Peer, name string, ok bool) {
	s.mu.Lock()
	p = s.peers[id]
	s.mu.Unlock()
	if p == nil {
		return nil, "", false
	}
	name, ok = p.trackID(track)
	return p, name, ok
}

// layersChanged passes on what video slots receive.
func (s *SFU) layersChanged(id shard.PeerID, slots []shard.SlotLayer) {
	s.mu.Lock()
	p := s.peers[id]
	s.mu.Unlock()
	if p == nil {
		return
	}
	if layers := p.slotLayers(slots); len(layers) > 0 {
		p.room.news.tell(p, LayersChanged{Slots: layers})
	}
}
