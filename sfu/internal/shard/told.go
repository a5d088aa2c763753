package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

// tellInterval bounds what a peer is told of its slots' layers: four times a second is as fast as a badge can be read.
const tellInterval = 250 * time.Millisecond

// SlotLayer says what a video slot receives.
type SlotLayer struct {
	Slot          int
	Width, Height uint16 // pixels; 0 when nothing flows or the size is unknown
	Encoding      int    // in the publisher's order
	Layer         codec.Layer
	Bits          uint32 // a second, as measured
	Limit         Limit
}

// Limit says what keeps a video from being larger.
type Limit = ladder.Limit

// CodecLimit is the shard's own limit beside the ladder's: the subscriber cannot decode what is published. The value is that
// of sfu.CodecLimit.
const CodecLimit = ladder.DeviceLimit + 1

// mayTell has a peer's slots looked at: what they receive may have changed.
func (s *Shard) mayTell(now time.Duration, p *peer) {
	if s.cfg.LayersChanged == nil || p.gone || p.tellAt != 0 {
		return
	}
	p.tellAt = max(now, p.toldAt+tellInterval)
	s.wheel.arm(&p.timer, p.tellAt)
}

// tellLayers tells a peer what its video slots receive, those that changed.
func (s *Shard) tellLayers(now time.Duration, p *peer) {
	if p.tellAt == 0 {
		return
	}
	if now < p.tellAt {
		s.wheel.arm(&p.timer, p.tellAt)
		return
	}
	p.tellAt = 0
	var changed []SlotLayer
	for i, sl := range p.slots {
		if sl.class != video {
			continue
		}
		l, ok := sl.receives()
		if !ok {
			continue
		}
		if sl.track == nil {
			sl.told = SlotLayer{} // that it is empty says the slot map
			continue
		}
		l.Slot = i
		before := sl.told
		before.Bits = l.Bits // a rate is always another
		if l != before {
			sl.told = l
			changed = append(changed, l)
		}
	}
	if len(changed) > 0 {
		p.toldAt = now
		s.cfg.LayersChanged(p.id, changed)
	}
}

// receives is what a video slot shows of its track now; false while another track's picture flows in it still.
func (sl *slot) receives() (SlotLayer, bool) {
	t := sl.variant
	if t == nil {
		return SlotLayer{Limit: CodecLimit}, true
	}
	u := sl.source
	if sl.old != nil {
		u = sl.old
	}
	if u != nil && u.track != t {
		return SlotLayer{}, false
	}
	if sl.grant.paused {
		return SlotLayer{Limit: ladder.BandwidthLimit}, true
	}
	out := SlotLayer{Limit: ladder.PublisherLimit}
	if sl.chosen {
		out.Limit = sl.choice.Limit
	}
	if current, _ := sl.down.Sources(); u == nil || current == nil || current != u.up || !t.ladder.Flows(u.index) {
		return out, true
	}
	out.Encoding = u.index
	out.Layer, out.Width, out.Height, out.Bits = t.ladder.Shown(u.index, sl.down.Layer())
	return out, true
}
