package scenario

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func example(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/example.yaml")
	require.NoError(t, err)
	return string(text)
}

// strict is a Known in which little is known.
var strict = Known{
	Condition: func(text string) error {
		if strings.Contains(text, "luck") {
			return errors.New("no metric luck")
		}
		return nil
	},
	Preset: func(name string) error {
		if name == "wifi" || name == "lte" {
			return nil
		}
		return fmt.Errorf("no preset %q", name)
	},
	Trace: func(text string) error {
		if !strings.HasPrefix(text, "0,") {
			return errors.New("line 1: want seconds,kbit/s")
		}
		return nil
	},
}

func TestExample(t *testing.T) {
	s, err := Parse("example.yaml", []byte(example(t)), strict)
	require.NoError(t, err)
	rooms, people := s.Size()
	require.Equal(t, 3, rooms)
	require.Equal(t, 2*14+9, people)
	require.Equal(t, uint64(7), s.Seed)
	require.Equal(t, time.Minute, s.Duration)
	bus := s.Networks["bus"]
	require.Equal(t, &Burst{Loss: 0.02, Length: 8}, bus.Up.Burst)
	require.Equal(t, Rate(1_500_000), bus.Down.Rate)
	require.Equal(t, Share(0.005), *bus.TCPLoss)
	require.Equal(t, NetworkEvent{At: 25 * time.Second, Do: Blackout, For: 1500 * time.Millisecond}, bus.Events[1])
	require.Equal(t, "0,6000\n20,800\n30,4000,30,2\n", s.Networks["garden"].Trace)
}

// TestWrittenIsRead: what YAML writes, Parse reads as the same.
func TestWrittenIsRead(t *testing.T) {
	s, err := Parse("example.yaml", []byte(example(t)), strict)
	require.NoError(t, err)
	all := []Scenario{s}
	for _, b := range Builtins() {
		s, err := Builtin(b.Default)
		require.NoError(t, err)
		all = append(all, s)
	}
	judge := schema(t)
	for _, s := range all {
		text, err := s.YAML()
		require.NoError(t, err)
		require.NoError(t, judge(string(text)), "%s", text)
		again, err := Parse(s.Name, text, Known{})
		require.NoError(t, err, "%s", text)
		require.Empty(t, cmp.Diff(s, again))
	}
}

// TestProblems: each names line, key and fix.
func TestProblems(t *testing.T) {
	head := "name: a\nduration: 10s\nrooms:\n"
	room := head + "- name: r\n  callers:\n  - name: p\n    count: 2\n    publish: [{media: microphone}]\n"
	for text, want := range map[string]string{
		"":                        "a.yaml: is empty, want a scenario",
		"# nothing\n":             "a.yaml: is empty, want a scenario",
		"[":                       "a.yaml:1: this is not YAML",
		"name: a":                 "a.yaml:1: duration: is missing, want from 1s to 24h",
		"name: [a]":               "a.yaml:1: name: got a list, want text",
		"nam: a":                  "a.yaml:1: nam: no such key; did you mean name?",
		"weather: fine":           "a.yaml:1: weather: no such key; known here: name, about, seed",
		"{name: a}\n---\n{}":      "a.yaml:2: a second document begins here; keep one",
		"a: &a {}\nrooms: *a\n":   "a.yaml:2: rooms: aliases are not understood here: write the value out",
		"name: a\nname: b\n":      "a.yaml:2: name: stands here a second time, first on line 1; keep one",
		"? [a]\n: b\n":            "a.yaml:1: got a list for a key, want text",
		"name: 5\n":               "a.yaml:1: name: got 5, want text: put it in quotes",
		"name:\n":                 "a.yaml:1: name: has no value, want text; leave the key out for its default",
		"duration: 10\n":          `a.yaml:1: duration: got "10", want a duration, for example 30s`,
		"seed: 010\n":             `a.yaml:1: seed: got "010", want a whole number`,
		"rooms: 5\n":              `a.yaml:1: rooms: got "5", want a list: [first, second]`,
		"rooms: [5]\n":            `a.yaml:1: rooms[0]: got "5", want keys: name, count, open, callers`,
		"networks: []\n":          "a.yaml:1: networks: got a list, want names, each with its keys",
		"networks:\n n:\n":        "a.yaml:2: networks.n: got nothing, want keys: preset",
		head + "- count: 0\n":     "a.yaml:4: rooms[0].count: got 0, want a whole number from 1 to 10000",
		head + "- count: 10001\n": "a.yaml:4: rooms[0].count: got 10001, want a whole number from 1 to 10000",
		head + "- name: R 1\n":    `a.yaml:4: rooms[0].name: got "R 1", want small letters, digits and dashes`,
		head + "- name: " + strings.Repeat("r", 41) + "\n": "a.yaml:4: rooms[0].name: got 41 characters, want at most 40",
		head + "- name: r\n":                                                          "a.yaml:4: rooms[0].callers: is missing, want a list",
		room + "    kind: ful\n":                                                      `a.yaml:9: rooms[0].callers[0].kind: got "ful", want one of full, light, browser; did you mean full?`,
		room + "    network: wify\n":                                                  `a.yaml:9: rooms[0].callers[0].network: no preset "wify"`,
		room + "    record: 3\n":                                                      "a.yaml:9: rooms[0].callers[0].record: got 3 of 2 callers",
		room + "    kind: light\n    record: 1\n":                                     "a.yaml:10: rooms[0].callers[0].record: a light caller plays nothing out",
		room + "    arrive: {every: 1s, over: 2s}\n":                                  "a.yaml:9: rooms[0].callers[0].arrive: got several of every, over and poisson; keep one",
		room + "    arrive: {every: 10s}\n":                                           "a.yaml:2: duration: got 10s, but the last caller comes at 10s",
		room + "    churn: {stay: 100ms, away: 1s}\n":                                 "rooms[0].callers[0].churn.stay: got 100ms, want from 1s to 24h",
		room + "    churn: {stay: 2s}\n":                                              "a.yaml:9: rooms[0].callers[0].churn.away: is missing, want from 100ms to 24h",
		room + "    reconnect: [{at: 10s}]\n":                                         "a.yaml:9: rooms[0].callers[0].reconnect[0].at: got 10s to 10s in a run of 10s",
		room + "  - name: p-2\n":                                                      `a.yaml:9: rooms[0].callers[1].name: a second caller of the room would be called "p-2"; rename one`,
		room + "warmup: 10s\n":                                                        "a.yaml:9: warmup: got 10s of a run of 10s: nothing would be measured",
		room + "pass: [luck > 1]\n":                                                   "a.yaml:9: pass[0]: no metric luck",
		room + "pass: ['']\n":                                                         "a.yaml:9: pass[0]: is empty, want a condition",
		room + "networks: {N: {}}\n":                                                  `a.yaml:9: networks.N: got the name "N", want small letters`,
		room + "networks: {n: {preset: fog}}\n":                                       `a.yaml:9: networks.n.preset: no preset "fog"`,
		room + "networks: {n: {trace: rain}}\n":                                       "a.yaml:9: networks.n.trace: line 1: want seconds,kbit/s",
		room + "networks: {n: {repeat: true}}\n":                                      "a.yaml:9: networks.n.repeat: there is no trace to repeat",
		room + "networks: {n: {up: {loss: 30}}}\n":                                    `a.yaml:9: networks.n.up.loss: got "30", want a share from 0% to 100%, for example 2.5%`,
		room + "networks: {n: {up: {loss: 101%}}}\n":                                  `got "101%", want a share`,
		room + "networks: {n: {up: {rate: 24kb}}}\n":                                  `got "24kb", want a rate, for example 24kbit/s or 1.2Mbit/s`,
		room + "networks: {n: {up: {rate: 5bit/s}}}\n":                                "networks.n.up.rate: got 5bit/s, want from 1kbit/s to 100Gbit/s",
		room + "networks: {n: {up: {delay: 11s}}}\n":                                  "networks.n.up.delay: got 11s, want from 0s to 10s",
		room + "networks: {n: {events: [{at: 10s, do: rebind}]}}\n":                   "networks.n.events[0].at: got 10s in a run of 10s",
		room + "networks: {n: {events: [{at: 2s, do: rebind}, {do: rebind}]}}\n":      "networks.n.events[1].at: got 0s after 2s; put events in order of time",
		room + "networks: {n: {events: [{at: 1s, do: blackout}]}}\n":                  "networks.n.events[0].for: is missing: blackout needs it",
		room + "networks: {n: {events: [{at: 1s, do: rebind, for: 1s}]}}\n":           "networks.n.events[0].for: belongs to blackout, not to rebind; leave it out",
		room + "networks: {n: {events: [{at: 1s, do: set}]}}\n":                       "networks.n.events[0]: set needs up, down or both",
		room + "networks: {n: {events: [{at: 1s, do: move, to: m}]}}\n":               `networks.n.events[0].to: no preset "m"; did you mean n?`,
		strings.Replace(room, "count: 2", "kind: full", 1):                            "rooms[0].callers: one caller alone receives nothing",
		strings.Replace(room, "publish", "#", 1):                                      "rooms[0].callers: nobody publishes anything: add to one group publish",
		strings.Replace(room, "microphone}", "microphone}, {media: microphone}", 1):   "rooms[0].callers[0].publish[1].media: a second microphone; keep one",
		strings.Replace(room, "microphone", "microphone, profile: 720p", 1):           "publish[0].profile: got 720p for a microphone, want one of voice, robust, saver, lean",
		strings.Replace(room, "microphone", "camera, profile: 180p, layers: 2", 1):    "publish[0].layers: got 2, want at most 1: a camera of 180p has no smaller ones",
		strings.Replace(room, "microphone", "camera, bitrate: 2Mbit/s", 1):            "publish[0].bitrate: a full caller plays clips, whose bitrate is what it is: choose a profile, or kind: light",
		strings.Replace(room, "publish", "talk: {spell: 1s, pause: 1s}\n    #", 1):    "rooms[0].callers[0].talk: there is no microphone to talk into",
		strings.Replace(room, "count: 2", "count: 20000\n    kind: light", 1) + room5: "rooms: got 20005 callers in all rooms, want at most 20000",
		strings.Replace(room, "duration: 10s", "duration: 24h", 1) + crowd:            "comings, goings and mutes, want at most 1000000",
	} {
		_, err := Parse("a.yaml", []byte(text), strict)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "%!", text)
	}
}

const (
	room5 = "- {name: s, callers: [{name: p, count: 5, publish: [{media: microphone}]}]}\n"
	crowd = "- {name: s, callers: [{name: p, count: 1000, kind: light, publish: [{media: microphone}], churn: {stay: 10s, away: 10s}}]}\n"
)

// TestAllProblemsAtOnce: one look at the file mends it; a flood is cut.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := Parse("a.yaml", []byte("nam: a\nduratoin: 1s\n"), Known{})
	require.Len(t, err, 2)
	_, err = Parse("a.yaml", []byte("rooms: ["+strings.Repeat("5,", 10_000)+"]"), Known{})
	require.ErrorContains(t, err, "and 9980 more")
	_, err = Parse("a.yaml", []byte("\"\\e[31m"+strings.Repeat("k", 5000)+"\": 1\n"), Known{})
	require.Less(t, len(err.Error()), 1000)
	require.NotContains(t, err.Error(), "\x1b")
	_, err = Parse("a.yaml", make([]byte, MaxText+1), Known{})
	require.ErrorContains(t, err, "a.yaml: got 1048577 bytes, want at most 1048576")
}

// TestCheckWithoutFile: a scenario made in Go is held to the same.
func TestCheckWithoutFile(t *testing.T) {
	s, err := Builtin("mobile")
	require.NoError(t, err)
	require.NoError(t, Check(s, Known{}))
	s.Networks["walk"].Events[0].Up.Loss = 1.5
	s.Rooms[0].Callers[0].Count = -1
	require.EqualError(t, Check(s, Known{}), "the scenario has 2 problems:\n"+
		"  rooms[0].callers[0].count: got -1, want a whole number from 1 to 20000\n"+
		"  networks.walk.events[0].up.loss: got 150%, want a share from 0% to 100%")
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]Rate{"24kbit/s": 24_000, "1.2 Mbit/s": 1_200_000, "1Gbit/s": 1e9, "999bit/s": 999, "0bit/s": 0} {
		var r Rate
		require.NoError(t, r.UnmarshalText([]byte(text)))
		require.Equal(t, want, r)
		var again Rate
		require.NoError(t, again.UnmarshalText([]byte(r.String())))
		require.Equal(t, r, again)
	}
	for text, want := range map[string]Share{"30%": 0.3, "2.5 %": 0.025, "0.000001%": 1e-8, "100%": 1, "7%": 0.07} {
		var s Share
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.InDelta(t, float64(want), float64(s), 1e-12)
		require.Equal(t, strings.ReplaceAll(text, " ", ""), s.String())
	}
	for _, text := range []string{"", "%", "1e3%", "NaN%", "-1%", "1.2.3%", "0x10%", "Infbit/s", "9999Gbit/s", "kbit/s"} {
		require.Error(t, new(Rate).UnmarshalText([]byte(text)), text)
		require.Error(t, new(Share).UnmarshalText([]byte(text)), text)
	}
}

func TestBurst(t *testing.T) {
	begin, end := Burst{Loss: 0.2, Length: 4}.Transitions()
	require.InDelta(t, 0.25, end, 1e-12)
	require.InDelta(t, 0.2, begin/(begin+end), 1e-12)
	begin, end = Burst{Loss: 1}.Transitions()
	require.LessOrEqual(t, begin, 1.0)
	require.LessOrEqual(t, end, 1.0)
}

// FuzzParse: whatever a file holds, it is read or refused; what is read can be played, and written again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example(f)))
	for _, b := range Builtins() {
		s, err := Builtin(b.Default)
		require.NoError(f, err)
		text, err := s.YAML()
		require.NoError(f, err)
		f.Add(text)
	}
	for _, text := range []string{
		"a: &a [*a]\n", "name: !!binary AAAA\n", "? [rooms]\n: {<<: {name: x}}\n", "duration: 0x10\n--- \n", "networks: {n: {up: {loss: !!int 5%}}}\n",
		"name: a\nduration: 1s\nrooms: [{name: r, count: 2, open: {poisson: 24h}, callers: [{name: p, count: 2, publish: [{media: camera}]}]}]\n",
		"name: a\nduration: 24h\nrooms: [{name: r, callers: [{name: p, count: 2, churn: {stay: 1s, away: 1s}, publish: [{media: camera}]}]}]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("a.yaml", text, strict)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NoError(t, Check(s, strict))
		_, people := s.Size()
		if people > 200 || s.Duration > time.Hour {
			return // Bounded by Check, but dear a thousand times a second.
		}
		callers := Schedule(s)
		require.Len(t, callers, people)
		for _, c := range callers {
			checkEvents(t, s, c)
		}
		written, err := s.YAML()
		require.NoError(t, err)
		again, err := Parse("a.yaml", written, strict)
		require.NoError(t, err, "%s", written)
		require.Equal(t, callers, Schedule(again))
	})
}
