package plan

import (
	"cmp"
	"slices"
	"time"
)

// Config of a room.
type Config struct {
	// MaxPeers bounds the room; default 1000.
	MaxPeers int
}

// Room is one room. One goroutine, the room's loop, owns it.
type Room struct {
	// Fixed after New.
	maxPeers int

	// Who is here.
	peers      map[PeerID]*peer
	identities map[string]*peer
	order      []*peer               // by joining
	tracks     [ScreenAudio][]*track // by Source-1, then by joining and publishing: the waiting order
	joins      uint64                // joins so far, the next peer's place in every order

	// One Step.
	effects []Effect
}

// peer is a member: what it publishes and what it receives.
type peer struct {
	id             PeerID
	identity, name string
	place          uint64 // rises with each join
	canPublish     bool
	canSubscribe   bool
	published      []*track
	receive        receiver
}

// track is a published track and its owner.
type track struct {
	Track
	owner *peer
}

func (t *track) ref() TrackRef { return TrackRef{Peer: t.owner.id, ID: t.ID} }

// New returns an empty room.
func New(cfg Config) *Room {
	if cfg.MaxPeers == 0 {
		cfg.MaxPeers = 1000
	}
	return &Room{maxPeers: cfg.MaxPeers, peers: map[PeerID]*peer{}, identities: map[string]*peer{}}
}

// Step carries out one command and returns what follows from it, in order. The room keeps nothing of what it returns.
// The rules so far do not depend on now.
func (r *Room) Step(_ time.Duration, c Command) []Effect {
	r.effects = nil
	switch c := c.(type) {
	case Join:
		r.join(c)
	case Leave:
		r.with(c.Peer, r.remove)
	case Publish:
		r.with(c.Peer, func(p *peer) { r.publish(p, c.Tracks) })
	case Unpublish:
		r.with(c.Peer, func(p *peer) { r.unpublish(p, c.IDs) })
	case Mute:
		r.with(c.Peer, func(p *peer) { r.mute(p, c.ID, c.Muted) })
	case Subscribe:
		r.with(c.Peer, func(p *peer) { r.subscribe(p, c.Wishes) })
	case Resize:
		r.with(c.Peer, func(p *peer) { r.resize(p, c.Audio, c.Video) })
	}
	for _, p := range r.order {
		r.settle(p)
	}
	return r.effects
}

// Len is the number of peers in the room.
func (r *Room) Len() int { return len(r.order) }

// Peers is everybody but one, in join order.
func (r *Room) Peers(but PeerID) []PeerInfo {
	infos := make([]PeerInfo, 0, len(r.order))
	for _, p := range r.order {
		if p.id != but {
			infos = append(infos, p.info())
		}
	}
	return infos
}

// Slots is what the peer receives now; empty when it is not in the room.
func (r *Room) Slots(id PeerID) SlotMap {
	p := r.peers[id]
	if p == nil {
		return SlotMap{}
	}
	return p.receive.slotMap()
}

func (r *Room) join(c Join) {
	old := r.identities[c.Identity] // never one for the empty identity
	switch {
	case r.peers[c.Peer] != nil:
		r.reject(c.Peer, "", KnownPeer)
		return
	case old == nil && len(r.order) >= r.maxPeers:
		r.reject(c.Peer, "", RoomFull)
		return
	case old != nil:
		r.emit(Evict{Peer: old.id})
		r.remove(old)
	}
	p := &peer{
		id: c.Peer, identity: c.Identity, name: c.Name, place: r.joins,
		canPublish: c.CanPublish, canSubscribe: c.CanSubscribe,
	}
	r.joins++
	p.receive.init(p)
	if p.canSubscribe {
		p.receive.grow(c.AudioSlots, c.VideoSlots)
	}
	r.peers[p.id] = p
	if p.identity != "" {
		r.identities[p.identity] = p
	}
	var added []*track
	if p.canPublish {
		added = r.enter(p, c.Tracks)
	}
	joined := PeerJoined{Peer: p.info()}
	for _, other := range r.order {
		r.emit(Tell{Peer: other.id, Event: joined})
		for _, t := range added {
			other.receive.offer(t)
		}
	}
	r.order = append(r.order, p)
	r.fill(p)
}

// enter puts the new ones of tracks among the published ones, in the order in which they take slots: a microphone
// before its camera, because the camera follows the microphone to its pair.
func (r *Room) enter(p *peer, tracks []Track) []*track {
	var added []*track
	for _, described := range tracks {
		if p.track(described.ID) != nil || !described.valid() {
			continue
		}
		t := &track{Track: described, owner: p}
		p.published = append(p.published, t)
		added = append(added, t)
		waiting := &r.tracks[t.Source-1]
		at, _ := slices.BinarySearchFunc(*waiting, p.place+1, func(t *track, place uint64) int {
			return cmp.Compare(t.owner.place, place)
		})
		*waiting = slices.Insert(*waiting, at, t)
	}
	slices.SortStableFunc(added, func(a, b *track) int { return cmp.Compare(a.Source, b.Source) })
	return added
}

// valid refuses a source of the other kind, which would have no slot to go to.
func (t Track) valid() bool {
	switch t.Source {
	case Microphone, ScreenAudio:
		return t.Kind == Audio
	case Camera, Screen:
		return t.Kind == Video
	default:
		return false
	}
}

func (r *Room) remove(p *peer) {
	delete(r.peers, p.id)
	if r.identities[p.identity] == p {
		delete(r.identities, p.identity)
	}
	r.order = slices.DeleteFunc(r.order, func(other *peer) bool { return other == p })
	for _, t := range p.published {
		r.forget(t)
	}
	for _, other := range r.order {
		r.emit(Tell{Peer: other.id, Event: PeerLeft{Peer: p.id}})
		r.withdraw(other, p.published)
	}
}

// forget takes a track out of the waiting order.
func (r *Room) forget(t *track) {
	waiting := &r.tracks[t.Source-1]
	*waiting = slices.DeleteFunc(*waiting, func(other *track) bool { return other == t })
}

// withdraw frees the slots in which a receiver sees the ended tracks, and gives them to the next.
func (r *Room) withdraw(p *peer, ended []*track) {
	freed := false
	for _, t := range ended {
		freed = p.receive.drop(t) || freed
	}
	if freed {
		r.fill(p)
	}
}

func (r *Room) publish(p *peer, tracks []Track) {
	if !p.canPublish {
		r.reject(p.id, "", Forbidden)
		return
	}
	added := r.enter(p, tracks)
	for _, other := range r.order {
		if other == p {
			continue
		}
		for _, t := range added {
			r.emit(Tell{Peer: other.id, Event: TrackPublished{Peer: p.id, Track: t.Track}})
			other.receive.offer(t)
		}
	}
}

func (r *Room) unpublish(p *peer, ids []string) {
	var ended []*track
	for _, id := range ids {
		t := p.track(id)
		if t == nil {
			r.reject(p.id, id, NotFound)
			continue
		}
		ended = append(ended, t)
		r.forget(t)
		p.published = slices.DeleteFunc(p.published, func(other *track) bool { return other == t })
	}
	for _, other := range r.order {
		if other == p {
			continue
		}
		for _, t := range ended {
			r.emit(Tell{Peer: other.id, Event: TrackUnpublished{Peer: p.id, Track: t.Track}})
		}
		r.withdraw(other, ended)
	}
}

func (r *Room) mute(p *peer, id string, muted bool) {
	t := p.track(id)
	if t == nil {
		r.reject(p.id, id, NotFound)
		return
	}
	if t.Muted == muted {
		return
	}
	t.Muted = muted
	for _, other := range r.order {
		if other != p {
			r.emit(Tell{Peer: other.id, Event: TrackMuted{Peer: p.id, Track: t.Track}})
		}
	}
}

func (r *Room) subscribe(p *peer, wishes []Wish) {
	p.receive.wish(wishes)
	r.fill(p)
}

func (r *Room) resize(p *peer, audio, video []bool) {
	if p.canSubscribe {
		p.receive.grow(len(audio), len(video))
		p.receive.shut(&p.receive.audio, audio)
		p.receive.shut(&p.receive.video, video)
		r.fill(p)
	}
}

// fill gives the receiver what it wished for, and then its free slots to who waits, in order. A free slot means that
// all tracks before the first waiting one have slots or are hidden, so each list is read only so far.
func (r *Room) fill(p *peer) {
	for _, w := range p.receive.wanted {
		r.grant(p, w)
	}
	for i, waiting := range r.tracks {
		slots := p.receive.slotsOf(Source(i + 1))
		for _, t := range waiting {
			if slots.free == 0 {
				break
			}
			p.receive.offer(t)
		}
	}
}

// grant offers the tracks that a visible wish names.
func (r *Room) grant(p *peer, w Wish) {
	publisher := r.peers[w.Peer]
	if publisher == nil {
		return
	}
	for source := Microphone; source <= ScreenAudio; source++ {
		for _, t := range publisher.published {
			if t.Source == source && (w.Track == "" || w.Track == t.ID) {
				p.receive.offer(t)
			}
		}
	}
}

// settle puts into effects how the slots of a peer differ from what was last said.
func (r *Room) settle(p *peer) {
	if !p.receive.changed {
		return
	}
	p.receive.changed = false
	before := len(r.effects)
	r.assign(p, false, &p.receive.audio)
	r.assign(p, true, &p.receive.video)
	joinedNow := !p.receive.settled
	p.receive.settled = true
	if len(r.effects) > before && !joinedNow {
		r.emit(Tell{Peer: p.id, Event: SlotsChanged{Slots: p.receive.slotMap()}})
	}
}

func (r *Room) assign(p *peer, video bool, s *slots) {
	for i, t := range s.now {
		if s.said[i] == t {
			continue
		}
		s.said[i] = t
		a := Assign{Peer: p.id, Video: video, Slot: i}
		if t != nil {
			ref := t.ref()
			a.Track = &ref
		}
		r.emit(a)
	}
}

func (r *Room) with(id PeerID, do func(*peer)) {
	if p := r.peers[id]; p != nil {
		do(p)
		return
	}
	r.reject(id, "", UnknownPeer)
}

func (r *Room) emit(e Effect) { r.effects = append(r.effects, e) }

func (r *Room) reject(id PeerID, track string, why Reason) {
	r.emit(Reject{Peer: id, ID: track, Reason: why})
}

func (p *peer) track(id string) *track {
	for _, t := range p.published {
		if t.ID == id {
			return t
		}
	}
	return nil
}

func (p *peer) info() PeerInfo {
	info := PeerInfo{Peer: p.id, Identity: p.identity, Name: p.name}
	for _, t := range p.published {
		info.Tracks = append(info.Tracks, t.Track)
	}
	return info
}
