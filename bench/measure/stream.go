package measure

// Kind is what a stream carries.
type Kind string

// The kinds.
const (
	Audio Kind = "audio"
	Video Kind = "video"
)

// Distribution sums a set of values up. The unit is that of the field it stands in.
type Distribution struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Stream is what one receiver got of one track of one sender: the unit of all results.
type Stream struct {
	Room     string `json:"room"`
	Receiver string `json:"receiver"` // identity
	Sender   string `json:"sender"`   // identity
	Track    string `json:"track"`
	Kind     Kind   `json:"kind"`
	Codec    string `json:"codec"`

	// Seconds is how long it was measured: from its first packet, or from when it was due, to its end, without pauses.
	Seconds float64 `json:"seconds"`
	Packets int64   `json:"packets"` // received, each once
	Bytes   int64   `json:"bytes"`   // of them, RTP header included
	Bitrate float64 `json:"bitrate"` // bits a second of RTP

	Loss Loss `json:"loss"`
	// Delay is from the moment the sender sent a frame (of sound: a packet) to the moment its last packet arrived, in ms.
	Delay Distribution `json:"delay_ms"`
	// Buffered is how long what was played had waited for its moment, in ms.
	Buffered Distribution `json:"buffered_ms"`
	// Played is from being sent to being played or shown, in ms: mouth to ear, without devices and codecs.
	Played Distribution `json:"played_ms"`
	// Jitter is RFC 3550's, in ms, at the end of the stream.
	Jitter float64 `json:"jitter_ms"`

	// Wrong counts frames that carried another sender or track than the server said: 0 in a server that is right.
	Wrong int64 `json:"wrong"`

	// Switches of layers, of video: how often another one came than before, as far as packets were opened.
	Switches int64 `json:"switches,omitempty"`

	Sound   *Sound   `json:"sound,omitempty"`   // of audio
	Picture *Picture `json:"picture,omitempty"` // of video

	Slices []Slice `json:"slices,omitempty"` // of one second each
}

// Loss is what the network took and what repair gave back. Shares are of the packets that were expected, 0 to 1.
type Loss struct {
	Expected   int64   `json:"expected"`
	Before     float64 `json:"before"` // missing on the first try
	After      float64 `json:"after"`  // never there
	Repaired   int64   `json:"repaired"`
	Duplicates int64   `json:"duplicates"`
	Reordered  int64   `json:"reordered"`
	Dropped    int64   `json:"dropped"` // by the receiver itself: it was too slow
}

// Sound is what a listener would hear.
type Sound struct {
	Concealed   float64 `json:"concealed"`     // share of the samples played that were made up, 0 to 1
	Window      float64 `json:"concealed_10s"` // the same in the worst 10 s, without the longest stretch of it
	Hole        float64 `json:"hole_ms"`       // that stretch
	Events      int64   `json:"events"`        // stretches of concealment
	Resent      float64 `json:"resent"`        // shares of the samples played that were missing at first, and came by retransmission,
	Copied      float64 `json:"copied"`        // as copies in later packets (RED),
	FEC         float64 `json:"fec"`           // and as the coarse copy in the packet behind them (in-band FEC)
	Late        float64 `json:"late"`          // share of packets that came after their moment
	Accelerated float64 `json:"accelerated"`
	Expanded    float64 `json:"expanded"` // shares of the samples played; not concealment
	R           float64 `json:"r"`        // E-model
	MOS         float64 `json:"mos"`      // 1 to 4.5
	// LipSync is by how many ms sound was played later than the picture of the same sender taken at the same time.
	LipSync Distribution `json:"lip_sync_ms"`
}

// Picture is what a viewer would see.
type Picture struct {
	Frames        int64        `json:"frames"`      // decodable
	Undecodable   int64        `json:"undecodable"` // arrived whole or in part, never shown
	FPS           float64      `json:"fps"`         // harmonic: time shown ÷ sum of squared gaps
	Freezes       int64        `json:"freezes"`
	FrozenSeconds float64      `json:"frozen_seconds"`
	Width         int          `json:"width"` // of the newest keyframe
	Height        int          `json:"height"`
	LayerSwitches int64        `json:"layer_switches"`
	KeyframeWait  Distribution `json:"keyframe_wait_ms"` // from needing one to having it
	Score         float64      `json:"score"`            // 1 to 5; see docs/benchmarking.md
}

// Slice is one second of a stream, or of all streams together.
type Slice struct {
	At        float64 `json:"at"` // seconds on the run's clock, of its beginning
	Packets   int64   `json:"packets"`
	Bitrate   float64 `json:"bitrate"`
	LossShare float64 `json:"loss"` // after repair
	DelayP50  float64 `json:"delay_p50_ms"`
	DelayP95  float64 `json:"delay_p95_ms"`
	DelayMax  float64 `json:"delay_max_ms"`
	Concealed float64 `json:"concealed"` // share of this second, audio
	FPS       float64 `json:"fps"`       // video
	Frozen    float64 `json:"frozen"`    // share of this second, video
}

// Step is a part of setting a call up.
type Step string

// The steps, in order. Each is measured from the end of the one before, Total from the first to the last.
const (
	Connect     Step = "connect"      // transport to the server
	Auth        Step = "auth"         // token shown and accepted
	Join        Step = "join"         // answer to the offer
	ICE         Step = "ice"          // a pair of addresses works
	DTLS        Step = "dtls"         // keys agreed
	FirstPacket Step = "first_packet" // of anybody's media
	FirstFrame  Step = "first_frame"  // that can be decoded
	Total       Step = "total"
)

// Caller is how one synthetic client fared.
type Caller struct {
	Room     string           `json:"room"`
	Identity string           `json:"identity"`
	Kind     string           `json:"kind"`     // full, light, browser
	Steps    map[Step]float64 `json:"steps_ms"` // absent: not reached
	Error    string           `json:"error,omitempty"`
	Path     string           `json:"path,omitempty"`      // udp, tcp
	Signal   string           `json:"signaling,omitempty"` // quic, websocket, ...
	RTT      float64          `json:"rtt_ms"`

	// UpPerMinute and DownPerMinute are what a minute of the call takes of the caller's data volume, in bytes each way, from the end
	// of the warm-up to its end: sound, pictures, reports, checks and signaling, with what IP and UDP add. Of TCP, 52 bytes are
	// reckoned for each write and read. 0: not measured.
	UpPerMinute   float64 `json:"up_bytes_per_min,omitempty"`
	DownPerMinute float64 `json:"down_bytes_per_min,omitempty"`

	SentPackets     int64     `json:"sent_packets"`
	SentBytes       int64     `json:"sent_bytes"`
	ReceivedPackets int64     `json:"received_packets"`
	ReceivedBytes   int64     `json:"received_bytes"`
	Checked         int64     `json:"checked_packets"` // opened and authenticated; light callers look at one in N
	Forged          int64     `json:"forged_packets"`  // failed that
	Reconnects      int64     `json:"reconnects"`
	SignalBytes     int64     `json:"signaling_bytes,omitempty"` // that came after the warm-up; light callers count them
	Gaps            []float64 `json:"gaps_ms,omitempty"`         // of media, at each reconnect or change of path
}
