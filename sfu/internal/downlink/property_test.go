package downlink

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// chooser decides what happens next: rapid's generator, or a fuzzer's bytes.
type chooser interface {
	// below returns a number from 0 to n-1.
	below(n int, label string) int
}

// piece is what one segment yielded.
type piece struct {
	source *publisher
	sent   []got
	walked uint64 // arrival index up to which the slot has come, its first packet aside
}

// world is a slot, its publishers and the network between, and everything that was seen of them.
type world struct {
	require.TestingT
	choose     chooser
	c          codec.Codec
	now        time.Duration
	d          *Downlink
	publishers []*publisher
	waiting    [][]made // by publisher: on the network
	lost       [][]made // by publisher: may come as RTX
	arrivals   map[uint32]map[seq.Extended]uint64

	sealed map[[2]uint64]bool
	pieces []*piece
	bySeq  map[uint16]got
	tseq   uint16
}

func newWorld(t require.TestingT, choose chooser) *world {
	w := &world{
		TestingT: t, choose: choose, now: time.Hour, c: codec.VP8,
		arrivals: map[uint32]map[seq.Extended]uint64{}, sealed: map[[2]uint64]bool{}, bySeq: map[uint16]got{},
	}
	if choose.below(2, "audio") == 1 {
		w.c = codec.Opus
	}
	cfg := config(w.c)
	cfg.AudioLevelID, cfg.ColorSpaceID = 6, 7
	w.d = New(cfg)
	w.d.sequence.highest = 1<<16 + seq.Extended(65535-choose.below(20, "before wrap")) // wraps at once
	for range 3 {
		w.publishers = append(w.publishers, newPublisher(w.c, uint32(len(w.publishers)+1)))
		w.waiting = append(w.waiting, nil)
		w.lost = append(w.lost, nil)
		w.arrivals[uint32(len(w.publishers))] = map[seq.Extended]uint64{}
	}
	return w
}

func (w *world) step() {
	i := w.choose.below(len(w.publishers), "publisher")
	p := w.publishers[i]
	switch w.choose.below(14, "what") {
	case 0, 1, 2:
		w.waiting[i] = append(w.waiting[i], p.frame(w.choose.below(4, "keyframe") == 0, 1+w.choose.below(4, "packets"))...)
	case 3, 4, 5:
		w.deliver(i)
	case 6:
		w.now += time.Duration(w.choose.below(60, "ms")) * ms
	case 7:
		src, name := p.Uplink, p.ssrc
		if w.choose.below(5, "empty") == 0 {
			src, name = nil, 0
		}
		w.d.Assign(w.now, src, name)
	case 8:
		w.pull(w.choose.below(6, "budget"))
	case 9:
		w.resend(uint16(w.choose.below(30, "back")))
	case 10:
		switch w.choose.below(8, "rare") {
		case 0: // the publisher's stream starts anew
			p.seq += 20000
			p.ts += 12345678
			p.picture, p.tl0 = 9, 9
			w.waiting[i], w.lost[i] = nil, nil
		case 1, 2:
			w.d.Ready(w.now)
		case 3:
			pad := p.frame(false, 1)[0]
			pad.payload = nil
			w.waiting[i] = append(w.waiting[i], pad)
		}
	case 11:
		w.pull(1 << 20)
	case 12:
		w.pad(w.choose.below(1500, "size"))
	case 13:
		switch w.choose.below(5, "path") {
		case 0:
			w.d.SetRepair(float64(w.choose.below(3, "repair")) / 10)
		case 1, 2:
			w.d.SetPaused(w.now, !w.d.Paused())
		case 3:
			w.now += 200 * ms // pacing holds the slot back
		case 4:
			w.d.Shed()
		}
	}
}

// deliver hands one or a few waiting packets over: in order, out of order, twice, or not at all.
func (w *world) deliver(i int) {
	for range 1 + w.choose.below(4, "deliver") {
		n := len(w.waiting[i])
		if n == 0 {
			break
		}
		at := 0
		if w.choose.below(3, "reorder") == 0 {
			at = w.choose.below(min(n, 6), "at")
		}
		m := w.waiting[i][at]
		w.waiting[i] = slices.Delete(w.waiting[i], at, at+1)
		switch w.choose.below(6, "fate") {
		case 0:
			w.lost[i] = append(w.lost[i], m)
		case 1:
			w.store(i, m)
			w.store(i, m)
		default:
			w.store(i, m)
		}
	}
	if len(w.lost[i]) > 0 && w.choose.below(3, "repair") == 0 {
		w.store(i, w.lost[i][0])
		w.lost[i] = w.lost[i][1:]
	}
}

func (w *world) store(i int, m made) {
	p := w.publishers[i]
	at := p.Head()
	v := p.Handle(w.now, &m.h, m.e, m.payload, uplink.Extensions{Has: uplink.Carried(w.choose.below(int(uplink.CarriedSets), "extensions"))}, nil)
	if v == uplink.Stored {
		w.arrivals[p.ssrc][m.e] = at
	}
}

func (w *world) pull(budget int) {
	for range budget {
		b := make([]byte, 1500)
		bytes, age := w.d.Backlog(w.now)
		out, state := w.d.Next(w.now, b, w.tseq)
		if state == Empty {
			if w.d.ready && w.now >= w.d.readyAt+w.d.hold && !w.d.fresh {
				require.Zero(w, bytes, "nothing waits, or pauses")
				require.Zero(w, age)
			}
			return
		}
		require.False(w, w.d.Paused())
		if state == Dropped {
			continue
		}
		require.False(w, out.RTX)
		require.GreaterOrEqual(w, w.now, w.d.readyAt+w.d.hold)
		w.seal(1000, out)
		g := read(w, b, out, w.c)
		require.Equal(w, int(w.tseq), g.tseq)
		w.tseq++
		w.take(g)
	}
}

// seal fails when a number is used twice under one SSRC: that would break the cipher.
func (w *world) seal(ssrc uint32, out Out) {
	key := [2]uint64{uint64(ssrc), uint64(out.Seq)}
	require.False(w, w.sealed[key], "sealed twice: %v", key)
	w.sealed[key] = true
}

func (w *world) take(g got) {
	w.bySeq[g.h.Sequence] = g
	if g.First {
		current, _ := w.d.Sources()
		p := &piece{}
		for _, s := range w.publishers {
			if s.Uplink == current {
				p.source = s
			}
		}
		require.NotNil(w, p.source)
		if n := len(w.pieces); n > 0 {
			require.Equal(w, last(w.pieces[n-1]).Seq+1, g.Seq, "a switch leaves no hole")
		}
		if w.c.Video() {
			require.True(w, g.meta.Keyframe, "video starts with a keyframe")
		}
		w.pieces = append(w.pieces, p)
	}
	p := w.pieces[len(w.pieces)-1]
	if g.source != 0 { // a padding-only packet does not tell
		require.Equal(w, p.source.ssrc, g.source)
		if !g.First {
			p.walked = w.arrivals[g.source][g.original] + 1
		}
	}
	p.sent = append(p.sent, g)
}

func (w *world) resend(back uint16) {
	b := make([]byte, 1500)
	n := w.d.sequence.highest.Uint16() - back
	out, ok := w.d.Resend(w.now, n, b, w.tseq)
	if !ok {
		return
	}
	require.True(w, out.RTX)
	w.seal(2000, out)
	w.tseq++
	r := read(w, b, out, w.c)
	if g, ok := w.bySeq[n]; ok {
		require.Equal(w, g.payload, r.payload[2:], "a resent packet is the packet sent")
		require.Equal(w, g.h.Timestamp, r.h.Timestamp)
	}
}

// pad makes a packet for a probe.
func (w *world) pad(size int) {
	b := make([]byte, 1500)
	out, ok := w.d.Padding(w.now, size, b, w.tseq)
	if !w.c.Video() {
		require.False(w, ok, "there is no RTX for audio")
	}
	if !ok {
		return
	}
	require.True(w, out.RTX)
	w.seal(2000, out)
	w.tseq++
	h, ok := packet.ParseHeader(b[:out.Size])
	require.True(w, ok)
	if h.Padding {
		payload, _ := h.Payload(b[:out.Size])
		require.Empty(w, payload, "nothing but padding")
		return
	}
	require.LessOrEqual(w, out.Size, size)
	r := read(w, b, out, w.c)
	if g, ok := w.bySeq[uint16(r.payload[0])<<8|uint16(r.payload[1])]; ok {
		require.Equal(w, g.payload, r.payload[2:], "a repeated packet is the packet sent")
	}
}

// last returns the piece's packet with the highest number.
func last(p *piece) got {
	return slices.MaxFunc(p.sent, func(a, b got) int { return int(int64(a.Seq - b.Seq)) })
}

// check looks at the whole stream that the subscriber got.
func (w *world) check() {
	var before *got
	for n, p := range w.pieces {
		start := p.sent[0]
		if start.source == 0 {
			start = got{} // a padding-only packet began it (audio): originals cannot be told
		}
		sent := slices.Clone(p.sent)
		slices.SortFunc(sent, func(a, b got) int { return int(int64(a.Seq - b.Seq)) })
		require.Equal(w, p.sent[0].Seq, sent[0].Seq, "nothing of before the switch")
		have := map[seq.Extended]bool{}
		for i, g := range sent {
			if g.source != 0 && start.source != 0 {
				require.Equal(w, g.original-start.original, g.Seq-start.Seq, "numbers move by a constant")
				have[g.original] = true
			}
			w.inOrder(before, &sent[i])
			before = &sent[i]
		}
		if start.source == 0 {
			continue
		}
		// A number is missing only when its packet had not come by the time the segment ended.
		end := p.walked
		if current, _ := w.d.Sources(); n == len(w.pieces)-1 && current == p.source.Uplink && !w.d.fresh {
			end = 1 << 62
		}
		final := last(p)
		for e, arrived := range w.arrivals[p.source.ssrc] {
			inside := e > start.original && e-start.original < final.Seq-start.Seq
			if inside && arrived < end && p.source.At(arrived) != nil && p.source.At(arrived).Size() > 0 {
				require.True(w, have[e], "packet %d of %d came and was left out", e, p.source.ssrc)
			}
		}
	}
}

// inOrder compares neighbours in the order of their numbers.
func (w *world) inOrder(a, b *got) {
	if a == nil {
		return
	}
	step := int32(b.h.Timestamp - a.h.Timestamp)
	require.GreaterOrEqual(w, step, int32(0), "timestamps rise")
	if b.First {
		require.Positive(w, step)
		if !w.c.Video() {
			require.Zero(w, step%960)
		}
	}
	if w.c.Video() && a.source != 0 && b.source != 0 {
		pictures := int((b.meta.PictureID - a.meta.PictureID) & 0x7fff)
		switch {
		case b.First:
			require.Equal(w, 1, pictures, "picture ids go on")
			require.Equal(w, uint8(1), b.meta.TL0-a.meta.TL0)
		case b.Seq == a.Seq+1:
			require.LessOrEqual(w, pictures, 1)
			require.Equal(w, pictures == 0, step == 0, "one timestamp a picture")
		default:
			require.LessOrEqual(w, pictures, int(b.Seq-a.Seq))
		}
	}
}

// finish drains the slot and checks all.
func (w *world) finish() {
	w.d.Ready(w.now)
	w.d.SetPaused(w.now, false)
	w.now += Hold
	w.pull(1 << 20)
	w.check()
	if current, next := w.d.Sources(); current == nil && next != nil {
		require.True(w, w.d.WantsKeyframe(w.now), "what does not flow is asked for")
	}
}

type drawn struct{ t *rapid.T }

func (d drawn) below(n int, label string) int { return rapid.IntRange(0, n-1).Draw(d.t, label) }

// Over any interleaving of switches, loss, reordering, duplication, repairs, restarts and NACKs: each number is sealed
// once, the stream has no hole that its sources do not have, time and picture ids rise.
func TestAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawn{t})
		if w.choose.below(2, "ready") == 1 {
			w.d.Ready(w.now - time.Second)
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			w.step()
		}
		w.finish()
	})
}

// bytes chooses as the fuzzer says.
type bytes struct{ left []byte }

func (b *bytes) below(n int, _ string) int {
	if len(b.left) == 0 {
		return 0
	}
	c := b.left[0]
	b.left = b.left[1:]
	return int(c) % n
}

func FuzzAnyInterleaving(f *testing.F) {
	f.Add([]byte{0, 5, 1, 0, 7, 1, 0, 0, 0, 3, 0, 3, 1, 3, 0, 11})
	f.Add([]byte{1, 0, 1, 7, 1, 1, 0, 3, 2, 1, 3, 3, 0, 4, 4, 1, 11, 1, 9, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		choose := &bytes{left: b}
		w := newWorld(t, choose)
		w.d.Ready(w.now - time.Second)
		for len(choose.left) > 0 {
			w.step()
		}
		w.finish()
	})
}

// FuzzRewrite hands the rewriter any payload under any negotiated extensions: it never panics, and changes nothing but
// picture id and TL0 index.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte{0x90, 0xc0, 0x80, 1, 2, 0, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0}, uint8(5), uint8(6), uint8(7), uint8(3))
	f.Add([]byte{0x90, 0x80, 0x7f, 1}, uint8(0), uint8(0), uint8(0), uint8(0))
	f.Add([]byte{}, uint8(14), uint8(1), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, payload []byte, seqID, levelID, colorID, has uint8) {
		if seqID > 14 || levelID > 14 || colorID > 14 {
			return
		}
		if (seqID == levelID || seqID == colorID) && seqID != 0 || levelID == colorID && levelID != 0 {
			return
		}
		cfg := config(codec.VP8)
		cfg.TransportSeqID, cfg.AudioLevelID, cfg.ColorSpaceID = seqID, levelID, colorID
		d := New(cfg)
		d.Ready(0)
		a, b := newPublisher(codec.VP8, 1), newPublisher(codec.VP8, 2)
		d.Assign(time.Hour, a.Uplink, 1)
		a.arrive(time.Hour, a.frame(true, 1)...)
		dst := make([]byte, 1500)
		_, state := d.Next(time.Hour, dst, 0)
		require.Equal(t, Sent, state)
		d.Assign(time.Hour, b.Uplink, 2)
		b.arrive(time.Hour, b.frame(true, 1)...)
		_, state = d.Next(time.Hour, dst, 0)
		require.Equal(t, Sent, state)
		m := b.frame(false, 1)[0]
		if b.Handle(time.Hour, &m.h, m.e, payload, uplink.Extensions{Has: uplink.Carried(has) % uplink.CarriedSets}, nil) != uplink.Stored {
			return
		}
		out, state := d.Next(time.Hour, dst, 7)
		require.Equal(t, Sent, state)
		require.LessOrEqual(t, out.Size+2+16, 1500, "room for an RTX number and a tag")
		got := dst[out.HeaderSize:out.Size]
		if len(payload) == 0 {
			require.Equal(t, []byte{1}, got)
			return
		}
		require.Len(t, got, len(payload))
		changed := 0
		for i := range got {
			if got[i] != payload[i] {
				changed++
				require.Less(t, i, 6, "only the descriptor is rewritten")
			}
		}
		require.LessOrEqual(t, changed, 3)
		rtx := make([]byte, 1500)
		r, ok := d.Resend(time.Hour, out.Seq.Uint16(), rtx, 8)
		require.True(t, ok)
		require.Equal(t, got, rtx[r.HeaderSize+2:r.Size])
	})
}
