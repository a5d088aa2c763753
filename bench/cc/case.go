package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Case is one experiment: bottlenecks, flows over them, and what must come out.
type Case struct {
	Name, About string
	Duration    time.Duration
	Links       []netsim.Trace // bottlenecks, as routes number them; delay of their own only where flows share more than one
	Flows       []Flow
	TCP         []Bulk
	Config      bwe.Config // of every flow's controller

	Steady time.Duration // from when on util_steady counts; 0: 10 s
	Fair   Span          // when the flows' shares are compared; zero: never
	Goals  []Goal

	// Play plays the case in another way than Run does; nil: Run.
	Play func(c Case, m Maker, seed uint64) Result

	Grid bool // one of RFC 8868's many: tables sum them up
}

// Flow is one call's media in one direction, its feedback on the way back.
type Flow struct {
	Source      Source
	Start, Stop time.Duration // Stop 0: the end of the case
	Pauses      []Span        // when nothing is captured and nothing sent

	Route, Back []int             // bottlenecks that media and feedback pass, in order, by their index in Case.Links
	Before      netsim.LinkConfig // the flow's own way before the first bottleneck: random loss
	After       netsim.LinkConfig // its own way behind the last: delay, jitter
	Return      netsim.LinkConfig // the feedback's own way: delay, loss
	Silences    []Span            // when no feedback is sent

	Priority float64 // weight of what is fair; 0: 1
	ECN      bool    // packets are ECN-capable and feedback is RFC 8888's, which tells marks; else it is transport-wide
	Untold   bool    // the controller is not told what the source wants
	Liar     Lie     // what the receiver does to its feedback
}

// Span is from one time of a case to another.
type Span struct{ From, To time.Duration }

func (s Span) holds(at time.Duration) bool { return s.From <= at && at < s.To }

// Bulk is a TCP flow beside the calls: it sends all it can, or fetches short files with pauses.
type Bulk struct {
	Start, Stop   time.Duration // Stop 0: the end of the case
	Route         []int
	After, Return netsim.LinkConfig
	Algorithm     tcp.Algorithm
	Short         bool // files of 30 to 50 kB with pauses of 10 s in the mean, as in RFC 8867 section 5.7
	Busy          bool // short: it begins with a file
}

// Source is the model of RFC 8867 section 4.4: the same for every controller.
type Source struct {
	Min, Max bwe.Bitrate   // video's payload bits; 0: 150 kbit/s, 1.5 Mbit/s
	Start    bwe.Bitrate   // before the first estimate; 0: Min
	Respond  time.Duration // until the encoder follows a new target; 0: 100 ms
	NoAudio  bool          // else 20 kbit/s in 50 packets a second
	NoVideo  bool
}

func (s Source) withDefaults() Source {
	if s.Min == 0 {
		s.Min = 150 * bwe.Kbps
	}
	if s.Max == 0 {
		s.Max = 1500 * bwe.Kbps
	}
	if s.Start == 0 {
		s.Start = s.Min
	}
	if s.Respond == 0 {
		s.Respond = 100 * time.Millisecond
	}
	return s
}

// most is what the source sends at most, on the wire: 7 % are headers and audio, as in the other tables of these cases.
func (s Source) most() float64 {
	if s.NoVideo {
		return audioRate
	}
	return 1.07 * float64(s.withDefaults().Max)
}

// delays gives a flow the same delay each way.
func (f Flow) delays(owd time.Duration) Flow {
	f.After.Delay, f.Return.Delay = owd, owd
	return f
}

// silent says that the source gives nothing at this time, and whether it has ended.
func (f Flow) silent(now time.Duration) (paused, ended bool) {
	for _, p := range f.Pauses {
		paused = paused || p.holds(now)
	}
	return paused, now >= f.Stop
}
