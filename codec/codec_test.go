package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCodec(t *testing.T) {
	require.Equal(t, []string{"unknown", "opus", "VP8"}, []string{Codec(0).String(), Opus.String(), VP8.String()})
	require.Equal(t, []uint32{0, 48000, 90000}, []uint32{Codec(0).ClockRate(), Opus.ClockRate(), VP8.ClockRate()})
	require.Equal(t, []bool{false, false, true}, []bool{Codec(0).Video(), Opus.Video(), VP8.Video()})
	var perCodec [Count]int
	perCodec[VP8] = 1
	require.Len(t, perCodec, 3)
}

func TestInspectOpus(t *testing.T) {
	m, ok := Opus.Inspect([]byte{0xfc}, false)
	require.True(t, ok)
	require.Equal(t, Meta{Start: true, End: true}, m)
	m, ok = Opus.Inspect(nil, true)
	require.True(t, ok, "padding only")
	require.Equal(t, Meta{}, m)
	_, ok = Codec(0).Inspect([]byte{0xfc}, false)
	require.False(t, ok)
	_, ok = Codec(200).Inspect(nil, false)
	require.False(t, ok)
}
