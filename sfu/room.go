package sfu

import (
	"fmt"
	"time"

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
	members map[string]int // by identity: joins under way and peers not yet dismantled
	places  int            // identities among the members, and every member without one
	users   int            // members and calls under way: the loop ends with the last one

	// Owned by run.
	plan  *plan.Room
	peers map[plan.PeerID]*Peer
}

// request is one message to a room: a command of a peer, with nothing to do but read the state when command is nil.
type request struct {
	peer    *Peer
	command plan.Command
	done    chan outcome // buffered
}

// outcome is what a request met.
type outcome struct {
	rejected error
	peers    []PeerInfo
	slots    []SlotInfo
}

func newRoom(s *SFU, key roomKey) *room {
	return &room{
		sfu: s, key: key, id: shard.RoomID(s.roomIDs.Add(1)), epoch: time.Now(),
		inbox: make(chan request, 64), news: newNews(),
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
	for {
		select {
		case m, open := <-r.inbox:
			if !open {
				return
			}
			m.done <- r.handle(m)
		case <-r.news.wake:
			r.read()
		}
	}
}

// read takes in what shards have told.
func (r *room) read() {
	speakers, spoke, notices := r.news.take()
	if spoke {
		r.step(nil, plan.Speak{Speakers: speakers})
	}
	for _, n := range notices {
		if r.peers[planID(n.peer.id)] == n.peer {
			n.peer.req.Events(n.event)
		}
	}
}

func (r *room) handle(m request) outcome {
	id := planID(m.peer.id)
	var out outcome
	switch m.command.(type) {
	case nil:
	case plan.Join:
		r.peers[id] = m.peer
		out.rejected = r.step(m.peer, m.command)
		if out.rejected != nil {
			delete(r.peers, id)
			return out
		}
	case plan.Leave:
		out.rejected = r.step(m.peer, m.command)
		delete(r.peers, id)
		return out
	default:
		out.rejected = r.step(m.peer, m.command)
	}
	out.peers = peerInfos(r.plan.Peers(id))
	out.slots = m.peer.slotInfos(r.plan.Slots(id))
	return out
}

// step carries out the effects of one command; what the plan rejects comes back as an error.
func (r *room) step(from *Peer, c plan.Command) error {
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
			if p := r.peers[e.Peer]; p != nil && (p != from || tellsItself(e.Event)) {
				if ev := p.event(e.Event); ev != nil {
					p.req.Events(ev)
				}
			}
		}
	}
	return rejected
}

// tellsItself says whether an event that a peer's own command caused is news to that peer: its slots are, save in the
// answer to its join, which carries them.
func tellsItself(e plan.Event) bool {
	_, slots := e.(plan.SlotsChanged)
	return slots
}

func (r *room) assign(p *Peer, e plan.Assign) {
	slot, ok := p.slotNumber(e.Video, e.Slot)
	if !ok {
		return
	}
	m := shard.Assign{ID: p.id, Slot: slot, View: ladder.View(e.View)}
	if e.Track != nil {
		if publisher := r.peers[e.Track.Peer]; publisher != nil {
			m.Track = publisher.track(e.Track.ID)
			m.CSRC = uint32(publisher.id)
		}
	}
	r.sfu.shard.Post(m)
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
