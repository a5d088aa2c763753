package codec

import (
	"bytes"
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// keyframe640x360 is the uncompressed header of a keyframe (RFC 6386 §9.1).
var keyframe640x360 = []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}

func TestInspectVP8(t *testing.T) {
	key := func(descriptor ...byte) []byte { return append(descriptor, keyframe640x360...) }
	for _, c := range []struct {
		name    string
		payload []byte
		marker  bool
		want    Meta
		ok      bool
	}{
		{"padding only", nil, false, Meta{}, true},
		{"bare keyframe", key(0x10), false, Meta{Start: true, Keyframe: true, Entry: true, Width: 640, Height: 360}, true},
		{"scaling bits are not size", append([]byte{0x10}, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 0x42, 0x68, 0xc1), false, Meta{Start: true, Keyframe: true, Entry: true, Width: 640, Height: 360}, true},
		{"bare delta frame", []byte{0x10, 0x11}, true, Meta{Start: true, End: true, Last: true}, true},
		{"middle of a frame", []byte{0x00, 0x10}, false, Meta{}, true},
		{"start of another partition", []byte{0x13, 0x10}, false, Meta{}, true},
		{"short picture id", []byte{0x90, 0x80, 0x11, 0x01}, false, Meta{Start: true, HasPictureID: true, PictureID: 0x11}, true},
		{"long picture id", []byte{0x90, 0x80, 0x92, 0x34, 0x01}, false, Meta{Start: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234}, true},
		{
			"all fields", key(0x90, 0xf0, 0x92, 0x34, 0x56, 0xa3), true,
			Meta{Start: true, End: true, Last: true, Keyframe: true, Entry: true, Width: 640, Height: 360, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, HasTL0: true, TL0: 0x56, HasLayer: true, Layer: Layer{Temporal: 2}, SwitchUp: true},
			true,
		},
		{"nobody needs it", []byte{0xb0, 0x20, 0x40, 0x01}, false, Meta{Start: true, Discardable: true, HasLayer: true, Layer: Layer{Temporal: 1}}, true},
		{"layer without layer sync", []byte{0x90, 0x20, 0xc5, 0x01}, false, Meta{Start: true, HasLayer: true, Layer: Layer{Temporal: 3}}, true},
		{"layer sync of a layer that is not told", []byte{0x90, 0x10, 0x20, 0x01}, false, Meta{Start: true}, true},
		{"key index without layer", []byte{0x90, 0x10, 0xe5, 0x01}, false, Meta{Start: true}, true},
		{"TL0 only", []byte{0x80, 0x40, 0x07, 0x01}, false, Meta{HasTL0: true, TL0: 7}, true},

		{"descriptor alone", []byte{0x10}, false, Meta{}, false},
		{"extension byte missing", []byte{0x90}, false, Meta{}, false},
		{"picture id missing", []byte{0x90, 0x80}, false, Meta{}, false},
		{"second picture id byte missing", []byte{0x90, 0x80, 0x92}, false, Meta{}, false},
		{"TL0 missing", []byte{0x90, 0xc0, 0x11}, false, Meta{}, false},
		{"TID missing", []byte{0x90, 0xe0, 0x11, 0x01}, false, Meta{}, false},
		{"nothing after the descriptor", []byte{0x90, 0xe0, 0x11, 0x01, 0x20}, false, Meta{}, false},
		{"keyframe cut short", key(0x10)[:10], false, Meta{}, false},
		{"keyframe without start code", append([]byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2b}, 0, 0, 0, 0), false, Meta{}, false},
	} {
		m, ok := VP8.Inspect(c.payload, c.marker)
		require.Equal(t, c.ok, ok, c.name)
		require.Equal(t, c.want, m, c.name)
	}
}

func TestRewriteVP8(t *testing.T) {
	for _, c := range []struct {
		name          string
		payload, want []byte
	}{
		{"none", []byte{0x10, 0x01}, []byte{0x10, 0x01}},
		{"short id", []byte{0x90, 0x80, 0x11, 0x01}, []byte{0x90, 0x80, 0x45, 0x01}},
		{"long id", []byte{0x90, 0x80, 0x92, 0x34, 0x01}, []byte{0x90, 0x80, 0xab, 0xc5, 0x01}},
		{"long id and TL0", []byte{0x90, 0xe0, 0x92, 0x34, 0x01, 0x60, 0x01}, []byte{0x90, 0xe0, 0xab, 0xc5, 0x77, 0x60, 0x01}},
		{"TL0 only", []byte{0x80, 0x40, 0x07, 0x01}, []byte{0x80, 0x40, 0x77, 0x01}},
	} {
		m, ok := VP8.Inspect(c.payload, false)
		require.True(t, ok, c.name)
		got := bytes.Clone(c.payload)
		RewriteVP8(got, m, 0x2bc5, 0x77)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestRewriteVP8LeavesAnotherPacketAlone(t *testing.T) {
	m, ok := VP8.Inspect([]byte{0x90, 0xc0, 0x92, 0x34, 0x01, 0x01}, false)
	require.True(t, ok)
	for _, other := range [][]byte{nil, {0x90}, {0x10, 0x01}, {0x90, 0x80, 0x11, 0x01}, {0x90, 0xc0, 0x92}} {
		got := bytes.Clone(other)
		RewriteVP8(got, m, 0x2bc5, 0x77)
		require.Equal(t, other, got)
	}
}

// Any descriptor, rewritten, reads back with the new numbers and otherwise as before; pion reads it alike.
func TestRewriteVP8AnyDescriptor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 24).Draw(t, "payload")
		pictureID, tl0 := rapid.Uint16().Draw(t, "picture id"), rapid.Uint8().Draw(t, "tl0")
		checkVP8(t, payload, pictureID, tl0)
	})
}

func FuzzVP8(f *testing.F) {
	f.Add([]byte{}, uint16(1), uint8(2))
	f.Add([]byte{0x90, 0xf0, 0x92, 0x34, 0x56, 0xa3, 0x01}, uint16(0xffff), uint8(0xff))
	f.Add([]byte{0x90, 0x80, 0x11, 0x01}, uint16(0x80), uint8(0))
	f.Add(append([]byte{0x10}, keyframe640x360...), uint16(5), uint8(5))
	f.Add([]byte{0x90, 0xf0, 0x92, 0x34}, uint16(1), uint8(2))
	f.Fuzz(func(t *testing.T, payload []byte, pictureID uint16, tl0 uint8) {
		checkVP8(t, payload, pictureID, tl0)
	})
}

func checkVP8(t require.TestingT, payload []byte, pictureID uint16, tl0 uint8) {
	m, ok := VP8.Inspect(payload, true)
	if !ok {
		require.Equal(t, Meta{}, m)
		return
	}
	if len(payload) > 0 {
		var theirs codecs.VP8Packet
		_, err := theirs.Unmarshal(payload)
		require.NoError(t, err, "what we take, pion takes")
		require.Equal(t, theirs.PictureID, m.PictureID)
		require.Equal(t, theirs.TL0PICIDX, m.TL0)
		require.Equal(t, theirs.TID, m.Layer.Temporal)
		require.Equal(t, theirs.S == 1 && theirs.PID == 0, m.Start)
	}
	got := bytes.Clone(payload)
	RewriteVP8(got, m, pictureID, tl0)
	after, ok := VP8.Inspect(got, true)
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
	d, ok := parseVP8Descriptor(payload)
	require.Equal(t, len(payload) > 0, ok)
	for i := range got {
		named := d.pictureID > 0 && i == d.pictureID || d.long && i == d.pictureID+1 || d.tl0 > 0 && i == d.tl0
		require.True(t, named || got[i] == payload[i], "byte %d", i)
	}
}
