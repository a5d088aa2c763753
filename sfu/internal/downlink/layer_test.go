package downlink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// scalable makes VP8 in temporal layers, as browsers do: 0 2 1 2, of which every second round has the pictures of the
// upper layers refer to the base only.
type scalable struct {
	*publisher
	n int
}

func newScalable(ssrc uint32) *scalable { return &scalable{publisher: newPublisher(codec.VP8, ssrc)} }

// next makes the next picture.
func (p *scalable) next(key bool, packets int) []made {
	if key {
		p.n = 0
	}
	layer := []uint8{0, 2, 1, 2}[p.n%4]
	sync := key || layer > 0 && p.n%8 < 3
	p.n++
	if layer > 0 {
		p.tl0-- // publisher.frame counts every picture
	}
	all := p.frame(key, packets)
	for i := range all {
		b := all[i].payload
		y := byte(0)
		if sync {
			y = 0x20
		}
		// The descriptor gets T, and behind TL0PICIDX the byte of TID and Y.
		all[i].payload = append([]byte{b[0], b[1] | 0x20, b[2], b[3], b[4], layer<<6 | y}, b[5:]...)
	}
	return all
}

// layered drives a slot that shows one scalable stream.
type layered struct {
	*test
	p *scalable
}

func newLayered(t *testing.T) *layered {
	s := &layered{test: newTest(t, codec.VP8, nil), p: newScalable(1)}
	s.d.Assign(s.now, s.p.Uplink, 1)
	return s
}

// show sends pictures of two packets each and returns what comes out.
func (s *layered) show(pictures int, key bool) (all []got) {
	s.Helper()
	for i := range pictures {
		s.p.arrive(s.now, s.p.next(key && i == 0, 2)...)
		all = append(all, s.drain()...)
		s.wait(33 * ms)
	}
	return all
}

// temporal lists the layers of the pictures among all.
func temporal(all []got) (layers []uint8) {
	for _, g := range all {
		if g.meta.Start {
			layers = append(layers, g.meta.Layer.Temporal)
		}
	}
	return layers
}

// continuous checks the numbers of a stream from which nothing is missing.
func continuous(t *testing.T, all []got) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		require.Equal(t, a.Seq+1, b.Seq)
		newPicture := b.meta.Start
		require.Equal(t, newPicture, a.h.Marker)
		require.Equal(t, newPicture, a.h.Timestamp != b.h.Timestamp)
		want, tl0 := a.meta.PictureID, a.meta.TL0
		if newPicture {
			want = (want + 1) & 0x7fff
			if b.meta.Layer.Temporal == 0 {
				tl0++
			}
		}
		require.Equal(t, want, b.meta.PictureID)
		require.Equal(t, tl0, b.meta.TL0)
	}
}

func TestTemporalLayersOfVP8(t *testing.T) {
	s := newLayered(t)
	all := s.show(9, true)
	require.Equal(t, []uint8{0, 2, 1, 2, 0, 2, 1, 2, 0}, temporal(all))
	require.Equal(t, codec.Everything, s.d.Layer())

	s.d.SetLayer(s.now, codec.Layer{Temporal: 1})
	less := s.show(4, false) // 2 1 2 0
	require.Equal(t, []uint8{1, 0}, temporal(less), "at once, with the next picture")
	require.Equal(t, codec.Layer{Temporal: 1}, s.d.Layer())
	s.d.SetLayer(s.now, codec.Layer{})
	less = append(less, s.show(8, false)...)
	require.Equal(t, []uint8{1, 0, 0, 0}, temporal(less))
	all = append(all, less...)
	continuous(t, all)
	require.Equal(t, uint64(16), s.d.Stats().Thinned)

	s.d.SetLayer(s.now, codec.Everything)
	more := s.show(17, false)
	// The picture of layer 1 with Y comes after that of layer 2 with Y: one layer at a time.
	require.Equal(t, []uint8{0, 1, 0, 1, 0, 2, 1, 2, 0, 2}, temporal(more)[:10])
	continuous(t, append(all, more...))
	require.False(t, s.d.WantsKeyframe(s.now))
}

func TestKeyframeBringsAllLayers(t *testing.T) {
	s := newLayered(t)
	s.d.SetLayer(s.now, codec.Layer{})
	all := s.show(5, true)
	require.Equal(t, []uint8{0, 0}, temporal(all))
	s.d.SetLayer(s.now, codec.Everything)
	all = append(all, s.show(4, true)...)
	require.Equal(t, []uint8{0, 0, 0, 2, 1, 2}, temporal(all))
	require.Equal(t, codec.Everything, s.d.Layer())
	continuous(t, all)
}

func TestLayersAreTakenBackBeforeTheyBegin(t *testing.T) {
	s := newLayered(t)
	all := s.show(4, true)
	s.d.SetLayer(s.now, codec.Layer{})
	s.d.SetLayer(s.now, codec.Everything)
	all = append(all, s.show(4, false)...)
	require.Len(t, temporal(all), 8)
	continuous(t, all)
}

// A step down within a picture waits for the next: half a picture is worth nothing.
func TestLessBeginsWithAPicture(t *testing.T) {
	s := newLayered(t)
	s.show(1, true)
	m := s.p.next(false, 3) // layer 2
	s.p.arrive(s.now, m[0])
	require.Len(t, s.drain(), 1)
	s.d.SetLayer(s.now, codec.Layer{})
	s.p.arrive(s.now, m[1], m[2])
	require.Len(t, s.drain(), 2)
	require.Equal(t, []uint8{0}, temporal(s.show(3, false)))
}

func TestNACKsOfAThinnedStream(t *testing.T) {
	s := newLayered(t)
	all := s.show(4, true)
	s.d.SetLayer(s.now, codec.Layer{Temporal: 1})
	all = append(all, s.show(40, false)...)
	s.d.SetLayer(s.now, codec.Layer{})
	all = append(all, s.show(40, false)...)
	require.Len(t, all, 2*(4+20+10))
	for i, g := range all {
		r, ok := s.resend(g.h.Sequence)
		if i < len(all)-14 {
			continue // older than the history's second
		}
		require.True(t, ok)
		require.Equal(t, g.payload, r.payload[2:])
		require.Equal(t, g.h.Timestamp, r.h.Timestamp)
		require.Equal(t, g.h.Marker, r.h.Marker)
	}
	_, ok := s.resend(all[len(all)-1].h.Sequence + 1)
	require.False(t, ok)
	require.Equal(t, 8*numbered, 8*cap(s.d.numbers.ring))
}

// Of what is missing nobody knows the layer: its number is kept, and padding fills it when it was of one that is not shown.
func TestLatePacketsOfHiddenLayers(t *testing.T) {
	s := newLayered(t)
	s.d.SetLayer(s.now, codec.Layer{})
	first := s.show(1, true)
	hidden, shown := s.p.next(false, 1), s.p.next(false, 1)
	base := []made(nil)
	s.p.next(false, 1)
	base = s.p.next(false, 2)
	s.p.arrive(s.now, base[0])
	all := s.drain()
	require.Len(t, all, 1)
	require.Equal(t, first[1].Seq+4, all[0].Seq, "three are missing")
	_, ok := s.resend(all[0].h.Sequence - 1)
	require.False(t, ok, "it has not come")

	s.p.arrive(s.now, hidden...)
	late := s.drain()
	require.Len(t, late, 1)
	require.Equal(t, first[1].Seq+1, late[0].Seq)
	require.Empty(t, late[0].payload)
	require.True(t, late[0].h.Padding)
	require.False(t, late[0].h.Marker)
	require.Equal(t, uint64(1), s.d.Stats().Blanked)
	r, ok := s.resend(late[0].h.Sequence)
	require.True(t, ok, "asked for again, it goes out again")
	require.Len(t, r.payload, 2)

	s.p.arrive(s.now, base[1])
	require.Equal(t, all[0].Seq+1, s.drain()[0].Seq)
	s.p.arrive(s.now, shown...)
	require.Equal(t, first[1].Seq+2, s.drain()[0].Seq)
}

func TestLatePacketOfAShownLayer(t *testing.T) {
	s := newLayered(t)
	s.show(1, true)
	s.d.SetLayer(s.now, codec.Layer{})
	sent := s.show(4, false) // 2 1 2 0
	require.Len(t, sent, 2)
	s.show(3, false)
	m := s.p.next(false, 3)
	s.p.arrive(s.now, m[0], m[2])
	out := s.drain()
	require.Equal(t, out[0].Seq+2, out[1].Seq)
	s.show(3, false)
	s.p.arrive(s.now, m[1])
	late := s.drain()
	require.Equal(t, out[0].Seq+1, late[0].Seq)
	require.Equal(t, out[0].meta.PictureID, late[0].meta.PictureID, "as its picture was numbered then")
	r, ok := s.resend(late[0].h.Sequence)
	require.True(t, ok)
	require.Equal(t, late[0].payload, r.payload[2:])
}

func TestAHoleWithinAHiddenFrameIsNone(t *testing.T) {
	s := newLayered(t)
	s.d.SetLayer(s.now, codec.Layer{})
	all := s.show(1, true)
	m := s.p.next(false, 4)
	s.p.arrive(s.now, m[0], m[3])
	require.Empty(t, s.drain())
	s.p.arrive(s.now, m[1])
	require.Empty(t, s.drain(), "it has no number")
	s.p.next(false, 0)
	s.p.next(false, 0)
	all = append(all, s.show(1, false)...)
	require.Equal(t, all[1].Seq+1, all[2].Seq)
}

func TestTableIsMadeWhenNeeded(t *testing.T) {
	s := newTest(t, codec.VP8, nil)
	plain := newPublisher(codec.VP8, 1)
	s.d.Assign(s.now, plain.Uplink, 1)
	s.d.SetLayer(s.now, codec.Layer{})
	plain.arrive(s.now, plain.frame(true, 2)...)
	plain.arrive(s.now, plain.frame(false, 2)...)
	require.Len(t, s.drain(), 4, "a stream without layers is shown whole")
	require.Nil(t, s.d.numbers.ring)
	require.False(t, s.d.WantsKeyframe(s.now))
}

func TestKeyframesAreWishedForWhenNothingElseHelps(t *testing.T) {
	s := newLayered(t)
	s.d.SetLayer(s.now, codec.Layer{})
	s.show(8, true)
	require.False(t, s.d.WantsKeyframe(s.now))
	s.d.SetLayer(s.now, codec.Layer{Temporal: 2})
	require.False(t, s.d.WantsKeyframe(s.now), "a way up comes by itself")
	m := s.p.next(false, 1) // nobody is let in at the base
	s.p.arrive(s.now, m...)
	s.drain()
	s.wait(switchPatience)
	s.p.arrive(s.now, s.p.next(false, 1)[0], s.p.next(false, 1)[0])
	require.True(t, s.d.WantsKeyframe(s.now), "it has not")
	s.show(1, true)
	require.False(t, s.d.WantsKeyframe(s.now))
}

// SetLayer means the source assigned last: what flows until its keyframe stays as it is.
func TestLayersOfASourceThatWaits(t *testing.T) {
	s := newLayered(t)
	other := newScalable(2)
	s.show(4, true)
	s.d.Assign(s.now, other.Uplink, 2)
	s.d.SetLayer(s.now, codec.Layer{})
	require.Len(t, temporal(s.show(4, false)), 4)
	var all []got
	for i := range 8 {
		other.arrive(s.now, other.next(i == 0, 1)...)
		all = append(all, s.drain()...)
		s.wait(33 * ms)
	}
	require.Equal(t, []uint8{0, 0}, temporal(all))
	s.d.Assign(s.now, s.p.Uplink, 1)
	require.Equal(t, codec.Layer{}, s.d.nextWant, "a slot keeps its layers until it is told otherwise")
}

// find returns a recording.
func find(t testing.TB, name string) *recording {
	for _, r := range recordings(t) {
		if r.name == name {
			return r
		}
	}
	require.Fail(t, "no recording "+name)
	return nil
}

// watch plays a recording to a slot and calls before each packet.
func (r *recording) watch(t *testing.T, cfg Config, before func(i int, d *Downlink)) *viewer {
	v := viewerOf(t, New(cfg), r)
	src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
	v.d.Assign(0, src, 1)
	for i, p := range r.packets {
		before(i, v.d)
		require.Equal(t, uplink.Stored, src.Handle(p.at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor))
		v.pull(p.at)
	}
	return v
}

// The marker ends a picture for its receiver, who gets fewer spatial layers than were sent.
func TestMarkerOfTheHighestLayerShown(t *testing.T) {
	for _, name := range []string{"chromium-vp9-l3t3-key-bare", "chromium-vp9-l3t3", "chromium-av1-l3t3-key"} {
		for spatial := range uint8(3) {
			r := find(t, name)
			v := r.watch(t, everyCodec(0), func(_ int, d *Downlink) { d.SetLayer(0, codec.Layer{Spatial: spatial, Temporal: 255}) })
			for _, g := range v.got {
				f := r.frames[r.packets[g.packet].frame]
				last := f.packets[len(f.packets)-1] == g.packet
				require.LessOrEqual(t, f.layer.Spatial, spatial)
				require.Equal(t, last && f.layer.Spatial == spatial, g.h.Marker)
			}
		}
	}
}

func TestDescriptorsGoAlong(t *testing.T) {
	for _, c := range []struct {
		recording string
		id        uint8
		mixed     bool
		form      uint16 // of the first packet
		then      uint16 // of those without a structure
	}{
		{"chromium-vp9-l3t3", 12, true, twoByteForm, oneByteForm},
		{"chromium-vp9-l3t3", 20, true, twoByteForm, twoByteForm},
		{"chromium-vp9-l3t3", 12, false, 0, 0}, // 95 bytes of structure
		{"chromium-h264-simulcast-q", 12, true, oneByteForm, oneByteForm},
		{"chromium-h264-simulcast-q", 12, false, oneByteForm, oneByteForm},
		{"chromium-h264-simulcast-q", 20, false, 0, 0},
		{"chromium-h264-simulcast-q", 0, true, 0, 0},
	} {
		cfg := everyCodec(c.id)
		cfg.Mixed, cfg.TransportSeqID = c.mixed, 0
		r := find(t, c.recording)
		d := New(cfg)
		d.Ready(-time.Second)
		src := uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true})
		d.Assign(0, src, 1)
		for i, p := range r.packets[:20] {
			src.Handle(p.at, &p.h, p.e, p.payload, uplink.Extensions{}, p.descriptor)
			b := make([]byte, 1500)
			out, state := d.Next(p.at, b, 0)
			require.Equal(t, Sent, state)
			h, ok := packet.ParseHeader(b[:out.Size])
			require.True(t, ok)
			want := c.then
			if i == 0 {
				want = c.form
			}
			require.Equal(t, want, h.ExtProfile, "%s %d", c.recording, i)
			if want != 0 {
				dd, ok := h.Extension(b, c.id)
				require.True(t, ok)
				require.Equal(t, p.descriptor, dd, "the first segment moves nothing")
			}
		}
	}
}

// Who is shown less is told which decode targets are left.
func TestDecodeTargetsAreTold(t *testing.T) {
	r := find(t, "chromium-vp9-l3t3")
	var down int
	v := r.watch(t, everyCodec(12), func(i int, d *Downlink) {
		if i == 40 {
			d.SetLayer(r.packets[i].at, codec.Layer{Spatial: 1, Temporal: 1})
		}
	})
	var s codec.Structure
	told := map[uint32]int{}
	for _, g := range v.got {
		d, ok := s.ReadDescriptor(g.descriptor)
		require.True(t, ok)
		if len(told) == 1 && d.Active != 1<<9-1 && down == 0 {
			down = g.packet
		}
		told[d.Active]++
	}
	// Chromium counts them by spatial layer, three temporal ones in each.
	require.Len(t, told, 2)
	require.Positive(t, told[1<<9-1])
	require.Positive(t, told[1<<0|1<<1|1<<3|1<<4])
	require.GreaterOrEqual(t, down, 40)
	require.Less(t, down, 60)
}

// encodings are two of one publisher, whose timestamps begin anywhere and whose clock is not ours.
type encodings struct {
	*test
	low, high *publisher
}

func newEncodings(t *testing.T) *encodings {
	s := &encodings{test: newTest(t, codec.VP8, nil), low: newPublisher(codec.VP8, 1), high: newPublisher(codec.VP8, 2)}
	clock := new(uplink.Clock)
	s.low.Uplink = uplink.New(uplink.Config{SSRC: 1, Codec: codec.VP8, Clock: clock})
	s.high.Uplink = uplink.New(uplink.Config{SSRC: 2, Codec: codec.VP8, Clock: clock})
	s.high.ts = 123_456_789
	return s
}

// report says that both encodings' next frames are captured after the given time.
func (s *encodings) report(low, high time.Duration) {
	ticks := func(d time.Duration) uint32 { return uint32(d * 90_000 / time.Second) }
	s.low.HandleSenderReport(s.now, 7000<<32, s.low.ts-ticks(low))
	s.high.HandleSenderReport(s.now, 7000<<32, s.high.ts-ticks(high))
}

// Two encodings show one picture: what lies between their arrivals is the network's, not the picture's.
func TestEncodingsSwitchByCaptureTime(t *testing.T) {
	s := newEncodings(t)
	s.report(0, 40*ms) // the low one's next frame is captured now, the high one's 40 ms later
	s.d.Assign(s.now, s.low.Uplink, 1)
	s.low.arrive(s.now, s.low.frame(true, 1)...)
	before := s.drain()[0]
	s.d.Assign(s.now, s.high.Uplink, 1)
	s.wait(190 * ms) // a large keyframe takes its time
	s.high.arrive(s.now, s.high.frame(true, 1)...)
	after := s.drain()
	require.Len(t, after, 1)
	require.Equal(t, uint32(40*90), after[0].h.Timestamp-before.h.Timestamp)
}

func TestTheSamePictureInAnotherEncoding(t *testing.T) {
	s := newEncodings(t)
	s.report(0, 0)
	s.d.Assign(s.now, s.low.Uplink, 1)
	s.low.arrive(s.now, s.low.frame(true, 1)...)
	before := s.drain()[0]
	s.d.Assign(s.now, s.high.Uplink, 1)
	s.wait(5 * ms)
	s.high.arrive(s.now, s.high.frame(true, 1)...)
	same := s.drain()
	require.Len(t, same, 1)
	require.Equal(t, uint32(videoStep), same[0].h.Timestamp-before.h.Timestamp, "time goes on")

	s.wait(33 * ms)
	s.low.ts += 3000 // a frame that nobody was shown
	s.d.Assign(s.now, s.low.Uplink, 1)
	s.low.ts = s.low.ts - 3000
	s.low.arrive(s.now, s.low.frame(true, 1)...)
	back := s.drain()
	require.Len(t, back, 1)
	require.Equal(t, uint32(3000), back[0].h.Timestamp-before.h.Timestamp, "and is not ahead for long")
}

func TestAnOlderPictureIsNotShown(t *testing.T) {
	s := newEncodings(t)
	s.report(100*ms, 60*ms)
	s.d.Assign(s.now, s.low.Uplink, 1)
	s.low.arrive(s.now, s.low.frame(true, 1)...)
	require.Len(t, s.drain(), 1)
	s.d.Assign(s.now, s.high.Uplink, 1)
	s.wait(10 * ms)
	s.high.arrive(s.now, s.high.frame(true, 1)...) // captured 40 ms before, though it came after
	require.Empty(t, s.drain())
	require.True(t, s.d.WantsKeyframe(s.now))
	s.high.ts += 3000
	s.wait(33 * ms)
	s.high.arrive(s.now, s.high.frame(true, 1)...)
	require.Len(t, s.drain(), 1)
}

func TestReportsThatLieAreNotBelieved(t *testing.T) {
	s := newEncodings(t)
	s.report(0, 20*time.Second)
	s.d.Assign(s.now, s.low.Uplink, 1)
	s.low.arrive(s.now, s.low.frame(true, 1)...)
	before := s.drain()[0]
	s.d.Assign(s.now, s.high.Uplink, 1)
	s.wait(33 * ms)
	s.high.arrive(s.now, s.high.frame(true, 1)...)
	require.Equal(t, uint32(33*90), s.drain()[0].h.Timestamp-before.h.Timestamp, "by arrival")
}

func TestTheNextEncodingTakesOverWhenTheOldOneDies(t *testing.T) {
	s := newEncodings(t)
	s.d.Assign(s.now, s.high.Uplink, 1)
	s.high.arrive(s.now, s.high.frame(true, 1)...)
	require.Len(t, s.drain(), 1)
	s.d.Assign(s.now, s.low.Uplink, 1)
	s.high.Release()
	s.wait(time.Second)
	s.low.arrive(s.now, s.low.frame(true, 2)...)
	require.Len(t, s.drain(), 2)
}

func TestNumbersTable(t *testing.T) {
	var n numbers
	n.begin(100, 70)
	require.Equal(t, seq.Extended(70), n.put(101, entry{}))
	n.reserve(104, 2, entry{})
	require.Equal(t, seq.Extended(73), n.put(106, entry{}))
	for source, want := range map[seq.Extended]seq.Extended{101: 70, 104: 71, 105: 72, 106: 73, 102: 0, 107: 0} {
		number, e := n.find(70, source)
		require.Equal(t, want, number)
		require.Equal(t, want != 0, e != nil)
	}
	n.reserve(107, 3000, entry{}) // a stream that skips so many
	require.Equal(t, seq.Extended(74+3000), n.next)
	require.Nil(t, n.at(74))
	require.NotNil(t, n.at(74+3000-1))
	number, e := n.find(70, 107+2999)
	require.NotNil(t, e)
	require.Equal(t, seq.Extended(74+2999), number)
	_, e = n.find(70, 107)
	require.Nil(t, e)
}

func TestFramesAreForgotten(t *testing.T) {
	var f frames
	require.False(t, f.knows(0))
	f.note(65_530, true)
	f.note(3, false)
	came, hidden := f.find(65_530)
	require.True(t, came && hidden)
	require.False(t, f.whole())
	require.False(t, f.knows(65_535), "between the two")
	f.note(65_535, true)
	came, hidden = f.find(65_535)
	require.True(t, came && hidden)
	f.note(3+frameSpan-1, false)
	require.True(t, f.knows(3))
	require.False(t, f.knows(65_530))
	require.True(t, f.whole())
	f.note(20_000, false)
	require.False(t, f.knows(3))
}
