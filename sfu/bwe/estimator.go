package bwe

import "time"

// Estimator says how much may be sent on one path. One goroutine; times are a clock's that never goes back.
type Estimator struct {
	cfg Config
}

// New returns an estimator that knows nothing yet.
func New(now time.Duration, cfg Config) *Estimator { return &Estimator{cfg: cfg} }

// Sent notes a packet that left now. Numbers come in order, each once.
func (e *Estimator) Sent(now time.Duration, p Packet) {}

// Feedback takes what one message told, transport-wide (draft-holmer-rmcat-transport-wide-cc-extensions-01) or RFC 8888:
// results in order of Number. What was told before may come again, and what was lost may be received later.
func (e *Estimator) Feedback(now time.Duration, results []Result) {}

// RoundTrip notes a round trip that was measured by other means: receiver reports, connectivity checks.
func (e *Estimator) RoundTrip(now, rtt time.Duration) {}

// Report takes a receiver report's share of loss, 0 to 1, of a client that sends no feedback by packets. lost and
// expected are packets since the report before.
func (e *Estimator) Report(now time.Duration, lost, expected int) {}

// REMB takes a receiver's own estimate (draft-alvestrand-rmcat-remb-03), of a client that sends no feedback by packets.
func (e *Estimator) REMB(now time.Duration, b Bitrate) {}

// Wants says what the sender would send if it could, and why it does not send more; 0: it would take all there is. What is
// not wanted is not probed for.
func (e *Estimator) Wants(now time.Duration, b Bitrate) {}

// NewPath says that the path has changed: what was known of the old one is a guess for the new.
func (e *Estimator) NewPath(now time.Duration) {}

// Poll returns what holds now. Call it after Feedback and at Estimate.Next.
func (e *Estimator) Poll(now time.Duration) Estimate { return Estimate{Target: e.cfg.Start} }
