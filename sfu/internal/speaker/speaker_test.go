package speaker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const ptime = 20 * time.Millisecond

// sound is what one microphone hears: the level of each packet by its time, and whether there is one.
type sound func(at time.Duration) (level uint8, sent bool)

// speech has syllables of 180 ms with dips of 60 ms between them, 25 dB lower, at about this level.
func speech(level uint8) sound {
	return func(at time.Duration) (uint8, bool) {
		n := at / ptime
		if n%12 >= 9 {
			return level + 25, true
		}
		return level + uint8(n*7%5), true
	}
}

// noise varies by ±2 dB.
func noise(level uint8) sound {
	return func(at time.Duration) (uint8, bool) { return level - 2 + uint8(at/ptime*3%5), true }
}

func silence(time.Duration) (uint8, bool) { return 100, true }

func dtx(time.Duration) (uint8, bool) { return 0, false }

// between gives one sound in a stretch of time, and another around it.
func between(from, to time.Duration, inside, outside sound) sound {
	return func(at time.Duration) (uint8, bool) {
		if at >= from && at < to {
			return inside(at)
		}
		return outside(at)
	}
}

// change is a new order of speakers and when it was first told.
type change struct {
	at  time.Duration
	ids []uint64
}

// listen plays the sounds of ids 1, 2, … and returns what Poll told.
func listen(r *Room, length time.Duration, sounds ...sound) []change {
	var told []change
	for at := time.Duration(0); at < length; at += ptime {
		for i, s := range sounds {
			if level, sent := s(at); sent {
				r.Handle(at, uint64(i+1), level, false)
			}
		}
		if speakers, changed, _ := r.Poll(at); changed {
			told = append(told, change{at, ids(speakers)})
		}
	}
	return told
}

func ids(speakers []Speaker) []uint64 {
	list := []uint64{}
	for _, s := range speakers {
		list = append(list, s.ID)
	}
	return list
}

const second = time.Second

func TestOneSpeaks(t *testing.T) {
	for name, pause := range map[string]sound{"silent packets": silence, "no packets": dtx} {
		t.Run(name, func(t *testing.T) {
			told := listen(New(), 8*second, between(second, 4*second, speech(30), pause), pause)
			require.Len(t, told, 2)
			require.Equal(t, []uint64{1}, told[0].ids)
			require.InDelta(t, 400, (told[0].at - second).Milliseconds(), 110)
			require.Empty(t, told[1].ids)
			require.InDelta(t, 2300, (told[1].at - 4*second).Milliseconds(), 250)
		})
	}
}

func TestLevelIsThatOfTheVoice(t *testing.T) {
	r := New()
	listen(r, 3*second, silence, speech(30))
	speakers, changed, next := r.Poll(3 * second)
	require.False(t, changed)
	require.Greater(t, next, 3*second)
	require.LessOrEqual(t, next, 3*second+interval)
	require.Len(t, speakers, 1)
	require.EqualValues(t, 2, speakers[0].ID)
	require.InDelta(t, 127-30-6, float64(speakers[0].Level), 6, "dips counted in")
}

func TestCoughDoesNotTakeTheStage(t *testing.T) {
	cough := between(3*second, 3*second+200*time.Millisecond, func(time.Duration) (uint8, bool) { return 5, true }, silence)
	require.Equal(t, [][]uint64{{1}}, orders(listen(New(), 6*second, speech(30), cough)))
	require.Empty(t, listen(New(), 6*second, silence, cough), "nor in a silent room")
	paused := between(2500*time.Millisecond, 4*second, silence, speech(30))
	require.Equal(t, [][]uint64{{1}}, orders(listen(New(), 6*second, paused, cough)), "nor in a pause of the speaker")
}

func TestPauseDoesNotLoseTheStage(t *testing.T) {
	for _, begun := range []time.Duration{600 * time.Millisecond, 3 * second} {
		told := listen(New(), 8*second, between(begun, begun+second, dtx, speech(30)), silence)
		require.Equal(t, [][]uint64{{1}}, orders(told), "after %v", begun)
	}
}

func TestTwoAlternate(t *testing.T) {
	first := func(at time.Duration) (uint8, bool) {
		if at/(3*second)%2 == 0 {
			return speech(30)(at)
		}
		return silence(at)
	}
	second := func(at time.Duration) (uint8, bool) {
		if at/(3*second)%2 == 1 {
			return speech(33)(at)
		}
		return silence(at)
	}
	var stage []uint64
	for _, c := range listen(New(), 15*time.Second, first, second) {
		if len(c.ids) == 0 || (len(stage) > 0 && stage[len(stage)-1] == c.ids[0]) {
			continue
		}
		stage = append(stage, c.ids[0])
		late := c.at % (3 * time.Second)
		require.LessOrEqual(t, late, 620*time.Millisecond)
		require.GreaterOrEqual(t, late, 280*time.Millisecond)
	}
	require.Equal(t, []uint64{1, 2, 1, 2, 1}, stage)
}

func TestCrosstalk(t *testing.T) {
	// As loud as the first: he is the second. Twice as loud (and more): he takes over.
	interrupted := between(2*second, 5*second, speech(29), silence)
	require.Equal(t, [][]uint64{{1}, {1, 2}}, orders(listen(New(), 5*second, speech(30), interrupted)))
	loud := between(2*second, 5*second, speech(12), silence)
	told := orders(listen(New(), 5*second, speech(30), loud))
	require.Equal(t, []uint64{2, 1}, told[len(told)-1])
}

func TestFanIsNoSpeaker(t *testing.T) {
	fans := map[string]sound{"from the beginning": noise(45), "loud": noise(36), "begins later": between(6*second, time.Hour, noise(45), silence)}
	for name, fan := range fans {
		t.Run(name, func(t *testing.T) {
			for _, c := range listen(New(), 30*second, speech(35), fan) {
				require.EqualValues(t, 1, c.ids[0], "at %v", c.at)
				if c.at > 14*second {
					require.Len(t, c.ids, 1, "at %v", c.at)
				}
			}
		})
	}
	require.Empty(t, listen(New(), 30*second, noise(45)))
}

// TestVoiceBit: who sets it at times says by its absence that this is no voice.
func TestVoiceBit(t *testing.T) {
	r := New()
	for at := time.Duration(0); at < 3*second; at += ptime {
		r.Handle(at, 1, 30, at < 2*ptime)
		r.Handle(at, 2, 30+uint8(at/ptime%2)*30, true)
	}
	speakers, changed, _ := r.Poll(3 * second)
	require.True(t, changed)
	require.Equal(t, []uint64{2}, ids(speakers))
}

// TestFlood: packets give no weight by their number, nor do times that stand still.
func TestFlood(t *testing.T) {
	r := New()
	for range 100_000 {
		r.Handle(second, 1, 100, true)
		r.Handle(second+100*time.Millisecond, 1, 0, true)
	}
	speakers, _, _ := r.Poll(second + 300*time.Millisecond)
	require.Empty(t, speakers)
}

func TestLeave(t *testing.T) {
	r := New()
	listen(r, 3*second, speech(30), speech(50))
	speakers, _, _ := r.Poll(3 * second)
	require.Equal(t, []uint64{1, 2}, ids(speakers))
	r.Leave(1)
	r.Leave(7)
	speakers, changed, _ := r.Poll(3 * second)
	require.True(t, changed)
	require.Equal(t, []uint64{2}, ids(speakers))
}

func TestThousand(t *testing.T) {
	r := New()
	sounds := make([]sound, 1000)
	for i := range sounds {
		sounds[i] = noise(50)
		if i%50 == 0 {
			sounds[i] = speech(uint8(20 + i/50))
		}
	}
	var next time.Duration
	for at := time.Duration(0); at < 5*second; at += ptime {
		for i, s := range sounds {
			level, _ := s(at)
			r.Handle(at, uint64(i), level, false)
		}
		_, _, next = r.Poll(at)
	}
	speakers, _, _ := r.Poll(next)
	require.Len(t, speakers, Most)
	for _, s := range speakers {
		require.Zero(t, s.ID%50)
	}
	for i := range sounds {
		r.Leave(uint64(i))
	}
	speakers, _, next = r.Poll(6 * second)
	require.Empty(t, speakers)
	require.Zero(t, next)
}

func TestIDsAreBounded(t *testing.T) {
	r := New()
	for id := range uint64(MaxIDs + 3) {
		r.Handle(0, id, 10, true)
	}
	require.EqualValues(t, 3, r.Ignored())
	r.Leave(0)
	r.Handle(0, MaxIDs+1, 10, true)
	require.EqualValues(t, 3, r.Ignored())
}

// TestAnyTrace: whatever comes, at most five, none twice, none who left; Poll tells of a change exactly when there is one,
// and goes to sleep some time after the last packet.
func TestAnyTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New()
		var last []uint64
		now := time.Duration(0)
		gone := map[uint64]bool{}
		poll := func() time.Duration {
			speakers, changed, next := r.Poll(now)
			require.LessOrEqual(t, len(speakers), Most)
			seen := map[uint64]bool{}
			for _, s := range speakers {
				require.False(t, seen[s.ID] || (changed && gone[s.ID]))
				seen[s.ID] = true
				require.LessOrEqual(t, s.Level, uint8(127))
			}
			require.Equal(t, changed, !equal(last, ids(speakers)))
			last = ids(speakers)
			return next
		}
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			id := rapid.Uint64Range(1, 30).Draw(t, "id")
			if rapid.IntRange(0, 9).Draw(t, "leave") == 0 {
				r.Leave(id)
				gone[id] = true
				continue
			}
			level, gap := rapid.Uint8().Draw(t, "level"), time.Duration(rapid.IntRange(0, 500).Draw(t, "ms"))*time.Millisecond
			for range rapid.IntRange(1, 60).Draw(t, "packets") {
				now += gap / 16
				r.Handle(now, id, level, rapid.Bool().Draw(t, "voice"))
				delete(gone, id)
				poll()
			}
		}
		for range 200 {
			now += interval
			if poll() == 0 {
				break
			}
		}
		require.Empty(t, last)
		require.Zero(t, poll())
	})
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func orders(told []change) [][]uint64 {
	var list [][]uint64
	for _, c := range told {
		list = append(list, c.ids)
	}
	return list
}

func TestHandleAllocatesNothing(t *testing.T) {
	r := New()
	listen(r, second, speech(30), silence, noise(40))
	now := second
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += ptime
		r.Handle(now, 1, 30, true)
		r.Handle(now, 2, 90, true)
		r.Poll(now)
	}))
}

func BenchmarkHandle(b *testing.B) {
	for name, s := range map[string]sound{"speech": speech(30), "silence": silence} {
		b.Run(name, func(b *testing.B) {
			r, now := New(), time.Duration(0)
			levels := make([]uint8, 240)
			for i := range levels {
				levels[i], _ = s(time.Duration(i) * ptime)
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%20 == 0 {
					now += ptime
				}
				r.Handle(now, uint64(n%20), levels[n%240], true)
			}
		})
	}
}

func BenchmarkPoll20Of1000(b *testing.B) {
	r, now := New(), time.Duration(0)
	for id := range uint64(1000) {
		r.Handle(now, id, 100, false)
	}
	b.ReportAllocs()
	for b.Loop() {
		now += interval
		for id := range uint64(20) {
			r.Handle(now, id, 30, true)
		}
		r.Poll(now)
	}
}
