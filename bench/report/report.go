package report

import (
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// Schema is the version of Report's JSON. It rises when a field changes its meaning or goes.
const Schema = 1

// Report is one run: all that its readers need, in one value. Every format is made of it.
type Report struct {
	Schema  int       `json:"schema"`
	Command string    `json:"command"` // that makes it again
	Version string    `json:"version"` // of the bench
	Commit  string    `json:"commit"`
	Started time.Time `json:"started"` // UTC
	Seconds float64   `json:"seconds"` // how long it ran
	// Partial: it was ended early; all there is stands here.
	Partial bool `json:"partial"`

	Machine  Machine  `json:"machine"`
	Scenario Scenario `json:"scenario"`
	Server   Server   `json:"server"`

	Passed     bool        `json:"passed"`
	Conditions []Condition `json:"conditions"`
	// Bottleneck is what gave way first: "server", "client", "network"; empty: nothing did.
	Bottleneck string `json:"bottleneck"`
	// Warnings are what a reader must know before believing a figure, a sentence each.
	Warnings []string `json:"warnings"`

	Setup   map[measure.Step]measure.Distribution `json:"setup_ms"`
	Audio   Total                                 `json:"audio"`
	Video   Total                                 `json:"video"`
	Callers []measure.Caller                      `json:"callers"`
	Streams []measure.Stream                      `json:"streams"`
	// Timeline is of all streams together.
	Timeline []measure.Slice `json:"timeline"`
	Usage    []Usage         `json:"usage"` // one a second

	ServerCost Cost   `json:"server_cost"`
	ClientCost Cost   `json:"client_cost"`
	Links      []Link `json:"links"` // what the emulator was asked and what it did
	// Capacity is the search for the largest load, of capacity runs.
	Capacity *Capacity `json:"capacity,omitempty"`

	Recordings []Recording `json:"recordings,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	CPU     string  `json:"cpu"`
	Cores   int     `json:"cores"`
	Memory  int64   `json:"memory"` // bytes
	Kernel  string  `json:"kernel"`
	Go      string  `json:"go"`
	GSO     bool    `json:"gso"`
	FloorNS float64 `json:"floor_ns"` // of CPU to rewrite, seal and send one packet of 1,100 bytes; 0: not measured
}

// Scenario is what was played.
type Scenario struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Seed  uint64 `json:"seed"`
	YAML  string `json:"yaml"` // the whole of it
	Rooms int    `json:"rooms"`
	// People are all callers of all rooms.
	People int `json:"people"`
}

// Server is what was measured.
type Server struct {
	Kind    string `json:"kind"` // tolkyn, livekit, janus, plain
	Version string `json:"version"`
	Address string `json:"address"`
	Local   bool   `json:"local"` // started by the bench, so that its cost could be measured
}

// Condition is one that the run had to meet, or, of a capacity run, that ended it.
type Condition struct {
	Text   string  `json:"text"` // as it was written
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Passed bool    `json:"passed"`
	// Worst names the stream or caller that decided, where one did.
	Worst string `json:"worst,omitempty"`
}

// Total is all streams of one kind: distributions are over all their values, those of shares and scores over streams.
type Total struct {
	Streams   int                  `json:"streams"`
	Missing   int                  `json:"missing"` // due, and nothing came
	Packets   int64                `json:"packets"`
	Bytes     int64                `json:"bytes"`
	Delay     measure.Distribution `json:"delay_ms"`
	Played    measure.Distribution `json:"played_ms"`
	Buffered  measure.Distribution `json:"buffered_ms"`
	Before    measure.Distribution `json:"loss_before"`
	After     measure.Distribution `json:"loss_after"`
	Concealed measure.Distribution `json:"concealed"`     // audio
	Window    measure.Distribution `json:"concealed_10s"` // audio: in the worst 10 s of a stream, without its longest hole
	Hole      measure.Distribution `json:"hole_ms"`       // audio: the longest hole of a stream
	Resent    float64              `json:"resent"`        // audio: share of what was played that came by retransmission,
	Copied    float64              `json:"copied"`        // as copies in later packets (RED),
	FEC       float64              `json:"fec"`           // and as in-band FEC; means over streams
	MOS       measure.Distribution `json:"mos"`           // audio; P50 is the median, and for the worst see MOSWorst
	MOSWorst  float64              `json:"mos_p5"`        // audio: 95 % of streams are better
	FPS       measure.Distribution `json:"fps"`           // video
	Freezes   int64                `json:"freezes"`       // video
	Frozen    measure.Distribution `json:"frozen"`        // video: share of the time
	Score     measure.Distribution `json:"score"`         // video
	ScoreP5   float64              `json:"score_p5"`      // video: 95 % of streams are better
	LipSync   measure.Distribution `json:"lip_sync_ms"`   // audio
	PerMinute float64              `json:"bytes_per_min"` // bytes of a stream a minute
	Switches  int64                `json:"switches"`      // of layers, video: see measure.Stream
}

// Usage is one second of what server and bench used.
type Usage struct {
	At           float64 `json:"at"`         // seconds on the run's clock
	ServerCPU    float64 `json:"server_cpu"` // cores
	ClientCPU    float64 `json:"client_cpu"` // cores
	KernelCPU    float64 `json:"kernel_cpu"` // cores, of soft interrupts
	ServerMemory int64   `json:"server_memory"`
	Goroutines   int     `json:"goroutines"`
	Drops        int64   `json:"drops"` // of the bench's own sockets, since the start
	Callers      int     `json:"callers"`
	Sent         float64 `json:"sent"`     // packets a second, by callers
	Received     float64 `json:"received"` // packets a second, by callers
}

// Cost is what one side used while everybody was in the call.
type Cost struct {
	CPUSeconds      float64 `json:"cpu_seconds"`       // user and system, all threads
	PerReceivedNS   float64 `json:"per_received_ns"`   // CPU ÷ packets that callers received
	PerInAndOutNS   float64 `json:"per_in_and_out_ns"` // CPU ÷ packets that callers sent and received
	MemoryPerCaller float64 `json:"memory_per_caller"` // bytes of resident set above the empty server
	Drops           int64   `json:"drops"`             // datagrams that the kernel had no room for
	Slips           int64   `json:"slips,omitempty"`   // times that light callers were held up so long that they put off their media
}

// Link is one direction of an emulated link: what it was asked to do and what its own log says it did.
type Link struct {
	Name      string  `json:"name"`      // caller, or the network's name
	Direction string  `json:"direction"` // "up", "down"
	Packets   int64   `json:"packets"`
	AskedLoss float64 `json:"asked_loss"` // share
	Loss      float64 `json:"loss"`
	Overflow  int64   `json:"overflow"` // dropped before the bottleneck
	AskedMS   float64 `json:"asked_delay_ms"`
	DelayP50  float64 `json:"delay_p50_ms"`
	DelayP99  float64 `json:"delay_p99_ms"`
	LateP99   float64 `json:"late_p99_ms"` // the emulator's own error
}

// Capacity is a search for the largest load at which quality held.
type Capacity struct {
	Unit    string `json:"unit"`    // what was scaled: "people", "rooms", "subscribers"
	Largest int    `json:"largest"` // that held; 0: none
	Failed  int    `json:"failed"`  // the smallest that did not; 0: none was found
	Until   string `json:"until"`
	Tries   []Try  `json:"tries"`
}

// Try is one load that a capacity run held.
type Try struct {
	Load       int         `json:"load"`
	Held       bool        `json:"held"`
	Conditions []Condition `json:"conditions"`
	Bottleneck string      `json:"bottleneck"`
	ServerCPU  float64     `json:"server_cpu"` // cores
	ClientCPU  float64     `json:"client_cpu"`
	PacketsIn  float64     `json:"packets_in"`  // a second, into the server
	PacketsOut float64     `json:"packets_out"` // a second, out of it
	PerPacket  float64     `json:"per_packet_ns"`
}

// Recording is what one receiver would have played, to listen to or watch.
type Recording struct {
	Title string `json:"title"` // "bek hears aru"
	MIME  string `json:"mime"`  // "audio/ogg", "video/webm"
	Data  []byte `json:"data"`
}
