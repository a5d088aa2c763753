package plain

import (
	"errors"
	"slices"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// room is who is there, in order of coming. Guarded by the server's mu.
type room struct{ peers []*participant }

var errReplaced = errors.New("somebody came with the same identity")

func (s *sfu) enter(p *participant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[p.join.Room]
	if r == nil {
		r = &room{}
		s.rooms[p.join.Room] = r
	}
	for _, other := range r.peers {
		if other.join.Identity == p.join.Identity {
			other.end(errReplaced)
		}
	}
	p.room = r
	r.peers = append(r.peers, p)
}

func (s *sfu) leave(p *participant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.room.peers = slices.DeleteFunc(p.room.peers, func(other *participant) bool { return other == p })
	p.published = nil
	if len(p.room.peers) == 0 && s.rooms[p.join.Room] == p.room {
		delete(s.rooms, p.join.Room)
	}
	p.room.changed(p)
}

// offer gives a track to the room and runs its forwarding; false: its publisher has left.
func (s *sfu) offer(t *track, forward func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := t.from
	if p.room == nil || !slices.Contains(p.room.peers, p) {
		return false
	}
	p.published = append(p.published, t)
	p.running.Go(forward)
	p.room.changed(p)
	return true
}

// changed has all but one negotiate.
func (r *room) changed(by *participant) {
	for _, p := range r.peers {
		if p == by {
			continue
		}
		select {
		case p.changed <- struct{}{}:
		default: // it will see this, too
		}
	}
}

// due says which tracks a peer should begin to get and which have ended. Those of the same publisher follow each other.
func (s *sfu) due(p *participant) (fresh, gone []*track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[*track]bool{}
	taken := map[measure.Kind]int{}
	var waiting []*track
	for _, other := range p.room.peers {
		if other == p || other.join.Identity == p.join.Identity {
			continue
		}
		for _, t := range other.published {
			there[t] = true
			if p.sending[t] != nil {
				taken[t.kind()]++
			} else {
				waiting = append(waiting, t)
			}
		}
	}
	for t := range p.sending {
		if !there[t] {
			gone = append(gone, t)
		}
	}
	for _, t := range waiting {
		if taken[t.kind()] < p.join.wants(t.kind()) {
			taken[t.kind()]++
			fresh = append(fresh, t)
		}
	}
	return fresh, gone
}

// askAll requests keyframes of all that a peer may get.
func (s *sfu) askAll(p *participant) {
	s.mu.Lock()
	var all []*track
	if p.room != nil {
		for _, other := range p.room.peers {
			if other != p {
				all = append(all, other.published...)
			}
		}
	}
	s.mu.Unlock()
	for _, t := range all {
		t.ask()
	}
}

func (t *track) kind() measure.Kind {
	if t.remote.Kind() == webrtc.RTPCodecTypeVideo {
		return measure.Video
	}
	return measure.Audio
}
