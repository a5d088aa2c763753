package client

import (
	"math/rand/v2"
	"time"
)

const (
	backoffBase = 300 * time.Millisecond // a wait nobody notices
	backoffCap  = 8 * time.Second        // who gets the network back is not left waiting
)

// backoff is exponential with full jitter: the n-th wait is uniform in [0, min(cap, base × 2ⁿ)), so that clients that lost
// one server together do not come back together. The zero value is ready.
type backoff struct{ tries int }

func (b *backoff) next() time.Duration {
	limit := backoffCap
	if b.tries < 10 {
		limit = min(limit, backoffBase<<b.tries)
	}
	b.tries++
	return rand.N(limit)
}
