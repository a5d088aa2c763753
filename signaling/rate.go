package signaling

import "time"

// rate is a limit: so many a second for long, and a burst at once.
type rate struct {
	perSecond, burst float64
}

// full returns a bucket that allows the whole burst.
func (r rate) full() bucket { return bucket{rate: r, level: r.burst} }

// bucket counts against a rate. What is refused counts too, so that insisting does not pay.
type bucket struct {
	rate
	level float64 // below 0: refusing; at -burst: drained
	at    time.Duration
}

// take counts one more. It returns 0, or how long to wait before one would pass.
func (b *bucket) take(now time.Duration) time.Duration {
	b.level = min(b.burst, b.level+(now-b.at).Seconds()*b.perSecond)
	b.at = now
	b.level--
	if b.level >= 0 {
		return 0
	}
	// Rounded up to what the wire can say.
	wait := time.Duration(-b.level / b.perSecond * float64(time.Second))
	return wait.Truncate(time.Millisecond) + time.Millisecond
}

// drained tells that a second burst was sent against refusals.
func (b *bucket) drained() bool { return b.level <= -b.burst }
