package scenario

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// The most that a scenario may hold. They keep a slip of the pen from eating the machine.
const (
	MaxText   = 1 << 20   // bytes of a file
	MaxPeople = 20_000    // callers of all rooms
	MaxRooms  = 10_000    // of all copies: half of MaxPeople, two being a call
	MaxEvents = 1_000_000 // comings, goings and mutes of all callers, as expected from their means
	// A recording stands whole in the report.
	maxRecords = 16
)

// Scenario is what is played. In its values zero means the default that the field's comment names.
type Scenario struct {
	// Name of the scenario, for reports: small letters, digits and dashes.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]*$,maxLength=40"`
	// What it is for, in a sentence.
	About string `yaml:"about,omitempty" jsonschema:"maxLength=1000"`
	// Seed of all that is drawn: the same seed has the same schedule and the same dice on the links. At most 2^53.
	Seed uint64 `yaml:"seed,omitempty" jsonschema:"minimum=0,maximum=9007199254740992"`
	// How long it runs, the coming of callers included. From 1s to 24h.
	Duration time.Duration `yaml:"duration" jsonschema:"required" range:"1s..24h"`
	// Left out of what is measured, from the start. The default is nothing; how long callers took to join is always measured.
	Warmup time.Duration `yaml:"warmup,omitempty" range:"0s..24h"`
	// What a capacity run makes more of: copies of the last room, or people of its last group. The default is rooms when the
	// last room has copies, else people.
	Grows Growth `yaml:"grows,omitempty" jsonschema:"enum=rooms,enum=people"`
	// The rooms, all open at the same time.
	Rooms []Room `yaml:"rooms" jsonschema:"required,minItems=1,maxItems=1000"`
	// Networks by name, for the callers' network and for moves.
	Networks map[string]Network `yaml:"networks,omitempty" jsonschema:"maxProperties=100"`
	// Conditions that all must hold for the run to pass, for example "audio_concealed_p95 <= 2%".
	Pass []string `yaml:"pass,omitempty" jsonschema:"maxItems=100"`
}

// Growth is what a capacity run makes more of.
type Growth string

// What can grow.
const (
	GrowRooms  Growth = "rooms"
	GrowPeople Growth = "people"
)

// Room is a call, or many of one kind.
type Room struct {
	// Name of the room; its copies are name-1, name-2 and so on.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]*$,maxLength=40"`
	// How many rooms of this kind there are. The default is 1.
	Count int `yaml:"count,omitempty" jsonschema:"minimum=1,maximum=10000"`
	// When the copies open: the callers' own times count from there. The default is all at once.
	Open Arrival `yaml:"open,omitempty"`
	// Who is in it, in groups of equals.
	Callers []Group `yaml:"callers" jsonschema:"required,minItems=1,maxItems=100"`
}

// Group is callers who do the same.
type Group struct {
	// Name of the group, and identity of its caller; several are name-1, name-2 and so on.
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9-]*$,maxLength=40"`
	// How many callers of this kind are in each copy of the room. The default is 1.
	Count int `yaml:"count,omitempty" jsonschema:"minimum=1,maximum=20000"`
	// What plays the caller: full is a whole client with playout and repair, light is cheap and for load, browser is headless
	// Chromium. The default is full.
	Kind Kind `yaml:"kind,omitempty" jsonschema:"enum=full,enum=light,enum=browser"`
	// What each of them publishes. The default is nothing: they listen and watch.
	Publish []Track `yaml:"publish,omitempty" jsonschema:"maxItems=3"`
	// The most streams that each takes at one time. The default is all that the others of its room publish, as far as a client
	// may ask: 16 of sound, 49 of pictures.
	Receive *Receive `yaml:"receive,omitempty"`
	// How large each shows what it receives, and asks the server for. The default is not to say.
	View *View `yaml:"view,omitempty"`
	// The network of each: one of networks, or a preset. The default is the machine's own, as it is.
	Network string `yaml:"network,omitempty" jsonschema:"maxLength=40"`
	// When they come. The default is all at once, when the room opens.
	Arrive Arrival `yaml:"arrive,omitempty"`
	// How long each stays in all. The default is to the end. From 1s to 24h.
	Stay time.Duration `yaml:"stay,omitempty" range:"1s..24h"`
	// They leave and come again, over and over.
	Churn *Churn `yaml:"churn,omitempty"`
	// They talk in turns and mute the microphone in between. The default is to talk all the time.
	Talk *Talk `yaml:"talk,omitempty"`
	// Moments at which they lose the connection, all together, and come back at once.
	Reconnect []Reconnect `yaml:"reconnect,omitempty" jsonschema:"maxItems=100"`
	// How many of them, in the first copy of the room, have what they would have heard and seen kept in the report. Full callers
	// only. The default is none.
	Record int `yaml:"record,omitempty" jsonschema:"minimum=1,maximum=16"`
}

// Kind is what plays a caller.
type Kind string

// The kinds of callers.
const (
	Full    Kind = "full"
	Light   Kind = "light"
	Browser Kind = "browser"
)

// Track is one thing that a caller publishes.
type Track struct {
	// What it is. A caller has at most one of each.
	Media Media `yaml:"media" json:"media" jsonschema:"required,enum=microphone,enum=camera,enum=screen"`
	// Of a microphone: voice (Opus, 32 kbit/s, 20 ms a packet; the default), robust (24 kbit/s, 20 ms, with in-band FEC), saver
	// (12 kbit/s, 60 ms) or lean (6 kbit/s, 120 ms). Of camera and screen: the size of the picture at 30 frames a second, 180p
	// (120 kbit/s), 360p (400 kbit/s) or 720p (1.2 Mbit/s; the default).
	Profile Profile `yaml:"profile,omitempty" json:"profile" jsonschema:"enum=voice,enum=robust,enum=saver,enum=lean,enum=180p,enum=360p,enum=720p"`
	// Simulcast encodings, the profile's size and as many smaller ones. The default is 1, no simulcast.
	Layers int `yaml:"layers,omitempty" json:"layers" jsonschema:"minimum=1,maximum=3"`
	// Another bitrate than the profile's, of light callers: they make their packets up. Full callers play clips, whose bitrate is
	// what it is. From 1kbit/s to 100Mbit/s.
	Bitrate Rate `yaml:"bitrate,omitempty" json:"bitrate" range:"1kbit/s..100Mbit/s"`
	// Another number of pictures a second than 30, of light callers, for the same reason.
	FPS int `yaml:"fps,omitempty" json:"fps,omitempty" jsonschema:"minimum=1,maximum=60"`
}

// Media is what a track carries; also its id within the caller.
type Media string

// The media.
const (
	Microphone Media = "microphone"
	Camera     Media = "camera"
	Screen     Media = "screen"
)

// Profile is how a track is coded.
type Profile string

// The profiles.
const (
	Voice  Profile = "voice"  // Opus, 32 kbit/s, 20 ms a packet
	Robust Profile = "robust" // Opus, 24 kbit/s, 20 ms a packet, with in-band FEC: 50 kbit/s on the wire
	Saver  Profile = "saver"  // Opus, 12 kbit/s, 60 ms a packet: 21 kbit/s on the wire
	Lean   Profile = "lean"   // Opus, 6 kbit/s, 120 ms a packet: 10 kbit/s on the wire, 22 with two copies of each
	P180   Profile = "180p"   // 320×180
	P360   Profile = "360p"   // 640×360
	P720   Profile = "720p"   // 1280×720
)

// Receive is the most streams that a caller takes at one time.
type Receive struct {
	// Of sound, from 0 to 16. The default is 0.
	Audio int `yaml:"audio,omitempty" jsonschema:"minimum=0,maximum=16"`
	// Of pictures, from 0 to 49. The default is 0.
	Video int `yaml:"video,omitempty" jsonschema:"minimum=0,maximum=49"`
}

// View is how large a caller shows every picture.
type View struct {
	// The sizes, one after the other and over and over: 320x180. From 1x1 to 16384x16384.
	Sizes []Size `yaml:"sizes" jsonschema:"required,minItems=1,maxItems=16"`
	// How long it stays with one of several. Each caller changes at moments of its own. From 100ms to 24h.
	Every time.Duration `yaml:"every,omitempty" range:"100ms..24h"`
}

// Arrival says when each of several comes. At most one of every, over and poisson is set; without them all come at once.
type Arrival struct {
	// When the first comes. The default is at once.
	At time.Duration `yaml:"at,omitempty" range:"0s..24h"`
	// One after the other, this far apart.
	Every time.Duration `yaml:"every,omitempty" range:"1ms..24h"`
	// Spread over this time: each at a random moment of its share of it.
	Over time.Duration `yaml:"over,omitempty" range:"1ms..24h"`
	// As strangers come, each by himself: gaps are random, this long on average.
	Poisson time.Duration `yaml:"poisson,omitempty" range:"1ms..24h"`
}

// Churn is leaving and coming again. Times are random, from a quarter to four times the mean.
type Churn struct {
	// How long a caller is there, on average. From 1s to 24h.
	Stay time.Duration `yaml:"stay" jsonschema:"required" range:"1s..24h"`
	// How long it is away, on average. From 100ms to 24h.
	Away time.Duration `yaml:"away" jsonschema:"required" range:"100ms..24h"`
}

// Talk is talking in turns. Times are random, from a quarter to four times the mean.
type Talk struct {
	// How long a caller talks, on average. From 1s to 24h.
	Spell time.Duration `yaml:"spell" jsonschema:"required" range:"1s..24h"`
	// How long it is muted, on average. From 1s to 24h.
	Pause time.Duration `yaml:"pause" jsonschema:"required" range:"1s..24h"`
}

// Reconnect is a herd: many who lose the connection, without a goodbye, and come back at once.
type Reconnect struct {
	// When, since the start of the run.
	At time.Duration `yaml:"at" jsonschema:"required" range:"1ms..24h"`
	// Spread over this time. The default is all in the same moment.
	Over time.Duration `yaml:"over,omitempty" range:"0s..24h"`
	// Which share of the group, each drawn by itself. The default is 100%.
	Share Share `yaml:"share,omitempty"`
}

// Network is what lies between a caller and the server. All its times count from the start of the run.
type Network struct {
	// Name is its key in networks.
	Name string `yaml:"-" json:"name"`
	// The preset to begin with. up, down, tcp_loss and trace replace what it says of each.
	Preset string `yaml:"preset,omitempty" json:"preset,omitempty" jsonschema:"maxLength=40"`
	// From the caller to the server.
	Up *Link `yaml:"up,omitempty" json:"up,omitempty"`
	// From the server to the caller.
	Down *Link `yaml:"down,omitempty" json:"down,omitempty"`
	// Loss of TCP's packets each way, instead of loss and burst: radio links send again what TCP would miss. The default is the
	// same loss as of UDP.
	TCPLoss *Share `yaml:"tcp_loss,omitempty" json:"tcp_loss,omitempty"`
	// How it changes, both ways: lines of seconds,kbit/s and, where they change too, delay in ms and loss in percent. A last line
	// loop,seconds begins it again.
	Trace string `yaml:"trace,omitempty" json:"trace,omitempty"`
	// Begin the trace again at its end. The default is to stay at its last line.
	Repeat bool `yaml:"repeat,omitempty" json:"repeat,omitempty"`
	// What happens to it, in order of time.
	Events []NetworkEvent `yaml:"events,omitempty" json:"events,omitempty" jsonschema:"maxItems=1000"`
}

// Link is one direction. What is not said is perfect.
type Link struct {
	// Delay of every packet. Up to 10s.
	Delay time.Duration `yaml:"delay,omitempty" json:"delay_ns,omitempty" range:"0s..10s"`
	// Further delay, random between nothing and this. Up to 10s.
	Jitter time.Duration `yaml:"jitter,omitempty" json:"jitter_ns,omitempty" range:"0s..10s"`
	// Whether jitter lets packets overtake each other. The default is no.
	Reorder bool `yaml:"reorder,omitempty" json:"reorder,omitempty"`
	// Share of packets lost, each by itself.
	Loss Share `yaml:"loss,omitempty" json:"loss,omitempty"`
	// Further loss, many in a row.
	Burst *Burst `yaml:"burst,omitempty" json:"burst,omitempty"`
	// What it carries, IP headers included. The default is no limit. From 1kbit/s to 100Gbit/s.
	Rate Rate `yaml:"rate,omitempty" json:"rate,omitempty" range:"1kbit/s..100Gbit/s"`
	// How long the last packet in a full queue waits for rate; what comes then is dropped. The default is 100ms. Up to 10s.
	Queue time.Duration `yaml:"queue,omitempty" json:"queue_ns,omitempty" range:"0s..10s"`
	// Share of packets that arrive twice.
	Duplicate Share `yaml:"duplicate,omitempty" json:"duplicate,omitempty"`
}

// Burst is loss of many packets in a row (Gilbert's model).
type Burst struct {
	// Share of packets lost in bursts.
	Loss Share `yaml:"loss" json:"loss" jsonschema:"required"`
	// How many packets a burst takes, on average. From 2 to 10000.
	Length int `yaml:"length" json:"length" jsonschema:"required,minimum=2,maximum=10000"`
}

// Transitions are the probabilities, with each packet, that a burst begins and that it ends (the Gilbert-Elliott model with all
// lost while bad): the share of bad packets is begin/(begin+end), a burst is 1/end packets long.
func (b Burst) Transitions() (begin, end float64) {
	end = 1 / float64(max(1, b.Length))
	return min(1, end*float64(b.Loss)/(1-min(0.99, float64(b.Loss)))), end
}

// NetworkEvent is something that happens to a network.
type NetworkEvent struct {
	// When, since the start of the run.
	At time.Duration `yaml:"at" json:"at_ns" range:"0s..24h"`
	// What happens: rebind (the NAT forgets, packets come from another port), cut_udp and restore_udp, blackout (nothing passes),
	// move (to another network, with another address), set (other links from now on).
	Do Happening `yaml:"do" json:"do" jsonschema:"required,enum=rebind,enum=cut_udp,enum=restore_udp,enum=blackout,enum=move,enum=set"`
	// How long a blackout lasts. From 1ms to 1h.
	For time.Duration `yaml:"for,omitempty" json:"for_ns,omitempty" range:"1ms..1h"`
	// The network that is moved to: one of networks, or a preset. Its own events do not happen.
	To string `yaml:"to,omitempty" json:"to,omitempty" jsonschema:"maxLength=40"`
	// The new link from the caller to the server, for set. The default is the one before.
	Up *Link `yaml:"up,omitempty" json:"up,omitempty"`
	// The new link from the server to the caller, for set. The default is the one before.
	Down *Link `yaml:"down,omitempty" json:"down,omitempty"`
}

// Happening is what happens to a network.
type Happening string

// What can happen.
const (
	Rebind     Happening = "rebind"
	CutUDP     Happening = "cut_udp"
	RestoreUDP Happening = "restore_udp"
	Blackout   Happening = "blackout"
	Move       Happening = "move"
	Set        Happening = "set"
)

// Size counts rooms and the people in them.
func (s Scenario) Size() (rooms, people int) {
	for _, room := range s.Rooms {
		rooms += room.copies()
		people += room.copies() * room.people()
	}
	return rooms, people
}

func (r Room) copies() int { return max(1, r.Count) }

func (r Room) people() int {
	people := 0
	for _, group := range r.Callers {
		people += group.people()
	}
	return people
}

func (g Group) people() int { return max(1, g.Count) }

// publishes counts what each caller of the group publishes of sound and of pictures.
func (g Group) publishes() (audio, video int) {
	for _, track := range g.Publish {
		if track.Media == Microphone {
			audio++
		} else {
			video++
		}
	}
	return audio, video
}

// YAML returns the scenario as a file that Parse takes.
func (s Scenario) YAML() ([]byte, error) {
	text, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the scenario %s: %w", s.Name, err)
	}
	return text, nil
}
