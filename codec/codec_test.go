package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCodec(t *testing.T) {
	for _, c := range []struct {
		codec Codec
		name  string
		rate  uint32
		video bool
	}{
		{0, "unknown", 0, false},
		{Opus, "opus", 48000, false},
		{VP8, "VP8", 90000, true},
		{VP9, "VP9", 90000, true},
		{H264, "H264", 90000, true},
		{AV1, "AV1", 90000, true},
		{Codec(Count), "unknown", 0, false},
	} {
		require.Equal(t, c.name, c.codec.String())
		require.Equal(t, c.rate, c.codec.ClockRate(), c.name)
		require.Equal(t, c.video, c.codec.Video(), c.name)
	}
	var perCodec [Count]int
	perCodec[AV1] = 1
	require.Len(t, perCodec, 6)
}

func TestInspectNoCodec(t *testing.T) {
	for _, c := range []Codec{0, Codec(Count), 200} {
		m, ok := c.Inspect([]byte{0xfc}, true)
		require.False(t, ok)
		require.Equal(t, Meta{}, m)
		_, ok = c.Inspect(nil, false)
		require.False(t, ok)
	}
}

func TestInspectPaddingOnly(t *testing.T) {
	for c := Opus; int(c) < Count; c++ {
		m, ok := c.Inspect(nil, true)
		require.True(t, ok, c)
		require.Equal(t, Meta{}, m, c)
	}
}

func TestLayerHolds(t *testing.T) {
	l := Layer{Spatial: 1, Temporal: 1}
	require.True(t, l.Holds(Layer{}))
	require.True(t, l.Holds(l))
	require.False(t, l.Holds(Layer{Spatial: 2}))
	require.False(t, l.Holds(Layer{Temporal: 2}))
	require.True(t, Everything.Holds(Layer{Spatial: 7, Temporal: 7}))
}
