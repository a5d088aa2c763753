package source

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheBlocksOfACode(t *testing.T) {
	require.Equal(t, uint32(0xa6b32011), Code{Scene: 1, Layer: High, Frame: 0xb3}.bits())
}

// greyPicture is one of w × h pixels in the middle of all.
func greyPicture(w, h int) []byte {
	luma := make([]byte, w*h)
	for i := range luma {
		luma[i] = 126
	}
	return luma
}

func TestEveryCodeIsRead(t *testing.T) {
	for l := range Layer(Layers) {
		w, h := l.Size()
		luma := greyPicture(w, h)
		for n := range Scenes {
			for frame := range LoopFrames {
				want := Code{Scene: n, Layer: l, Frame: frame}
				want.DrawBlocks(luma, w, w)
				got, ok := ReadBlocks(luma, w, w, h)
				require.True(t, ok)
				require.Equal(t, want, got)
			}
		}
	}
}

// TestOneBlockMakesTheDifference: a code with one block turned over is none.
func TestOneBlockMakesTheDifference(t *testing.T) {
	for block := range blocksMarks + blocksBits {
		luma := greyPicture(320, 180)
		Code{Scene: 2, Layer: Mid, Frame: 99}.DrawBlocks(luma, 320, 320)
		for y := range 8 {
			for x := range 8 {
				at := y*320 + (blocksMargin+block)*8 + x
				luma[at] = 251 - luma[at]
			}
		}
		_, ok := ReadBlocks(luma, 320, 320, 180)
		require.False(t, ok, block)
	}
}

func TestNoBlocksNoCode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(-1, 400).Draw(t, "w"), rapid.IntRange(-1, 300).Draw(t, "h")
		stride := rapid.IntRange(-1, 500).Draw(t, "stride")
		_, ok := ReadBlocks(rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "luma"), stride, w, h)
		require.False(t, ok)
	})
	_, ok := ReadBlocks(greyPicture(640, 360), 640, 640, 360)
	require.False(t, ok)
}

func FuzzReadBlocks(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 320, 320, 180)
	luma := greyPicture(320, 9)
	Code{Scene: 1, Frame: 7}.DrawBlocks(luma, 320, 320)
	f.Add(luma, 320, 320, 180)
	f.Fuzz(func(t *testing.T, luma []byte, stride, w, h int) {
		if c, ok := ReadBlocks(luma, stride, w, h); ok {
			require.Less(t, c.Scene, Scenes)
			require.Less(t, c.Frame, 256)
		}
	})
}
