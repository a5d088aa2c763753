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
	// stallAfter is how long a camera's encoding may bring nothing while another one of it does: nine pictures.
	stallAfter = 300 * time.Millisecond
	// stalledFor is how long it counts as stopped then.
	stalledFor = time.Second
)

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
		if changed {
			s.shareAnew(now, sl.owner)
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
		if t.ladder.Flows(i) && (now-u.heard > ladder.Silence || t.stalls(now, i)) {
			return true
		}
	}
	return false
}

// stalls says whether an encoding of a camera has stopped while another one comes: that is no hole of the network, and its
// publisher has too little room for both. It counts as stopped for a second at least, or a slot would go back and forth with
// what comes in spurts.
func (t *track) stalls(now time.Duration, i int) bool {
	u := t.encodings[i]
	if _, told := t.wanted.Told(i); !told {
		return false // it was stopped
	}
	if u.stalled > 0 && now < u.stalled+stalledFor {
		return true
	}
	if !t.ladder.Flows(i) || !t.ladder.Moves(i) || now-u.heard <= stallAfter {
		return false
	}
	for k, o := range t.encodings {
		if k != i && t.ladder.Flows(k) && o.heard-u.heard > stallAfter {
			u.stalled = now
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
		heard := u.heard
		if t.stalls(now, i) {
			heard = 0
		}
		t.ladder.Measure(now, i, heard, s.rates)
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
	if !sl.grant.shared && len(t.rungs) > 0 && sl.owner.congestion.known() {
		sl.choice, sl.chosen = ladder.Choice{}, false
		s.shareSoon(sl.owner) // it comes back here with what the slot is granted
		return
	}
	before := sl.choice
	sl.choice, sl.chosen = sl.chooser.Choose(now, t.rungs, sl.view, sl.bound())
	sl.keepSpare(now, &before)
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
		if sl.choice.Limit == ladder.BandwidthLimit && before.Shows && show.Bits < before.Show.Bits {
			sl.down.Shed()
		}
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

// keepSpare keeps the encoding that a slot showed before a larger one, when it had wanted that one for a while: so it was not the
// view that kept it small.
func (sl *slot) keepSpare(now time.Duration, before *ladder.Choice) {
	was, is, sp := &before.Show, &sl.choice.Show, &sl.spare
	grows := before.Shows && sl.choice.Shows && was.Encoding != is.Encoding && was.Area() < is.Area()
	if grows && sp.short > 0 && now-sp.short >= spareAfter {
		sp.encoding, sp.until = was.Encoding, now+keepSpare
	}
	switch l := sl.choice.Limit; {
	case l != ladder.BandwidthLimit && l != ladder.PublisherLimit:
		sp.short = 0
	case sp.short == 0:
		sp.short = now
	}
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
