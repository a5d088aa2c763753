package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// How a subscriber's bits are shared among its video slots: the estimate less what sound and repair take, by what the ladder
// offers each slot's view.

const (
	// shareInterval is how often the bits of one peer are shared at most, but for a fall: as often as feedback comes.
	shareInterval = 50 * time.Millisecond

	// grown is how many times what was granted may leave before the bits are shared again: an encoder has begun to send more.
	grown = 1.25

	// keepWanted is how long a layer that a slot has lost for want of bits stays wanted of its publisher. A dip that is over in
	// seconds then costs no encoder a start, and what comes back is there at once.
	keepWanted = 5 * time.Second

	// keepSpare is how long the encoding that a slot had stays wanted after a larger one has taken its place, and
	// spareAfter how long the slot must have wanted more for that: who grew because there is more room, of the viewer's path or
	// of the publisher's, may have to go back, and an encoder that begins again, with the others of its camera, takes up to
	// a second in Chromium. A rise is on trial as long in alloc.
	keepSpare  = 30 * time.Second
	spareAfter = 2 * time.Second

	// packetOverhead is what a packet of video is on the wire beside its payload: RTP with its extensions, SRTP's tag, UDP, IP.
	packetOverhead = 12 + 12 + 16 + 28
	// packetPayload is how much payload encoders put into a packet.
	packetPayload = 1100

	// unmeasured is what the least layer counts at most before its rate is known: a small picture's. A guess is no reason to show
	// nothing, and what flows is measured within a second.
	unmeasured = 100_000

	// boundless is for who has no estimate.
	boundless = 1 << 40
)

// share is how the bits were shared last.
type share struct {
	at     time.Duration // when they are again; 0: no need
	last   time.Duration
	soon   bool        // in this turn: in Shard.unshared
	target bwe.Bitrate // by which they were
	given  bwe.Bitrate // of it, with what is taken off first
	wants  bwe.Bitrate // what all would take, likewise
	// A slot was given less than its view takes.
	limited bool
	padded  uint16 // slot that gave padding last
}

// grant is what a slot may show of its track.
type grant struct {
	shared  bool // there is one, for the track that the slot shows
	limited bool // it is less than the view takes
	paused  bool // nothing at all
	most    rung // what it is; of a paused slot nothing
	bits    uint32
	since   time.Duration
	best    rung // what it would be
	keep    time.Duration
	falls   bool // there is a smaller encoding to fall to,
	below   rung // the largest of these
}

// spare is the encoding that a slot had before a larger one.
type spare struct {
	encoding int
	until    time.Duration // it stays wanted; 0: there is none
	short    time.Duration // since when the slot has had less than its view takes; 0: it has not
}

// rung names a ladder.Rung while its rates change.
type rung struct {
	encoding int
	layer    codec.Layer
}

func rungOf(r *ladder.Rung) rung { return rung{r.Encoding, r.Layer} }

// mayShare has a peer's bits shared when what the estimator says asks for it: at once when less may be sent than is.
func (s *Shard) mayShare(now time.Duration, p *peer) {
	g := p.congestion
	w, target := &g.share, g.estimate.Lasts
	change := float64(target - w.target)
	switch {
	case target < w.target && target < w.given:
		s.shareSoon(p)
	case max(change, -change) >= noticeable*float64(w.target), float64(g.sums[pace.Video].now(now)) > grown*float64(w.given):
		s.shareBy(p, max(now, w.last+shareInterval))
	}
}

func (s *Shard) shareBy(p *peer, at time.Duration) {
	w := &p.congestion.share
	w.at = earlier(w.at, at)
	s.wheel.arm(&p.timer, w.at)
}

// shareSoon has a peer's bits shared in this turn.
func (s *Shard) shareSoon(p *peer) {
	if w := &p.congestion.share; !w.soon && !p.gone {
		w.soon = true
		s.unshared = append(s.unshared, p)
	}
}

// shareAll shares the bits of those peers for whom something has changed in this turn.
func (s *Shard) shareAll(now time.Duration) {
	for n := len(s.unshared); n > 0; n = len(s.unshared) {
		p := s.unshared[n-1]
		s.unshared[n-1] = nil
		s.unshared = s.unshared[:n-1]
		p.congestion.share.soon = false
		if !p.gone {
			s.suspect = p
			s.shareBits(now, p)
		}
	}
}

// sharing is the shard's scratch for one call.
type sharing struct {
	slots   []*slot
	sources []alloc.Source
	layers  []alloc.Layer
	rungs   []*ladder.Rung // beside layers
	first   []int          // of each source in them
	steps   []int
	choices []alloc.Choice
	more    bwe.Bitrate // that the sources are guessed to take beyond what they count
}

func (s *Shard) shareBits(now time.Duration, p *peer) {
	g, w := p.congestion, &s.sharing
	w.slots, w.sources, w.layers, w.rungs, w.first = w.slots[:0], w.sources[:0], w.layers[:0], w.rungs[:0], w.first[:0]
	w.more = 0
	for _, sl := range p.slots {
		switch {
		case sl.variant == nil || sl.variant.ladder == nil:
		case len(sl.variant.rungs) == 0:
			s.fit(now, sl) // there is nothing to share yet
		default:
			w.offer(sl)
		}
	}
	sound, full := p.sound(g.sums[pace.Audio].now(now))
	reserved := sound + g.sums[pace.Repair].now(now)
	bits := bwe.Bitrate(boundless)
	if g.known() {
		bits = max(g.estimate.Lasts-reserved, 0)
	}
	var wants bwe.Bitrate
	var next time.Duration
	w.choices, wants, next = g.allocator.Allocate(now, bits, w.sources, w.choices[:0])
	g.share = share{last: now, target: g.estimate.Lasts, given: reserved, padded: g.share.padded}
	for i, sl := range w.slots {
		g.share.given += s.grant(now, sl, i, g.known())
		g.share.limited = g.share.limited || sl.grant.limited
	}
	g.share.wants = wants + w.more + reserved
	// More is shown with headroom only: an estimate that stopped at what is wanted would never bring it. 0 would be all there is.
	g.estimator.Wants(now, max(bwe.Bitrate(float64(wants+w.more)*alloc.Headroom)+reserved-sound+full, 1))
	if g.share.limited && g.pollAt == 0 { // nothing may leave that would bring feedback
		g.pollAt = now + limitedInterval
		s.wheel.arm(&p.timer, g.pollAt)
	}
	if next != 0 {
		s.shareBy(p, next)
	}
}

// offer lists what a slot can show.
func (w *sharing) offer(sl *slot) {
	t, first := sl.variant, len(w.layers)
	w.steps = ladder.Steps(t.rungs, sl.view, w.steps[:0])
	for _, i := range w.steps {
		r := &t.rungs[i]
		l := alloc.Layer{Bits: onWire(r, sl.lasts(r), len(w.layers) == first), Width: r.Width, Height: r.Height, Rate: r.Rate}
		for n := len(w.layers) - 1; n >= first && w.layers[n].Bits >= l.Bits; n-- {
			w.layers, w.rungs = w.layers[:n], w.rungs[:n] // on the wire it costs more than what is better
		}
		if n := len(w.layers) - 1; n >= first {
			before := w.rungs[n]
			l.Cheap = before.Encoding == r.Encoding && before.Layer.Spatial == r.Layer.Spatial
		}
		w.layers, w.rungs = append(w.layers, l), append(w.rungs, r)
	}
	if len(w.layers) == first+1 {
		w.more += onWire(w.rungs[first], w.rungs[first].Bits, false) - w.layers[first].Bits
	}
	w.slots, w.first = append(w.slots, sl), append(w.first, first)
	src := alloc.Source{
		Kind: sl.kind, Priority: sl.priority, Width: sl.view.Width, Height: sl.view.Height,
		Layers: w.layers[first:], Current: alloc.Paused, Since: sl.since,
	}
	if sl.grant.shared {
		src.Current, src.Since = sl.grant.within(w.rungs[first:]), sl.grant.since
	}
	w.sources = append(w.sources, src)
}

// within is the place of what was granted last among what there is now.
func (g *grant) within(rungs []*ladder.Rung) int {
	if g.paused {
		return alloc.Paused
	}
	if !g.limited {
		return len(rungs) - 1
	}
	at := 0
	for i, r := range rungs {
		if rungOf(r) == g.most {
			return i
		}
		if r.Bits <= g.bits {
			at = i
		}
	}
	return at
}

// lasts is what a rung will take: what it takes now, but of a larger encoding than the slot has what it took in the last seconds,
// for an encoder that begins sends less at first, and the slot would be back soon.
func (sl *slot) lasts(r *ladder.Rung) uint32 {
	if g := &sl.grant; g.shared && !g.paused && r.Encoding != g.most.encoding && r.Bits >= g.bits {
		return max(r.Bits, r.Peak)
	}
	return r.Bits
}

// onWire is what a rung of so many bits takes, headers included; least: there is none below it.
func onWire(r *ladder.Rung, payload uint32, least bool) bwe.Bitrate {
	bits := int(payload)
	if r.Guess && (least && bits > unmeasured || bits == 0) {
		bits = unmeasured
	}
	pictures := max(int(r.Rate), 1)
	packets := pictures * ((bits/8/pictures + packetPayload - 1) / packetPayload)
	return bwe.Bitrate(bits + packets*packetOverhead*8)
}

// grant has a slot show what source i of the sharing was given, and returns how many bits that takes.
func (s *Shard) grant(now time.Duration, sl *slot, i int, bounded bool) (bits bwe.Bitrate) {
	w := &s.sharing
	first, c := w.first[i], w.choices[i]
	best := first + len(w.sources[i].Layers) - 1
	before := sl.grant
	g := &sl.grant
	g.shared, g.paused, g.limited = true, c.Layer == alloc.Paused, bounded && first+c.Layer < best
	g.best = rungOf(w.rungs[best])
	if g.limited && !(before.shared && before.limited) {
		g.keep = now + keepWanted
	}
	if !g.paused {
		r := w.rungs[first+c.Layer]
		g.most, g.bits = rungOf(r), max(r.Bits, 1)
		bits = w.layers[first+c.Layer].Bits
		g.fallTo(w.rungs[first : first+c.Layer])
	} else {
		g.falls = false
		g.most, g.bits = rung{}, 1
	}
	if !before.shared || before.paused != g.paused || before.most != g.most {
		g.since = now
	}
	if g.paused && !before.paused {
		s.stats.Pauses++
	}
	sl.down.SetPaused(now, g.paused)
	s.fit(now, sl)
	if before.paused && !g.paused {
		s.unpause(now, sl)
	}
	if before.paused != g.paused || before.most != g.most {
		s.tendSoon(now, sl.variant) // something else is wanted of the publisher
	}
	return bits
}

// fallTo notes the largest of the encodings below what is granted.
func (g *grant) fallTo(rungs []*ladder.Rung) {
	g.falls = false
	for _, r := range rungs { // least bits first
		if r.Encoding != g.most.encoding {
			g.falls, g.below = true, rungOf(r)
		}
	}
}

// bound is what the rungs of a slot are bounded to, 0 for no bound.
func (sl *slot) bound() uint32 {
	g := &sl.grant
	if !g.limited {
		return 0
	}
	for i := range sl.variant.rungs {
		if r := &sl.variant.rungs[i]; rungOf(r) == g.most {
			return max(r.Bits, 1)
		}
	}
	return g.bits
}

// keeps says whether what a slot has lost for want of bits is wanted of its publisher still.
func (sl *slot) keeps(now time.Duration) bool { return sl.grant.limited && now < sl.grant.keep }

// idles says whether a slot wants nothing of its publisher.
func (sl *slot) idles(now time.Duration) bool { return sl.grant.paused && !sl.keeps(now) }

// shareAnew has a peer's bits shared in this turn, for what its slots want has changed.
func (s *Shard) shareAnew(now time.Duration, p *peer) {
	if p.congestion != nil {
		s.shareSoon(p)
	}
}

// forgetGrant ends what a slot was granted, with the track that it was granted of.
func (sl *slot) forgetGrant(now time.Duration) {
	sl.down.SetPaused(now, false)
	sl.grant, sl.spare = grant{}, spare{}
}

// unpause has a slot go on that was paused: with what waits, or with a keyframe.
func (s *Shard) unpause(now time.Duration, sl *slot) {
	s.ready[sl.class].push(sl)
	if sl.source != nil && sl.source.up != nil && sl.down.WantsKeyframe(now) {
		s.wantKeyframe(now, sl.source)
	}
}
