package shard

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

// track is one published track.
type track struct {
	id        TrackID
	owner     *peer
	mid       string
	codec     codec.Codec
	encodings []*published // in the publisher's order
	meter     meter
	voice     bool // its audio level counts among the room's speakers
	ccfb      bool // its publisher is told of arrivals by RFC 8888,
	remb      bool // or told an estimate by REMB
	muted     bool

	// A track and those that show the same in other codecs. A slot is assigned the primary and shows what it can decode.
	primary  *track // nil for a primary
	backups  []*track
	viewers  []*slot // that it is assigned to; of a primary only
	asked    [codec.Count]codecWish
	codecsAt time.Duration // next deadline of asked; 0 none

	// Through pipes.
	mirrors         []*mirrored       // of a track that was published here: where else it is watched
	needed, missing [codec.Count]bool // of one that was not: what its shard was told of codecs
	informed        bool              // likewise: its rates have come

	// Video: what it brings, and who takes it.
	slots     []*slot // that show it or wait for it
	ladder    *ladder.Ladder
	wanted    *ladder.Wanted
	rungs     []ladder.Rung
	measureAt time.Duration
	tendAt    time.Duration // next deadline; 0 none
	fitAt     time.Duration // that of its slots
	restless  bool          // some slot does not show all of its encoding: what it shows may change by itself
	unsettled bool          // who watches has changed
}

// newTrack makes what Publish describes.
func newTrack(c Publish, p *peer) *track {
	t := &track{
		unsettled: true, id: c.Track, owner: p, mid: c.MID, codec: c.Encodings[0].Config.Codec, voice: c.Voice, muted: c.Muted,
		ccfb: c.CCFB && p.from == nil, remb: c.REMB && !c.CCFB && p.from == nil, // its own shard tells it
	}
	for i, e := range c.Encodings {
		e.Config.Clock = &p.clock
		t.encodings = append(t.encodings, &published{track: t, index: i, owner: p, rid: e.RID, cfg: e.Config})
	}
	if t.codec.Video() {
		t.ladder, t.wanted = ladder.New(len(t.encodings)), ladder.NewWanted(len(t.encodings), true)
	}
	return t
}

// openTrack puts a track into the tables.
func (s *Shard) openTrack(now time.Duration, t *track, primary TrackID) {
	p := t.owner
	p.inbound.open(now, t)
	s.tracks[t.id] = t
	p.tracks = append(p.tracks, t)
	for _, u := range t.encodings {
		p.uplinks = append(p.uplinks, u)
		if u.cfg.SSRC != 0 {
			s.bind(u, u.cfg.SSRC)
		}
	}
	if of := s.tracks[primary]; of != nil && of.owner == p && of != t && of.primary == nil {
		t.primary = of
		of.backups = append(of.backups, t)
		s.serveAll(now, of)
	}
	s.tendTrack(now, t)
	for _, p := range s.outlets {
		if w, ok := p.again(t.id); ok {
			s.heedTrack(now, p, t.id, w)
		}
	}
}

// closeTrack ends a track and empties the slots that show it; those of a backup fall back on another.
func (s *Shard) closeTrack(now time.Duration, t *track) {
	delete(s.tracks, t.id)
	t.owner.tracks = without(t.owner.tracks, t)
	for len(t.viewers) > 0 {
		sl := t.viewers[0]
		sl.leaveTrack()
		s.assign(now, sl, nil, 0)
	}
	for len(t.slots) > 0 { // of a backup
		t.slots[0].leaveVariant()
	}
	for _, u := range t.encodings {
		s.closeUplink(now, u)
	}
	for _, b := range t.backups {
		b.primary = nil // of use to nobody now; its publisher ends it too
		s.tendSoon(now, b)
	}
	of := t.primary
	if of != nil {
		of.backups = without(of.backups, t)
	}
	if of != nil && !of.owner.gone {
		s.serveAll(now, of)
	}
	if t.owner.from != nil {
		s.endMirror(t)
	}
}

func without[T comparable](list []T, gone T) []T {
	if i := slices.Index(list, gone); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// assignTrack makes a slot show a track, nil for none, in a view.
func (s *Shard) assignTrack(now time.Duration, sl *slot, t *track, csrc uint32, v ladder.View) {
	if t != nil && t.primary != nil {
		t = t.primary
	}
	sl.view = v
	s.shareAnew(now, sl.owner)
	if sl.track == t {
		if sl.variant != nil && sl.variant.ladder != nil {
			s.fit(now, sl)
			s.tendSoon(now, sl.variant)
		}
		return
	}
	left := sl.leaveTrack()
	sl.csrc = csrc
	sl.track, sl.since = t, now
	sl.chooser.Forget()
	sl.forgetGrant(now)
	if t == nil {
		s.assign(now, sl, nil, 0)
	} else {
		t.viewers = append(t.viewers, sl)
		s.serveSlot(now, sl)
		s.settleCodecs(now, t)
	}
	for _, old := range left {
		if old != nil {
			s.tendSoon(now, old)
			s.settleCodecs(now, old)
		}
	}
	s.mayTell(now, sl.owner)
}

// serveAll finds for every slot of a track the variant that it can decode.
func (s *Shard) serveAll(now time.Duration, t *track) {
	for _, sl := range t.viewers {
		s.serveSlot(now, sl)
	}
	s.settleCodecs(now, t)
}

// serveSlot makes a slot show the variant of its track that it can decode: the track itself before a backup. When there is
// none, settleCodecs asks for one.
func (s *Shard) serveSlot(now time.Duration, sl *slot) {
	v := sl.track.variantFor(sl)
	if v == sl.variant && v != nil {
		return
	}
	before := sl.variant
	sl.leaveVariant()
	sl.variant = v
	sl.chooser.Forget()
	sl.forgetGrant(now)
	s.shareAnew(now, sl.owner)
	switch {
	case v == nil:
		s.assign(now, sl, nil, 0)
	case v.ladder == nil:
		s.assign(now, sl, v.encodings[0], sl.csrc)
		s.tendSoon(now, v)
	default:
		v.slots = append(v.slots, sl)
		s.fit(now, sl)
		s.tendSoon(now, v)
	}
	if before != nil {
		s.tendSoon(now, before)
	}
}

func (t *track) variantFor(sl *slot) *track {
	if sl.decodes[t.codec] {
		return t
	}
	for _, b := range t.backups {
		if sl.decodes[b.codec] {
			return b
		}
	}
	return nil
}

// leaveTrack takes a slot off its track's lists, not off what flows in it. It returns the tracks that this may concern.
func (sl *slot) leaveTrack() (left [2]*track) {
	if sl.track == nil {
		return left
	}
	left = [2]*track{sl.track, sl.variant}
	if left[0] == left[1] {
		left[1] = nil
	}
	sl.leaveVariant()
	sl.track.viewers = remove(sl.track.viewers, sl)
	sl.track = nil
	return left
}

func (sl *slot) leaveVariant() {
	if sl.variant != nil {
		sl.variant.slots = remove(sl.variant.slots, sl)
		sl.variant = nil
	}
}

// remove takes a slot out of a list whose order means nothing.
func remove(list []*slot, sl *slot) []*slot {
	i := slices.Index(list, sl)
	if i < 0 {
		return list
	}
	last := len(list) - 1
	list[i], list[last] = list[last], nil
	return list[:last]
}

// tendTracks does what is due for a publisher's tracks.
func (s *Shard) tendTracks(now time.Duration, p *peer) {
	for _, t := range p.tracks {
		switch {
		case t.tendAt == 0:
		case now >= t.tendAt:
			s.tendTrack(now, t)
		default:
			s.wheel.arm(&p.timer, t.tendAt)
		}
		switch {
		case t.codecsAt == 0:
		case now >= t.codecsAt:
			s.settleCodecs(now, t)
		default:
			s.wheel.arm(&p.timer, t.codecsAt)
		}
	}
}
