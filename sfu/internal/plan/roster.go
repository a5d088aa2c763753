package plan

import (
	"cmp"
	"slices"
	"time"
)

// bounds are the numbers of a roster.
type bounds struct {
	// small is how many peers a small room has at most: it tells everybody of everybody. In a large one that would be a
	// quarter of a million events while five hundred join; there a peer knows those it sees and hears and those it asked for.
	small int
	// again: a large room is small again below this, well below, because then each is told of those whom he did not know.
	again int
	// page bounds a page, the first one (in the answer to a join) included.
	page int
	// known bounds whom a peer of a large room hears of, save that those in its slots are always among them.
	known int
}

var usual = bounds{
	small: 64, again: 48,
	page:  64,     // some 10 kB
	known: 3 * 64, // the first page, another, and the slots of the largest layout
}

const sizeGap = time.Second // between two RosterChanged

// roster is who is told of whom.
type roster struct {
	bounds
	large    bool
	joiner   *peer // of this Step
	size     int   // as told last
	told     time.Duration
	tellDue  time.Duration // 0: nobody has to be told
	farewell bool          // the room is small again: its size is told once more
}

// Peers is everybody but one in join order; in a large room those whom that one knows, as its events have told.
func (r *Room) Peers(but PeerID) []PeerInfo {
	list := r.order
	if p := r.peers[but]; p != nil && r.roster.large {
		list = p.known
	}
	infos := make([]PeerInfo, 0, len(list))
	for _, p := range list {
		if p.id != but {
			infos = append(infos, p.info())
		}
	}
	return infos
}

// Page is the part of the room behind one peer, in join order and at most limit (1 to 64, else 64), without the asking one. When
// after is no longer in the room, or 0, it is the beginning. more says that others follow. Step(Page) makes them known.
func (r *Room) Page(id, after PeerID, limit int) (peers []PeerInfo, more bool) {
	list, more := r.pageOf(id, after, limit)
	for _, p := range list {
		peers = append(peers, p.info())
	}
	return peers, more
}

func (r *Room) pageOf(id, after PeerID, limit int) (list []*peer, more bool) {
	if limit < 1 || limit > r.roster.page {
		limit = r.roster.page
	}
	from := 0
	if p := r.peers[after]; p != nil {
		from, _ = slices.BinarySearchFunc(r.order, p.place+1, func(o *peer, place uint64) int { return cmp.Compare(o.place, place) })
	}
	for _, p := range r.order[from:] {
		switch {
		case p.id == id:
		case len(list) == limit:
			return list, true
		default:
			list = append(list, p)
		}
	}
	return list, false
}

// page makes those on a page known, as the newest.
func (r *Room) page(p *peer, after PeerID, limit int) {
	if !r.roster.large {
		return
	}
	list, _ := r.pageOf(p.id, after, limit)
	p.known = slices.DeleteFunc(p.known, func(o *peer) bool { return slices.Contains(list, o) })
	r.learn(p, list...)
}

// knows says whether a peer has been told of another.
func (r *Room) knows(p, q *peer) bool {
	if !r.roster.large {
		return p != q
	}
	return slices.Contains(p.known, q)
}

// learn notes in a large room that a peer has been told of others, whom it does not know. The oldest ones have to go for
// them when there are many, but not those in its slots: of them it hears as long as they are there.
func (r *Room) learn(p *peer, others ...*peer) {
	p.known = append(p.known, others...)
	for len(p.known) > r.roster.known {
		old := p.known[:len(p.known)-len(others)]
		i := slices.IndexFunc(old, func(o *peer) bool { return !p.receive.shows(o) })
		if i < 0 {
			return
		}
		r.emit(Tell{Peer: p.id, Event: PeerLeft{Peer: old[i].id}})
		p.known = slices.Delete(p.known, i, i+1)
	}
}

// announce tells of a peer that joins, before it is among the others: everybody in a small room, in a large one those who
// wish for it. With it the room may become a large one.
func (r *Room) announce(p *peer) {
	if !r.roster.large && len(r.order) >= r.roster.small {
		r.roster.large, r.roster.size, r.roster.farewell = true, 0, false
		r.roster.told = min(r.roster.told, r.now-sizeGap)
		for _, other := range r.order {
			other.known = slices.DeleteFunc(slices.Clone(r.order), func(o *peer) bool { return o == other })
		}
	}
	for _, other := range r.order {
		if r.roster.large {
			if !other.receive.named[p.id] {
				continue
			}
			r.learn(other, p)
		}
		r.emit(Tell{Peer: other.id, Event: PeerJoined{Peer: p.info()}})
	}
}

// greet notes a peer that has joined.
func (r *Room) greet(p *peer) {
	r.roster.joiner = p
	r.miss(p)
}

// introduce makes those known that the answer to a join in a large room names: who is in the joiner's slots, then
// publishers, then all, in join order.
func (r *Room) introduce(p *peer) {
	if !r.roster.large {
		return
	}
	r.strangers(p)
	for _, all := range [...]bool{false, true} {
		for _, q := range r.order {
			if len(p.known) >= r.roster.page {
				return
			}
			if q != p && (all || len(q.published) > 0) && !r.knows(p, q) {
				r.learn(p, q)
			}
		}
	}
}

// strangers are those in a peer's slots whom it has not been told of; it is told with what this returns.
func (r *Room) strangers(p *peer) []PeerInfo {
	if !r.roster.large {
		return nil
	}
	var infos []PeerInfo
	for _, s := range [...]*slots{&p.receive.audio, &p.receive.video} {
		for _, t := range s.now {
			if t != nil && !r.knows(p, t.owner) {
				r.learn(p, t.owner)
				infos = append(infos, t.owner.info())
			}
		}
	}
	r.learn(p) // nobody, but who is in its slots no longer may have to go
	return infos
}

// meet makes those known whom a peer of a large room wishes for, as many as a page has.
func (r *Room) meet(p *peer) {
	if !r.roster.large {
		return
	}
	met := 0
	for _, w := range p.receive.wanted {
		q := r.peers[w.Peer]
		if q == nil || q == p || r.knows(p, q) {
			continue
		}
		if met++; met > r.roster.page {
			return
		}
		r.learn(p, q)
		r.emit(Tell{Peer: p.id, Event: PeerJoined{Peer: q.info()}})
	}
}

// bid tells of a peer that has left those who know it. When the room is small again, everybody is told of those he has
// not heard of.
func (r *Room) bid(p *peer) {
	for _, other := range r.order {
		if r.knows(other, p) {
			r.emit(Tell{Peer: other.id, Event: PeerLeft{Peer: p.id}})
			other.known = slices.DeleteFunc(other.known, func(o *peer) bool { return o == p })
		}
	}
	if !r.roster.large || len(r.order) >= r.roster.again {
		return
	}
	for _, other := range r.order {
		for _, q := range r.order {
			if q != other && !r.knows(other, q) {
				r.emit(Tell{Peer: other.id, Event: PeerJoined{Peer: q.info()}})
			}
		}
		other.known = nil
	}
	r.roster.large, r.roster.farewell = false, true
}

// tellSize tells everybody in a large room how many there are, when that has changed, at times.
func (r *Room) tellSize() {
	s := &r.roster
	s.tellDue = 0
	if !s.farewell && (!s.large || s.size == len(r.order)) {
		return
	}
	if !s.farewell && r.now < s.told+sizeGap {
		s.tellDue = s.told + sizeGap
		return
	}
	s.size, s.told, s.farewell = len(r.order), r.now, false
	for _, p := range r.order {
		if p != s.joiner {
			r.emit(Tell{Peer: p.id, Event: RosterChanged{Size: s.size}})
		}
	}
}
