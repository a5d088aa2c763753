package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Controller is a congestion controller under test. It has no clock of its own: everything happens at the now of a call.
// One goroutine.
type Controller interface {
	// Sent notes a packet that left the sender's pacer.
	Sent(now time.Duration, p bwe.Packet)
	// Feedback brings what a feedback message told. The slice is the caller's again afterwards.
	Feedback(now time.Duration, results []bwe.Result)
	// Wants says what the source would send at most; 0 unknown.
	Wants(now time.Duration, b bwe.Bitrate)
	// Poll returns what holds now. A controller without a pacer of its own leaves Pacing 0: the case paces it at 1.5 × Target
	// (what pion/interceptor does).
	Poll(now time.Duration) bwe.Estimate
}

// Maker makes a controller for a flow that begins now.
type Maker struct {
	Name string // of the row's "controller": tolkyn, pion-gcc, …
	New  func(now time.Duration, cfg bwe.Config) Controller
	// Close ends what a controller has started; nil: nothing.
	Close func(Controller)
	// Seeds bounds how many of a case's runs this one gets, the first ones; 0: all.
	Seeds int
}

// Tolkyn makes our own.
var Tolkyn = Maker{Name: "tolkyn", New: func(now time.Duration, cfg bwe.Config) Controller {
	return tolkyn{bwe.New(now, cfg)}
}}

type tolkyn struct{ *bwe.Estimator }
