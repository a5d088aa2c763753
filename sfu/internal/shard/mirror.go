package shard

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// keyframeAgain is how often a wish for a keyframe goes back through a pipe while it lasts: the publisher's shard merges
// the wishes of all, and has the publisher's round trip to wait for.
const keyframeAgain = 100 * time.Millisecond

// freshKeyframe is how old a keyframe may be for a pipe to begin with it: what downlinks begin with, too.
const freshKeyframe = 300 * time.Millisecond

// Mirror makes a track of a peer on another shard known here: slots may be assigned it, as if it had been published here.
// What they want of it comes through the pipe between the shards. ID, Track, Primary, MID and Encodings are what Publish said
// there. Unpublish ends it.
type Mirror struct {
	Publish
	From *Shard
}

func (c Mirror) apply(s *Shard, now time.Duration) {
	i := slices.IndexFunc(s.inlets, func(p *pipe) bool { return p.from == c.From })
	if i < 0 || len(c.Encodings) == 0 || s.tracks[c.Track] != nil {
		return
	}
	in := s.inlets[i]
	in.lay()
	p := s.far[c.ID]
	if p == nil {
		p = &peer{id: c.ID, from: in, added: now, bySSRC: map[uint32]*published{}}
		p.timer.owner = p
		s.far[c.ID] = p
	}
	c.Voice = false // that is heard on its own shard
	t := newTrack(c.Publish, p)
	t.wanted = ladder.NewWanted(len(t.encodings), false)
	for _, u := range t.encodings {
		u.cfg = uplink.Config{Codec: u.cfg.Codec, Clock: u.cfg.Clock}
		u.up = uplink.New(u.cfg)
		u.cfg.SSRC = 0 // found by nothing but the pipe
	}
	in.wish(t.id, len(t.encodings), func(w *wishes) {
		w.ended, w.encodings = false, make([]encodingWish, len(t.encodings)) // of a mirror that has ended here, nothing holds
	})
	s.openTrack(now, t, c.Primary)
}

// mirrored is a track's part in a pipe: what flows there of its encodings.
type mirrored struct {
	pipe    *pipe
	taps    []tap
	needed  [codec.Count]bool
	missing [codec.Count]bool
}

// tap is one encoding on its way into a pipe.
type tap struct {
	open   bool
	layer  codec.Layer // wanted there
	cursor uint64      // arrival index of the next packet
	run    uint32
	gap    bool // packets were dropped before the next one
	report bool // the newest sender report is due
}

// heed does what other shards wish.
func (s *Shard) heed(now time.Duration) {
	for _, p := range s.outlets {
		p.heed(func(id TrackID, w wishes) { s.heedTrack(now, p, id, w) })
	}
}

// heedTrack does what another shard wishes of one track.
func (s *Shard) heedTrack(now time.Duration, p *pipe, id TrackID, w wishes) {
	t := s.tracks[id]
	if t == nil || t.owner.from != nil || len(w.encodings) != len(t.encodings) {
		return
	}
	s.suspect = t.owner
	i := slices.IndexFunc(t.mirrors, func(m *mirrored) bool { return m.pipe == p })
	switch {
	case w.ended && i >= 0:
		t.mirrors = slices.Delete(t.mirrors, i, i+1)
	case w.ended:
	default:
		if i < 0 {
			i = len(t.mirrors)
			t.mirrors = append(t.mirrors, &mirrored{pipe: p, taps: make([]tap, len(t.encodings))})
			s.pourRates(t, t.mirrors[i])
		}
		m := t.mirrors[i]
		m.needed, m.missing = w.needed, w.missing
		for k, e := range w.encodings {
			tap, u := &m.taps[k], t.encodings[k]
			tap.layer = e.layer
			if e.wanted && !tap.open {
				p.runs++
				tap.begin(now, u, p.runs)
			}
			tap.open = e.wanted
			if e.keyframe && u.up != nil {
				s.wantKeyframe(now, u)
			}
			if e.loss > 0 && u.up != nil {
				s.askFECOf(now, u, e.loss)
			}
			s.pour(u, m)
		}
	}
	s.flushPipes()
	t.unsettled = true
	s.settle(now, t)
	s.settleCodecs(now, t)
	if t.tendAt != 0 && !t.owner.gone {
		s.wheel.arm(&t.owner.timer, t.tendAt)
	}
}

// begin sets a tap where an encoding can be entered: at its newest keyframe, with those of its packets that overtook the
// first, else at what comes next.
func (t *tap) begin(now time.Duration, u *published, run uint32) {
	t.run, t.report = run, true
	t.gap = false
	t.cursor = 0
	if u.up == nil {
		return
	}
	t.cursor = u.up.Head()
	if i, ok := u.up.LastKeyframe(); ok && now-u.up.At(i).Arrival <= freshKeyframe {
		t.cursor = min(i, u.up.EarliestAfter(i))
	}
}

// pourAll puts what an encoding has got into the pipes that want it.
func (s *Shard) pourAll(u *published) {
	for _, m := range u.track.mirrors {
		s.pour(u, m)
	}
}

func (s *Shard) pour(u *published, m *mirrored) {
	t := &m.taps[u.index]
	if !t.open || u.up == nil {
		return
	}
	for head := u.up.Head(); t.cursor < head; {
		p := u.up.At(t.cursor)
		if p == nil {
			s.stats.Drops.PipeOverflow += u.up.Tail() - t.cursor
			t.cursor, t.gap = u.up.Tail(), true
			continue
		}
		c := m.pipe.next()
		if c == nil {
			s.stats.Drops.PipeOverflow += head - t.cursor
			t.cursor, t.gap = head, true
			return
		}
		c.kind, c.track, c.encoding, c.run = parcelPacket, u.track.id, uint8(u.index), t.run
		c.seq, c.stamp, c.marker, c.ext, c.gap = p.Seq, p.Timestamp, p.Marker, p.Ext, t.gap
		dd := u.up.Descriptor(p)
		c.dd, c.size = uint8(len(dd)), uint16(p.Size())
		copy(c.data[copy(c.data[:], dd):], u.up.Payload(p))
		s.sent(m.pipe)
		t.cursor, t.gap = t.cursor+1, false
		if t.report {
			s.pourReport(u, m)
		}
	}
}

// pourReport sends the newest sender report of an encoding behind the first packet of a run, which begins a stream there: of
// the stream before, it would be forgotten.
func (s *Shard) pourReport(u *published, m *mirrored) {
	ntp, stamp, at, ok := u.up.SenderReported()
	if !ok {
		m.taps[u.index].report = false
		return
	}
	if c := m.pipe.next(); c != nil {
		c.kind, c.track, c.encoding = parcelReport, u.track.id, uint8(u.index)
		c.ntp, c.stamp, c.at = ntp, stamp, at
		s.sent(m.pipe)
		m.taps[u.index].report = false
	}
}

// pourRates tells what a track's encodings bring.
func (s *Shard) pourRates(t *track, m *mirrored) {
	if t.ladder != nil {
		m.pipe.rate(t.id, t.ladder, len(t.encodings))
		s.rouse(m.pipe)
	}
}

func (s *Shard) sent(p *pipe) {
	p.push()
	s.rouse(p)
}

// rouse has the other end of a pipe woken once the burst is through.
func (s *Shard) rouse(p *pipe) {
	if !p.poured {
		p.poured = true
		s.poured = append(s.poured, p)
	}
}

// flushPipes wakes those for whom something has been put into a pipe, once a burst.
func (s *Shard) flushPipes() {
	for _, p := range s.poured {
		p.poured = false
		p.to.wake()
	}
	s.poured = s.poured[:0]
}

// draw takes what has come through pipes, up to budget; true when there is more.
func (s *Shard) draw(now time.Duration, budget int) (more bool) {
	for _, p := range s.inlets {
		p.learn(func(id TrackID, states []ladder.State) { s.learn(now, p, id, states) })
		for n := 0; ; n++ {
			if n == budget {
				more = true
				break
			}
			c := p.first()
			if c == nil {
				break
			}
			s.unpack(now, p, c)
			s.suspect = nil
			p.pop()
		}
	}
	return more
}

// unpack gives a parcel to the uplink of its name.
func (s *Shard) unpack(now time.Duration, in *pipe, c *parcel) {
	t := s.tracks[c.track]
	if t == nil || t.owner.from != in || int(c.encoding) >= len(t.encodings) {
		return // ended here while it was on its way
	}
	s.suspect = t.owner
	u := t.encodings[c.encoding]
	switch c.kind {
	case parcelPacket:
		dd, payload := c.data[:c.dd], c.data[c.dd:int(c.dd)+int(c.size)]
		h := packet.Header{SSRC: c.run, Timestamp: c.stamp, Marker: c.marker, Sequence: c.seq.Uint16()}
		if c.dd == 0 {
			dd = nil
		}
		verdict := u.up.Handle(now, &h, c.seq, payload, c.ext, dd)
		s.stats.Drops.uplinked(verdict)
		if c.gap {
			u.wished = 0 // what came of the last wish may be in the hole
			s.wantKeyframe(now, u)
		}
		if verdict == uplink.Stored {
			s.stored(now, u, c.size > 0)
		}
	case parcelReport:
		u.up.HandleSenderReport(c.at, c.ntp, c.stamp)
	}
}

// learn takes over what the encodings of a track bring where it was published.
func (s *Shard) learn(now time.Duration, in *pipe, id TrackID, states []ladder.State) {
	t := s.tracks[id]
	if t == nil || t.owner.from != in || t.ladder == nil || len(states) != len(t.encodings) {
		return
	}
	for i, state := range states {
		t.ladder.Adopt(i, state)
	}
	t.informed, t.measureAt = true, 0
	s.suspect = t.owner
	s.tendTrack(now, t)
}

// wishKeyframe asks the publisher's shard for a keyframe.
func (s *Shard) wishKeyframe(now time.Duration, u *published) {
	if u.wished != 0 && now-u.wished < keyframeAgain || !u.cfg.Codec.Video() {
		return
	}
	u.wished = max(now, 1)
	t := u.track
	t.owner.from.wish(t.id, len(t.encodings), func(w *wishes) { w.encodings[u.index].keyframe = true })
}

// wishLayers tells the publisher's shard what is wanted of a track here.
func (s *Shard) wishLayers(t *track) {
	t.owner.from.wish(t.id, len(t.encodings), func(w *wishes) {
		for i := range w.encodings {
			w.encodings[i].layer, w.encodings[i].wanted = t.wanted.Told(i)
		}
	})
}

// wishCodecs tells it in which codecs slots here need the track.
func (s *Shard) wishCodecs(t *track, needed, missing [codec.Count]bool) {
	if t.needed == needed && t.missing == missing {
		return
	}
	t.needed, t.missing = needed, missing
	t.owner.from.wish(t.id, len(t.encodings), func(w *wishes) { w.needed, w.missing = needed, missing })
}

// endMirror tells the publisher's shard that a track is no longer mirrored here.
func (s *Shard) endMirror(t *track) {
	p := t.owner
	p.from.wish(t.id, len(t.encodings), func(w *wishes) { w.ended = true })
	if len(p.tracks) == 0 && s.far[p.id] == p {
		delete(s.far, p.id)
		s.wheel.disarm(&p.timer)
		p.gone = true
	}
}

// tendFar does what is due for a peer of another shard: its tracks are all that is known of it.
func (s *Shard) tendFar(now time.Duration, p *peer) {
	for _, u := range p.uplinks {
		u.up.Poll(now) // what it misses its own shard asks for
	}
	s.tendTracks(now, p)
}
