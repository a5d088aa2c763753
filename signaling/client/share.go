package client

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// 5 %: what encodings may ask for beyond the estimate before one is paused. Both move by that much without a reason.
	excess = 1.05
	// 300 ms: an encoder that was told of a new target has followed by then.
	patience = 300 * time.Millisecond
	// Half more than the path carries waits for nothing: a queue of a second would come together while we look on.
	flood = 1.5

	// Who gives half more than its target for two seconds does not follow: the slowest of encoders, and what measures it, take one.
	deafFrom  = 1.5
	deafAfter = 2 * time.Second

	// 10 % more than all that is sent has to fit for a second before an encoding returns, or it would come and go.
	headroom  = 1.1
	dwell     = time.Second
	firstRest = 2 * time.Second // of one that is paused; twice as long each time it came back in vain
	longRest  = 16 * time.Second
	inVain    = 10 * time.Second // paused again within that

	// 2.5 Mbit/s: what the path is asked for the sake of an encoding of which nothing is known, as browsers do.
	unsaid = 2500 * bwe.Kbps
)

// share is what one encoding of a video asks of our uplink, and what it gets. Rates are of RTP.
type share struct {
	// Set by whoever asks.
	first       bool        // the smallest of its track: never paused, whatever it takes
	follows     bool        // its owner is told targets
	least, most bwe.Bitrate // as its owner says; 0: unknown
	demand      bwe.Bitrate // what its owner gives, as last measured

	// Set by sharing.
	paused   bool
	target   bwe.Bitrate   // 0: paused, or nothing is known
	moved    time.Duration // when it was paused or came back; 0: never
	rest     time.Duration
	resuming bool          // it came back in this step
	loud     time.Duration // since when it gives too much for who follows; 0: it does not
	deaf     bool          // it does not follow, whatever its owner says: what it gives counts until it gives clearly less
	gave     bwe.Bitrate   // when that was found
}

// need is what it takes at least.
func (c *share) need() bwe.Bitrate {
	switch {
	case !c.follows || c.deaf || c.least == 0 && c.most == 0:
		return c.demand
	case c.least > 0:
		return c.least
	}
	return c.most / 2 // pictures of half the bits are still worth their size
}

// full is what it would take if it could.
func (c *share) full() bwe.Bitrate {
	switch {
	case !c.follows:
		return c.demand
	case c.most > 0:
		return max(c.most, c.least)
	}
	return math.MaxInt64
}

// listen finds out whether it follows the target it was given.
func (c *share) listen(now time.Duration) {
	switch {
	case c.paused || c.target == 0: // as it was
	case c.deaf:
		c.deaf = deafFrom*float64(c.demand) > float64(c.gave)
	case float64(c.demand) <= deafFrom*float64(c.target):
		c.loud = 0
	case c.loud == 0:
		c.loud = now
	case now-c.loud >= deafAfter:
		c.deaf, c.gave, c.loud = c.follows, c.demand, 0
	}
}

// sharing divides the estimate among encodings. It is a value without clock or lock.
type sharing struct {
	over, room time.Duration // since when too much is asked for, and since when one more would fit; 0: not
}

// step decides who is paused, and who gets how much. shares are in the order in which they are kept: the first encodings of all
// tracks, then the second ones. lasts is what the path carries once a queue of now has drained, target what is to be sent now.
func (s *sharing) step(now time.Duration, target, lasts bwe.Bitrate, shares []*share) {
	for _, c := range shares {
		c.resuming = false
		c.listen(now)
		if c.first && c.paused { // those below it have ceased to be sent
			c.paused, c.resuming, c.moved = false, true, now
		}
	}
	sum := needs(shares)
	switch {
	case float64(sum) <= excess*float64(lasts):
		s.over = 0
	case s.over == 0:
		s.over = now
	}
	if float64(sum) > flood*float64(lasts) || s.over > 0 && now-s.over >= patience {
		s.pause(now, lasts, shares)
	} else if s.over == 0 {
		s.resume(now, lasts, shares)
	}
	divide(target, shares)
}

func needs(shares []*share) (sum bwe.Bitrate) {
	for _, c := range shares {
		if !c.paused {
			sum += c.need()
		}
	}
	return sum
}

// pause takes the highest away until the rest fits.
func (s *sharing) pause(now time.Duration, lasts bwe.Bitrate, shares []*share) {
	s.room = 0
	sum := needs(shares)
	for i := len(shares) - 1; i >= 0 && sum > lasts; i-- {
		c := shares[i]
		if c.paused || c.first {
			continue
		}
		sum -= c.need()
		c.rest = min(max(2*c.rest, firstRest), longRest)
		if c.moved == 0 || now-c.moved > inVain {
			c.rest = firstRest
		}
		c.paused, c.moved = true, now
	}
	if sum <= lasts {
		s.over = 0
	}
}

// resume gives the lowest of the paused back when it has fitted for long enough, and with it those above that fit too.
func (s *sharing) resume(now time.Duration, lasts bwe.Bitrate, shares []*share) {
	sum := needs(shares)
	for _, c := range shares {
		if !c.paused {
			continue
		}
		sum += c.need()
		if headroom*float64(sum) > float64(lasts) {
			s.room = 0
			return
		}
		if s.room == 0 {
			s.room = now
		}
		if now-s.room < dwell || now-c.moved < c.rest {
			return
		}
		c.paused, c.resuming, c.moved = false, true, now
	}
	s.room = 0
}

// divide gives all their least, then the lower ones all they want.
func divide(target bwe.Bitrate, shares []*share) {
	left := max(target, 0)
	give := func(c *share, upTo bwe.Bitrate) {
		more := min(max(upTo-c.target, 0), left)
		c.target += more
		left -= more
	}
	for _, c := range shares {
		c.target = 0
		if !c.paused {
			give(c, c.need())
		}
	}
	for _, c := range shares {
		if !c.paused {
			give(c, c.full())
		}
	}
}

// wants is what all of them would take on the path together.
func wants(shares []*share) (sum bwe.Bitrate) {
	for _, c := range shares {
		full := c.full()
		if full == 0 || full == math.MaxInt64 {
			full = max(unsaid, c.demand+c.demand/2)
		}
		sum += full
	}
	return sum
}
