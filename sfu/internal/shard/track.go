package shard

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

const (
	// fitInterval is how often a track is measured and its slots are fitted to it while packets flow: five times a second
	// sees an encoding fall silent soon after ladder.Silence, and costs a microsecond each.
	fitInterval = 200 * time.Millisecond
	// emptyAfter is how long a slot goes on showing somebody else's picture while nothing of its new track comes at all.
	emptyAfter = time.Second
	// codecIdle is how long a second publication in another codec must be of use to nobody before it is withdrawn: its
	// encoder needs a second to start, and who leaves a room to come back is back by then.
	codecIdle = 5 * time.Second
	// tellInterval bounds what a peer is told of its slots' layers: four times a second is as fast as a badge can be read.
	tellInterval = 250 * time.Millisecond
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

// codecWish is a second publication of a track that its publisher was asked for.
type codecWish struct {
	told   bool
	unused time.Duration // since when nobody needs it; 0: somebody does
}

// EncodingWanted says whether anybody watches an encoding, and up to which layer.
type EncodingWanted struct {
	RID    string
	Wanted bool
	Layer  codec.Layer // the highest that anybody watches; codec.Everything's where there is no bound
}

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

// newTrack makes what Publish describes.
func newTrack(c Publish, p *peer) *track {
	t := &track{
		unsettled: true, id: c.Track, owner: p, mid: c.MID, codec: c.Encodings[0].Config.Codec, voice: c.Voice, muted: c.Muted,
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

// tendTrack measures a video track, fits its slots to what flows and tells its publisher what is watched.
func (s *Shard) tendTrack(now time.Duration, t *track) {
	if t.wanted == nil || s.tracks[t.id] != t {
		return
	}
	suspect := s.suspect
	t.tendAt = 0
	if t.ladder == nil { // a voice from another shard
		s.settle(now, t)
		if t.tendAt != 0 {
			s.wheel.arm(&t.owner.timer, t.tendAt)
		}
		return
	}
	changed := false
	if t.measureDue(now) {
		changed = s.measureTrack(now, t)
		s.learnSizes(now, t)
	}
	if changed || t.restless || t.fitAt != 0 && now >= t.fitAt { // else its slots, perhaps a thousand, are as they were
		s.fitAll(now, t, changed)
	}
	t.by(t.fitAt)
	s.suspect = suspect
	for i, u := range t.encodings {
		if t.ladder.Flows(i) && t.owner.from == nil {
			t.by(u.heard + ladder.Silence + time.Millisecond)
		}
	}
	s.settle(now, t)
	if t.tendAt != 0 {
		s.wheel.arm(&t.owner.timer, t.tendAt)
	}
}

// fitAll fits the slots of a track: all of them when there is something else to choose from, else those whose time has come.
func (s *Shard) fitAll(now time.Duration, t *track, changed bool) {
	t.fitAt, t.restless = 0, false
	for _, sl := range t.slots {
		if next := sl.chooser.Next(); changed || next != 0 && now >= next || sl.waits(now) {
			s.fit(now, sl)
		}
		t.fitBy(sl.chooser.Next())
		if sl.borrows() {
			t.fitBy(sl.since + emptyAfter)
		}
		l := sl.down.Layer()
		if l != sl.flows {
			sl.flows = l
			s.mayTell(now, sl.owner)
		}
		t.restless = t.restless || l != codec.Everything || sl.layer != codec.Everything
	}
}

// fitBy makes the track's slots be fitted at a time, or earlier; 0 is no time.
func (t *track) fitBy(at time.Duration) {
	if at != 0 && (t.fitAt == 0 || at < t.fitAt) {
		t.fitAt = at
	}
}

// measureDue says whether to measure: it is time, an encoding has begun to flow or has fallen silent.
func (t *track) measureDue(now time.Duration) bool {
	if now >= t.measureAt {
		return true
	}
	if t.owner.from != nil {
		return false // what flows is measured where it comes in
	}
	for i, u := range t.encodings {
		if t.ladder.Flows(i) && now-u.heard > ladder.Silence {
			return true
		}
	}
	return false
}

// measureTrack tells the ladder what the encodings bring; true when there is something else to choose from.
func (s *Shard) measureTrack(now time.Duration, t *track) (changed bool) {
	t.measureAt = now + fitInterval
	for i, u := range t.encodings {
		if t.owner.from != nil {
			break // its rates come through the pipe
		}
		s.rates = s.rates[:0]
		if u.up != nil && u.heard > 0 && now-u.heard <= ladder.Silence {
			s.layerRates = u.up.Rates(now, s.layerRates[:0])
			for _, r := range s.layerRates {
				s.rates = append(s.rates, ladder.LayerRate(r))
			}
		}
		t.ladder.Measure(now, i, u.heard, s.rates)
	}
	for _, m := range t.mirrors {
		s.pourRates(t, m)
	}
	s.flushPipes()
	t.rungs, changed = t.ladder.Rungs()
	return changed
}

// learnSizes asks for a keyframe of what flows and is of an unknown size, where more is wanted than is known: its first one got
// lost.
func (s *Shard) learnSizes(now time.Duration, t *track) {
	for i, u := range t.encodings {
		if u.up != nil && t.ladder.Flows(i) && !t.ladder.Known(i) && slices.ContainsFunc(t.slots, (*slot).open) {
			s.wantKeyframe(now, u)
		}
	}
}

// open says whether a slot would show more than is known of its track.
func (sl *slot) open() bool { return sl.chosen && sl.choice.Open }

// by makes the track be tended at a time, or earlier; 0 is no time.
func (t *track) by(at time.Duration) {
	if at != 0 && (t.tendAt == 0 || at < t.tendAt) {
		t.tendAt = at
	}
}

// tendSoon has a track tended with its owner's next timers.
func (s *Shard) tendSoon(now time.Duration, t *track) {
	if t.wanted != nil && !t.owner.gone {
		t.unsettled = true
		t.by(now)
		s.wheel.arm(&t.owner.timer, now)
	}
}

// fit makes a slot show what the ladder chooses of its track. When nothing flows it waits for what it would show.
func (s *Shard) fit(now time.Duration, sl *slot) {
	t := sl.variant
	s.suspect = sl.owner
	sl.choice, sl.chosen = sl.chooser.Choose(now, t.rungs, sl.view, 0)
	show := sl.choice.Show
	if !sl.choice.Shows {
		show = sl.choice.Want
	}
	if within := sl.source != nil && sl.source.track == t; sl.choice.Shows || !within {
		u := t.encodings[show.Encoding]
		if within && u != sl.source {
			s.stats.LayerSwitches++
		}
		s.assign(now, sl, u, sl.csrc)
	}
	if sl.chosen {
		s.ask(now, sl, t.ladder.Open(show))
	}
	if sl.borrows() {
		if now-sl.since >= emptyAfter {
			s.abandon(now, sl)
		} else {
			t.fitBy(sl.since + emptyAfter)
		}
	}
	t.fitBy(sl.chooser.Next())
	t.unsettled = true
	s.mayTell(now, sl.owner)
}

// borrows says whether a slot shows somebody else's picture while nothing of its own track comes. The new name stands at the
// slot already: that must not last.
func (sl *slot) borrows() bool {
	return sl.old != nil && sl.old.track != sl.variant && !sl.choice.Shows
}

// waits says whether a slot that borrows must be emptied.
func (sl *slot) waits(now time.Duration) bool { return sl.borrows() && now-sl.since >= emptyAfter }

// ask makes a slot show so much of its source.
func (s *Shard) ask(now time.Duration, sl *slot, l codec.Layer) {
	if sl.layer == l {
		return
	}
	s.stats.LayerSwitches++
	sl.layer = l
	sl.variant.restless = true
	sl.down.SetLayer(now, l)
	if sl.source != nil && sl.source.up != nil && sl.down.WantsKeyframe(now) {
		s.wantKeyframe(now, sl.source)
	}
}

// abandon ends what flows in a slot until its new source comes.
func (s *Shard) abandon(now time.Duration, sl *slot) {
	old := sl.old
	old.unsubscribe(sl)
	sl.old = nil
	sl.down.Assign(now, nil, 0)
	sl.begin(now)
	s.tendSoon(now, old.track)
}

// settle tells the publisher of a track what is watched, when that has changed: what a slot shows, what one would show if it
// flowed, and what nobody has seen of it yet where more is wanted than is known. Voices are always wanted, for who speaks is
// known by them; but not through a pipe.
func (s *Shard) settle(now time.Duration, t *track) {
	if t.wanted == nil || !t.unsettled {
		return
	}
	t.unsettled = false
	t.wanted.Begin()
	for i, u := range t.encodings {
		for _, sl := range u.subs {
			if sl.source == u {
				t.wanted.Want(i, sl.layer)
			} else if l, told := t.wanted.Told(i); told {
				t.wanted.Want(i, l)
			}
		}
		for _, m := range t.mirrors {
			if m.taps[i].open {
				t.wanted.Want(i, m.taps[i].layer)
			}
		}
	}
	for _, sl := range t.slots {
		s.want(t, sl)
	}
	changed, off, next := t.wanted.Settle(now)
	t.by(next)
	t.unsettled = next != 0
	if t.owner.from == nil {
		s.stats.EncodingsPaused += uint64(off)
	}
	switch {
	case !changed:
	case t.owner.from != nil:
		s.wishLayers(t)
	default:
		s.tellWanted(t)
	}
}

// want adds what a slot would show of a video track.
func (s *Shard) want(t *track, sl *slot) {
	if sl.chosen {
		t.wanted.Want(sl.choice.Want.Encoding, t.ladder.Open(sl.choice.Want))
	}
	if sl.chosen && !sl.choice.Open || t.owner.from != nil && !t.informed { // the pipe has not told yet what there is
		return
	}
	for i := range t.encodings {
		if !t.ladder.Known(i) {
			t.wanted.Want(i, codec.Everything)
		}
	}
}

func (s *Shard) tellWanted(t *track) {
	if s.cfg.LayersWanted == nil {
		return
	}
	list := make([]EncodingWanted, len(t.encodings))
	for i, u := range t.encodings {
		l, wanted := t.wanted.Told(i)
		list[i] = EncodingWanted{RID: u.rid, Wanted: wanted, Layer: l}
	}
	s.cfg.LayersWanted(t.owner.id, t.id, list)
}

// settleCodecs asks the publisher of a track for it in a codec that those can decode who cannot decode what there is, and
// says when nobody needs it any more.
func (s *Shard) settleCodecs(now time.Duration, t *track) {
	if t.ladder == nil || s.tracks[t.id] != t {
		return
	}
	t.codecsAt = 0
	var needed, missing [codec.Count]bool
	for _, sl := range t.viewers {
		switch {
		case sl.variant == t:
		case sl.variant != nil:
			needed[sl.variant.codec] = true
		default:
			if c := t.codecFor(sl, &needed); c != 0 {
				needed[c], missing[c] = true, true
			}
		}
	}
	if t.owner.from != nil {
		s.wishCodecs(t, needed, missing)
		return
	}
	for _, m := range t.mirrors {
		for c := range needed {
			needed[c], missing[c] = needed[c] || m.needed[c], missing[c] || m.missing[c]
		}
	}
	for c := range t.asked {
		w := &t.asked[c]
		switch {
		case needed[c]:
			w.unused = 0
			if missing[c] && !w.told {
				w.told = true
				s.stats.BackupsAsked++
				s.wantCodec(t, codec.Codec(c), true)
			}
		case !w.told:
		case w.unused == 0:
			w.unused = now
			t.byCodec(s, now+codecIdle)
		case now-w.unused >= codecIdle:
			*w = codecWish{}
			s.wantCodec(t, codec.Codec(c), false)
		default:
			t.byCodec(s, w.unused+codecIdle)
		}
	}
}

// byCodec has the wishes for other codecs settled at a time.
func (t *track) byCodec(s *Shard, at time.Duration) {
	if t.ladder == nil || t.owner.gone {
		return
	}
	if t.codecsAt == 0 || at < t.codecsAt {
		t.codecsAt = at
	}
	s.wheel.arm(&t.owner.timer, t.codecsAt)
}

// codecFor is the codec to ask for on behalf of a slot: one that is asked for already, else H.264 or VP8, which every
// encoder has and most devices have in hardware, else the client's own first.
func (t *track) codecFor(sl *slot, needed *[codec.Count]bool) codec.Codec {
	for c := range sl.decodes {
		if sl.decodes[c] && codec.Codec(c).Video() && (needed[c] || t.asked[c].told) {
			return codec.Codec(c)
		}
	}
	for _, c := range [...]codec.Codec{codec.H264, codec.VP8} {
		if sl.decodes[c] {
			return c
		}
	}
	for _, c := range sl.prefers {
		if c.Video() {
			return c
		}
	}
	return 0
}

func (s *Shard) wantCodec(t *track, c codec.Codec, wanted bool) {
	if s.cfg.CodecWanted != nil {
		s.cfg.CodecWanted(t.owner.id, t.id, c, wanted)
	}
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
