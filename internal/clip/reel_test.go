package clip

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// reelOf has a frame every 3,000 ticks; every n-th is a keyframe.
func reelOf(frames, n int, loop bool) *Reel {
	r := &Reel{rate: 90000, loop: loop, length: int64(frames) * 3000}
	for i := range frames {
		r.at, r.keys = append(r.at, int64(i)*3000), append(r.keys, i%n == 0)
	}
	return r
}

// play takes n frames and returns which they were and when they were due.
func play(r *Reel, n int) (frames []int, at []int64) {
	for range n {
		i, due, ok := r.Next()
		if !ok {
			break
		}
		frames, at = append(frames, i), append(at, due)
		r.Played()
	}
	return frames, at
}

func TestAClipPlaysToItsEnd(t *testing.T) {
	r := reelOf(3, 3, false)
	frames, at := play(r, 10)
	require.Equal(t, []int{0, 1, 2}, frames)
	require.Equal(t, []int64{0, 3000, 6000}, at)
	_, end, ok := r.Next()
	require.False(t, ok)
	require.EqualValues(t, 9000, end)
}

func TestALoopDoesNotDrift(t *testing.T) {
	_, at := play(reelOf(3, 3, true), 3000)
	require.EqualValues(t, 2999*3000, at[2999])
}

func TestARequestJumpsToTheNextKeyframe(t *testing.T) {
	r := reelOf(90, 30, false)
	r.Request(0)
	require.Zero(t, r.Jumps, "the first frame is one")
	play(r, 5)
	r.Request(4*3000 + 100)
	require.Zero(t, r.Jumps, "the one 133 ms ago answers it")
	play(r, 7)
	r.Request(34000)
	frames, at := play(r, 2)
	require.Equal(t, []int{30, 31}, frames)
	require.Equal(t, []int64{34000, 37000}, at)
	require.EqualValues(t, 18, r.Skipped)
}

// An encoder makes a keyframe for each request but those within 300 ms of another, whatever it has made by itself.
func TestAnEncoderAnswersEachRequest(t *testing.T) {
	r := reelOf(90, 30, false)
	r.Encode(0)
	require.Zero(t, r.Jumps, "the first frame is one")
	play(r, 5)
	r.Encode(4*3000 + 100)
	frames, at := play(r, 2)
	require.Equal(t, []int{30, 31}, frames, "the one 133 ms ago went by itself")
	require.Equal(t, []int64{12100, 15100}, at)
	r.Encode(16000)
	frames, _ = play(r, 1)
	require.Equal(t, []int{32}, frames, "it answers who asks 43 ms later")
	r.Rest()
	r.Encode(19000)
	frames, at = play(r, 2)
	require.Equal(t, []int{60, 61}, frames, "who has got nothing asks for the first time")
	require.Equal(t, []int64{19000, 22000}, at)
	r.Encode(19000 + 27000)
	require.EqualValues(t, 1, r.Unanswered)
}

func TestWithoutAKeyframeLeftPlayingGoesOn(t *testing.T) {
	r := reelOf(30, 30, false)
	play(r, 20)
	r.Request(20 * 3000)
	frames, _ := play(r, 1)
	require.Equal(t, []int{20}, frames)
	require.EqualValues(t, 1, r.Unanswered)

	r = reelOf(30, 30, true)
	play(r, 20)
	r.Request(20 * 3000)
	frames, at := play(r, 1)
	require.Equal(t, []int{0}, frames, "a loop begins again")
	require.Equal(t, []int64{20 * 3000}, at)
	require.EqualValues(t, 10, r.Skipped)
}

func TestWhoSleptGoesOnFromThere(t *testing.T) {
	r := reelOf(90, 30, false)
	play(r, 1)
	r.Late(90000 / 2)
	require.Zero(t, r.Stalls)
	r.Late(10 * 90000)
	_, at := play(r, 2)
	require.Equal(t, []int64{900000, 903000}, at)
	require.EqualValues(t, 1, r.Stalls)
}

// TestTimesOfPlayingRise: whatever is asked and whenever, no two frames are due at once and none earlier than one before;
// every request is a jump to a keyframe, is answered by one just sent, or is counted.
func TestTimesOfPlayingRise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := reelOf(rapid.IntRange(1, 60).Draw(t, "frames"), rapid.IntRange(1, 40).Draw(t, "keyframe every"), rapid.Bool().Draw(t, "loop"))
		last, lastKey := int64(-1), int64(-1)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i, at, ok := r.Next()
			if !ok {
				return
			}
			require.Greater(t, at, last)
			if rapid.IntRange(0, 9).Draw(t, "request") == 0 {
				now := max(last, 0) + rapid.Int64Range(0, 6000).Draw(t, "later")
				jumps, unanswered := r.Jumps, r.Unanswered
				r.Request(now)
				switch {
				case r.Jumps > jumps:
					i, at, _ = r.Next()
					require.True(t, r.keys[i])
					require.InDelta(t, now, at, 1)
				case r.Unanswered == unanswered:
					require.True(t, last < 0 || now-lastKey < 90000/4)
				}
			}
			last = at
			if r.keys[i] {
				lastKey = at
			}
			r.Played()
		}
	})
}

func TestTimeGoesByTheClipsRate(t *testing.T) {
	a := Audio{Packets: []AudioPacket{{At: 0}, {At: 960}}, length: 1920}
	r := a.Reel(false)
	play(r, 1)
	r.Late(960 + int64(48000*maxLate/time.Second) + 1)
	require.EqualValues(t, 1, r.Stalls)
}
