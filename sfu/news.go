package sfu

import (
	"slices"
	"sync"

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

// tell passes on what a shard has found out for a peer; from any goroutine, and it waits for nobody.
func (s *SFU) tell(id shard.PeerID, e Event) {
	s.mu.Lock()
	p := s.peers[id]
	s.mu.Unlock()
	if p != nil {
		p.room.news.tell(p, e)
	}
}
