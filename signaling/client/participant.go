package client

import (
	"slices"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Kind is what a track or slot carries.
type Kind = wire.Track_Kind

// The kinds.
const (
	Audio = wire.Track_AUDIO
	Video = wire.Track_VIDEO
)

// Source is what a track shows.
type Source = wire.Track_Source

// The sources.
const (
	Microphone  = wire.Track_MICROPHONE
	Camera      = wire.Track_CAMERA
	Screen      = wire.Track_SCREEN
	ScreenAudio = wire.Track_SCREEN_AUDIO
)

// Track is what somebody else publishes.
type Track struct {
	ID     string // unique within the participant
	Kind   Kind
	Source Source
	Muted  bool
}

func trackOf(t *wire.Track) Track {
	return Track{ID: t.GetTrackId(), Kind: t.GetKind(), Source: t.GetSource(), Muted: t.GetMuted()}
}

// Participant is somebody else in the room.
type Participant struct {
	ID       string // of this stay in the room
	Identity string // of the person, from the token
	Name     string
	Tracks   []Track
}

func participantOf(p *wire.Peer) *Participant {
	out := &Participant{ID: p.GetPeerId(), Identity: p.GetIdentity(), Name: p.GetName()}
	for _, t := range p.GetTracks() {
		out.Tracks = append(out.Tracks, trackOf(t))
	}
	return out
}

func (p *Participant) clone() Participant {
	out := *p
	out.Tracks = slices.Clone(p.Tracks)
	return out
}

func (p *Participant) find(id string) int {
	return slices.IndexFunc(p.Tracks, func(t Track) bool { return t.ID == id })
}

func (p *Participant) track(id string) (Track, bool) {
	i := p.find(id)
	if i < 0 {
		return Track{}, false
	}
	return p.Tracks[i], true
}

// put takes a track as it is now and returns what that changed: nil when it was known so.
func (p *Participant) put(t Track) Event {
	i := p.find(t.ID)
	switch {
	case i < 0:
		p.Tracks = append(p.Tracks, t)
		return TrackPublished{p.ID, t}
	case p.Tracks[i].Muted != t.Muted:
		p.Tracks[i] = t
		return TrackMuted{p.ID, t}
	}
	p.Tracks[i] = t
	return nil
}

// remove takes a track away; nil when it was not there.
func (p *Participant) remove(id string) Event {
	i := p.find(id)
	if i < 0 {
		return nil
	}
	t := p.Tracks[i]
	p.Tracks = slices.Delete(p.Tracks, i, i+1)
	return TrackUnpublished{p.ID, t}
}
