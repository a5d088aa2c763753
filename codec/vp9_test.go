package codec

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/vp9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// vp9Headers are the first bytes of keyframes that libvpx wrote, by profile and colours.
var vp9Headers = []struct {
	name          string
	header        string
	width, height uint16
}{
	{"profile 0", "8249834200281016960638241c184a1006e85f7f", 642, 362},
	{"profile 1", "a24983420004fe02cec0c7048383094201235f7e", 640, 360},
	{"profile 1 RGB", "a2498342e027f016760638241c184a1009785fc5", 640, 360},
	{"profile 2", "924983420013f80b3b031c120e0c2c08038c5f7d", 640, 360},
	{"profile 3", "b124c1a142013f80b3b031c120e0c2e0803c805f", 640, 360},
	{"profile 3 RGB", "b124c1a13809fc059d818e0907061604027a5fc5", 640, 360},
}

// Descriptors built by hand from RFC 9628 §4.2: I 80, P 40, L 20, F 10, B 08, E 04, V 02, Z 01.
func TestInspectVP9(t *testing.T) {
	header := unhex(t, vp9Headers[0].header)
	frame := func(descriptor ...byte) []byte { return append(descriptor, header...) }
	inter := func(descriptor ...byte) []byte { return append(descriptor, 0x86, 0x00) }
	for _, c := range []struct {
		name    string
		payload []byte
		marker  bool
		want    Meta
	}{
		{"bare keyframe", frame(0x0c), true, Meta{Start: true, End: true, Last: true, Keyframe: true, Entry: true, Width: 642, Height: 362}},
		{"bare inter frame", inter(0x4c), true, Meta{Start: true, End: true, Last: true}},
		{"middle of a keyframe", inter(0x00), false, Meta{Entry: true}},
		{"end of a keyframe", inter(0x04), false, Meta{Entry: true, End: true}},
		{"short picture id", inter(0xc8, 0x7f), false, Meta{Start: true, HasPictureID: true, PictureID: 0x7f}},
		{"long picture id", inter(0xc8, 0x92, 0x34), false, Meta{Start: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234}},
		{
			"layers, not flexible", inter(0xe8, 0x92, 0x34, 0b010_1_001_1, 0x56), false,
			Meta{Start: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, HasTL0: true, TL0: 0x56, HasLayer: true, Layer: Layer{Spatial: 1, Temporal: 2}, SwitchUp: true, Inherits: true},
		},
		{
			"layers, flexible, three references, not for upper layers", inter(0xf9, 0x92, 0x34, 0b001_0_010_0, 0x03, 0x05, 0x08), false,
			Meta{Start: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, HasLayer: true, Layer: Layer{Spatial: 2, Temporal: 1}, Unused: true},
		},
		{
			"flexible keyframe has no references", frame(0xb8, 0x92, 0x34, 0b000_0_000_0), false,
			Meta{Start: true, Keyframe: true, Entry: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, HasLayer: true, Width: 642, Height: 362},
		},
		{
			"upper layer of a key picture", inter(0xa8, 0x92, 0x34, 0b000_0_001_1, 0x00), false,
			Meta{Start: true, Entry: true, Inherits: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, HasTL0: true, HasLayer: true, Layer: Layer{Spatial: 1}},
		},
		{
			"upper layer of its own (S modes) is no keyframe of the picture", frame(0xa8, 0x92, 0x34, 0b000_0_001_0, 0x00), false,
			Meta{Start: true, Entry: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, HasTL0: true, HasLayer: true, Layer: Layer{Spatial: 1}},
		},
		{
			"structure with sizes and a group: the highest layer's size", frame(0x0a, 0b010_11_000, 0, 160, 0, 90, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0b000_1_00_00, 0b010_0_10_00, 1, 2), false,
			Meta{Start: true, Keyframe: true, Entry: true, Width: 640, Height: 360},
		},
		{"structure without sizes: the header's", frame(0x0a, 0b001_00_000), false, Meta{Start: true, Keyframe: true, Entry: true, Width: 642, Height: 362}},
		{"structure in an inter frame", inter(0x4a, 0b000_10_000, 1, 64, 0, 180), false, Meta{Start: true, Width: 320, Height: 180}},
		{"encrypted keyframe", []byte{0x08, 0x5a, 0xa5}, false, Meta{Start: true, Keyframe: true, Entry: true}},
		{"encrypted keyframe that looks like a header", []byte{0x08, 0x84, 0xa5, 0x11, 0x22, 0x33, 0x44}, false, Meta{Start: true, Keyframe: true, Entry: true}},
		{"header cut short of the size", []byte{0x08, 0x82, 0x49, 0x83, 0x42, 0x00}, false, Meta{Start: true, Keyframe: true, Entry: true}},
		{"an older frame shown again", []byte{0x08, 0b10001_000, 0}, false, Meta{Start: true, Keyframe: true, Entry: true}},
		// frame_type 1, show_frame 0, error_res 0, intra_only 1, reset 00, then the sync code: VP9 specification §6.2.
		{"intra-only frame", []byte{0x08, 0b10000_1_0_0, 0b1_00_01001, 0b00110000, 0b01101000, 0b01000000}, false, Meta{Start: true}},
		{"intra-only frame, error resilient", []byte{0x08, 0b10000_1_0_1, 0b1_0100100, 0b11000001, 0b10100001, 0}, false, Meta{Start: true}},
	} {
		m, ok := VP9.Inspect(c.payload, c.marker)
		require.True(t, ok, c.name)
		require.Equal(t, c.want, m, c.name)
	}
}

func TestInspectVP9Malformed(t *testing.T) {
	for name, payload := range map[string][]byte{
		"descriptor alone":                      {0x0c},
		"picture id missing":                    {0x8c},
		"second byte of picture id missing":     {0x8c, 0x92},
		"layer missing":                         {0xac, 0x12},
		"TL0PICIDX missing":                     {0xac, 0x12, 0x00},
		"nothing behind TL0PICIDX":              {0xac, 0x12, 0x00, 0x01},
		"reference missing":                     {0xdc, 0x12},
		"more references promised":              {0xdc, 0x12, 0x03},
		"four references":                       {0xdc, 0x12, 0x03, 0x03, 0x03, 0x02, 0x01},
		"references without picture id":         {0x5c, 0x02, 0x01},
		"sixth spatial layer":                   {0xac, 0x12, 0b000_0_101_0, 0x00, 0x01},
		"structure missing":                     {0x0a},
		"structure without its sizes":           {0x0a, 0b001_10_000, 1, 64, 0, 180, 2, 128, 1},
		"group without its length":              {0x0a, 0b000_01_000},
		"group without its pictures":            {0x0a, 0b000_01_000, 2, 0},
		"group without its references":          {0x0a, 0b000_01_000, 1, 0b000_0_11_00, 1, 2},
		"group that ends where the packet does": {0x0a, 0b000_01_000, 1, 0b000_0_01_00, 1},
	} {
		m, ok := VP9.Inspect(payload, false)
		require.False(t, ok, name)
		require.Equal(t, Meta{}, m, name)
	}
}

// What libvpx writes for each profile, read by us and by pion.
func TestVP9Headers(t *testing.T) {
	for _, c := range vp9Headers {
		m, ok := VP9.Inspect(append([]byte{0x0c}, unhex(t, c.header)...), true)
		require.True(t, ok, c.name)
		require.True(t, m.Keyframe, c.name)
		require.Equal(t, []uint16{c.width, c.height}, []uint16{m.Width, m.Height}, c.name)
		var theirs vp9.Header
		require.NoError(t, theirs.Unmarshal(unhex(t, c.header)), c.name)
		require.Equal(t, []uint16{theirs.Width(), theirs.Height()}, []uint16{m.Width, m.Height}, c.name)
	}
}

func TestReadVP9Structure(t *testing.T) {
	s, ok := ReadVP9Structure([]byte{0x8a, 0x11, 0b001_10_000, 1, 64, 0, 180, 2, 128, 1, 104, 0x82})
	require.True(t, ok)
	require.Equal(t, VP9Structure{Layers: 2, Width: [8]uint16{320, 640}, Height: [8]uint16{180, 360}}, s)

	s, ok = ReadVP9Structure([]byte{0x0a, 0b111_00_000, 0x82})
	require.True(t, ok)
	require.Equal(t, VP9Structure{Layers: 8}, s)

	for _, payload := range [][]byte{nil, {0x08, 0x82}, {0x0a}, {0x0a, 0b001_10_000, 1, 64}} {
		s, ok = ReadVP9Structure(payload)
		require.False(t, ok)
		require.Equal(t, VP9Structure{}, s)
	}
}

func TestRewriteVP9(t *testing.T) {
	for _, c := range []struct {
		name          string
		payload, want []byte
	}{
		{"none", []byte{0x0c, 0x82}, []byte{0x0c, 0x82}},
		{"short id", []byte{0x8c, 0x11, 0x82}, []byte{0x8c, 0x45, 0x82}},
		{"long id", []byte{0x8c, 0x92, 0x34, 0x82}, []byte{0x8c, 0xab, 0xc5, 0x82}},
		{"long id and TL0", []byte{0xac, 0x92, 0x34, 0x42, 0x56, 0x82}, []byte{0xac, 0xab, 0xc5, 0x42, 0x77, 0x82}},
		{"flexible", []byte{0xfc, 0x92, 0x34, 0x42, 0x02, 0x82}, []byte{0xfc, 0xab, 0xc5, 0x42, 0x02, 0x82}},
		{"TL0 without id", []byte{0x2c, 0x42, 0x56, 0x82}, []byte{0x2c, 0x42, 0x77, 0x82}},
	} {
		m, ok := VP9.Inspect(c.payload, false)
		require.True(t, ok, c.name)
		got := bytes.Clone(c.payload)
		RewriteVP9(got, m, 0x2bc5, 0x77)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestRewriteVP9LeavesAnotherPacketAlone(t *testing.T) {
	m, ok := VP9.Inspect([]byte{0xac, 0x92, 0x34, 0x42, 0x56, 0x82}, false)
	require.True(t, ok)
	for _, other := range [][]byte{nil, {0x8c}, {0x0c, 0x82}, {0x8c, 0x11, 0x82}, {0xac, 0x92, 0x34, 0x42}} {
		got := bytes.Clone(other)
		RewriteVP9(got, m, 0x2bc5, 0x77)
		require.Equal(t, other, got)
	}
}

func TestRewriteVP9AnyDescriptor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 48).Draw(t, "payload")
		checkVP9(t, payload, rapid.Uint16().Draw(t, "picture id"), rapid.Uint8().Draw(t, "tl0"))
	})
}

func FuzzVP9(f *testing.F) {
	f.Add([]byte{}, uint16(1), uint8(2))
	f.Add([]byte{0xe8, 0x92, 0x34, 0x53, 0x56, 0x86, 0x00}, uint16(0xffff), uint8(0xff))
	f.Add([]byte{0xf9, 0x92, 0x34, 0x24, 0x03, 0x05, 0x08, 0x86}, uint16(0x80), uint8(0))
	f.Add([]byte{0x0a, 0b010_11_000, 0, 160, 0, 90, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0b000_1_00_00, 0b010_0_10_00, 1, 2, 0x82}, uint16(7), uint8(7))
	for _, h := range vp9Headers {
		f.Add(append([]byte{0x0c}, unhex(f, h.header)...), uint16(5), uint8(5))
	}
	f.Fuzz(func(t *testing.T, payload []byte, pictureID uint16, tl0 uint8) {
		checkVP9(t, payload, pictureID, tl0)
	})
}

func checkVP9(t require.TestingT, payload []byte, pictureID uint16, tl0 uint8) {
	m, ok := VP9.Inspect(payload, true)
	if !ok {
		require.Equal(t, Meta{}, m)
		return
	}
	if len(payload) > 0 {
		checkVP9ByPion(t, payload, m)
	}
	got := bytes.Clone(payload)
	RewriteVP9(got, m, pictureID, tl0)
	after, ok := VP9.Inspect(got, true)
	require.True(t, ok)
	want := m
	if m.HasPictureID {
		want.PictureID = pictureID & 0x7fff
		if !m.LongPictureID {
			want.PictureID = pictureID & 0x7f
		}
	}
	if m.HasTL0 {
		want.TL0 = tl0
	}
	require.Equal(t, want, after)
	d, ok := parseVP9Descriptor(payload)
	require.Equal(t, len(payload) > 0, ok)
	for i := range got {
		named := d.pictureID > 0 && i == d.pictureID || d.long && i == d.pictureID+1 || d.tl0 > 0 && i == d.tl0
		require.True(t, named || got[i] == payload[i], "byte %d", i)
	}
}

// checkVP9ByPion: what we take, pion takes and reads alike.
func checkVP9ByPion(t require.TestingT, payload []byte, m Meta) {
	var theirs codecs.VP9Packet
	rest, err := theirs.Unmarshal(payload)
	require.NoError(t, err)
	require.NotEmpty(t, rest)
	require.Equal(t, theirs.PictureID, m.PictureID)
	require.Equal(t, theirs.I, m.HasPictureID)
	require.Equal(t, theirs.TL0PICIDX, m.TL0)
	require.Equal(t, Layer{Spatial: theirs.SID, Temporal: theirs.TID}, m.Layer)
	require.Equal(t, theirs.B, m.Start)
	require.Equal(t, theirs.E, m.End)
	require.Equal(t, theirs.U, m.SwitchUp)
	require.Equal(t, theirs.D, m.Inherits)
	require.Equal(t, theirs.Z, m.Unused)
	require.True(t, !m.Keyframe || m.Entry && m.Start && !theirs.P)
	s, ok := ReadVP9Structure(payload)
	require.Equal(t, theirs.V, ok)
	if ok {
		require.Equal(t, int(theirs.NS)+1, s.Layers)
	}
	if ok && theirs.Y {
		require.Equal(t, theirs.Width, s.Width[:s.Layers])
		require.Equal(t, theirs.Height, s.Height[:s.Layers])
		if s.Width[s.Layers-1] != 0 {
			require.Equal(t, s.Width[s.Layers-1], m.Width)
		}
	}
	var header vp9.Header
	if m.Keyframe && header.Unmarshal(rest) == nil && !header.NonKeyFrame && !header.ShowExistingFrame && !theirs.Y && header.FrameSize != nil &&
		header.FrameSize.FrameWidthMinus1 < 0xffff && header.FrameSize.FrameHeightMinus1 < 0xffff {
		require.Equal(t, []uint16{header.Width(), header.Height()}, []uint16{m.Width, m.Height})
	}
}
