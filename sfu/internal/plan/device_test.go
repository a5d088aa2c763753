package plan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

func TestPublishing(t *testing.T) {
	software := []codec.Codec{codec.VP8, codec.H264, codec.VP9, codec.AV1}
	hardware := []codec.Codec{codec.H264, codec.VP8, codec.VP9, codec.AV1}
	for name, c := range map[string]struct {
		device    Device
		class     Class
		codecs    []codec.Codec
		encodings int
		videos    int
		height    uint32
	}{
		"nothing told":              {Device{}, Normal, nil, 3, 0, 0},
		"one core":                  {Device{Cores: 1}, Low, software, 1, 2, 360},
		"two cores":                 {Device{Cores: 2}, Normal, software, 3, 0, 0},
		"saves power":               {Device{Cores: 8, SavingPower: true}, Low, software, 1, 2, 360},
		"hot":                       {Device{Cores: 8, Hot: true}, Low, software, 1, 2, 360},
		"one decoder":               {Device{Cores: 4, Decoders: 1}, Low, software, 1, 1, 360},
		"four cores":                {Device{Cores: 4, Decoders: 6}, Normal, software, 3, 6, 0},
		"hardware":                  {Device{HardwareEncoders: []codec.Codec{codec.VP9, codec.H264}}, Normal, hardware, 3, 0, 0},
		"telephone with hardware":   {Device{Class: Low, Decoders: 4, HardwareEncoders: []codec.Codec{codec.H264}}, Low, hardware, 1, 2, 360},
		"eight cores":               {Device{Cores: 8}, High, nil, 3, 0, 0},
		"what it tells of itself":   {Device{Class: High, Cores: 2, Decoders: -1}, High, nil, 3, 0, 0},
		"a class that there is not": {Device{Class: 9, Cores: -3}, Normal, software, 3, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.class, c.device.Concluded())
			codecs, encodings, videos, height := Publishing(c.device)
			require.Equal(t, c.codecs, codecs)
			require.Equal(t, c.encodings, encodings)
			require.Equal(t, c.videos, videos)
			require.Equal(t, c.height, height)
		})
	}
}
