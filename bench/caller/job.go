package caller

import (
	"net/netip"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// Target is a server that can be dialled. It travels to the worker process with the Job.
type Target struct {
	Kind   string `json:"kind"`             // tolkyn, plain, janus, livekit
	URL    string `json:"url"`              // where participants go
	Key    string `json:"key,omitempty"`    // names the secret, where there are several
	Secret string `json:"secret,omitempty"` // signs tokens; empty: the server gives them away
	Token  string `json:"token,omitempty"`  // one ready token for everybody, instead of Secret
	// Transport limits signaling: "websocket"; empty: whichever is there first.
	Transport string `json:"transport,omitempty"`
	// CA vouches for the server, in PEM; empty: the system's.
	CA string `json:"ca,omitempty"`
	// Address that light callers send from; the zero value: loopback.
	Address netip.Addr `json:"address"`
}

// Job is one worker's part of a run: a line of JSON on its standard input. A second line, or the end of input, ends it early.
type Job struct {
	Target  Target            `json:"target"`
	Callers []scenario.Caller `json:"callers"`
	// Others are callers of other workers, so that what is due from them is known.
	Others   []scenario.Caller           `json:"others,omitempty"`
	Networks map[string]scenario.Network `json:"networks,omitempty"`
	// Modelled: the networks are modelled outside this process; it opens plain sockets.
	Modelled  bool          `json:"modelled"`
	Seed      uint64        `json:"seed"`
	Epoch     time.Time     `json:"epoch"`  // zero of the run's clock
	Warmup    time.Duration `json:"warmup"` // what is before is not measured
	Duration  time.Duration `json:"duration"`
	OpenOneIn int           `json:"open_one_in"` // packets that light callers look into; 0: 16
	Record    int           `json:"record"`      // receivers whose sound and picture are kept
	Debug     bool          `json:"debug"`       // tell every decision
}

// Message is one line of a worker's standard output.
type Message struct {
	Snapshot *Snapshot     `json:"snapshot,omitempty"` // once a second
	Event    *report.Event `json:"event,omitempty"`    // with Debug
	Result   *Result       `json:"result,omitempty"`   // the last line
	Error    string        `json:"error,omitempty"`    // the last line, instead: the job could not be done
}

// Snapshot is how things stand, for those who wait.
type Snapshot struct {
	At       time.Duration `json:"at"`
	Callers  int           `json:"callers"` // in the call now
	Failed   int           `json:"failed"`  // that could not come in
	GaveUp   int           `json:"gave_up"` // of them: those that do not try any more, unless the schedule has them come again
	Sent     int64         `json:"sent"`    // packets since the start
	Received int64         `json:"received"`
	Expected int64         `json:"expected"` // packets that should have come
	Lost     int64         `json:"lost"`
	DelayP95 float64       `json:"delay_p95_ms"` // of the last second
	Worst    string        `json:"worst"`        // the stream that fares worst, in words
	Drops    int64         `json:"drops"`        // packets the worker's sockets and readers had no room for, since the start
	Lag      float64       `json:"lag_ms"`       // by how much the worker's own timers were late at most, nine times of ten in the last second
}

// Result is what a worker measured.
type Result struct {
	Totals     measure.Totals     `json:"totals"` // of all callers and streams, mergeable
	Links      []report.Link      `json:"links"`
	Recordings []report.Recording `json:"recordings,omitempty"`
	Drops      int64              `json:"drops"`       // as in Snapshot
	OpenOneIn  int                `json:"open_one_in"` // of the light callers; 0: there are none
	Slips      int64              `json:"slips"`       // times that light callers were held up so long that they put off all their media
	Partial    bool               `json:"partial"`
}
