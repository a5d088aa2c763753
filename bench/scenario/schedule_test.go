package scenario

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// lines are the callers, a line of JSON each.
func lines(t testing.TB, callers []Caller) string {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for _, c := range callers {
		require.NoError(t, encoder.Encode(c))
	}
	return out.String()
}

// TestGoldenSchedules: the same scenario and seed have the same schedule byte for byte, today and in the next version. A change
// here makes every figure kept so far incomparable.
func TestGoldenSchedules(t *testing.T) {
	parsed, err := Parse("example.yaml", []byte(example(t)), strict)
	require.NoError(t, err)
	for file, text := range map[string]string{
		"example": "", "one-to-one": "one-to-one", "churn": "churn 6", "reconnect-herd": "reconnect-herd 20",
		"school-class": "school-class", "webinar": "webinar 1x50 layers=3", "audio-room": "audio-room 3x4", "mobile": "mobile",
		"steppe": "steppe", "pairs": "pairs 25 network=lte",
	} {
		s := parsed
		if text != "" {
			s, err = Builtin(text)
			require.NoError(t, err)
		}
		got := lines(t, Schedule(s))
		golden := filepath.Join("testdata", file+".jsonl")
		if *update {
			require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			continue
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), got, file)
		require.Equal(t, got, lines(t, Schedule(s)), "a second time")

		var again []Caller
		decoder := json.NewDecoder(strings.NewReader(got))
		for decoder.More() {
			var c Caller
			require.NoError(t, decoder.Decode(&c))
			again = append(again, c)
		}
		require.Equal(t, Schedule(s), again, "JSON goes both ways")
	}
}

// The smaller encodings of a track have the smaller profiles, and their share of a bitrate of its own.
func TestEncodings(t *testing.T) {
	for _, test := range []struct {
		track Track
		want  []Encoding
	}{
		{Track{Media: Microphone}, []Encoding{{"", Voice, 32_000}}},
		{Track{Media: Camera}, []Encoding{{"", P720, 1_200_000}}},
		{Track{Media: Camera, Layers: 3}, []Encoding{{"q", P180, 120_000}, {"h", P360, 400_000}, {"f", P720, 1_200_000}}},
		{Track{Media: Camera, Profile: P720, Layers: 2}, []Encoding{{"h", P360, 400_000}, {"f", P720, 1_200_000}}},
		{Track{Media: Screen, Profile: P360, Layers: 2, Bitrate: 800_000}, []Encoding{{"h", P180, 240_000}, {"f", P360, 800_000}}},
	} {
		require.Equal(t, test.want, test.track.filled().Encodings())
	}
}

// TestNetworksOfACaller: the one it begins on, and those it moves to.
func TestNetworksOfACaller(t *testing.T) {
	s, err := Parse("example.yaml", []byte(example(t)), strict)
	require.NoError(t, err)
	networks := map[string][]Network{}
	for _, c := range Schedule(s) {
		networks[c.Group] = c.Networks
	}
	require.Empty(t, networks["host"])
	require.Equal(t, []Network{{Name: "wifi", Preset: "wifi"}}, networks["teacher"])
	bus := s.Networks["bus"]
	bus.Name = "bus"
	require.Equal(t, []Network{bus, {Name: "lte", Preset: "lte"}}, networks["traveller"])
}

// TestOthersKeepTheirDraws: a further room or group, and more copies or people, change nothing of those who are there.
func TestOthersKeepTheirDraws(t *testing.T) {
	s, err := Parse("example.yaml", []byte(example(t)), strict)
	require.NoError(t, err)
	draws := func(s Scenario) map[string]Caller {
		all := map[string]Caller{}
		for _, c := range Schedule(s) {
			c.Number, c.AudioSlots, c.VideoSlots = 0, 0, 0
			all[c.Room+"/"+c.Identity] = c
		}
		return all
	}
	before := draws(s)

	more := s
	more.Rooms = append([]Room{{Name: "yard", Callers: []Group{{Name: "child", Count: 3, Publish: tracks(microphone())}}}}, s.Rooms...)
	more.Rooms[1].Count = 3
	more.Rooms[1].Callers = append([]Group{{Name: "guard"}}, more.Rooms[1].Callers...)
	lobby := &more.Rooms[2]
	lobby.Callers = append([]Group(nil), lobby.Callers...)
	lobby.Callers[1].Count = 9
	after := draws(more)
	require.Len(t, after, len(before)+3+2+1+15)
	for who, c := range before {
		require.Equal(t, c, after[who])
	}

	other := s
	other.Seed++
	require.NotEqual(t, before, draws(other))
}

// checkEvents: first a join, then in order of time, each what can follow the one before, nothing after the end.
func checkEvents(t testing.TB, s Scenario, c Caller) {
	t.Helper()
	require.NotEmpty(t, c.Events)
	require.Equal(t, Join, c.Events[0].Do)
	there, muted, last := false, false, time.Duration(0)
	for _, e := range c.Events {
		require.GreaterOrEqual(t, e.At, last)
		require.Less(t, e.At, s.Duration)
		require.Zero(t, e.At%time.Millisecond)
		last = e.At
		switch e.Do {
		case Join, Rejoin:
			require.False(t, there)
			there, muted = true, false
		case Leave:
			require.True(t, there)
			there = false
		case Mute, Unmute:
			require.True(t, there)
			require.Equal(t, e.Do == Unmute, muted)
			muted = e.Do == Mute
		case Drop:
			require.True(t, there)
		default:
			t.Fatalf("unknown action %q", e.Do)
		}
	}
}

// TestEventsFollow holds for any group.
func TestEventsFollow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		second := func(most int, name string) time.Duration {
			return time.Duration(rapid.IntRange(1, most).Draw(r, name)) * 700 * time.Millisecond
		}
		g := Group{Name: "p", Count: rapid.IntRange(2, 5).Draw(r, "count"), Publish: tracks(microphone())}
		if rapid.Bool().Draw(r, "churns") {
			g.Churn = &Churn{Stay: second(20, "stay") + time.Second, Away: second(20, "away")}
		}
		if rapid.Bool().Draw(r, "talks") {
			g.Talk = &Talk{Spell: second(9, "spell") + time.Second, Pause: second(9, "pause") + time.Second}
		}
		if rapid.Bool().Draw(r, "leaves") {
			g.Stay = second(60, "in all") + time.Second
		}
		g.Arrive.Poisson = second(3, "gap")
		g.Reconnect = []Reconnect{{At: second(60, "herd"), Over: second(5, "spread"), Share: Share(rapid.Float64Range(0, 1).Draw(r, "share"))}}
		s := Scenario{
			Name: "any", Seed: rapid.Uint64Max(1<<53).Draw(r, "seed"), Duration: 2 * time.Minute,
			Rooms: []Room{{Name: "r", Count: rapid.IntRange(1, 3).Draw(r, "rooms"), Callers: []Group{g}}},
		}
		require.NoError(r, Check(s, Known{}))
		for _, c := range Schedule(s) {
			checkEvents(t, s, c)
			drops := 0
			for _, e := range c.Events {
				if e.Do == Drop {
					drops++
					require.True(r, e.At >= g.Reconnect[0].At.Truncate(time.Millisecond) && e.At <= g.Reconnect[0].At+g.Reconnect[0].Over)
				}
			}
			require.LessOrEqual(r, drops, 1)
		}
	})
}

func TestArrivals(t *testing.T) {
	second := time.Second
	require.Equal(t, []time.Duration{second, second}, Arrival{At: second}.moments(dice(1), 2))
	require.Equal(t, []time.Duration{second, 3 * second, 5 * second}, Arrival{At: second, Every: 2 * second}.moments(dice(1), 3))

	spread := Arrival{At: second, Over: 10 * second}.moments(dice(1), 100)
	for i, at := range spread {
		share := 100 * time.Millisecond
		require.True(t, at >= second+time.Duration(i)*share && at < second+time.Duration(i+1)*share, "%d: %v", i, at)
	}
	strangers := Arrival{Poisson: 100 * time.Millisecond}.moments(dice(1), 10_001)
	require.Zero(t, strangers[0])
	require.InDelta(t, 1000, strangers[10_000].Seconds(), 30, "a hundredth is one deviation")
	require.Equal(t, strangers[:50], Arrival{Poisson: 100 * time.Millisecond}.moments(dice(1), 50))
}

func TestTimesAreAboutTheMean(t *testing.T) {
	r, sum := dice(1), time.Duration(0)
	for range 10_000 {
		d := about(r, 8*time.Second)
		require.True(t, d >= 2*time.Second && d <= 32*time.Second)
		sum += d
	}
	// Cut at a quarter and at four times, an exponential of mean 1 has e^(-1/4) + 1/4 - e^(-4) left.
	require.InDelta(t, 8*1.0105, (sum / 10_000).Seconds(), 0.2)
}

func TestSlots(t *testing.T) {
	room := Room{Callers: []Group{
		{Name: "a", Count: 20, Publish: tracks(microphone(), camera(P180), Track{Media: Screen})},
		{Name: "b", Publish: tracks(microphone())},
		{Name: "c", Receive: &Receive{Audio: 1}},
		{Name: "d", Receive: &Receive{}},
	}}
	for i, want := range [][2]int{{16, 38}, {16, 40}, {1, 0}, {0, 0}} {
		audio, video := room.slots(room.Callers[i])
		require.Equal(t, want, [2]int{audio, video}, room.Callers[i].Name)
	}
	room.Callers[0].Count = 2
	audio, video := room.slots(room.Callers[0])
	require.Equal(t, [2]int{2, 2}, [2]int{audio, video})
}
