package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuiltins(t *testing.T) {
	for _, b := range Builtins() {
		s, err := Builtin(b.Name)
		require.NoError(t, err)
		same, err := Builtin(b.Default)
		require.NoError(t, err)
		require.Equal(t, same, s)
		require.Equal(t, b.Name, s.Name)
		require.NotEmpty(t, s.About)
		require.NotEmpty(t, s.Pass)
		_, people := s.Size()
		require.Len(t, Schedule(s), people)
	}
	short, err := Builtin("one-to-one")
	require.NoError(t, err)
	require.Less(t, short.Duration, 15*time.Second)
	six, err := Builtin("group 6")
	require.NoError(t, err)
	require.LessOrEqual(t, short.Duration+six.Duration, 40*time.Second, "a first look takes less than a minute, start included")
}

func TestBuiltinNumbers(t *testing.T) {
	for text, want := range map[string][2]int{ // rooms, people
		"pairs 500":                {500, 1000},
		"group 2":                  {1, 2},
		"webinar 1x500":            {1, 501},
		"webinar 2×1":              {1, 3},
		"meeting 6":                {1, 6},
		"room":                     {1, 1000},
		"room 9x10 rooms=100":      {100, 1000},
		"room 3x4 rooms=2":         {2, 8},
		"room 4 kind=full":         {1, 4},
		"meeting 3x8":              {1, 8},
		"audio-room 3X20":          {1, 23},
		"school-class 4":           {4, 104},
		"reconnect-herd 1000":      {101, 1002},
		"reconnect-herd 5":         {2, 7},
		"pairs 5 kind=light":       {5, 10},
		"churn kind=full":          {1, 22},
		"steppe seed=5":            {1, 2},
		"mobile duration=60s":      {3, 6},
		"  webinar   1x5 layers=2": {1, 6},
		"pairs 10000":              {10000, 20000},
		"webinar 1x10000":          {1, 10001},
	} {
		s, err := Builtin(text)
		require.NoError(t, err, text)
		rooms, people := s.Size()
		require.Equal(t, want, [2]int{rooms, people}, text)
	}
	s, err := Builtin("webinar 1x5 layers=3 network=lte kind=browser seed=9 duration=1m")
	require.NoError(t, err)
	require.Equal(t, 3, s.Rooms[0].Callers[0].Publish[1].Layers)
	require.Equal(t, 1, s.Rooms[0].Callers[0].Publish[0].Layers, "sound has no layers")
	require.Equal(t, uint64(9), s.Seed)
	require.Equal(t, s.Warmup+time.Minute, s.Duration)
	for _, g := range s.Rooms[0].Callers {
		require.Equal(t, Browser, g.Kind)
		require.Equal(t, "lte", g.Network)
		require.Zero(t, g.Record)
	}
}

// Copies of a room open as fast as people come into a large one, and are measured for as long.
func TestRooms(t *testing.T) {
	one, err := Builtin("room 10x1000 duration=7s")
	require.NoError(t, err)
	many, err := Builtin("room 9x10 duration=7s rooms=100")
	require.NoError(t, err)
	require.Equal(t, one.Duration-one.Warmup, many.Duration-many.Warmup)
	require.InDelta(t, lastArrival(one).Seconds(), lastArrival(many).Seconds(), 0.3)
	require.Less(t, lastArrival(many), many.Warmup)
}

// Everybody looks from the moment of coming, changes as often as the view says, and begins anew with each coming.
func TestLooks(t *testing.T) {
	s, err := Builtin("webinar 1x9 view=1280x720,320x180,640x360,2s duration=20s profile=360p")
	require.NoError(t, err)
	s.Rooms[0].Callers[2].Churn = &Churn{Stay: 9 * time.Second, Away: time.Second}
	phases := map[time.Duration]bool{}
	for _, c := range Schedule(s) {
		for _, track := range c.Publish {
			require.NotEqual(t, P720, track.Profile)
		}
		sizes, last := []Size{"1280x720", "320x180", "640x360"}, Event{}
		i, there := 0, false
		for _, e := range c.Events {
			switch {
			case e.Do != Look:
				require.Empty(t, e.Size)
				there, i = e.Do != Leave, 0
				continue
			case i == 1:
				require.LessOrEqual(t, e.At-last.At, 2*time.Second)
				phases[e.At-last.At] = true
			case i > 1:
				require.Equal(t, 2*time.Second, e.At-last.At)
			}
			require.True(t, there)
			require.Equal(t, sizes[i%3], e.Size)
			i, last = i+1, e
		}
		require.Positive(t, last.At)
	}
	require.Greater(t, len(phases), 5, "each at moments of its own")
	w, h := Size("1280x720").Pixels()
	require.Equal(t, [2]int{1280, 720}, [2]int{w, h})
}

func TestBuiltinErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "name a scenario: one-to-one, group N, pairs N",
		"webinr 1x5":                    `no scenario is called "webinr"; did you mean webinar?; there are: one-to-one, group N`,
		"webinar 5":                     "scenario webinar: got \"5\", want PxS, numbers from 1 to 10000, for example webinar 1x100",
		"pairs 0":                       `scenario pairs: got "0", want N, numbers from 1 to 10000, for example pairs 10`,
		"pairs 10001":                   `got "10001", want N`,
		"pairs 1x2":                     `got "1x2", want N`,
		"pairs -1":                      `got "-1", want N`,
		"pairs 99999999999999999":       "want N",
		"steppe 5":                      `scenario steppe takes no numbers, got "5"`,
		"pairs 5 kind=lite":             `scenario pairs: got "kind=lite", want kind=full, light or browser`,
		"pairs 5 layers=4":              "want layers=1, 2 or 3",
		"pairs 5 duration=1":            "want duration=how long",
		"pairs 5 seed=-1":               "want seed=a whole number",
		"pairs 5 network=A_B":           "want network=the name",
		"pairs 5 kin=light":             `no option "kin"; did you mean kind?; there are: kind, network, layers, profile, voice, view, rooms, duration, seed`,
		"pairs 5 7":                     `no option "7"; there are`,
		"webinar view=2s":               "want view=a size",
		"webinar view=0x5":              "want view=a size",
		"webinar view=5x5,6x6":          "view.every: is missing: how long does it stay with each of 2 sizes?",
		"webinar view=5x5,2s":           "view.every: belongs to several sizes",
		"webinar view=5x5 kind=browser": "a browser's page lays its pictures out by itself",
		"webinar profile=voice":         "want profile=180p",
		"pairs 5 rooms=2":               "want rooms=how many",
		"room 9x10 rooms=0":             "want rooms=how many",
		"room 9x10 rooms=5000":          "got 50000 callers in all rooms",
		"churn kind=browser layers=0":   "want layers=1, 2 or 3",
	} {
		_, err := Builtin(text)
		require.ErrorContains(t, err, want, text)
	}
}

// FuzzBuiltin: whatever is asked for, it is there or refused.
func FuzzBuiltin(f *testing.F) {
	for _, b := range Builtins() {
		f.Add(b.Default)
	}
	f.Add("pairs 500 kind=light network=lte duration=60s seed=7 layers=3")
	f.Add("room 9x10 rooms=3 view=1x1,2x2,3s profile=180p")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Builtin(text)
		if err != nil {
			return
		}
		require.NoError(t, Check(s, Known{}))
		require.True(t, strings.HasPrefix(strings.TrimSpace(text), s.Name))
	})
}

func TestScale(t *testing.T) {
	for text, want := range map[string]struct {
		unit string
		load int
	}{
		"pairs 10": {"rooms", 10}, "pairs 1": {"rooms", 1}, "webinar 1x100": {"subscribers", 99}, "meeting 6x6": {"people", 6},
		"meeting 2x6": {"subscribers", 4}, "school-class 1": {"rooms", 1}, "group 6": {"people", 6}, "churn 20": {"people", 20},
	} {
		s, err := Builtin(text)
		require.NoError(t, err)
		before, err := s.YAML()
		require.NoError(t, err)
		require.Equal(t, want.unit, Unit(s), text)
		require.Equal(t, want.load, Load(s), text)
		same, err := Scale(s, want.load)
		require.NoError(t, err)
		require.Equal(t, Schedule(s), Schedule(same), text)
		for _, load := range []int{1, 7, 300} {
			scaled, err := Scale(s, load)
			if err != nil {
				require.ErrorContains(t, err, "one caller alone", text)
				continue
			}
			require.Equal(t, load, Load(scaled), text)
			require.Equal(t, want.unit, Unit(scaled), text)
			require.Equal(t, s.Duration-lastArrival(s), scaled.Duration-lastArrival(scaled), "everybody is there as long as before")
		}
		after, err := s.YAML()
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "what was scaled stays as it was")
		for _, load := range []int{0, -5, MaxPeople + 1} {
			_, err := Scale(s, load)
			require.ErrorContains(t, err, "want", text)
		}
	}
}

// TestScaleMovesTimes: a herd that came after all were there still does.
func TestScaleMovesTimes(t *testing.T) {
	s, err := Builtin("reconnect-herd 100")
	require.NoError(t, err)
	s.Networks = map[string]Network{"n": {Events: []NetworkEvent{{At: time.Second, Do: Rebind}}}}
	scaled, err := Scale(s, 110) // A hundred rooms more, one each 200 ms.
	require.NoError(t, err)
	require.Equal(t, s.Rooms[1].Callers[0].Reconnect[0].At+20*time.Second, scaled.Rooms[1].Callers[0].Reconnect[0].At)
	require.Equal(t, 21*time.Second, scaled.Networks["n"].Events[0].At)
	require.Equal(t, s.Warmup+20*time.Second, scaled.Warmup)
	back, err := Scale(scaled, 10)
	require.NoError(t, err)
	require.Equal(t, Schedule(s), Schedule(back))
}
