package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// 2 s: encoders make a place to go up in temporal layers every 4 to 8 pictures, which a screen at 5 pictures a second
// brings within 2 s. Who waits longer needs a keyframe.
const switchPatience = 2 * time.Second

// reach is a layer in 8 bits: 4 for each of its numbers, the highest for all there are.
type reach uint8

func reachOf(l codec.Layer) reach { return reach(min(l.Spatial, 15)<<4 | min(l.Temporal, 15)) }

func (r reach) layer() codec.Layer {
	l := codec.Layer{Spatial: uint8(r >> 4), Temporal: uint8(r & 15)}
	if l.Spatial == 15 {
		l.Spatial = codec.Everything.Spatial
	}
	if l.Temporal == 15 {
		l.Temporal = codec.Everything.Temporal
	}
	return l
}

// layers is what a slot shows of the source that flows.
//
// By what the payload tells, that is a layer and all below it. A dependency descriptor tells more: a decode target is shown,
// and no frame is sent that it does not need. Other targets may be whole with that: a step down to one of them is made at
// once, to any other it waits as a step up does. What is whole is known by broken: who misses a frame that others need loses
// its decode targets, until a frame comes at which they may be entered and whose references were all sent.
type layers struct {
	limited bool        // something is left out, or is to be
	shown   codec.Layer // what is let through

	structure uint8  // number of the dependency structure that the decode targets are of; 0: none
	target    uint8  // the decode target shown
	within    uint32 // those that come along with it
	broken    uint32
	frames    frames
	untold    bool // the decode targets shown have changed, and no packet has told
	telling   bool // the frame with the number told tells them
	told      uint16

	// The packet walked last.
	started   bool
	timestamp uint32
	layer     codec.Layer
	hidden    bool // it was left out
	turns     [4]turn
	turned    uint8 // of turns, the next to be written
	left      uint8 // share of the packets that were left out lately, in 256ths
	ended     bool  // the marker of its picture has been sent

	// VP8.
	pictures   uint16 // left out in this segment
	picture    uint16 // the source's newest id
	hasPicture bool
}

// SetLayer says how much of its source the slot shall show, codec.Everything at first. It holds for the source assigned
// last: while that waits for its keyframe, what flows meanwhile stays as it is. Less begins with the next picture, unless it
// is a spatial layer that is not sent along with what is shown; that and more begin where the stream lets them in: a temporal
// layer where it may be switched up to, a spatial one at a keyframe, or where a dependency descriptor says so. WantsKeyframe
// is true while only a keyframe brings it.
func (d *Downlink) SetLayer(now time.Duration, l codec.Layer) {
	if d.next != nil {
		d.nextWant = l
		return
	}
	d.asked = l
	d.showWanted(now)
}

// limit begins to leave something out.
func (d *Downlink) limit() {
	if !d.layers.limited {
		d.sifts, d.layers.limited, d.layers.structure = true, true, 0
	}
}

// spare says whether the structure that p brings has frames which are of no use to who shows all there is.
func (d *Downlink) spare(p *uplink.Packet) bool {
	s := d.current.Structure(p.Structure)
	if s == nil {
		return false
	}
	all := s.Within(codec.Everything)
	return s.Along(s.Best(codec.Everything, all)) != all
}

// Layer returns what of the current source is let through now, codec.Everything when nothing is left out.
func (d *Downlink) Layer() codec.Layer { return d.layers.shown }

// wantsLayer reports whether it takes a keyframe to show more of the source that flows.
func (d *Downlink) wantsLayer(now time.Duration) bool {
	l := &d.layers
	if d.current == nil || !l.limited {
		return false
	}
	if s := d.current.Structure(l.structure); s != nil && d.want.Spatial < l.shown.Spatial {
		best := s.Best(d.want, s.Active())
		return best >= 0 && l.broken>>best&1 != 0 // else the next picture brings it
	}
	if d.want.Spatial <= l.shown.Spatial && d.want.Temporal <= l.shown.Temporal {
		return false
	}
	top, ok := d.current.Top(now)
	if !ok {
		return false
	}
	spatial, temporal := min(d.want.Spatial, top.Spatial), min(d.want.Temporal, top.Temporal)
	if s := d.current.Structure(l.structure); s != nil {
		best := s.Best(d.want, s.Active())
		if best < 0 {
			return false
		}
		spatial, temporal = min(spatial, s.Target(best).Spatial), min(temporal, s.Target(best).Temporal)
	} else if d.current.Codec() != codec.VP9 {
		spatial = 0
	}
	if spatial != min(l.shown.Spatial, top.Spatial) {
		return spatial > l.shown.Spatial
	}
	return temporal > l.shown.Temporal && now-d.wantedSince >= switchPatience
}

// follow goes on to p, the newest packet of its source, and changes what is let through where p begins a frame.
func (d *Downlink) follow(p *uplink.Packet, contiguous bool) {
	l := &d.layers
	picture := !l.started || p.Timestamp != l.timestamp
	if picture {
		l.ended = false
	}
	l.started, l.timestamp = true, p.Timestamp
	if !l.limited {
		return
	}
	begins := p.Meta.Start || picture && contiguous
	switch s := d.structureOf(p); {
	case s != nil:
		d.followTargets(s, p, picture, begins)
	case p.Structure != 0: // it waited, and its structure went when the stream restarted: what is shown stays
	case picture && begins:
		d.followLayers(p)
	}
}

// structureOf returns the dependency structure that p is by, nil when it has none. Of a new one, what is shown is whole; of
// the rest frames may have been left out since its keyframe.
func (d *Downlink) structureOf(p *uplink.Packet) *codec.Structure {
	s := d.current.Structure(p.Structure)
	if l := &d.layers; s != nil && p.Structure != l.structure {
		l.structure, l.frames = p.Structure, frames{}
		best := s.Best(l.shown, p.Frame.Active)
		if best < 0 {
			best = lowest(s)
		}
		shown := l.shown
		d.aim(s, best)
		l.broken = ^(l.within | s.Within(shown))
	}
	return s
}

// lowest is the decode target that shows least.
func lowest(s *codec.Structure) (target int) {
	for i := range s.Targets() {
		if s.Target(target) != s.Target(i) && s.Target(target).Holds(s.Target(i)) {
			target = i
		}
	}
	return target
}

// aim shows a decode target.
func (d *Downlink) aim(s *codec.Structure, target int) {
	l := &d.layers
	l.target, l.untold = uint8(target), true
	l.shown = s.Target(target)
	l.within = s.Along(target)
}

// followTargets enters the best decode target that is whole, or becomes so with the frame that p begins.
//
// Spatial layers change with a picture only, as does less of the temporal ones: else the packet with the marker, the last of
// the highest layer, might have gone already, or go never.
func (d *Downlink) followTargets(s *codec.Structure, p *uplink.Packet, picture, begins bool) {
	l, f := &d.layers, &p.Frame
	if !begins || l.frames.knows(f.Number) {
		return
	}
	broken := l.broken
	if f.Structure && picture {
		broken = 0 // a sequence begins, with all its layers
	} else if broken&f.Switch != 0 && d.complete(s, p) {
		broken &^= f.Switch
	}
	best := s.Best(d.want, f.Active&^broken)
	if best < 0 { // a lower spatial layer is waited for: this one in fewer temporal ones meanwhile
		best = s.Best(codec.Layer{Spatial: l.shown.Spatial, Temporal: min(l.shown.Temporal, d.want.Temporal)}, f.Active&^broken)
	}
	if best >= 0 && best != int(l.target) {
		to := s.Target(best)
		if picture || !l.ended && to.Spatial == l.shown.Spatial && to.Temporal > l.shown.Temporal {
			d.aim(s, best)
		}
	}
	if f.Needed&(l.within&^broken|1<<l.target) != 0 {
		l.broken = broken // the frame is sent
	}
	if d.want == codec.Everything && (f.Structure && picture || l.frames.whole()) {
		all := s.Within(codec.Everything)
		if l.broken&all == 0 && int(l.target) == s.Best(d.want, all) && l.within == all {
			l.limited, l.shown = false, codec.Everything
		}
	}
}

// complete reports whether all that the frame of p refers to was sent.
func (d *Downlink) complete(s *codec.Structure, p *uplink.Packet) bool {
	numbers, n, ok := s.References(d.current.Descriptor(p))
	if !ok {
		return false
	}
	for _, number := range numbers[:n] {
		if came, hidden := d.layers.frames.find(number); !came || hidden {
			return false
		}
	}
	return true
}

// followLayers moves what is let through at the first packet of a picture.
//
// VP8's Y says that the frame refers to the base layer only: one layer at a time, for the layers between may refer to
// frames of before. Of VP9's U only that of base pictures is believed: libwebrtc sets it on pictures of the middle layer as
// well, behind which the highest one goes on to refer to its own past.
func (d *Downlink) followLayers(p *uplink.Packet) {
	l, m := &d.layers, &p.Meta
	l.shown.Spatial = min(l.shown.Spatial, d.want.Spatial)
	l.shown.Temporal = min(l.shown.Temporal, d.want.Temporal)
	switch {
	case m.Keyframe:
		l.shown = d.want
	case !m.SwitchUp || l.shown.Temporal == d.want.Temporal:
	case d.current.Codec() == codec.VP8 && m.Layer.Temporal == l.shown.Temporal+1:
		l.shown.Temporal++
	case d.current.Codec() == codec.VP9 && m.Layer.Temporal == 0:
		l.shown.Temporal = d.want.Temporal
	}
	l.limited = l.shown != codec.Everything
}

// hides reports whether p is of a layer that is not shown.
func (d *Downlink) hides(p *uplink.Packet) bool {
	l := &d.layers
	if !l.limited {
		return false
	}
	if p.Structure != 0 && p.Structure == l.structure {
		if came, hidden := l.frames.find(p.Frame.Number); came {
			return hidden
		}
		return p.Frame.Needed&(l.within&^l.broken|1<<l.target) == 0 || d.orphaned(p)
	}
	return !holds(l.shown, d.current.Codec(), p)
}

// orphaned reports whether the frame of p refers to one that was left out. That should not be where its decode target may be
// entered; but an encoder that drops the base layer of a picture (libaom, when the rate is short) lets the next layer refer
// to frames from before the place to switch, which it had called discardable.
func (d *Downlink) orphaned(p *uplink.Packet) bool {
	s := d.current.Structure(p.Structure)
	if s == nil {
		return false
	}
	numbers, n, _ := s.References(d.current.Descriptor(p))
	for _, number := range numbers[:n] {
		if _, hidden := d.layers.frames.find(number); hidden {
			return true
		}
	}
	return false
}

// holds reports whether p belongs to what l shows by what its payload tells. Spatial layers can be left out in VP9 only,
// which tells where each of them ends.
func holds(l codec.Layer, c codec.Codec, p *uplink.Packet) bool {
	of := p.Meta.Layer
	if c != codec.VP9 {
		of.Spatial = 0
	}
	return l.Holds(of)
}

// remember takes note of p, the newest packet of its source.
func (d *Downlink) remember(p *uplink.Packet, hidden bool) {
	l := &d.layers
	l.hidden, l.layer = hidden, p.Meta.Layer
	if p.Structure != 0 && p.Structure == l.structure && l.limited && !l.frames.knows(p.Frame.Number) {
		d.noteFrame(p, hidden)
	}
	if p.Meta.HasPictureID {
		if hidden && d.current.Codec() == codec.VP8 && (!l.hasPicture || p.Meta.PictureID != l.picture) {
			l.pictures++
		}
		l.picture, l.hasPicture = p.Meta.PictureID, true
	}
}

// turn is a picture with which what is shown has changed though its beginning had not come: what comes of it late is of the new
// reach. Browsers' pictures are 30 ms apart and turns rarer: of the last four none is forgotten before its packets are too late.
type turn struct {
	timestamp uint32
	to        reach
	is        bool
}

// turn notes that what is shown has changed behind a gap, with a packet that has the timestamp.
func (l *layers) turn(timestamp uint32) {
	l.turns[l.turned%uint8(len(l.turns))] = turn{timestamp: timestamp, to: reachOf(l.shown), is: true}
	l.turned++
}

// turnedTo returns what was shown of the picture with the timestamp, when it is the one walked last or one of the turns.
func (l *layers) turnedTo(timestamp uint32) (r reach, ok bool) {
	if timestamp == l.timestamp {
		return reachOf(l.shown), true
	}
	for _, t := range l.turns {
		if t.is && t.timestamp == timestamp {
			r, ok = t.to, true
		}
	}
	return r, ok
}

// count follows the share of packets that are left out, over the last 16 or so.
func (l *layers) count(hidden bool) {
	if hidden {
		l.left += (255-l.left)/16 + min(255-l.left, 1)
	} else {
		l.left -= l.left/16 + min(l.left, 1)
	}
}

// noteFrame takes note of p's frame, of which nothing had come.
func (d *Downlink) noteFrame(p *uplink.Packet, hidden bool) {
	l := &d.layers
	l.frames.note(p.Frame.Number, hidden)
	if hidden {
		l.broken |= p.Frame.Needed &^ p.Frame.Discardable
	}
}
