package source

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const someTime = int64(1_793_000_000_000_000) // µs

// take plays the next frame at the very moment it is due.
func take(t testing.TB, p *Player) Frame {
	t.Helper()
	now := p.Due()
	f, err := p.Take(nil, now, someTime+now.Microseconds())
	require.NoError(t, err)
	return f
}

func TestAPicturePlaysOnThroughItsLoops(t *testing.T) {
	c := load(t)
	p := c.Video(1, Mid, Sender(5, 1, int(Mid)))
	first := take(t, p)
	for i := 1; i < 3*LoopFrames; i++ {
		due := p.Due()
		require.Equal(t, time.Duration(i)*time.Second/FrameRate, due)
		f := take(t, p)
		require.Equal(t, i%LoopFrames, f.Place)
		require.Equal(t, i%KeyframeGap == 0, f.Keyframe)
		require.EqualValues(t, i*3000, f.Timestamp-first.Timestamp)
		want := Stamp{Sender: Sender(5, 1, 1), Frame: uint32(i), Sent: someTime + due.Microseconds()}
		require.Equal(t, want, f.Stamp)
		got, ok := ReadVP8(f.Data)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
}

func TestSoundPlaysOnThroughItsLoops(t *testing.T) {
	c := load(t)
	for profile, ticks := range []int{960, 2880, 960, 5760} {
		p := c.Audio(2, Profile(profile), Sender(6, 0, 0))
		first := take(t, p)
		for i := 1; i < 700; i++ {
			require.Equal(t, time.Duration(i)*Profile(profile).PacketTime(), p.Due())
			p.Request(p.Due()) // changes nothing
			f := take(t, p)
			require.EqualValues(t, i*ticks, f.Timestamp-first.Timestamp)
			got, ok := ReadOpus(f.Data)
			require.Equal(t, i%int(Profile(profile).stampEvery()) == 0, ok)
			if ok {
				require.Equal(t, uint32(i), got.Frame)
			}
		}
	}
}

// What went to nobody answers nobody.
func TestARequestOfWhoHasGotNothing(t *testing.T) {
	p := load(t).Video(0, Low, 1)
	for range 40 {
		take(t, p)
	}
	p.Request(p.Due())
	require.True(t, take(t, p).Keyframe)
	p.Request(p.Due())
	require.False(t, take(t, p).Keyframe, "it is on its way")
	p.Rest()
	p.Request(p.Due())
	require.True(t, take(t, p).Keyframe)
}

func TestARequestBringsAKeyframe(t *testing.T) {
	p := load(t).Video(0, Low, 1)
	for range 40 {
		take(t, p)
	}
	now := p.Due() - 10*time.Millisecond
	p.Request(now)
	require.InDelta(t, now, p.Due(), float64(time.Millisecond), "at once")
	f := take(t, p)
	require.True(t, f.Keyframe)
	require.Equal(t, 60, f.Place)
	require.EqualValues(t, 40, f.Stamp.Frame, "frames count what was sent")
	require.Equal(t, 61, take(t, p).Place)
}

func TestWhoSleptGoesOnFromThere(t *testing.T) {
	p := load(t).Video(0, Low, 1)
	take(t, p)
	late := p.Due() + time.Minute
	_, err := p.Take(nil, late, someTime)
	require.NoError(t, err)
	require.InDelta(t, late+time.Second/FrameRate, p.Due(), float64(time.Millisecond))
}

func TestScenesRepeat(t *testing.T) {
	c := load(t)
	for _, scene := range []int{-3, 1, 5, 101} {
		require.Same(t, c.videos[1][Low], c.Video(scene, Low, 0).video)
		require.Same(t, c.audios[1][Voice], c.Audio(scene, Voice, 0).audio)
	}
	require.Same(t, c.videos[0][High], c.Video(3, High, 0).video)
}

func TestPlayingNeedsNoMemory(t *testing.T) {
	c := load(t)
	dst := make([]byte, 0, 100_000)
	video, audio := c.Video(0, High, 1), c.Audio(0, Voice, 2)
	play := func(p *Player) {
		if _, err := p.Take(dst, p.Due(), someTime); err != nil {
			t.Fatal(err)
		}
	}
	for range LoopFrames {
		play(video)
	}
	require.Zero(t, testing.AllocsPerRun(200, func() { play(video); play(audio) }))
}
