package plan

import (
	"cmp"
	"iter"
	"math"
	"time"
)

const (
	// A new picture is shown so long at least, unless the receiver itself wishes for another: a keyframe was spent on it,
	// and pictures that come and go faster are not recognised.
	videoHold = 2 * time.Second
	// A speaker keeps his audio slot so long at least while he speaks, so that three in a heated debate do not cut each
	// other to syllables. Who is silent gives it up at once: every word before is lost to the new speaker.
	audioHold = time.Second
)

// claim is how much a receiver should have a track in one of its slots; of two tracks the greater claim has it.
type claim struct {
	rank  rank
	class class
	spoke uint64
}

// class orders the tracks that nobody wished for.
type class uint8

const (
	ordinary class = iota
	speaking       // a microphone: its peer is one of the speakers
	staged         // the first camera of who is on stage
	shared         // a screen or its sound
	foremost       // the first microphone of who is loudest, or on stage
)

func (c claim) compare(o claim) int {
	return cmp.Or(cmp.Compare(c.rank, o.rank), cmp.Compare(c.class, o.class), cmp.Compare(c.spoke, o.spoke))
}

func (v *receiver) claim(t *track) claim {
	if k := v.rank(t); k != unnamed {
		return claim{rank: k}
	}
	return claim{unnamed, v.class(t), t.spoke()}
}

func (v *receiver) class(t *track) class {
	switch {
	case t.Source == Screen || t.Source == ScreenAudio:
		return shared
	case (t.owner == v.front || t.owner == v.stage) && t == t.owner.source(Microphone):
		return foremost
	case t.Source == Microphone && t.owner.speaks:
		return speaking
	case t.owner == v.stage && t == t.owner.source(Camera):
		return staged
	default:
		return ordinary
	}
}

// balance gives the slots of a receiver to those with the greatest claims, moving nobody without need.
func (r *Room) balance(p *peer) {
	v := &p.receive
	v.due = 0
	v.front, v.stage = r.frontOf(p), r.stageOf(p)
	v.staged = v.stage != nil
	for v.video.used > v.video.most {
		v.drop(v.least(&v.video, nil, func(*track, claim, int) bool { return true }))
	}
	r.fill(v, &v.audio, r.hearable(v))
	r.fill(v, &v.video, r.visible(v))
	v.setStage()
}

// fill offers slots to candidates, greatest claim first, until one comes to nothing: those behind it have no better claims.
func (r *Room) fill(v *receiver, s *slots, candidates iter.Seq[*track]) {
	if s.most == 0 {
		return
	}
	for t := range candidates {
		if _, has := v.where[t]; has || t.owner == v.self {
			continue
		}
		c := v.claim(t)
		if c.rank == hidden {
			continue
		}
		if s.used < s.most {
			v.put(r.now, t, v.choose(t))
			continue
		}
		least := v.least(s, t, func(held *track, hc claim, i int) bool {
			return c.compare(hc) > 0 && (c.rank > hc.rank || v.free(r.now, held, s.since[i]))
		})
		if least == nil {
			return
		}
		i := v.where[least]
		v.drop(least)
		v.put(r.now, t, i)
	}
}

// free says whether a slot may be taken from the track in it; if not, it notes when.
func (v *receiver) free(now time.Duration, t *track, since time.Duration) bool {
	hold := videoHold
	if t.Kind == Audio {
		hold = audioHold
		if t.Source == Microphone && !t.owner.speaks {
			return true
		}
	}
	if now >= since+hold {
		return true
	}
	if v.due == 0 || since+hold < v.due {
		v.due = since + hold
	}
	return false
}

// least is the track with the least claim of those that may go; among equals the last of the waiting order, but the one in
// slot 0 for who is on stage.
func (v *receiver) least(s *slots, enters *track, may func(t *track, c claim, i int) bool) *track {
	var least *track
	var lowest claim
	var last uint64
	for i, t := range s.now {
		if t == nil {
			continue
		}
		c, place := v.claim(t), t.owner.place
		if i == 0 && enters != nil && enters.owner == v.stage && enters.Source < Screen {
			place = math.MaxUint64
		}
		if least != nil && cmp.Or(c.compare(lowest), cmp.Compare(last, place)) > 0 {
			continue
		}
		if may(t, c, i) {
			least, lowest, last = t, c, place
		}
	}
	return least
}

// hearable are the audio tracks of the room, greatest claim first; some come twice.
func (r *Room) hearable(v *receiver) iter.Seq[*track] {
	return func(yield func(*track) bool) {
		if !r.wished(v, yield, Microphone, ScreenAudio) {
			return
		}
		for _, p := range [...]*peer{v.front, v.stage} {
			if p != nil && !yield(p.source(Microphone)) {
				return
			}
		}
		_ = yieldAll(r.tracks[ScreenAudio-1], yield) && yieldAll(r.tracks[Microphone-1], yield)
	}
}

// visible are the videos, likewise.
func (r *Room) visible(v *receiver) iter.Seq[*track] {
	return func(yield func(*track) bool) {
		if !r.wished(v, yield, Screen, Camera) || !yieldAll(r.tracks[Screen-1], yield) {
			return
		}
		if v.stage != nil {
			if cam := v.stage.source(Camera); cam != nil && !yield(cam) {
				return
			}
		}
		yieldAll(r.tracks[Camera-1], yield)
	}
}

// wished yields what the visible wishes name, of a peer those of the first source before those of the second.
func (r *Room) wished(v *receiver, yield func(*track) bool, first, second Source) bool {
	for _, w := range v.wanted {
		publisher := r.peers[w.Peer]
		if publisher == nil {
			continue
		}
		for _, source := range [...]Source{first, second} {
			for _, t := range publisher.published {
				if t.Source == source && (w.Track == "" || w.Track == t.ID) && v.rank(t) > unnamed && !yield(t) {
					return false
				}
			}
		}
	}
	return true
}

func yieldAll(list []*track, yield func(*track) bool) bool {
	for _, t := range list {
		if !yield(t) {
			return false
		}
	}
	return true
}

// setStage moves who is on stage to slot 0 of both kinds, so that voice and lips are in one stream. Who was there takes the
// slot he came from: nobody goes.
func (v *receiver) setStage() {
	if v.stage == nil {
		return
	}
	for _, source := range [...]Source{Microphone, Camera} {
		t := v.stage.source(source)
		s := v.slotsOf(source)
		if i, has := v.where[t]; has && i > 0 && !s.closed[0] {
			v.swap(s, 0, i)
		}
	}
}
