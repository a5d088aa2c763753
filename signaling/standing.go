package signaling

import (
	"slices"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// standing are the events of which only the newest of a kind counts: who speaks, how many are here, what is watched of a
// track, what a slot shows, what sound may cost. They go to the attached connection like any other event. While there is none, or the state is on
// its way, each waits in one place and not as a row in the replay; and who lost events hears all of them again behind the
// Snapshot, which does not say them.
//
//	sfu ──► take(event) ──► one place for each key ──► due: those not said yet ──► numbered, sent
type standing struct {
	places []place
}

type place struct {
	key   string
	event *wire.ServerFrame // never sent itself: each saying has its own number
	said  bool
}

// maxStanding bounds the places: 16 tracks with their layers and codecs, 49 slots, speakers, size and profile. Beyond it the oldest go.
const maxStanding = 256

// take keeps an event that stands; false: it is one that happens.
func (s *standing) take(event sfu.Event) bool {
	switch e := event.(type) {
	case sfu.LayersChanged:
		for _, slot := range e.Slots {
			s.set("slot "+slot.MID, slotLayerOut(slot))
		}
	case sfu.SpeakersChanged:
		s.set("speakers", eventOut(e))
	case sfu.RosterChanged:
		s.set("roster", eventOut(e))
	case sfu.LayersWanted:
		s.set("layers "+e.TrackID, eventOut(e))
	case sfu.CodecWanted:
		s.set("codec "+e.Codec.String()+" "+e.TrackID, eventOut(e))
	case sfu.ProfileWanted:
		s.set("profile", eventOut(e))
	default:
		return false
	}
	return true
}

// forget drops what was said of tracks that have ended: a client that publishes and ends them all day would fill the places.
func (s *standing) forget(tracks []string) {
	s.places = slices.DeleteFunc(s.places, func(p place) bool {
		return slices.ContainsFunc(tracks, func(track string) bool {
			return track != "" && (p.event.GetLayersWanted().GetTrackId() == track || p.event.GetCodecWanted().GetTrackId() == track)
		})
	})
}

// set replaces what was to say under a key.
func (s *standing) set(key string, event *wire.ServerFrame) {
	i := slices.IndexFunc(s.places, func(p place) bool { return p.key == key })
	if i < 0 {
		if len(s.places) == maxStanding {
			s.places = slices.Delete(s.places, 0, 1)
		}
		s.places = append(s.places, place{key: key})
		i = len(s.places) - 1
	}
	s.places[i].event, s.places[i].said = event, false
}

// again makes everything due once more.
func (s *standing) again() {
	for i := range s.places {
		s.places[i].said = false
	}
}

// due returns what has not been said, as new frames: what slots show in one.
func (s *standing) due() []*wire.ServerFrame {
	var frames []*wire.ServerFrame
	var slots *wire.LayerState
	for i := range s.places {
		p := &s.places[i]
		if p.said {
			continue
		}
		p.said = true
		if one := p.event.GetLayerState(); one != nil {
			if slots == nil {
				slots = &wire.LayerState{}
				frames = append(frames, wire.Event(&wire.ServerFrame_LayerState{LayerState: slots}))
			}
			slots.Slots = append(slots.Slots, one.GetSlots()...)
			continue
		}
		frames = append(frames, &wire.ServerFrame{Message: p.event.GetMessage()})
	}
	return frames
}
