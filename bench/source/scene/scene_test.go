package scene

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// distance is how far two pictures are apart, 0 to 255 in the mean.
func distance(a, b *Picture) float64 {
	sum := 0.0
	for i := range a.RGB {
		sum += math.Abs(float64(a.RGB[i] - b.RGB[i]))
	}
	return sum / float64(len(a.RGB))
}

func TestThePictureMovesAndComesBack(t *testing.T) {
	require.Equal(t, Draw(0, 9, 300, 0.5, 320), Draw(0, 9, 300, 0.5, 320), "the same arguments, the same picture")
	first := paint(0, 0, 300, 0.5, 320)
	require.Less(t, distance(first, paint(0, 300, 300, 0.5, 320)), 0.001, "a loop later")
	for _, frame := range []int{40, 150, 260} {
		require.Greater(t, distance(first, paint(0, frame, 300, 0.5, 320)), 0.5, frame)
	}
	require.Greater(t, distance(first, paint(0, 0, 300, 1, 320)), 0.05, "the mouth opens")
	require.Greater(t, distance(first, Draw(0, 0, 300, 0.5, 320)), 1.0, "grain")
}

func TestScenesCanBeToldApart(t *testing.T) {
	for a := range looks {
		for b := range a {
			require.Greater(t, distance(Draw(a, 7, 180, 0, 320), Draw(b, 7, 180, 0, 320)), 12.0, "%d and %d", a, b)
		}
	}
}

func TestShrinkIsTheMean(t *testing.T) {
	p := newPicture(640)
	for y := range p.H {
		for x := range p.W {
			p.RGB[3*(y*p.W+x)] = float32(x%2*100 + y%2*60)
		}
	}
	small := p.Shrink(320)
	require.Equal(t, []int{320, 180}, []int{small.W, small.H})
	for i, v := range small.RGB {
		require.Equal(t, []float32{80, 0, 0}[i%3], v)
	}
	require.Same(t, p, p.Shrink(640))
}

func TestYUVHasTheRangeOfVideo(t *testing.T) {
	p := newPicture(320)
	for i := range p.RGB {
		p.RGB[i] = 255
	}
	white := p.YUV()
	require.Len(t, white, 320*180*3/2)
	require.Equal(t, []byte{235, 128, 128}, []byte{white[0], white[320*180], white[320*180*5/4]})
	require.Equal(t, byte(16), newPicture(320).YUV()[0])
}
