package client

import (
	"strings"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// What the server says of layers: which of ours are watched, and which of others we receive.

// EncodingWanted says whether anybody watches an encoding of a track that we publish.
type EncodingWanted struct {
	RID    string // empty: the track has only one
	Wanted bool
	// Spatial and Temporal are the highest layers of an SVC stream that anybody watches, from 0; 255 for all that there are.
	// Meaningful when Wanted.
	Spatial, Temporal int
}

// Limit says why a slot's video is not better.
type Limit = wire.SlotLayer_Limit

// The limits.
const (
	NotLimited         = wire.SlotLayer_NONE      // it is the best there is
	LimitedByWish      = wire.SlotLayer_WISH      // we asked for no more
	LimitedByPublisher = wire.SlotLayer_PUBLISHER // who sends it sends no more
	LimitedByBandwidth = wire.SlotLayer_BANDWIDTH // our link carries no more
	LimitedByDevice    = wire.SlotLayer_DEVICE    // our device takes no more
	LimitedByCodec     = wire.SlotLayer_CODEC     // we cannot decode it, and there is no other yet
	LimitedByPause     = wire.SlotLayer_PAUSED    // video is paused
)

// SlotLayer is what a video slot receives, and why not more.
type SlotLayer struct {
	Slot              *Slot
	Width, Height     int // in pixels; 0 when nothing flows or the size is unknown
	Encoding          int // of the publisher's, from 0
	Spatial, Temporal int // layers of it, from 0
	Bitrate           int // as the server measured it, in bits a second
	Limit             Limit
}

// layersWanted opens and shuts the gates of a track's encodings and returns what its owner is to be told. Of one that opens a
// picture is asked for: the server's own request came with the media, perhaps before this word, and what it brought was held back.
// The Room's mu is held, here and below.
func (p *publication) layersWanted(m *wire.LayersWanted) func() {
	wanted := make([]EncodingWanted, 0, len(m.GetEncodings()))
	var pictures []func()
	for _, e := range m.GetEncodings() {
		wanted = append(wanted, EncodingWanted{
			RID: e.GetRid(), Wanted: e.GetWanted(), Spatial: int(e.GetSpatial()), Temporal: int(e.GetTemporal()),
		})
		for i, g := range p.gates {
			if g.rid != e.GetRid() && e.GetRid() != "" { // empty: the only one that is taken
				continue
			}
			if asked := p.onKeyframeRequest(i); g.set(unwanted, !e.GetWanted()) && asked != nil {
				pictures = append(pictures, asked)
			}
		}
	}
	p.limited = true
	return p.tell(wanted, pictures...)
}

// allWanted undoes what was said of a track by a server that knows it no more: of one that is new all is wanted, and who has
// stopped an encoder would hear of it from nobody.
func (p *publication) allWanted() func() {
	all := make([]EncodingWanted, len(p.gates))
	for i, g := range p.gates {
		g.set(unwanted, false)
		all[i] = EncodingWanted{RID: g.rid, Wanted: true, Spatial: allLayers, Temporal: allLayers}
	}
	if !p.limited {
		return nil
	}
	p.limited = false
	return p.tell(all)
}

// allLayers is how the server says it, too.
const allLayers = 255

// tell is to be called when the Room's mu is free: pictures last, of encoders that know by then that they are wanted.
func (p *publication) tell(wanted []EncodingWanted, pictures ...func()) func() {
	told := p.local.OnLayersWanted
	if told == nil && len(pictures) == 0 {
		return nil
	}
	return func() {
		if told != nil {
			told(wanted)
		}
		for _, asked := range pictures {
			asked()
		}
	}
}

// layerState takes what the slots receive.
func (r *Room) layerState(m *wire.LayerState) {
	var changed []SlotLayer
	for _, l := range m.GetSlots() {
		for _, s := range r.slots {
			if s.mid != l.GetMid() || s.mid == "" {
				continue
			}
			s.layer = SlotLayer{
				Slot: s, Width: int(l.GetWidth()), Height: int(l.GetHeight()), Encoding: int(l.GetEncoding()),
				Spatial: int(l.GetSpatial()), Temporal: int(l.GetTemporal()), Bitrate: int(l.GetBitrate()), Limit: l.GetLimit(),
			}
			changed = append(changed, s.layer)
		}
	}
	if len(changed) > 0 {
		r.mailbox.put(LayersChanged{changed})
	}
}

// Layer is what the slot receives, as far as the server has told.
func (s *Slot) Layer() SlotLayer {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.layer
}

// codecNamed is the MIME type of a codec as it stands in SDP.
func codecNamed(name string) string {
	for _, c := range pictureCodecs() {
		if strings.EqualFold(c.mime, "video/"+name) {
			return c.mime
		}
	}
	return "video/" + name
}
