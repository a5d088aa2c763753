package scenario

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Caller is one synthetic client: all that the process that plays it must know besides the server. Its JSON, with durations in
// nanoseconds, goes both ways without loss. Nothing in it is left to a default.
type Caller struct {
	Number     int     `json:"number"`   // from 1, in the order of the file; each has another
	Room       string  `json:"room"`     // unique in the run
	Identity   string  `json:"identity"` // unique in the room
	Group      string  `json:"group"`
	Kind       Kind    `json:"kind"`
	Publish    []Track `json:"publish,omitempty"`
	AudioSlots int     `json:"audio_slots"` // most streams that it takes at one time, 0 to 16
	VideoSlots int     `json:"video_slots"` // 0 to 49
	// Networks that it meets: the first is where it begins, the others those that its events move to, in order of their names.
	// None: the machine's own.
	Networks []Network `json:"networks,omitempty"`
	Record   bool      `json:"record,omitempty"` // keep what it would have heard and seen
	Seed     uint64    `json:"seed"`             // of the dice that are its own: links, where in a clip it begins
	Events   []Event   `json:"events"`           // in order of At, the first is Join
}

// Person is who a caller is to a server that counts the sessions of each person: the same name in another room is another one.
func Person(room, identity string) string { return room + "." + identity }

// IdentityOf takes back from a server's word what Person added; what has nothing added is as it is.
func IdentityOf(room, person string) string { return strings.TrimPrefix(person, room+".") }

// Event is something that a caller does.
type Event struct {
	At   time.Duration `json:"at_ns"` // since the start of the run, whole milliseconds
	Do   Action        `json:"do"`
	Size Size          `json:"size,omitempty"` // of a Look
}

// Action is what a caller does at a moment.
type Action string

// The actions. A caller joins with its microphone open, a Mute in the same moment follows its Join. What a caller of a Network
// meets stands in the Network.
const (
	Join   Action = "join"
	Leave  Action = "leave" // with a goodbye
	Rejoin Action = "rejoin"
	Drop   Action = "reconnect" // the connection is gone without a goodbye, and is set up again at once
	Mute   Action = "mute"      // the microphone
	Unmute Action = "unmute"
	Look   Action = "look" // every picture is as large as Size from now on
)

// The most streams that a client may ask for: docs/protocol.md, Join.
const (
	maxAudioSlots = 16
	maxVideoSlots = 49
)

var (
	sounds   = []Profile{Voice, Robust, Saver, Lean}
	pictures = []Profile{P180, P360, P720} // from small to large: each has those before it as lower layers
	bitrates = map[Profile]Rate{
		Voice: 32_000, Robust: 24_000, Saver: 12_000, Lean: 6_000, P180: 120_000, P360: 400_000, P720: 1_200_000,
	}
)

// Schedule says who does what when, in the order of the file. s has passed Check.
//
// Equal scenarios have equal schedules. What one caller draws depends on the seed and on the names of its room, its group and
// itself alone; only numbers shift when somebody is put in before. Callers of one network share its slices: do not write to them.
func Schedule(s Scenario) []Caller {
	_, people := s.Size()
	callers := make([]Caller, 0, people)
	networks := map[string][]Network{}
	for p := range places(s) {
		g := p.group
		if _, known := networks[g.Network]; !known {
			networks[g.Network] = s.reachable(g.Network)
		}
		c := Caller{
			Number:   len(callers) + 1,
			Room:     p.roomName(),
			Identity: p.identity(),
			Group:    g.Name,
			Kind:     g.kind(),
			Networks: networks[g.Network],
			Record:   p.copied == 0 && p.number < g.Record,
			Seed:     p.dice(s.Seed, "caller").Uint64(),
			Events:   p.events(s),
		}
		for _, track := range g.Publish {
			c.Publish = append(c.Publish, track.filled())
		}
		c.AudioSlots, c.VideoSlots = p.room.slots(g)
		callers = append(callers, c)
	}
	return callers
}

// place is one caller's: a copy of a room, and a number in a group, both from 0.
type place struct {
	room    Room
	copied  int
	group   Group
	number  int
	arrives time.Duration
}

// places goes over everybody in the order of the file.
func places(s Scenario) func(yield func(place) bool) {
	return func(yield func(place) bool) {
		for _, room := range s.Rooms {
			opens := room.Open.moments(dice(s.Seed, room.Name, "open"), room.copies())
			for copied := range room.copies() {
				for _, group := range room.Callers {
					p := place{room: room, copied: copied, group: group}
					for i, at := range group.Arrive.moments(p.dice(s.Seed, "arrive"), group.people()) {
						p.number, p.arrives = i, opens[copied]+at
						if !yield(p) {
							return
						}
					}
				}
			}
		}
	}
}

func (p place) roomName() string { return numbered(p.room.Name, p.copied, p.room.copies()) }
func (p place) identity() string { return numbered(p.group.Name, p.number, p.group.people()) }

// numbered is the name of the i-th of several; one alone has the name itself.
func numbered(name string, i, of int) string {
	if of == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, i+1)
}

// dice are for one purpose of one caller, or of all of its group where they do not depend on the caller's number.
func (p place) dice(seed uint64, purpose string) *rand.Rand {
	return dice(seed, p.room.Name, p.copied, p.group.Name, p.number, purpose)
}

// dice depend on the seed and on what they are for, and on nothing else.
func dice(seed uint64, purpose ...any) *rand.Rand {
	sum := sha256.Sum256(fmt.Appendln(nil, append([]any{seed}, purpose...)...)) // Names hold no blanks: no two purposes read alike.
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])))
}

// moments says when each of n comes, in order. The first ones do not depend on n, except with Over.
func (a Arrival) moments(r *rand.Rand, n int) []time.Duration {
	moments := make([]time.Duration, n)
	at := a.At
	for i := range moments {
		switch {
		case a.Every > 0:
			at = a.At + time.Duration(i)*a.Every
		case a.Over > 0:
			at = a.At + time.Duration((float64(i)+r.Float64())*float64(a.Over)/float64(n))
		case a.Poisson > 0 && i > 0:
			at += time.Duration(exponential(r) * float64(a.Poisson))
		}
		moments[i] = at.Truncate(time.Millisecond)
	}
	return moments
}

// exponential is a random gap of mean 1.
func exponential(r *rand.Rand) float64 { return -math.Log(1 - r.Float64()) }

// about is a random time of about the mean: exponential, from a quarter to four times of it, in whole milliseconds.
func about(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(min(4, max(0.25, exponential(r))) * float64(mean)).Round(time.Millisecond)
}

// lastArrival is when the last caller joins for the first time.
func lastArrival(s Scenario) time.Duration {
	last := time.Duration(0)
	for p := range places(s) {
		last = max(last, p.arrives)
	}
	return last
}

// span is a time that a caller is there.
type span struct{ from, to time.Duration }

// events of one caller in order of time.
func (p place) events(s Scenario) []Event {
	spans := p.spans(s)
	var events []Event
	for i, there := range spans {
		do := Rejoin
		if i == 0 {
			do = Join
		}
		events = append(events, Event{At: there.from, Do: do})
		if there.to < s.Duration {
			events = append(events, Event{At: there.to, Do: Leave})
		}
	}
	events = append(events, p.talk(s, spans)...)
	events = append(events, p.looks(s, spans)...)
	events = append(events, p.drops(s, spans)...)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return events
}

// spans are the times that the caller is there, in order.
func (p place) spans(s Scenario) []span {
	end := s.Duration
	if p.group.Stay > 0 {
		end = min(end, p.arrives+p.group.Stay)
	}
	churn := p.group.Churn
	if churn == nil {
		return []span{{p.arrives, end}}
	}
	var spans []span
	r := p.dice(s.Seed, "churn")
	for from := p.arrives; from < end; {
		to := min(end, from+about(r, churn.Stay))
		spans = append(spans, span{from, to})
		from = to + about(r, churn.Away)
	}
	return spans
}

// talk is when the microphone is opened and closed. Each time the caller comes it begins open or closed, as the means have it.
func (p place) talk(s Scenario, spans []span) []Event {
	talk := p.group.Talk
	if talk == nil {
		return nil
	}
	var events []Event
	r := p.dice(s.Seed, "talk")
	for _, there := range spans {
		talks := r.Float64() < talk.Spell.Seconds()/(talk.Spell+talk.Pause).Seconds()
		if !talks {
			events = append(events, Event{At: there.from, Do: Mute})
		}
		for at := there.from; ; {
			mean, next := talk.Spell, Mute
			if !talks {
				mean, next = talk.Pause, Unmute
			}
			at += about(r, mean)
			if at >= there.to {
				break
			}
			events = append(events, Event{At: at, Do: next})
			talks = !talks
		}
	}
	return events
}

// looks are when pictures get another size. Whoever comes again begins with the first; the moments are one caller's own.
func (p place) looks(s Scenario, spans []span) []Event {
	view := p.group.View
	if view == nil {
		return nil
	}
	var events []Event
	r := p.dice(s.Seed, "view")
	for _, there := range spans {
		events = append(events, Event{At: there.from, Do: Look, Size: view.Sizes[0]})
		if len(view.Sizes) == 1 {
			continue
		}
		at := there.from + time.Duration(r.Float64()*float64(view.Every)).Truncate(time.Millisecond)
		for i := 1; at < there.to; i++ {
			events = append(events, Event{At: at, Do: Look, Size: view.Sizes[i%len(view.Sizes)]})
			at += view.Every
		}
	}
	return events
}

// drops are the caller's part in each herd: none while it is away.
func (p place) drops(s Scenario, spans []span) []Event {
	var events []Event
	for i, herd := range p.group.Reconnect {
		r := p.dice(s.Seed, fmt.Sprint("reconnect ", i))
		chosen := r.Float64() < float64(herd.share())
		at := (herd.At + time.Duration(r.Float64()*float64(herd.Over))).Truncate(time.Millisecond)
		there := slices.ContainsFunc(spans, func(there span) bool { return there.from < at && at < there.to })
		if chosen && there {
			events = append(events, Event{At: at, Do: Drop})
		}
	}
	return events
}

func (r Reconnect) share() Share {
	if r.Share == 0 {
		return 1
	}
	return r.Share
}

func (g Group) kind() Kind { return cmp.Or(g.Kind, Full) }

// filled is the track with nothing left to a default.
func (t Track) filled() Track {
	if t.Media == Microphone {
		t.Profile = cmp.Or(t.Profile, Voice)
	} else {
		t.Profile = cmp.Or(t.Profile, P720)
	}
	t.Layers = max(1, t.Layers)
	t.Bitrate = cmp.Or(t.Bitrate, bitrates[t.Profile])
	return t
}

// Encoding is one of the streams that a track is sent as.
type Encoding struct {
	RID     string // a=rid; empty where the track has no other
	Profile Profile
	Bitrate Rate
}

// Encodings of a track of a Caller, from the smallest to the profile's own: their place is the layer in stamps (source.Sender).
func (t Track) Encodings() []Encoding {
	if t.Layers <= 1 {
		return []Encoding{{Profile: t.Profile, Bitrate: t.Bitrate}}
	}
	var all []Encoding
	for i, profile := range pictures[max(0, layersOf(t)-t.Layers):layersOf(t)] {
		// Browsers' usual names: quarter, half and full.
		rid := []string{"q", "h", "f"}[len(pictures)-t.Layers+i]
		all = append(all, Encoding{RID: rid, Profile: profile, Bitrate: t.Bitrate * bitrates[profile] / bitrates[t.Profile]})
	}
	return all
}

// layersOf is how many encodings a track of a profile can have.
func layersOf(t Track) int {
	if t.Media == Microphone {
		return 1
	}
	return slices.Index(pictures, t.Profile) + 1
}

// slots is the most streams that a caller of g takes: what it says, or all that the others publish.
func (r Room) slots(g Group) (audio, video int) {
	if g.Receive != nil {
		return g.Receive.Audio, g.Receive.Video
	}
	for _, other := range r.Callers {
		a, v := other.publishes()
		audio += other.people() * a
		video += other.people() * v
	}
	a, v := g.publishes()
	return min(maxAudioSlots, audio-a), min(maxVideoSlots, video-v)
}

// reachable is the network of that name, and after it those that its events move to: the events of those do not happen. A name that
// is not among the scenario's networks is a preset's.
func (s Scenario) reachable(name string) []Network {
	if name == "" {
		return nil
	}
	all := []Network{s.named(name)}
	targets := map[string]bool{}
	for _, e := range all[0].Events {
		if e.Do == Move && e.To != name {
			targets[e.To] = true
		}
	}
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		all = append(all, s.named(target))
	}
	return all
}

func (s Scenario) named(name string) Network {
	n, ok := s.Networks[name]
	if !ok {
		n.Preset = name
	}
	n.Name = name
	return n
}
