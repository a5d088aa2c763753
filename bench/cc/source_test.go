package cc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// sizes are the frames of so many seconds from a time on.
func sizes(e *encoder, from time.Duration, length time.Duration) (frames []int) {
	for now := from; now < from+length; now += frameInterval {
		frames = append(frames, e.frame(now))
	}
	return frames
}

// wire is what frames and audio take, bits a second.
func wire(frames []int) float64 {
	bytes := 0
	for _, f := range frames {
		split(f, func(size int) { bytes += size })
	}
	return float64(bytes*8)/(float64(len(frames))*frameInterval.Seconds()) + audioRate
}

// The whole of what is sent is what the target says, headers and audio included.
func TestEncoderFollowsItsTarget(t *testing.T) {
	for _, target := range []bwe.Bitrate{400 * bwe.Kbps, bwe.Mbps, 1500 * bwe.Kbps} {
		e := newEncoder(Source{}.withDefaults(), 0, 1)
		e.retarget(0, target)
		sizes(&e, 0, second)
		require.InEpsilon(t, float64(target), wire(sizes(&e, second, 120*second)), 0.02, target)
	}
}

func TestEncoderRespondsAfterItsTime(t *testing.T) {
	e := newEncoder(Source{}.withDefaults(), 0, 1)
	e.retarget(second, bwe.Mbps)
	e.retarget(second+50*ms, 500*bwe.Kbps)
	require.InDelta(t, 150_000, e.rate, 1)
	e.frame(second + 99*ms)
	require.InDelta(t, 150_000, e.rate, 1, "100 ms have not passed")
	e.frame(second + 100*ms)
	require.InDelta(t, 900_000, e.rate, 60_000)
	e.frame(second + 150*ms)
	require.InDelta(t, 430_000, e.rate, 40_000, "each target has its own 100 ms")
}

func TestEncoderKeepsItsRange(t *testing.T) {
	e := newEncoder(Source{}.withDefaults(), 0, 1)
	e.retarget(0, bwe.Kbps)
	e.frame(second)
	require.InDelta(t, 150_000, e.rate, 1)
	e.retarget(second, 100*bwe.Mbps)
	e.frame(2 * second)
	require.InDelta(t, 1_500_000, e.rate, 1)
	require.InDelta(t, 1.07*1.5e6, float64(e.most()), 0.01*1.5e6, "the source's most is what tables of util say")
	require.InEpsilon(t, float64(e.most()), wire(sizes(&e, 2*second, 120*second)), 0.02)
}

// A keyframe is four frames long, and the next second pays it back.
func TestKeyframesArePaidBack(t *testing.T) {
	e := newEncoder(Source{Min: bwe.Mbps, Max: bwe.Mbps}.withDefaults(), 0, 3)
	frames := sizes(&e, 0, 600*second)
	mean := 1e6 / 8 * frameInterval.Seconds()
	keys := 0
	for i, f := range frames {
		if float64(f) < 3*mean {
			continue
		}
		keys++
		if i+40 > len(frames) {
			continue
		}
		sum := 0
		for _, f := range frames[i : i+40] {
			sum += f
		}
		require.InEpsilon(t, 40*mean, float64(sum), 0.12, "frame %d", i)
	}
	require.InDelta(t, 600/keyframeEvery, keys, 12)
	require.Greater(t, float64(frames[0]), 3*mean, "the first frame is one")
}

func TestSplit(t *testing.T) {
	for frame, want := range map[int][]int{
		1: {49}, 1200: {1248}, 1201: {648, 649}, 3000: {1048, 1048, 1048},
	} {
		var got []int
		split(frame, func(size int) { got = append(got, size) })
		require.Equal(t, want, got, frame)
	}
}
