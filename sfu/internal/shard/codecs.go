package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

// codecIdle is how long a second publication in another codec must be of use to nobody before it is withdrawn: its
// encoder needs a second to start, and who leaves a room to come back is back by then.
const codecIdle = 5 * time.Second

// codecWish is a second publication of a track that its publisher was asked for.
type codecWish struct {
	told   bool
	unused time.Duration // since when nobody needs it; 0: somebody does
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
