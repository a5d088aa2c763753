package rtcp

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// Arrival is what a feedback message tells of one packet.
type Arrival struct {
	Seq      uint16 // transport-wide; of the RTP stream in congestion control feedback (RFC 8888)
	Received bool   // else it had not come when the message was written, and the rest is zero
	// Timed is false where the receiver knows that the packet came and not when, as RFC 8888 allows: At is then a bound.
	Timed bool
	At    time.Duration // on the receiver's clock, as Clock counts it
	ECN   packet.ECN    // as it arrived; RFC 8888 only
}

// Clock turns the times that one stranger tells into one count that does not wrap: the reference times of transport-wide
// feedback wrap after 298 hours, those of RFC 8888 after 18. Each time is the one nearest to what the clock of the first message
// would show now, if it ran as ours does: lies reach half a wrap and no further, however many there are. The zero value is
// ready; one for each stranger and kind of time.
type Clock struct {
	offset  time.Duration // theirs less ours, of the first message
	started bool
}

// Unwrap returns the time that is t modulo wrap, 0 to wrap.
func (c *Clock) Unwrap(now, t, wrap time.Duration) time.Duration {
	if !c.started {
		c.started, c.offset = true, t-now
	}
	about := now + c.offset
	away := (t - about) % wrap
	switch {
	case away > wrap/2:
		away -= wrap
	case away < -wrap/2:
		away += wrap
	}
	return about + away
}
