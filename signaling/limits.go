package signaling

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// limit is so many a second for long, and a burst at once. What is refused does not count against it.
type limit struct {
	perSecond rate.Limit
	burst     int
}

// The limits of one session: a person's client sends a few frames a second, its worst burst is a page that opens.
var (
	frameLimit = limit{perSecond: 50, burst: 100} // all that the client sends
	offerLimit = limit{perSecond: 5, burst: 10}   // of it, what costs an answer from pion
	newsLimit  = limit{perSecond: 10, burst: 30}  // of it, what everybody in the room is told
)

// take counts one more in *of, which is made when it is first needed: most sessions never offer twice or mute. It returns 0,
// or how long to wait before one would pass, in whole milliseconds: the wire can say no less.
func (l limit) take(at time.Time, of **rate.Limiter) time.Duration {
	if *of == nil {
		*of = rate.NewLimiter(l.perSecond, l.burst)
	}
	r := (*of).ReserveN(at, 1)
	wait := r.DelayFrom(at)
	if wait == 0 {
		return 0
	}
	r.CancelAt(at)
	return (wait + time.Millisecond - 1).Truncate(time.Millisecond)
}

// A breach is a second in which a session was over one of its limits. What else is refused in that second belongs to it:
// it was on its way before the client could hear of the first refusal. The third breach ends the session.
const (
	maxBreaches    = 3
	breachLasts    = time.Second
	breachRefusals = 100              // of one breach; beyond: the next one, so that a flood does not last
	breachForgiven = 10 * time.Second // after the last refusal
)

// breaches counts them.
type breaches struct {
	count    int           // not forgiven yet
	began    time.Duration // the newest
	refusals int           // in the newest
	last     time.Duration // the newest refusal
}

// refuse counts a refusal and tells whether it is one too many.
func (b *breaches) refuse(now time.Duration) bool {
	if b.count > 0 && now-b.last >= breachForgiven {
		*b = breaches{}
	}
	if b.count == 0 || now-b.began >= breachLasts || b.refusals == breachRefusals {
		b.count, b.began, b.refusals = b.count+1, now, 0
	}
	b.refusals++
	b.last = now
	return b.count >= maxBreaches
}

// within takes one from a limit of this session. Beyond it the request is refused, or the session ends.
func (s *session) within(l limit, of **rate.Limiter, now time.Duration, id uint64, what string, out *output) bool {
	wait := l.take(s.epoch.Add(now), of)
	if wait == 0 {
		return true
	}
	message := fmt.Sprintf("%s: too many, at most %v a second", what, l.perSecond)
	if s.breaches.refuse(now) {
		s.fail(now, id, &wire.Error{
			Code: wire.Error_RATE, Message: message + ", as this session was told twice", RetryAfterMs: milliseconds(breachForgiven),
		}, out)
		return false
	}
	s.refuseFor(id, wait, message, out)
	return false
}
