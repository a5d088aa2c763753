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

// player sends a recording into an uplink. When it is through it begins again, as a stream that has restarted.
type player struct {
	*viewer
	up    *uplink.Uplink
	order []int // in which the packets come
	next  int   // in order
	began time.Duration
	jump  seq.Extended // of the numbers
	at    map[int]uint64
}

// stint is what one segment of the slot yielded.
type stint struct {
	*viewer
	at     map[int]uint64 // arrival index by packet
	held   uint64         // arrival index from which on the packets were still held when it began
	walked uint64         // arrival index up to which the slot has come
}

// theatre is a slot and all that it may show.
type theatre struct {
	*rapid.T
	d       *Downlink
	players []*player
	stints  []*stint
	now     time.Duration
	tseq    uint16
	sealed  map[[2]uint64]bool
	sent    map[uint16]seen
	stintOf map[uint16]*stint
}

func (w *theatre) send(p *player) {
	if p.next == len(p.order) {
		p.next, p.began, p.jump, p.at = 0, w.now, p.jump+20_000, map[int]uint64{}
		p.order = p.r.arrivals(w.T)
		return
	}
	i := p.order[p.next]
	p.next++
	m := p.r.packets[i]
	h := m.h
	head := p.up.Head()
	if p.up.Handle(w.now, &h, m.e+p.jump, m.payload, uplink.Extensions{}, m.descriptor) == uplink.Stored {
		p.at[i] = head
	}
}

// play lets everybody send what is due.
func (w *theatre) play(ms int) {
	w.now += time.Duration(ms) * time.Millisecond
	for _, p := range w.players {
		for p.next == len(p.order) || p.began+p.r.packets[p.order[p.next]].at <= w.now {
			w.send(p)
			if p.next == 0 {
				break
			}
		}
		for _, r := range p.r.reports {
			if at := p.began + r.at; at <= w.now && at > w.now-time.Duration(ms)*time.Millisecond {
				p.up.HandleSenderReport(w.now, r.ntp, r.rtp)
			}
		}
	}
}

func (w *theatre) pull(budget int) {
	for range budget {
		b := make([]byte, 1500)
		before := w.d.current
		if n := len(w.stints); n > 0 && before != nil && w.d.ring[w.d.newest].source == before && !w.d.fresh && !w.d.opening {
			w.stints[n-1].walked = max(w.stints[n-1].walked, w.d.cursor)
		}
		out, state := w.d.Next(w.now, b, w.tseq)
		if state == Empty {
			return
		}
		if state == Dropped {
			continue
		}
		w.tseq++
		key := [2]uint64{1, uint64(out.Seq)}
		require.False(w, w.sealed[key], "sealed twice: %d", out.Seq)
		w.sealed[key] = true
		if out.First {
			i := slices.IndexFunc(w.players, func(p *player) bool { return p.up == w.d.current })
			p := w.players[i]
			v := *p.viewer
			v.got = nil
			w.stints = append(w.stints, &stint{viewer: &v, at: p.at, held: p.up.Tail()})
		}
		s := w.stints[len(w.stints)-1]
		g := s.read(b, out)
		s.got = append(s.got, g)
		w.sent[g.h.Sequence], w.stintOf[g.h.Sequence] = g, s
	}
}

func (w *theatre) resend(back uint16) {
	n := w.d.sequence.highest.Uint16() - back
	b := make([]byte, 1500)
	out, ok := w.d.Resend(w.now, n, b, w.tseq)
	if !ok {
		return
	}
	w.tseq++
	key := [2]uint64{2, uint64(out.Seq)}
	require.False(w, w.sealed[key])
	w.sealed[key] = true
	g, ok := w.sent[n]
	if !ok {
		return // it has come to the uplink, and the slot has not got there
	}
	r := w.stintOf[n].read(b, out)
	require.Equal(w, g.payload, r.payload[2:])
	require.Equal(w, g.h.Timestamp, r.h.Timestamp)
	require.Equal(w, g.h.Marker, r.h.Marker)
	require.Equal(w, g.descriptor, r.descriptor)
}

func (w *theatre) pad(size int) {
	out, ok := w.d.Padding(w.now, size, make([]byte, 1500), w.tseq)
	if !ok {
		return
	}
	w.tseq++
	require.True(w, out.RTX)
	key := [2]uint64{2, uint64(out.Seq)}
	require.False(w, w.sealed[key])
	w.sealed[key] = true
}

// check looks at each segment, and at what lies between them.
func (w *theatre) check() {
	for i, s := range w.stints {
		arrived := map[int]int{}
		for packet, at := range s.at {
			if at >= s.held && at < s.walked {
				arrived[packet] = int(at)
			}
		}
		s.check(false, arrived)
		first := s.got[0]
		if !s.r.alone { // else with that of a higher spatial layer, which may be late
			require.True(w, s.r.frames[s.r.packets[first.packet].frame].key, "a segment begins with a keyframe")
		}
		if i == 0 {
			continue
		}
		before := w.stints[i-1]
		last := slices.MaxFunc(before.got, func(a, b seen) int { return int(int64(a.Seq - b.Seq)) })
		newest := slices.MaxFunc(before.got, func(a, b seen) int { return int(int32(a.h.Timestamp - b.h.Timestamp)) })
		require.GreaterOrEqual(w, int32(first.h.Timestamp-newest.h.Timestamp), int32(videoStep))
		if s.r.alone { // numbers are kept for what is late of the keyframe
			require.Greater(w, first.Seq, last.Seq)
			continue
		}
		require.Equal(w, last.Seq+1, first.Seq, "a switch leaves no hole")
		if last.meta.HasPictureID && first.meta.HasPictureID && first.meta.LongPictureID && last.meta.LongPictureID {
			require.Equal(w, uint16(1), (first.meta.PictureID-last.meta.PictureID)&0x7fff)
		}
		if last.meta.HasTL0 && first.meta.HasTL0 {
			require.Equal(w, uint8(1), first.meta.TL0-last.meta.TL0)
		}
		if len(last.descriptor) > 2 && len(first.descriptor) > 2 {
			require.Equal(w, uint16(1), number(first)-number(last), "frame numbers go on")
		}
	}
}

// number is the descriptor's frame number.
func number(g seen) uint16 { return uint16(g.descriptor[1])<<8 | uint16(g.descriptor[2]) }

// Whatever is shown, of which codec and how much of it, lost, late, restarted and asked for again: no number twice, no hole
// at a switch, and within each segment nothing that cannot be decoded for want of what was left out.
func TestSourcesAndLayers(t *testing.T) { rapid.Check(t, sourcesAndLayers(recordings(t))) }

func FuzzSourcesAndLayers(f *testing.F) { f.Fuzz(rapid.MakeFuzz(sourcesAndLayers(recordings(f)))) }

func sourcesAndLayers(all []*recording) func(t *rapid.T) {
	return func(t *rapid.T) {
		w := &theatre{
			T: t, d: New(everyCodec(rapid.SampledFrom([]uint8{0, 12, 20}).Draw(t, "descriptor id"))), now: time.Hour,
			sealed: map[[2]uint64]bool{}, sent: map[uint16]seen{}, stintOf: map[uint16]*stint{},
		}
		w.d.sequence.highest = 1<<16 + seq.Extended(65535-rapid.IntRange(0, 100).Draw(t, "before wrap"))
		clock := new(uplink.Clock)
		first := rapid.IntRange(0, len(all)-3).Draw(t, "recording")
		for i := range 3 {
			r := all[first+i] // neighbours: often the encodings of one simulcast
			p := &player{
				viewer: viewerOf(t, w.d, r), began: w.now, at: map[int]uint64{}, order: r.arrivals(t),
				up: uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true, Clock: clock}),
			}
			w.players = append(w.players, p)
		}
		w.d.Ready(w.now - time.Second)
		repair := rapid.SampledFrom([]float64{0, 0.05, 0.5}).Draw(t, "repair")
		w.d.SetRepair(repair)
		for range rapid.IntRange(20, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				p := w.players[rapid.IntRange(0, 2).Draw(t, "player")]
				w.d.Assign(w.now, p.up, 7)
			case 1:
				w.d.SetLayer(w.now, codec.Layer{
					Spatial:  rapid.SampledFrom([]uint8{0, 1, 255}).Draw(t, "spatial"),
					Temporal: rapid.SampledFrom([]uint8{0, 1, 255}).Draw(t, "temporal"),
				})
			case 2:
				w.resend(uint16(rapid.IntRange(0, 40).Draw(t, "back")))
			case 3:
				w.pull(rapid.IntRange(0, 5).Draw(t, "budget"))
			case 4:
				switch rapid.IntRange(0, 9).Draw(t, "rare") {
				case 0:
					w.d.Assign(w.now, nil, 0)
				case 1, 2:
					w.d.SetPaused(w.now, !w.d.Paused())
				case 3, 4:
					w.pad(rapid.IntRange(0, 1500).Draw(t, "size"))
				default:
					if repair > 0 { // pacing holds the slot back
						w.play(rapid.IntRange(1, 600).Draw(t, "ms"))
					}
				}
			default:
				w.play(rapid.IntRange(1, 80).Draw(t, "ms"))
				w.pull(1 << 20)
			}
		}
		w.d.SetPaused(w.now, false)
		w.pull(1 << 20)
		w.check()
	}
}

// FuzzDescribed hands a slot any payloads under any descriptors, as they are after decryption: nothing panics, no number goes
// out twice, headers can be read, and what is asked for again is what was sent.
func FuzzDescribed(f *testing.F) {
	all := recordings(f)
	for i, r := range all {
		f.Add(uint8(i), r.packets[0].descriptor, r.packets[1].descriptor, r.packets[1].payload, r.packets[5].descriptor, r.packets[5].payload, uint8(12), true, uint8(1), uint8(0))
	}
	f.Fuzz(func(t *testing.T, which uint8, structure, second, secondPayload, third, thirdPayload []byte, id uint8, mixed bool, spatial, temporal uint8) {
		r := all[int(which)%len(all)]
		cfg := everyCodec(id)
		if id == 5 || id == 15 { // that of the transport-wide number, and the one that ends a block (RFC 8285 §4.2)
			return
		}
		cfg.Mixed = mixed
		d := New(cfg)
		d.Ready(-time.Second)
		src := uplink.New(uplink.Config{Codec: r.codec, NACK: true})
		d.Assign(0, src, 1)
		sealed := map[seq.Extended]bool{}
		n := seq.Extended(1 << 20)
		feed := func(marker bool, payload, descriptor []byte, at uint32) {
			src.Handle(0, &packet.Header{SSRC: 1, Timestamp: at, Marker: marker}, n, payload, uplink.Extensions{}, descriptor)
			n++
			for {
				b := make([]byte, 1500)
				out, state := d.Next(0, b, 7)
				if state == Empty {
					return
				}
				if state == Dropped {
					continue
				}
				require.False(t, sealed[out.Seq])
				sealed[out.Seq] = true
				h, ok := packet.ParseHeader(b[:out.Size])
				require.True(t, ok)
				require.Equal(t, out.HeaderSize, h.Size)
				x, ok := h.Extension(b, 5)
				require.True(t, ok)
				require.Equal(t, []byte{0, 7}, x)
				again := make([]byte, 1500)
				if out2, ok := d.Resend(0, out.Seq.Uint16(), again, 7); ok {
					sent, ok := h.Payload(b[:out.Size])
					require.True(t, ok)
					require.Equal(t, string(sent), string(again[out2.HeaderSize+2:out2.Size]))
				}
			}
		}
		feed(false, r.packets[0].payload, structure, 1)
		d.SetLayer(0, codec.Layer{Spatial: spatial, Temporal: temporal})
		feed(true, secondPayload, second, 1)
		feed(true, thirdPayload, third, 2)
		n++
		feed(false, secondPayload, third, 3)
		d.SetLayer(0, codec.Everything)
		feed(true, thirdPayload, second, 3)
		n -= 3
		feed(true, thirdPayload, third, 2)
		d.WantsKeyframe(0)
	})
}
