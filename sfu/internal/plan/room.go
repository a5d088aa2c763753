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
	order      []*peer // by joining
	// tracks are the candidates for slots, by Source-1: who spoke last is first, those who never did follow by joining and
	// publishing; screens by joining and publishing only.
	tracks [ScreenAudio][]*track
	joins  uint64 // joins so far, the next peer's place in every order

	speech speech
	roster roster

	// One Step.
	now     time.Duration
	effects []Effect
	touched []*peer       // whose slots may have to change
	due     time.Duration // of the receiver whose turn is next; 0: of none
}

// peer is a member: what it publishes and what it receives.
type peer struct {
	id             PeerID
	identity, name string
	place          uint64 // rises with each join
	canPublish     bool
	canSubscribe   bool
	published      []*track
	sounds         int       // audio tracks among them
	described      *PeerInfo // until its tracks change
	spoke          uint64    // rises with each time that it was named as a speaker; 0: never
	speaks         bool      // one of the speakers now
	touched        bool      // in Room.touched
	receive        receiver
	known          []*peer // in a large room: whom it has been told of, oldest first
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
	r := &Room{maxPeers: cfg.MaxPeers, peers: map[PeerID]*peer{}, identities: map[string]*peer{}}
	r.roster.bounds = usual
	r.speech.told, r.roster.told = -speakersGapLarge, -sizeGap // long enough ago
	return r
}

// Step carries out one command and returns what follows from it, in order, and from the time that has passed. The room
// keeps nothing of what it returns. A now that falls counts as none passed.
func (r *Room) Step(now time.Duration, c Command) []Effect {
	r.effects, r.now = nil, max(r.now, now)
	r.roster.joiner = nil
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
		r.with(c.Peer, func(p *peer) { r.subscribe(p, c) })
	case Resize:
		r.with(c.Peer, func(p *peer) { r.resize(p, c.Audio, c.Video) })
	case Speak:
		r.speak(c.Speakers)
	case Page, Tick:
	}
	r.elapse()
	r.settle()
	r.tellSpeakers()
	r.tellSize()
	if c, ok := c.(Page); ok { // last: the answer comes after all events of this Step
		r.with(c.Peer, func(p *peer) { r.page(p, c.After, c.Limit) })
	}
	return r.effects
}

// Next is when the room wants a Tick at the latest; 0 for no need before another command.
func (r *Room) Next() time.Duration {
	next := time.Duration(0)
	for _, due := range [...]time.Duration{r.due, r.speech.stageDue, r.speech.tellDue, r.roster.tellDue} {
		if due != 0 && (next == 0 || due < next) {
			next = due
		}
	}
	return next
}

// Len is the number of peers in the room.
func (r *Room) Len() int { return len(r.order) }

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
	p.receive.init(p, c.MaxVideos, c.MaxHeight)
	if p.canSubscribe {
		p.receive.grow(c.AudioSlots, c.VideoSlots)
	}
	r.peers[p.id] = p
	if p.identity != "" {
		r.identities[p.identity] = p
	}
	if p.canPublish {
		r.enter(p, c.Tracks)
	}
	r.announce(p)
	r.order = append(r.order, p)
	r.touch(p)
	r.offer(p, p.published)
	r.greet(p)
}

// enter puts the new ones of tracks among the published ones and the candidates.
func (r *Room) enter(p *peer, tracks []Track) []*track {
	var added []*track
	for _, described := range tracks {
		if p.track(described.ID) != nil || !described.valid() {
			continue
		}
		t := &track{Track: described, owner: p}
		p.published = append(p.published, t)
		added = append(added, t)
		if t.Kind == Audio {
			p.sounds++
			r.speech.sounds++
		}
		candidates := &r.tracks[t.Source-1]
		at, _ := slices.BinarySearchFunc(*candidates, t, func(o, t *track) int {
			if o.before(t) || o.owner == t.owner {
				return -1
			}
			return 1
		})
		*candidates = slices.Insert(*candidates, at, t)
	}
	p.described = nil
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

// before is the order of candidates of one source.
func (t *track) before(o *track) bool {
	return cmp.Or(cmp.Compare(o.spoke(), t.spoke()), cmp.Compare(t.owner.place, o.owner.place)) < 0
}

// spoke ranks tracks by when their owners spoke last. A screen is not worth more when its owner speaks.
func (t *track) spoke() uint64 {
	if t.Source == Screen || t.Source == ScreenAudio {
		return 0
	}
	return t.owner.spoke
}

func (r *Room) remove(p *peer) {
	delete(r.peers, p.id)
	if r.identities[p.identity] == p {
		delete(r.identities, p.identity)
	}
	i, _ := slices.BinarySearchFunc(r.order, p.place, func(o *peer, place uint64) int { return cmp.Compare(o.place, place) })
	r.order = slices.Delete(r.order, i, i+1)
	p.touched = true // whatever else happens, its slots are settled no more
	for _, t := range p.published {
		r.forget(t)
	}
	r.bid(p)
	for _, other := range r.order {
		r.withdraw(other, p.published)
	}
	r.silence(p)
}

// forget takes a track out of the candidates.
func (r *Room) forget(t *track) {
	if t.Kind == Audio {
		t.owner.sounds--
		r.speech.sounds--
	}
	candidates := &r.tracks[t.Source-1]
	*candidates = slices.DeleteFunc(*candidates, func(other *track) bool { return other == t })
}

// withdraw frees the slots in which a receiver sees the ended tracks.
func (r *Room) withdraw(p *peer, ended []*track) {
	for _, t := range ended {
		if p.receive.drop(t) {
			r.touch(p)
		}
	}
}

func (r *Room) publish(p *peer, tracks []Track) {
	if !p.canPublish {
		r.reject(p.id, "", Forbidden)
		return
	}
	added := r.enter(p, tracks)
	for _, other := range r.order {
		if !r.knows(other, p) {
			continue
		}
		for _, t := range added {
			r.emit(Tell{Peer: other.id, Event: TrackPublished{Peer: p.id, Track: t.Track}})
		}
	}
	r.offer(p, added)
}

// offer touches the receivers that may take one of the new tracks of a peer: those that have room for it, that wish for
// it, or that show less important ones. A microphone more than there are slots gives a receiver a stage.
func (r *Room) offer(from *peer, added []*track) {
	if len(added) == 0 {
		return
	}
	for _, p := range r.order {
		if p == from || p.touched {
			continue
		}
		v := &p.receive
		wanting := v.staged != (r.stageOf(p) != nil)
		for _, t := range added {
			s := v.slotsOf(t.Source)
			wanting = wanting || s.used < s.most || t.Source >= Screen || len(v.ranks) > 0 || t.spoke() > 0
		}
		if wanting {
			r.touch(p)
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
	p.described = nil
	for _, other := range r.order {
		if r.knows(other, p) {
			for _, t := range ended {
				r.emit(Tell{Peer: other.id, Event: TrackUnpublished{Peer: p.id, Track: t.Track}})
			}
		}
		r.withdraw(other, ended)
	}
	if p.source(Microphone) == nil {
		r.silence(p)
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
	p.described = nil
	for _, other := range r.order {
		if r.knows(other, p) {
			r.emit(Tell{Peer: other.id, Event: TrackMuted{Peer: p.id, Track: t.Track}})
		}
	}
}

func (r *Room) subscribe(p *peer, c Subscribe) {
	p.receive.wish(c)
	r.meet(p)
	r.touch(p)
}

func (r *Room) resize(p *peer, audio, video []bool) {
	if p.canSubscribe {
		p.receive.grow(len(audio), len(video))
		p.receive.shut(&p.receive.audio, audio)
		p.receive.shut(&p.receive.video, video)
		r.touch(p)
	}
}

// touch notes that the slots of a peer may have to change in this Step.
func (r *Room) touch(p *peer) {
	if !p.touched {
		p.touched = true
		r.touched = append(r.touched, p)
	}
}

// elapse sees to what has waited for its time.
func (r *Room) elapse() {
	r.restage()
	if r.due == 0 || r.due > r.now {
		return
	}
	r.due = 0
	for _, p := range r.order {
		switch due := p.receive.due; {
		case due == 0:
		case due <= r.now:
			r.touch(p)
		default:
			r.wake(due)
		}
	}
}

// wake keeps the earliest time at which a receiver has its turn.
func (r *Room) wake(due time.Duration) {
	if r.due == 0 || due < r.due {
		r.due = due
	}
}

// settle fills the slots of those touched, and puts into effects how they differ from what was last said.
func (r *Room) settle() {
	slices.SortFunc(r.touched, func(a, b *peer) int { return cmp.Compare(a.place, b.place) })
	for _, p := range r.touched {
		if r.peers[p.id] != p {
			continue
		}
		p.touched = false
		r.balance(p)
		changed := r.assign(p, false, &p.receive.audio)
		changed = r.assign(p, true, &p.receive.video) || changed
		if !p.receive.settled {
			p.receive.settled = true // the answer to its join carries the map
			r.introduce(p)
		} else if changed {
			r.emit(Tell{Peer: p.id, Event: SlotsChanged{Slots: p.receive.slotMap(), Peers: r.strangers(p)}})
		}
		if due := p.receive.due; due != 0 {
			r.wake(due)
		}
	}
	clear(r.touched)
	r.touched = r.touched[:0]
}

// assign says what is new in the slots of one kind; true when other tracks are in them.
func (r *Room) assign(p *peer, video bool, s *slots) (changed bool) {
	for i, t := range s.now {
		view := View{}
		if video && t != nil {
			view = p.receive.view(t)
			view.Speaks = t.Source == Camera && t.owner == r.speech.seen(p)
		}
		if s.said[i] == t && s.views[i] == view {
			continue
		}
		changed = changed || s.said[i] != t
		s.said[i], s.views[i] = t, view
		a := Assign{Peer: p.id, Video: video, Slot: i, View: view}
		if t != nil {
			ref := t.ref()
			a.Track = &ref
		}
		r.emit(a)
	}
	return changed
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

// source is the first track of a source that the peer publishes, nil without one.
func (p *peer) source(s Source) *track {
	for _, t := range p.published {
		if t.Source == s {
			return t
		}
	}
	return nil
}

// info describes the peer; the tracks are made anew when they change, so that all share one list.
func (p *peer) info() PeerInfo {
	if p.described == nil {
		p.described = &PeerInfo{Peer: p.id, Identity: p.identity, Name: p.name}
		for _, t := range p.published {
			p.described.Tracks = append(p.described.Tracks, t.Track)
		}
	}
	return *p.described
}
