package pace

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Class orders what wants to leave: a lower one goes first.
type Class uint8

// The classes.
const (
	Audio   Class = iota // never waits, but what it takes is missing to the others
	Repair               // within the budget for repair
	Video                // within it by priority
	Padding              // of probes, when nothing else is there
	Classes = iota
)

// Bucket says when bytes of one path may leave. It holds no packets. One goroutine; the zero value lets everything pass at
// once until SetEstimate.
type Bucket struct{}

// SetEstimate takes what the estimator says now, a probe to be made included.
func (b *Bucket) SetEstimate(now time.Duration, e bwe.Estimate) {}

// Take asks to send size bytes (on the wire) of a class: true charges them, and probe is the one that they belong to. After
// false ask again at Next.
func (b *Bucket) Take(now time.Duration, c Class, size int) (probe uint32, ok bool) { return 0, true }

// Next is when bytes of a class may leave; now or earlier when they may at once.
func (b *Bucket) Next(now time.Duration, c Class) time.Duration { return now }

// Room is how many bytes of video may leave now in one burst: at most 20 ms of the estimate, one packet at least.
func (b *Bucket) Room(now time.Duration) int { return 1 << 30 }

// Padding is how many bytes the running probe still lacks now, when nothing else waits; 0: none.
func (b *Bucket) Padding(now time.Duration) int { return 0 }
