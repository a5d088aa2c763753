package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Who is in a large room: more than one client is told of.

// mostKnown participants are kept of a large room. The server tells each client of 128 and forgets the oldest that is in no
// slot; we keep some more, since whom we forgot too early would come back into a slot without a name.
const mostKnown = 160

// RosterPage is a part of those in a room, in join order.
type RosterPage struct {
	Participants []Participant // we ourselves left out
	Size         int           // how many are in the room, we ourselves counted
	More         bool          // there are more behind the last one
	Last         string        // the last one's id, which the next page is asked for by; empty when the page is
}

// Size is how many are in the room, we ourselves counted.
func (r *Room) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

// Roster returns a page of those in the room: those behind the participant with the id after, "" for the first page; at
// most limit, 0 for 64, the most there is. From then on events tell of those on it, too. Errors: *ServerError and those of ctx.
func (r *Room) Roster(ctx context.Context, after string, limit int) (RosterPage, error) {
	var page RosterPage
	answered := false
	request := &wire.Roster{After: after, Limit: uint32(max(limit, 0))}
	_, err := r.session.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Roster{Roster: request}}, func(f *wire.ServerFrame) {
		p := f.GetRosterPage()
		if p == nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		answered = true
		page = RosterPage{Size: int(p.GetSize()), More: p.GetMore()}
		for _, peer := range p.GetPeers() {
			page.Last = peer.GetPeerId()
			if peer.GetPeerId() == r.id {
				continue
			}
			page.Participants = append(page.Participants, participantOf(peer).clone())
			r.learn(peer)
		}
		r.setSize(page.Size)
	})
	if err == nil && !answered {
		err = errors.New("it was not answered by a page")
	}
	if err != nil {
		return RosterPage{}, fmt.Errorf("roster: %w", err)
	}
	return page, nil
}

// learn takes note of somebody who has been there all along. The Room's mu is held, here and below.
func (r *Room) learn(peer *wire.Peer) {
	p := participantOf(peer)
	switch {
	case p.ID == "" || p.ID == r.id:
	case r.participants[p.ID] != nil:
		r.addParticipant(peer) // as it is now
		r.recent = append(slices.DeleteFunc(r.recent, func(id string) bool { return id == p.ID }), p.ID)
	default:
		r.know(p)
		r.mailbox.put(RosterChanged{r.size})
	}
}

func (r *Room) know(p *Participant) {
	r.participants[p.ID] = p
	r.order, r.recent = append(r.order, p.ID), append(r.recent, p.ID)
	if len(r.recent) <= mostKnown {
		return
	}
	oldest := slices.IndexFunc(r.recent, func(id string) bool {
		return !slices.ContainsFunc(r.slots, func(s *Slot) bool { return s.shown.peerID == id })
	})
	if oldest >= 0 {
		r.forget(r.recent[oldest])
	}
}

func (r *Room) forget(id string) {
	is := func(other string) bool { return other == id }
	delete(r.participants, id)
	r.order, r.recent = slices.DeleteFunc(r.order, is), slices.DeleteFunc(r.recent, is)
}

func (r *Room) setSize(size int) {
	if size != r.size {
		r.size = size
		r.mailbox.put(RosterChanged{size})
	}
}

// whole says whether everybody in the room is known: then each who comes and goes is told of, and we count ourselves.
func (r *Room) whole() bool { return len(r.order)+1 >= r.size }
