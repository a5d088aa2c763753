package client

import (
	"slices"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// What the server tells; on the session's goroutine.

func (r *Room) handle(f *wire.ServerFrame) {
	if tell := r.take(f); tell != nil {
		tell()
	}
}

// take notes an event; what it returns is called when mu is free.
func (r *Room) take(f *wire.ServerFrame) (tell func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m := f.GetMessage().(type) {
	case *wire.ServerFrame_PeerUpdate:
		r.peerUpdate(m.PeerUpdate)
	case *wire.ServerFrame_TrackUpdate:
		r.trackUpdate(m.TrackUpdate)
	case *wire.ServerFrame_SlotMap:
		r.setSlots(m.SlotMap)
	case *wire.ServerFrame_Speakers:
		r.mailbox.put(SpeakersChanged{m.Speakers.GetSpeakers()})
	case *wire.ServerFrame_RosterUpdate:
		r.setSize(int(m.RosterUpdate.GetSize()))
	case *wire.ServerFrame_LayerState:
		r.layerState(m.LayerState)
	case *wire.ServerFrame_LayersWanted:
		if p := r.find(m.LayersWanted.GetTrackId()); p != nil {
			return p.layersWanted(m.LayersWanted)
		}
	case *wire.ServerFrame_CodecWanted:
		w := m.CodecWanted
		r.mailbox.put(CodecWanted{TrackID: w.GetTrackId(), Codec: codecNamed(w.GetCodec()), Wanted: w.GetWanted()})
	case *wire.ServerFrame_ProfileWanted:
		if m.ProfileWanted.GetProfile() == wire.Profile_SAVER && !r.saver {
			r.mailbox.put(SaverWanted{})
		}
	}
	return nil
}

// peerUpdate: in a small room everybody is known and each update counts; of a large one RosterUpdate tells the number.
func (r *Room) peerUpdate(u *wire.PeerUpdate) {
	if u.GetPeer().GetPeerId() == r.id {
		return
	}
	whole := r.whole()
	switch u.GetChange() {
	case wire.PeerUpdate_JOINED:
		r.addParticipant(u.GetPeer())
	case wire.PeerUpdate_LEFT:
		r.removeParticipant(u.GetPeer().GetPeerId())
	}
	if whole {
		r.size = len(r.order) + 1
	}
}

func (r *Room) snapshot(s *wire.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.GetJoined() {
		r.joined = false // the server has given our media session up
		r.updateState()
		r.nudge()
		return
	}
	r.setParticipants(s.GetPeers(), s.GetRosterSize())
	r.setSlots(s.GetSlots())
}

// sessionIs tells whether a connection carries the session.
func (r *Room) sessionIs(open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = open
	r.updateState()
	r.nudge()
}

// networkChanged lets tend restart ICE.
func (r *Room) networkChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved = true
	r.nudge()
}

// lose: the server knows us in the room no more; tend joins again.
func (r *Room) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined = false
	r.updateState()
	r.nudge()
}

func (r *Room) end(over *EndError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = over
	r.cancel()
}

// setParticipants takes who is there; of a large room that is a part of size.
func (r *Room) setParticipants(peers []*wire.Peer, size uint32) {
	r.size = max(int(size), len(peers)+1)
	there := map[string]bool{}
	for _, p := range peers {
		there[p.GetPeerId()] = true
	}
	for _, id := range slices.Clone(r.order) {
		if !there[id] {
			r.removeParticipant(id)
		}
	}
	for _, p := range peers {
		r.addParticipant(p)
	}
}

func (r *Room) addParticipant(peer *wire.Peer) {
	p := participantOf(peer)
	if p.ID == "" || p.ID == r.id {
		return
	}
	known := r.participants[p.ID]
	if known == nil {
		r.know(p)
		r.mailbox.put(ParticipantJoined{p.clone()})
		return
	}
	known.Identity, known.Name = p.Identity, p.Name
	for _, t := range slices.Clone(known.Tracks) {
		if p.find(t.ID) < 0 {
			r.tell(known.remove(t.ID))
		}
	}
	for _, t := range p.Tracks {
		r.tell(known.put(t))
	}
}

func (r *Room) removeParticipant(id string) {
	p := r.participants[id]
	if p == nil {
		return
	}
	r.forget(id)
	r.mailbox.put(ParticipantLeft{p.clone()})
}

func (r *Room) trackUpdate(u *wire.TrackUpdate) {
	p := r.participants[u.GetPeerId()]
	if p == nil {
		return
	}
	t := trackOf(u.GetTrack())
	switch u.GetChange() {
	case wire.TrackUpdate_UNPUBLISHED:
		r.tell(p.remove(t.ID))
		return
	case wire.TrackUpdate_MUTED, wire.TrackUpdate_UNMUTED:
		if known, ok := p.track(t.ID); ok {
			t = known
		}
		t.Muted = u.GetChange() == wire.TrackUpdate_MUTED
	}
	r.tell(p.put(t))
}

func (r *Room) setSlots(m *wire.SlotMap) {
	for _, peer := range m.GetPeers() {
		r.learn(peer)
	}
	byMID := map[string]shown{}
	for _, s := range m.GetSlots() {
		byMID[s.GetMid()] = shown{s.GetPeerId(), s.GetTrackId()}
	}
	changed := false
	for _, s := range r.slots {
		changed = changed || s.shown != byMID[s.mid]
		s.shown = byMID[s.mid]
		if s.shown.peerID == "" {
			s.layer = SlotLayer{Slot: s}
		}
	}
	if changed {
		r.mailbox.put(SlotsChanged{})
	}
}

func (r *Room) tell(e Event) {
	if e != nil {
		r.mailbox.put(e)
	}
}
