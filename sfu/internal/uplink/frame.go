package uplink

import (
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// maxPadding is how many padding-only packets are passed over in the search for the packet before: senders put few between
// two frames.
const maxPadding = 8

// inContext completes what one packet of H.264 or AV1 cannot tell alone, by the packet before it: where an access unit or a
// layer's frame begins (RFC 6184 §5.1, AV1's RTP specification §4.4: marker and timestamp), and the layer of a packet that
// only goes on with one. When that packet is missing, a start is what looks like one and is the first with its timestamp.
func (u *Uplink) inContext(m codec.Meta, h *packet.Header, e seq.Extended) codec.Meta {
	if u.cfg.Codec != codec.H264 && u.cfg.Codec != codec.AV1 {
		return m
	}
	p := u.preceding(e)
	switch {
	case p == nil:
		m.Start = m.Start && (u.history.head == u.history.tail || u.history.at(u.history.head-1).Timestamp != h.Timestamp)
	case p.Timestamp != h.Timestamp || p.Marker:
		m.Start = true
	case !m.HasLayer:
		m.HasLayer, m.Layer = p.Meta.HasLayer, p.Meta.Layer
		m.Start = false
	default:
		m.Start = m.Layer.Spatial != p.Meta.Layer.Spatial
	}
	if m.Keyframe {
		m.Start = true // a delimiter may stand before the parameter sets that decoders begin with
	}
	return m
}

// beginsPicture reports whether p is the first packet of its picture, as far as the packet before it can tell.
func (u *Uplink) beginsPicture(p *Packet) bool {
	before := u.preceding(p.Seq)
	return before != nil && (before.Marker || before.Timestamp != p.Timestamp)
}

// preceding returns the packet with media before the one that we number e, nil when it is missing.
func (u *Uplink) preceding(e seq.Extended) *Packet {
	for n := range seq.Extended(maxPadding) {
		p := u.Find(e - 1 - n)
		if p == nil || p.Epoch != u.epoch {
			return nil
		}
		if p.size != 0 {
			return p
		}
	}
	return nil
}
