package capture

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryCaptureBeginsWithAKeyframe(t *testing.T) {
	paths, err := List("../../codec/testdata/captures")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		c, err := Read(path)
		require.NoError(t, err)
		require.NotEmpty(t, c.Encodings, path)
		for _, e := range c.Encodings {
			frames, err := c.Frames(e.SSRC)
			require.NoError(t, err, path)
			require.Greater(t, len(frames), 50, path)
			require.True(t, frames[0].Keyframe, path)
			keyframes := 0
			for i, f := range frames {
				require.NotEmpty(t, f.Packets)
				if f.Keyframe && f.Spatial == 0 {
					keyframes++
				}
				if i > 0 && f.Timestamp == frames[i-1].Timestamp {
					require.Greater(t, f.Spatial, frames[i-1].Spatial, "%s %d: spatial layers of a picture rise", filepath.Base(path), f.Timestamp)
				}
			}
			require.GreaterOrEqual(t, keyframes, 2, path)
		}
	}
}

// The templates of L2T2, as the structure's second part lists them: S0T0, S0T1, S1T0, S1T1.
func TestTemplatesAreRead(t *testing.T) {
	structure := []byte{
		0xc0 | 10, 0x00, 0x01, // start, end, template 10; frame 1
		0b1_0_0_0_0_001, 0b010_00011, // a structure; offset 10; 4 decode targets
		0b01_10_01_11, // next temporal, next spatial, next temporal, end
	}
	var layers templates
	var f Frame
	start, err := layers.read(structure, &f)
	require.NoError(t, err)
	require.True(t, start)
	require.Equal(t, [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, layers.layers)
	start, err = layers.read([]byte{0x40 | 13, 0x00, 0x02}, &f)
	require.NoError(t, err)
	require.False(t, start)
	require.Equal(t, []int{1, 1}, []int{f.Spatial, f.Temporal})
	_, err = layers.read([]byte{14, 0x00, 0x03}, &f)
	require.Error(t, err)
	_, err = layers.read(structure[:5], &f)
	require.Error(t, err)
}

func FuzzTemplates(f *testing.F) {
	f.Add([]byte{0xca, 0, 1, 0x81, 0x43, 0x67}, []byte{0x4d, 0, 2})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var layers templates
		for _, b := range [][]byte{first, second} {
			var frame Frame
			if _, err := layers.read(b, &frame); err == nil {
				require.True(t, frame.Layered)
				require.Less(t, frame.Spatial, 64)
				require.Less(t, frame.Temporal, 64)
			}
		}
	})
}
