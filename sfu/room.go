package sfu

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
)

type roomKey struct{ tenant, name string }

// room is the actor of one room: its loop alone steps the plan and carries out the effects. It never touches a packet and
// never calls pion.
type room struct {
	// Fixed after newRoom.
	sfu   *SFU
	key   roomKey
	id    shard.RoomID
	inbox chan request
	news  *news
	epoch time.Time

	// Guarded by sfu.mu.
	home    *core          // its first peers' shard
	members map[string]int // by identity: joins under way and peers not yet dismantled
	places  int            // identities among the members, and every member without one
	users   int            // members and calls under way: the loop ends with the last one

	// Owned by run.
	plan  *plan.Room
	peers map[plan.PeerID]*Peer
	timer *time.Timer
	armed time.Duration // when timer is due; 0: never
}

// request is one message to a room: a command of a peer, with nothing to do but read the state when command is nil.
type request struct {
	peer    *Peer
	command plan.Command
	done    chan outcome // buffered
}

// outcome is what a request met: after a join, or when it asks for the state, who is in the room; after a Page, that page.
type outcome struct {
	rejected error
	peers    []PeerInfo
	slots    []SlotInfo
	size     int
	more     bool
}

func newRoom(s *SFU, key roomKey) *room {
	return &room{
		sfu: s, key: key, id: shard.RoomID(s.roomIDs.Add(1)), epoch: time.Now(),
		inbox: make(chan request, 64), news: newNews(len(s.cores)),
		plan:    plan.New(plan.Config{MaxPeers: s.cfg.MaxPeers}),
		peers:   map[plan.PeerID]*Peer{},
		members: map[string]int{},
	}
}

// do runs one command in the room's loop. Only users of the room may call it, so the inbox is open.
func (r *room) do(p *Peer, c plan.Command) outcome {
	done := make(chan outcome, 1)
	r.inbox <- request{p, c, done}
	return <-done
}

func (r *room) run() {
	r.timer = time.NewTimer(time.Hour)
	defer r.timer.Stop()
	r.timer.Stop() // until the plan wants it
	for {
		select {
		case m, open := <-r.inbox:
			if !open {
				return
			}
			m.done <- r.handle(m)
		case <-r.news.wake:
			r.read()
		case <-r.timer.C:
			r.armed = 0
			r.step(plan.Tick{})
		}
		r.arm()
	}
}

// arm sets the timer to when the plan wants its Tick.
func (r *room) arm() {
	next := r.plan.Next()
	if next == r.armed {
		return
	}
	r.armed = next
	if next == 0 {
		r.timer.Stop()
		return
	}
	r.timer.Reset(next - time.Since(r.epoch))
}

// read takes in what shards have told.
func (r *room) read() {
	speakers, spoke, notices := r.news.take()
	if spoke {
		r.step(plan.Speak{Speakers: speakers})
	}
	for _, n := range notices {
		if r.peers[planID(n.peer.id)] != n.peer {
			continue
		}
		e := n.event()
		if c, ok := e.(LayersChanged); ok && !n.peer.receives(c) {
			continue
		}
		if e != nil {
			n.peer.req.Events(e)
		}
	}
}

// receives keeps what slots receive; false for what comes late, when they are paused already.
func (p *Peer) receives(c LayersChanged) bool {
	if p.layers == nil {
		p.layers = map[string]SlotLayer{}
	}
	for _, l := range c.Slots {
		p.layers[l.MID] = l
	}
	open := p.videoMIDs() // m-lines come and go
	maps.DeleteFunc(p.layers, func(mid string, _ SlotLayer) bool { return !slices.Contains(open, mid) })
	return !p.paused
}

// pause tells a peer that asks for no video why its slots are empty and, when it wants videos again, what was last in those
// slots that show something: where that has changed the shard says so.
func (p *Peer) pause(paused bool, video []plan.TrackRef) {
	if paused == p.paused {
		return
	}
	p.paused = paused
	var c LayersChanged
	for i, mid := range p.videoMIDs() {
		switch l, ok := p.layers[mid]; {
		case mid == "":
		case paused:
			c.Slots = append(c.Slots, SlotLayer{MID: mid, Limit: PausedLimit})
		case ok && i < len(video) && video[i].Peer != 0:
			c.Slots = append(c.Slots, l)
		}
	}
	if len(c.Slots) > 0 {
		p.req.Events(c)
	}
}

func (r *room) handle(m request) outcome {
	id := planID(m.peer.id)
	var out outcome
	switch c := m.command.(type) {
	case nil:
		r.describe(m.peer, &out)
	case plan.Join:
		r.peers[id] = m.peer
		if out.rejected = r.step(c); out.rejected != nil {
			delete(r.peers, id)
			return out
		}
		r.describe(m.peer, &out)
	case plan.Leave:
		out.rejected = r.step(c)
		delete(r.peers, id)
	case plan.Page:
		out.rejected = r.step(c)
		page, more := r.plan.Page(id, c.After, c.Limit)
		out.peers, out.more, out.size = peerInfos(page), more, r.plan.Len()
	case plan.Subscribe:
		if out.rejected = r.step(c); out.rejected == nil {
			m.peer.pause(c.VideoPaused, r.plan.Slots(id).Video)
		}
	default:
		out.rejected = r.step(c)
	}
	return out
}

// describe puts in what a peer knows of the room.
func (r *room) describe(p *Peer, out *outcome) {
	id := planID(p.id)
	out.peers, out.size = peerInfos(r.plan.Peers(id)), r.plan.Len()
	out.slots = p.slotInfos(r.plan.Slots(id))
}

// step carries out the effects of one command; what the plan rejects comes back as an error.
func (r *room) step(c plan.Command) error {
	var rejected error
	for _, e := range r.plan.Step(time.Since(r.epoch), c) {
		switch e := e.(type) {
		case plan.Evict:
			if old := r.peers[e.Peer]; old != nil {
				delete(r.peers, e.Peer)
				old.evicted()
			}
		case plan.Reject:
			rejected = rejection(e)
		case plan.Assign:
			if p := r.peers[e.Peer]; p != nil {
				r.assign(p, e)
			}
		case plan.Tell:
			if p := r.peers[e.Peer]; p != nil {
				if ev := p.event(e.Event); ev != nil {
					p.req.Events(ev)
				}
			}
		}
	}
	return rejected
}

func (r *room) assign(p *Peer, e plan.Assign) {
	slot, ok := p.slotNumber(e.Video, e.Slot)
	if !ok {
		return
	}
	v := e.View
	m := shard.Assign{
		ID: p.id, Slot: slot, Priority: v.Priority,
		View: ladder.View{Width: v.Width, Height: v.Height, Detail: v.Detail, Limited: v.Limited},
	}
	switch {
	case v.Detail:
		m.Kind = alloc.Screen
	case v.Speaks:
		m.Kind = alloc.Speaker
	}
	if e.Track != nil {
		if publisher := r.peers[e.Track.Peer]; publisher != nil {
			m.Track = publisher.track(e.Track.ID, p.core)
			m.CSRC = uint32(publisher.id)
		}
	}
	p.core.shard.Post(m)
}

func rejection(e plan.Reject) error {
	switch e.Reason {
	case plan.RoomFull:
		return ErrRoomFull
	case plan.UnknownPeer, plan.KnownPeer:
		return ErrGone
	case plan.Forbidden:
		return fmt.Errorf("%w: publish %q", ErrForbidden, e.ID)
	default:
		return fmt.Errorf("%w: %q", ErrNotFound, e.ID)
	}
}
