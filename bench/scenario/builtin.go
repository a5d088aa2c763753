package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Usage tells of one built-in scenario.
type Usage struct {
	Name    string // "webinar"
	Usage   string // "webinar PxS"
	About   string // what it shows, in a sentence
	Default string // what the name alone stands for: "webinar 1x100"
}

// Builtins lists the built-in scenarios, from small to large.
func Builtins() []Usage {
	var all []Usage
	for _, b := range builtins {
		u := Usage{Name: b.name, Usage: b.name, About: b.about, Default: b.name}
		if b.parameters != "" {
			u.Usage += " " + b.parameters
			u.Default += " " + b.defaults
		}
		all = append(all, u)
	}
	return all
}

// builtin makes a scenario from one or two numbers.
type builtin struct {
	name, parameters, defaults, about string
	most                              int // of each number
	build                             func(a, b int) Scenario
}

var builtins = []builtin{
	{"one-to-one", "", "", "A call of two with sound and picture, ten seconds long: does it work, and how good is it?", 0, oneToOne},
	{"group", "N", "6", "N people in one room with microphone and camera, who talk in turns.", 50, group},
	{"pairs", "N", "10", "N rooms of two, sound both ways: what a telephone company's load looks like.", MaxRooms, pairs},
	{"meeting", "PxN", "6x6", "N people in one room, P of them with microphone and camera all the time: the dearest room there is.", 1000, meeting},
	{"webinar", "PxS", "1x100", "P presenters with sound and picture, S who listen and watch.", 10_000, webinar},
	{"room", "PxN", "20x1000", "N people in one room, P of them with sound and a small picture, and for each 3 voices and 9 pictures: a meeting of a whole town.", 10_000, largeRoom},
	{"audio-room", "PxS", "3x100", "P speakers, S listeners, sound alone.", 10_000, audioRoom},
	{"school-class", "N", "1", "N classes of a teacher with camera and screen and 25 pupils with small pictures, who speak when asked.", 400, schoolClass},
	{"churn", "N", "20", "N people who come and go all the time beside two who stay: do those who stay notice?", 1000, churn},
	{"reconnect-herd", "N", "100", "N people, ten to a room, lose the connection in one moment and come back; two others talk on.", 10_000, reconnectHerd},
	{"mobile", "", "", "Three calls on the way: from Wi-Fi to the mobile network, in a lift, on a train.", 0, mobile},
	{
		"steppe", "", "", "A voice call over the worst network that is still one: 24 kbit/s, 30 % loss, a NAT that forgets, UDP cut midway.",
		0, steppe,
	},
}

// options of a built-in, after its numbers: "pairs 500 kind=light duration=60s".
var options = []struct {
	name, want string
	set        func(s *Scenario, value string) bool
}{
	{"kind", "full, light or browser", setKind},
	{"network", "the name of a network preset", setNetwork},
	{"layers", "1, 2 or 3", setLayers},
	{"profile", "180p, 360p or 720p", setProfile},
	{"voice", "voice, robust, saver or lean", setVoice},
	{"view", "a size, or several and how long each stays, for example 320x180 or 1280x720,320x180,2s", setView},
	{"rooms", "how many rooms of this kind, for a scenario of one", setRooms},
	{"duration", "how long it is measured once all are there, for example 60s", setHeld},
	{"seed", "a whole number", setSeed},
}

// Builtin reads the name of a built-in scenario, its numbers and options: "webinar 1x500", "pairs 500 kind=light". The error
// lists what there is.
func Builtin(text string) (Scenario, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Scenario{}, fmt.Errorf("name a scenario: %s", usages())
	}
	i := slices.IndexFunc(builtins, func(b builtin) bool { return b.name == words[0] })
	if i < 0 {
		var names []string
		for _, b := range builtins {
			names = append(names, b.name)
		}
		return Scenario{}, fmt.Errorf("no scenario is called %q%s; there are: %s", printable(words[0]), didYouMean(words[0], names), usages())
	}
	b, words := builtins[i], words[1:]
	numbers := b.defaults
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		numbers, words = words[0], words[1:]
	}
	first, second, err := b.numbers(numbers)
	if err != nil {
		return Scenario{}, err
	}
	s := b.build(first, second)
	s.Name, s.Seed = b.name, 1
	s.About = b.about
	for _, word := range words {
		if err := s.option(word); err != nil {
			return Scenario{}, fmt.Errorf("scenario %s: %w", b.name, err)
		}
	}
	if err := Check(s, Known{}); err != nil {
		return Scenario{}, fmt.Errorf("scenario %s: %w", printable(text), err)
	}
	return s, nil
}

// numbers reads "500", "1x500" or "1×500".
func (b builtin) numbers(text string) (first, second int, err error) {
	if b.parameters == "" {
		if text != "" {
			return 0, 0, fmt.Errorf("scenario %s takes no numbers, got %q", b.name, printable(text))
		}
		return 0, 0, nil
	}
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == 'x' || r == 'X' || r == '×' })
	if (b.name == "meeting" || b.name == "room") && len(parts) == 1 {
		parts = append(parts, parts[0]) // All of them publish.
	}
	var values []int
	for _, part := range parts {
		value, err := strconv.Atoi(part)
		if err != nil || value < 1 || value > b.most {
			break
		}
		values = append(values, value)
	}
	want := 1 + strings.Count(b.parameters, "x")
	if len(values) != want || len(parts) != want {
		return 0, 0, fmt.Errorf("scenario %s: got %q, want %s, numbers from 1 to %d, for example %s %s",
			b.name, printable(text), b.parameters, b.most, b.name, b.defaults)
	}
	return values[0], values[want-1], nil
}

func (s *Scenario) option(word string) error {
	name, value, _ := strings.Cut(word, "=")
	var names []string
	for _, o := range options {
		names = append(names, o.name)
		if o.name != name {
			continue
		}
		if !o.set(s, value) {
			return fmt.Errorf("got %q, want %s=%s", printable(word), o.name, o.want)
		}
		return nil
	}
	return fmt.Errorf("no option %q%s; there are: %s", printable(name), didYouMean(name, names), strings.Join(names, ", "))
}

// everyGroup calls change for each group.
func (s *Scenario) everyGroup(change func(g *Group)) {
	for i := range s.Rooms {
		for j := range s.Rooms[i].Callers {
			change(&s.Rooms[i].Callers[j])
		}
	}
}

// setKind has everybody played so. What that kind cannot do is left out.
func setKind(s *Scenario, value string) bool {
	s.everyGroup(func(g *Group) {
		g.Kind = Kind(value)
		if g.Kind != Full {
			g.Record = 0
		}
		for i := range g.Publish {
			if g.Kind != Light {
				g.Publish[i].Bitrate, g.Publish[i].FPS = 0, 0
			}
		}
	})
	return slices.Contains([]Kind{Full, Light, Browser}, Kind(value))
}

// setNetwork puts everybody who has no network of their own on one.
func setNetwork(s *Scenario, value string) bool {
	s.everyGroup(func(g *Group) {
		if g.Network == "" {
			g.Network = value
		}
	})
	return networkNames.MatchString(value) && len(value) <= maxNetworkName
}

// setLayers asks for simulcast wherever the picture has so many smaller ones.
func setLayers(s *Scenario, value string) bool {
	layers, err := strconv.Atoi(value)
	s.everyGroup(func(g *Group) {
		for i, track := range g.Publish {
			g.Publish[i].Layers = min(layers, layersOf(track.filled()))
		}
	})
	return err == nil && layers >= 1 && layers <= 3
}

// setProfile changes the size of all that is filmed.
func setProfile(s *Scenario, value string) bool {
	s.setProfiles(Profile(value), false)
	return slices.Contains(pictures, Profile(value))
}

func setVoice(s *Scenario, value string) bool {
	s.setProfiles(Profile(value), true)
	return slices.Contains(sounds, Profile(value))
}

// setProfiles gives all pictures, or all sounds, one profile.
func (s *Scenario) setProfiles(p Profile, sound bool) {
	s.everyGroup(func(g *Group) {
		for i, track := range g.Publish {
			if (track.Media == Microphone) == sound {
				g.Publish[i].Profile = p
			}
		}
	})
}

// setView says how large everybody shows what comes: sizes, and behind several how long each stays.
func setView(s *Scenario, value string) bool {
	var view View
	for word := range strings.SplitSeq(value, ",") {
		var size Size
		if size.UnmarshalText([]byte(word)) == nil {
			view.Sizes = append(view.Sizes, size)
			continue
		}
		var err error
		if view.Every, err = time.ParseDuration(word); err != nil {
			return false
		}
	}
	s.everyGroup(func(g *Group) { g.View = &view })
	return len(view.Sizes) > 0
}

// setRooms makes copies of a scenario's only room, which open as fast as people may come.
func setRooms(s *Scenario, value string) bool {
	rooms, err := strconv.Atoi(value)
	if err != nil || rooms < 1 || rooms > MaxRooms || len(s.Rooms) != 1 || s.Rooms[0].Count > 1 {
		return false
	}
	room := &s.Rooms[0]
	room.Count = rooms
	if rooms*room.people() > maxFull {
		room.Open.Every = time.Duration(room.people()) * joinGap
		s.shift(time.Duration(rooms-1) * room.Open.Every)
	}
	return true
}

func setHeld(s *Scenario, value string) bool {
	held, err := time.ParseDuration(value)
	ok := err == nil && held >= time.Second && held <= 24*time.Hour
	if ok {
		s.Duration = s.Warmup + held
	}
	return ok
}

func setSeed(s *Scenario, value string) bool {
	seed, err := strconv.ParseUint(value, 10, 53)
	s.Seed = seed
	return err == nil
}

func usages() string {
	var all []string
	for _, u := range Builtins() {
		all = append(all, u.Usage)
	}
	return strings.Join(all, ", ")
}

// Callers whose whole client we can afford on a small machine; beyond, they are light.
const maxFull = 40

// joinGap is between two joins of a large scenario: 50 a second, which a small server's handshakes keep up with.
const joinGap = 20 * time.Millisecond

// settled is after the last join, before measuring: time for keys, keyframes and estimates.
const settled = 2 * time.Second

func kindFor(people int) Kind {
	if people > maxFull {
		return Light
	}
	return Full
}

// coming is how so many people come, and how long that takes: few at once, many at a rate that handshakes keep up with.
func coming(people int) (arrival Arrival, all time.Duration) {
	if people <= maxFull {
		return Arrival{}, 0
	}
	return Arrival{Every: joinGap}, time.Duration(people) * joinGap
}

// held is a run in which everybody is there for so long after the last has come.
func held(s Scenario, all, long time.Duration) Scenario {
	s.Warmup = (all + settled).Round(time.Second)
	s.Duration = s.Warmup + long
	return s
}

// What a good network must give: goals of the project, with room for a busy machine.
var (
	joins   = []string{"failed == 0", "join_p95 <= 2s", "missing == 0", "wrong == 0"}
	hearing = []string{"audio_loss_p99 <= 0.5%", "audio_concealed_p95 <= 2%", "audio_delay_p99 <= 100ms", "mos_p5 >= 4"}
	seeing  = []string{"video_loss_p99 <= 0.5%", "frozen_p95 <= 2%"}
	// Light callers measure what arrives; they play nothing out.
	arriving = []string{"loss_p99 <= 0.5%", "delay_p99 <= 50ms"}
)

func microphone() Track         { return Track{Media: Microphone} }
func camera(p Profile) Track    { return Track{Media: Camera, Profile: p} }
func tracks(t ...Track) []Track { return t }

// passes are the conditions for what kind of callers can measure.
func passes(kind Kind, video bool) []string {
	switch {
	case kind == Light:
		return slices.Concat(joins, arriving)
	case video:
		return slices.Concat(joins, hearing, seeing)
	default:
		return slices.Concat(joins, hearing)
	}
}

func oneToOne(int, int) Scenario {
	return held(Scenario{
		Grows: GrowRooms,
		Rooms: []Room{{Name: "call", Callers: []Group{
			{Name: "aru", Publish: tracks(microphone(), camera(P720)), Record: 1},
			{Name: "bek", Publish: tracks(microphone(), camera(P720)), Record: 1},
		}}},
		Pass: passes(Full, true),
	}, 0, 8*time.Second)
}

func group(n, _ int) Scenario {
	kind := kindFor(n)
	record := 0
	if kind == Full {
		record = 1
	}
	return held(Scenario{
		Rooms: []Room{{Name: "group", Callers: []Group{{
			Name: "person", Count: max(2, n), Kind: kind, Record: record,
			Publish: tracks(microphone(), camera(P360)),
			Talk:    &Talk{Spell: 4 * time.Second, Pause: 8 * time.Second},
		}}}},
		Pass: passes(kind, true),
	}, 0, 13*time.Second)
}

func pairs(n, _ int) Scenario {
	kind := kindFor(2 * n)
	open, all := coming(2 * n)
	open.Every *= 2 // Two join a room.
	return held(Scenario{
		Grows: GrowRooms,
		Rooms: []Room{{Name: "pair", Count: n, Open: open, Callers: []Group{
			{Name: "person", Count: 2, Kind: kind, Publish: tracks(microphone())},
		}}},
		Pass: passes(kind, false),
	}, all, 20*time.Second)
}

func meeting(p, n int) Scenario {
	n = max(2, n, p)
	kind := kindFor(n)
	arrive, all := coming(n)
	callers := []Group{{Name: "person", Count: p, Kind: kind, Arrive: arrive, Publish: tracks(microphone(), camera(P720))}}
	if n > p {
		callers = append(callers, Group{Name: "listener", Count: n - p, Kind: kind, Arrive: arrive})
	}
	return held(Scenario{
		Grows: GrowPeople,
		Rooms: []Room{{Name: "meeting", Callers: callers}},
		Pass:  passes(kind, true),
	}, all, 20*time.Second)
}

// audience is S who receive: cheap ones, and one whole client among them, who says what it looks and sounds like.
func audience(s int) (groups []Group, all time.Duration) {
	arrive, all := coming(s)
	groups = []Group{{Name: "witness", Record: 1}}
	if s > 1 {
		groups = append(groups, Group{Name: "subscriber", Count: s - 1, Kind: kindFor(s), Arrive: arrive})
	}
	return groups, all
}

func webinar(p, s int) Scenario {
	listening, all := audience(s)
	presenters := Group{Name: "presenter", Count: p, Kind: kindFor(p), Publish: tracks(microphone(), camera(P720))}
	return held(Scenario{
		Grows: GrowPeople,
		Rooms: []Room{{Name: "webinar", Callers: append([]Group{presenters}, listening...)}},
		Pass:  passes(kindFor(s), true),
	}, all, 20*time.Second)
}

// largeRoom is a load of pictures and voices that two cores carry for a thousand: few packets of each, as thumbnails have.
func largeRoom(p, n int) Scenario {
	n = max(2, n, p)
	arrive, all := coming(n)
	thumbnail := Track{Media: Camera, Profile: P180, Bitrate: 60_000, FPS: 8}
	receive := &Receive{Audio: 3, Video: 9} // as the SDKs ask for
	callers := []Group{{
		Name: "speaker", Count: p, Kind: Light, Arrive: arrive, Publish: tracks(Track{Media: Microphone, Profile: Saver}, thumbnail),
		Receive: receive, Talk: &Talk{Spell: 8 * time.Second, Pause: 32 * time.Second}, // of twenty, four at a time
	}}
	if n > p {
		callers = append(callers, Group{Name: "listener", Count: n - p, Kind: Light, Arrive: arrive, Receive: receive})
	}
	return held(Scenario{
		Grows: GrowPeople,
		Rooms: []Room{{Name: "room", Callers: callers}},
		Pass:  passes(Light, true),
	}, all, 20*time.Second)
}

func audioRoom(p, s int) Scenario {
	listening, all := audience(s)
	speakers := Group{
		Name: "speaker", Count: p, Kind: kindFor(p), Publish: tracks(microphone()),
		Talk: &Talk{Spell: 10 * time.Second, Pause: 5 * time.Second},
	}
	return held(Scenario{
		Grows: GrowPeople,
		Rooms: []Room{{Name: "audio-room", Callers: append([]Group{speakers}, listening...)}},
		Pass:  passes(kindFor(s), false),
	}, all, 20*time.Second)
}

func schoolClass(n, _ int) Scenario {
	const pupils = 25
	kind := kindFor(n * (pupils + 1))
	arrive, all := Arrival{Over: 5 * time.Second}, 5*time.Second // All come when the bell rings.
	open := Arrival{}
	if n > 1 {
		open.Every = pupils * joinGap
		all += time.Duration(n) * open.Every
	}
	record := 0
	if kind == Full {
		record = 1
	}
	pupil := Group{
		Name: "pupil", Count: pupils, Kind: kind, Arrive: arrive, Network: "wifi", Record: record,
		Publish: tracks(microphone(), camera(P180)),
		Receive: &Receive{Audio: 3, Video: 9}, // The teacher's two and a row of faces.
		Talk:    &Talk{Spell: 3 * time.Second, Pause: 60 * time.Second},
	}
	teacher := Group{
		Name: "teacher", Kind: kind, Network: "wifi",
		Publish: tracks(microphone(), camera(P720), Track{Media: Screen, Profile: P720}),
		Receive: &Receive{Audio: 3, Video: pupils},
	}
	pass := slices.Concat(joins, []string{"audio_loss_p99 <= 1%", "video_loss_p99 <= 2%"})
	if kind == Full {
		pass = append(pass, "audio_concealed_p95 <= 3%", "mos_p5 >= 3.8")
	}
	return held(Scenario{
		Grows: GrowRooms,
		Rooms: []Room{{Name: "class", Count: n, Open: open, Callers: []Group{teacher, pupil}}},
		Pass:  pass,
	}, all, 30*time.Second)
}

func churn(n, _ int) Scenario {
	return held(Scenario{
		Grows: GrowPeople,
		Rooms: []Room{{Name: "room", Callers: []Group{
			{Name: "resident", Count: 2, Publish: tracks(microphone(), camera(P360)), Record: 1},
			{
				Name: "visitor", Count: n, Kind: Light, Publish: tracks(microphone()),
				Arrive: Arrival{Poisson: 100 * time.Millisecond},
				Churn:  &Churn{Stay: 10 * time.Second, Away: 5 * time.Second},
			},
		}}},
		Pass: []string{"failed == 0", "join_p95 <= 2s", "wrong == 0", "audio_loss_p99 <= 1%", "audio_concealed_p95 <= 2%", "frozen_p95 <= 2%"},
	}, time.Duration(n)*200*time.Millisecond, 40*time.Second)
}

func reconnectHerd(n, _ int) Scenario {
	const to = 10 // people a room
	each, copies := min(n, to), (n+to-1)/to
	open := Arrival{}
	all := time.Duration(0)
	if copies > 1 {
		open.Every = to * joinGap
		all = time.Duration(copies) * open.Every
	}
	s := held(Scenario{
		Grows: GrowRooms,
		Rooms: []Room{
			{Name: "bystanders", Callers: []Group{
				{Name: "aru", Publish: tracks(microphone(), camera(P360)), Record: 1},
				{Name: "bek", Publish: tracks(microphone(), camera(P360))},
			}},
			{Name: "herd", Count: copies, Open: open, Callers: []Group{
				{Name: "person", Count: max(2, each), Kind: Light, Publish: tracks(microphone())},
			}},
		},
		// Nobody of the herd needs more than five seconds, and those who talk on hear nothing of it.
		Pass: []string{"failed == 0", "gap_p99 <= 5s", "wrong == 0", "audio_concealed_p95 <= 2%", "frozen_p95 <= 5%"},
	}, all, 25*time.Second)
	s.Rooms[1].Callers[0].Reconnect = []Reconnect{{At: s.Warmup + 5*time.Second}}
	return s
}

func mobile(int, int) Scenario {
	call := func(name, network string) Room {
		return Room{Name: name, Callers: []Group{
			{Name: "traveller", Network: network, Publish: tracks(microphone(), camera(P360)), Record: 1},
			{Name: "home", Network: "lan", Publish: tracks(microphone(), camera(P360)), Record: 1},
		}}
	}
	return held(Scenario{
		Grows: GrowRooms,
		Rooms: []Room{call("leaving-home", "walk"), call("lift", "lift"), call("train", "train")},
		Networks: map[string]Network{
			// Wi-Fi that grows thin at the garden gate, and then the mobile network.
			"walk": {Preset: "wifi", Events: []NetworkEvent{
				{
					At: 8 * time.Second, Do: Set,
					Up:   &Link{Delay: 10 * time.Millisecond, Jitter: 40 * time.Millisecond, Loss: 0.08, Rate: 2_000_000},
					Down: &Link{Delay: 10 * time.Millisecond, Jitter: 40 * time.Millisecond, Loss: 0.05, Rate: 4_000_000},
				},
				{At: 12 * time.Second, Do: Move, To: "lte"},
			}},
		},
		Pass: []string{"failed == 0", "join_p95 <= 3s", "wrong == 0", "missing == 0", "gap_max <= 9s", "audio_concealed_p50 <= 10%"}, // The lift is dark for 6 s.
	}, 0, 38*time.Second)
}

func steppe(int, int) Scenario {
	speaker := func(name, network string) Group {
		return Group{Name: name, Network: network, Publish: tracks(Track{Media: Microphone, Profile: Lean}), Record: 1}
	}
	return held(Scenario{
		Grows: GrowRooms,
		// The network forgets at 10 s and cuts UDP at 20 s: the preset's own events.
		Rooms: []Room{{Name: "steppe", Callers: []Group{speaker("herder", "steppe"), speaker("city", "lan")}}},
		Pass: []string{
			"failed == 0", "missing == 0", "wrong == 0",
			// The cut may be heard once; beside that, a tenth of any ten seconds.
			"audio_hole_max <= 2s", "audio_concealed_10s_max <= 10%",
		},
	}, 0, 30*time.Second)
}
