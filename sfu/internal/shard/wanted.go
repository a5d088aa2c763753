package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

// EncodingWanted says whether anybody watches an encoding, and up to which layer.
type EncodingWanted struct {
	RID    string
	Wanted bool
	Layer  codec.Layer // the highest that anybody watches; codec.Everything's where there is no bound
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
				if !sl.idles(now) {
					t.wanted.Want(i, sl.layer)
				}
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
	kept := time.Duration(0)
	for _, sl := range t.slots {
		s.want(now, t, sl)
		if sl.keeps(now) {
			kept = earlier(kept, sl.grant.keep)
		}
		if now < sl.spare.until {
			kept = earlier(kept, sl.spare.until)
		}
	}
	changed, off, next := t.wanted.Settle(now)
	next = earlier(next, kept)
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
func (s *Shard) want(now time.Duration, t *track, sl *slot) {
	if sl.idles(now) {
		return
	}
	if sl.chosen {
		t.wanted.Want(sl.choice.Want.Encoding, t.ladder.Open(sl.choice.Want))
	}
	if best := sl.grant.best; sl.keeps(now) {
		t.wanted.Want(best.encoding, t.ladder.Open(ladder.Rung{Encoding: best.encoding, Layer: best.layer}))
	}
	if g := &sl.grant; g.limited && g.falls {
		t.wanted.Want(g.below.encoding, t.ladder.Open(ladder.Rung{Encoding: g.below.encoding, Layer: g.below.layer}))
	}
	if now < sl.spare.until && sl.spare.encoding < len(t.encodings) {
		t.wanted.Want(sl.spare.encoding, codec.Everything)
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
