package uplink

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/capture"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// heard is one packet that a browser sent.
type heard struct {
	at         time.Duration
	h          packet.Header
	e          seq.Extended
	payload    []byte
	descriptor []byte
}

// hear reads the first encoding of a recording.
func hear(t testing.TB, name string) (all []heard) {
	c, err := capture.Read("../../../codec/testdata/captures/" + name)
	require.NoError(t, err)
	var numbers seq.Unwrapper
	for _, p := range c.Packets {
		if p.RTCP {
			continue
		}
		h, ok := packet.ParseHeader(p.Data)
		require.True(t, ok)
		if h.SSRC != c.Encodings[0].SSRC || h.PayloadType != c.PayloadType {
			continue
		}
		e := numbers.Unwrap(h.Sequence)
		numbers.Accept(e)
		m := heard{at: p.At, h: h, e: e}
		m.payload, ok = h.Payload(p.Data)
		require.True(t, ok)
		if id := c.Extensions["dependency-descriptor"]; id != 0 {
			m.descriptor, _ = h.Extension(p.Data, id)
		}
		all = append(all, m)
	}
	require.NotEmpty(t, all)
	return all
}

func (u *Uplink) take(t testing.TB, m heard) *Packet {
	head := u.Head()
	require.Equal(t, Stored, u.Handle(m.at, &m.h, m.e, m.payload, Extensions{}, m.descriptor))
	return u.At(head)
}

func TestDescriptorsAreReadAndKept(t *testing.T) {
	all := hear(t, "chromium-vp9-l3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	var s codec.Structure
	for i, m := range all {
		p := u.take(t, m)
		require.Equal(t, m.descriptor, u.Descriptor(p))
		require.Equal(t, m.payload, u.Payload(p))
		d, ok := s.ReadDescriptor(m.descriptor)
		require.True(t, ok)
		require.Equal(t, d, p.Frame)
		require.Equal(t, uint8(1), p.Structure, "keyframes repeat the structure")
		require.Equal(t, d.Layer, p.Meta.Layer)
		require.Equal(t, []bool{d.Start, d.End, d.Structure}, []bool{p.Meta.Start, p.Meta.End, p.Meta.Keyframe}, i)
	}
	require.Equal(t, 9, u.Structure(1).Targets())
	require.Nil(t, u.Structure(0))
	require.Nil(t, u.Structure(2))
	require.Equal(t, uint64(3), u.Stats().Keyframes)
	require.Zero(t, u.Stats().Undescribed)
}

func TestPacketsThatOvertakeTheirStructureAreReadAgain(t *testing.T) {
	all := hear(t, "chromium-vp9-l3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	var before []uint64
	for _, m := range all[1:10] {
		before = append(before, u.Head())
		p := u.take(t, m)
		require.Zero(t, p.Structure)
		require.Zero(t, p.Frame)
		require.True(t, p.Meta.HasLayer, "the payload tells as well")
	}
	require.Equal(t, uint64(9), u.Stats().Undescribed)
	_, ok := u.LastKeyframe()
	require.False(t, ok)
	u.take(t, all[0])
	for i, at := range before {
		p := u.At(at)
		require.Equal(t, uint8(1), p.Structure)
		require.Equal(t, frameBehind(t, all[:1], all[1+i]), p.Frame)
	}
	i, ok := u.LastKeyframe()
	require.True(t, ok)
	require.Equal(t, all[0].e, u.At(i).Seq)
}

// frameBehind reads a descriptor behind others.
func frameBehind(t testing.TB, behind []heard, m heard) codec.Descriptor {
	var s codec.Structure
	for _, b := range behind {
		_, ok := s.ReadDescriptor(b.descriptor)
		require.True(t, ok)
	}
	d, ok := s.ReadDescriptor(m.descriptor)
	require.True(t, ok)
	return d
}

func TestStragglersAreReadByTheStructureBefore(t *testing.T) {
	three, simple := hear(t, "chromium-vp9-l3t3"), hear(t, "chromium-vp9-l1t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	for _, m := range three[:20] {
		u.take(t, m)
	}
	late := three[20]
	next := simple[0] // the publisher has begun to send fewer layers
	next.h.SSRC, next.e = late.h.SSRC, late.e+1
	require.Equal(t, uint8(2), u.take(t, next).Structure)
	p := u.take(t, late)
	require.Equal(t, uint8(1), p.Structure)
	require.Equal(t, 9, u.Structure(1).Targets())
	require.Equal(t, 3, u.Structure(2).Targets())
	require.Equal(t, frameBehind(t, three[:20], late), p.Frame)
}

func TestDescriptorsThatCannotBeRead(t *testing.T) {
	all := hear(t, "chromium-vp9-l3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	for i, descriptor := range [][]byte{{1}, {0xff, 0, 1}, all[0].descriptor[:20], make([]byte, 255)} {
		m := all[i]
		m.descriptor = descriptor
		p := u.take(t, m)
		require.Zero(t, p.Structure)
		require.Equal(t, descriptor, u.Descriptor(p), "subscribers may know better")
	}
	require.Equal(t, uint64(4), u.Stats().Undescribed)
	m := all[4]
	m.descriptor = make([]byte, 256)
	require.Nil(t, u.Descriptor(u.take(t, m)))
}

func TestRestartForgetsTheStructure(t *testing.T) {
	all := hear(t, "chromium-vp9-l3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	u.take(t, all[0])
	m := all[1]
	m.e += 20_000
	require.Zero(t, u.take(t, m).Structure)
	require.Nil(t, u.Structure(1))
	m = all[0]
	m.e += 20_002
	require.Equal(t, uint8(2), u.take(t, m).Structure, "numbers are not given twice")
}

// With a descriptor a payload need not be read: it may be encrypted from end to end.
func TestEncryptedPayloadsAreStored(t *testing.T) {
	all := hear(t, "chromium-vp9-l3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	m := all[0]
	m.payload = []byte{0xff}
	p := u.take(t, m)
	require.True(t, p.Meta.Keyframe)
	require.False(t, p.Meta.HasPictureID)
	m = all[1]
	m.payload, m.descriptor = []byte{0xff}, nil
	require.Equal(t, Malformed, u.Handle(m.at, &m.h, m.e, m.payload, Extensions{}, nil))
}

// Where spatial layers are independent each has a keyframe of its own; a picture is entered at the lowest.
func TestKeyframesOfIndependentLayers(t *testing.T) {
	all := hear(t, "chromium-vp9-s3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	for _, m := range all {
		u.take(t, m)
	}
	require.Equal(t, uint64(3), u.Stats().Keyframes)
	i, _ := u.LastKeyframe()
	require.Zero(t, u.At(i).Meta.Layer)

	// Nobody watches the lowest, so the publisher has stopped it.
	u = New(Config{Codec: codec.VP9, NACK: true})
	var rest []heard
	for _, m := range all {
		if d, ok := codec.VP9.Inspect(m.payload, m.h.Marker); ok && d.Layer.Spatial > 0 {
			m.e = all[0].e + seq.Extended(len(rest))
			rest = append(rest, m)
		}
	}
	for _, m := range rest {
		u.take(t, m)
	}
	require.Equal(t, uint64(2), u.Stats().Keyframes, "of the first one it cannot be told that nothing is missing")
	i, ok := u.LastKeyframe()
	require.True(t, ok)
	require.Equal(t, uint8(1), u.At(i).Meta.Layer.Spatial)
}

// TestOwnRates: what layers bring that those above do not need. In keyframes only, and never, are the modes.
func TestOwnRates(t *testing.T) {
	for name, own := range map[string][2]float64{ // parts of the lowest spatial layer, at least and at most
		"chromium-vp9-l3t3": {0, 0}, "chromium-vp9-l3t3-key": {0.5, 0.99}, "chromium-vp9-s3t3": {1, 1}, "chromium-vp9-l3t3-key-bare": {0, 0},
	} {
		u := New(Config{Codec: codec.VP9, NACK: true})
		var end time.Duration
		for _, m := range hear(t, name) {
			u.take(t, m)
			end = m.at
		}
		bits, alone := 0.0, 0.0
		for _, r := range u.Rates(end, nil) {
			require.LessOrEqual(t, r.Own, r.Bits)
			switch r.Layer.Spatial {
			case 0:
				bits, alone = bits+float64(r.Bits), alone+float64(r.Own)
			case 2:
				require.Zero(t, r.Own, "nothing is above")
			}
		}
		require.GreaterOrEqual(t, alone/bits, own[0], name)
		require.LessOrEqual(t, alone/bits, own[1], name)
	}
}

// An access unit of H.264 begins where the one before has ended; it can be entered at its parameter sets.
func TestAccessUnits(t *testing.T) {
	const (
		delimiter = 9
		sps       = 7
		pps       = 8
		idr       = 5
		slice     = 1
	)
	u := New(Config{Codec: codec.H264, NACK: true})
	n := first
	send := func(at uint32, marker bool, e seq.Extended, kind byte) *Packet {
		head := u.Head()
		h := packet.Header{SSRC: 1, Timestamp: at, Marker: marker}
		require.Equal(t, Stored, u.Handle(0, &h, e, []byte{0x60 | kind, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0}, Extensions{}, nil))
		return u.At(head)
	}
	starts := func(at uint32, marker bool, kind byte) []bool {
		p := send(at, marker, n, kind)
		n++
		return []bool{p.Meta.Start, p.Meta.Keyframe}
	}
	require.Equal(t, []bool{true, false}, starts(1000, false, delimiter))
	require.Equal(t, []bool{true, true}, starts(1000, false, sps))
	require.Equal(t, []bool{false, false}, starts(1000, false, pps))
	require.Equal(t, []bool{false, false}, starts(1000, true, idr))
	i, ok := u.LastKeyframe()
	require.True(t, ok)
	require.Equal(t, uint64(1), i)
	require.Equal(t, []bool{true, false}, starts(4000, false, slice))
	require.Equal(t, []bool{false, false}, starts(4000, true, slice))
	n++ // missing
	require.Equal(t, []bool{true, false}, starts(7000, false, slice))
	n++
	require.Equal(t, []bool{false, false}, starts(7000, true, slice))
	require.Equal(t, []bool{true, true}, starts(10_000, false, sps))
	require.Equal(t, []bool{true, true}, starts(10_000, false, sps), "repeated")
	i, _ = u.LastKeyframe()
	require.Equal(t, u.Head()-2, i)
}

func TestAV1WithoutDescriptors(t *testing.T) {
	all := hear(t, "chromium-av1-l1t3-bare")
	u := New(Config{Codec: codec.AV1, NACK: true})
	var last *Packet
	var layers []uint8
	for _, m := range all {
		p := *u.take(t, m)
		begins := last == nil || last.Marker
		require.Equal(t, begins, p.Meta.Start)
		if begins {
			layers = append(layers, p.Meta.Layer.Temporal)
		} else {
			require.Equal(t, last.Meta.Layer, p.Meta.Layer, "a packet that goes on is of the layer of the one before")
		}
		last = &p
	}
	require.Equal(t, []uint8{0, 2, 1, 2, 0, 2, 1, 2}, layers[:8])
}

func TestRatesOfLayers(t *testing.T) {
	u := New(Config{Codec: codec.VP9, NACK: true})
	require.Empty(t, u.Rates(0, nil))
	_, ok := u.Top(0)
	require.False(t, ok)
	all := hear(t, "chromium-vp9-l3t3")
	end := all[len(all)-1].at
	var bits, frames [3][3]int
	for _, m := range all {
		p := u.take(t, m)
		l := p.Meta.Layer
		if m.at > end-time.Second {
			bits[l.Spatial][l.Temporal] += 8 * len(m.payload)
			if p.Meta.Start {
				frames[l.Spatial][l.Temporal]++
			}
		}
	}
	rates := u.Rates(end, []LayerRate{{Bits: 1}})[1:]
	require.Len(t, rates, 9)
	for i, r := range rates {
		l := codec.Layer{Spatial: uint8(i / 3), Temporal: uint8(i % 3)}
		require.Equal(t, l, r.Layer)
		require.InDelta(t, bits[l.Spatial][l.Temporal], r.Bits, float64(bits[l.Spatial][l.Temporal])/4)
		require.InDelta(t, frames[l.Spatial][l.Temporal], r.Frames, 2)
		require.Equal(t, []uint16{240, 480, 960}[l.Spatial], r.Width)
		require.Equal(t, []uint16{135, 270, 540}[l.Spatial], r.Height)
	}
	top, ok := u.Top(end)
	require.True(t, ok)
	require.Equal(t, codec.Layer{Spatial: 2, Temporal: 2}, top)
	require.Empty(t, u.Rates(end+time.Second, nil), "nobody sends")
	_, ok = u.Top(end + time.Second)
	require.False(t, ok)
}

func TestRatesByHand(t *testing.T) {
	u := New(Config{Codec: codec.VP8, NACK: true})
	now := time.Hour
	n := first
	send := func(payload []byte, size int) {
		b := append(slices.Clone(payload), make([]byte, size-len(payload))...)
		h := packet.Header{SSRC: 1, Timestamp: uint32(n) * 3000, Marker: true}
		require.Equal(t, Stored, u.Handle(now, &h, n, b, Extensions{}, nil))
		n++
	}
	send(keyframe(), 1000)
	r := u.Rates(now, nil)
	require.Equal(t, []LayerRate{{Bits: 40_000, Frames: 5, Width: 640, Height: 480}}, r, "as much in 200 ms")
	for range 49 {
		now += 20 * ms
		send(delta(0), 500)
	}
	r = u.Rates(now, nil)
	require.InDelta(t, 8*(1000+49*500)*100/98, r[0].Bits, 500)
	for range 200 {
		now += 20 * ms
		send(delta(0), 500)
	}
	r = u.Rates(now, nil)
	require.InDelta(t, 200_000, r[0].Bits, 4000)
	require.InDelta(t, 50, r[0].Frames, 1)
	now += 990 * ms
	require.NotEmpty(t, u.Rates(now, nil))
	now += 10 * ms
	require.Empty(t, u.Rates(now, nil))
	now += time.Minute
	send(delta(0), 1000)
	require.Equal(t, uint32(40_000), u.Rates(now, nil)[0].Bits, "begun anew")
	require.Empty(t, New(Config{Codec: codec.Opus}).Rates(0, nil))
}

// A keyframe that was asked for counts with a third of a second's worth, three seconds long, and once in all.
func TestAKeyframeIsNoRate(t *testing.T) {
	u := New(Config{Codec: codec.VP8, NACK: true})
	now, n := time.Hour, first
	send := func(payload []byte, size int) uint32 {
		b := append(slices.Clone(payload), make([]byte, size-len(payload))...)
		h := packet.Header{SSRC: 1, Timestamp: uint32(n) * 3000, Marker: true}
		require.Equal(t, Stored, u.Handle(now, &h, n, b, Extensions{}, nil))
		n++
		now += 20 * ms
		return u.Rates(now, nil)[0].Bits
	}
	send(keyframe(), 1000)
	for range 249 {
		send(delta(0), 500)
	}
	require.InDelta(t, 200_000, send(delta(0), 500), 6000)
	require.InDelta(t, 200_000+8*1000/3, send(keyframe(), 1400), 6000)
	sum := 0.0
	for range 100 {
		bits := send(delta(0), 500)
		require.InDelta(t, 200_000+8*1400/3, bits, 8000)
		sum += float64(bits) - 200_000
	}
	for range 100 {
		sum += float64(send(delta(0), 500)) - 200_000
	}
	require.InDelta(t, 8*1400, sum*0.02, 8*600, "beside the bits a second that steps of 100 ms make more or less")
	require.InDelta(t, 200_000, send(delta(0), 500), 6000)
}

// Of VP9 without a descriptor only the highest layer's size is told.
func TestSizesOfLayersBelow(t *testing.T) {
	u := New(Config{Codec: codec.VP9, NACK: true})
	all := hear(t, "chromium-vp9-l3t3-key-bare")
	for _, m := range all[:60] {
		u.take(t, m)
	}
	widths := map[uint16]bool{}
	for _, r := range u.Rates(all[59].at, nil) {
		widths[r.Width] = true
		require.Equal(t, uint16(960)>>(2-r.Layer.Spatial), r.Width)
		require.Equal(t, uint16(540)>>(2-r.Layer.Spatial), r.Height)
	}
	require.Len(t, widths, 3)
}

func TestTogether(t *testing.T) {
	clock := new(Clock)
	a, b := New(Config{Clock: clock}), New(Config{Clock: clock})
	require.True(t, a.Together(b))
	require.False(t, a.Together(New(Config{})))
}

// FuzzHandle hands in any payload under any descriptor: what is stored is what came, and nothing panics.
func FuzzHandle(f *testing.F) {
	for i, name := range []string{"chromium-vp8", "chromium-vp9-l3t3", "chromium-h264-l1t3", "chromium-av1-l3t3-key"} {
		all := hear(f, name)
		f.Add(uint8(i), all[0].payload, all[0].descriptor, all[1].payload, all[1].descriptor, uint16(1))
		f.Add(uint8(i), all[5].payload, all[5].descriptor, all[0].payload, all[0].descriptor, uint16(65535))
	}
	f.Fuzz(func(t *testing.T, which uint8, first, firstDescriptor, second, secondDescriptor []byte, step uint16) {
		u := New(Config{Codec: codec.VP8 + codec.Codec(which%4), NACK: true})
		for i, m := range []heard{{payload: first, descriptor: firstDescriptor}, {payload: second, descriptor: secondDescriptor}} {
			e := seq.Extended(1<<20) + seq.Extended(i)*seq.Extended(int64(int16(step)))
			head := u.Head()
			h := packet.Header{SSRC: 1, Marker: i == 1}
			if u.Handle(time.Duration(i)*ms, &h, e, m.payload, Extensions{}, m.descriptor) != Stored {
				continue
			}
			p := u.At(head)
			require.Equal(t, string(m.payload), string(u.Payload(p)))
			if d := u.Descriptor(p); d != nil {
				require.Equal(t, string(m.descriptor), string(d))
			}
			require.Equal(t, p.Structure == 0, p.Frame == codec.Descriptor{})
		}
		u.Rates(ms, nil)
		u.Top(ms)
	})
}

func BenchmarkHandleDescribed(b *testing.B) {
	all := hear(b, "chromium-vp9-l3t3")
	u := New(Config{Codec: codec.VP9, NACK: true})
	i, round := 0, seq.Extended(0)
	b.ReportAllocs()
	for b.Loop() {
		m := &all[i]
		u.Handle(time.Duration(round)*3*time.Second+m.at, &m.h, m.e+round*seq.Extended(len(all)), m.payload, Extensions{}, m.descriptor)
		if i++; i == len(all) {
			i, round = 0, round+1
		}
	}
	require.Less(b, u.Stats().TooOld, u.Stats().Packets)
}
