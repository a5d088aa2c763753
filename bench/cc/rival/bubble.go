package rival

import (
	"testing"
	"testing/synctest"
)

// bubble runs code that reads time.Now and starts goroutines where both stand still between calls: in virtual time.
type bubble struct {
	work chan func()
	did  chan struct{}
	done chan struct{}
}

// newBubble must not be called within another bubble.
func newBubble() *bubble {
	b := &bubble{work: make(chan func()), did: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(b.done)
		// Waiting for a channel from outside the bubble is no reason for its clock to go on, so that it stands between calls. The T
		// is nobody's: it is there because synctest has no other door, and nothing in here fails a test.
		synctest.Test(new(testing.T), func(*testing.T) {
			for f := range b.work {
				f()
				synctest.Wait()
				b.did <- struct{}{}
			}
		})
	}()
	return b
}

// do runs f in the bubble and returns when all its goroutines are at rest.
func (b *bubble) do(f func()) {
	b.work <- f
	<-b.did
}

// close ends the bubble. What runs in it has to have ended before.
func (b *bubble) close() {
	close(b.work)
	<-b.done
}
