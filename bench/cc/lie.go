package cc

import (
	"math/rand/v2"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Lie is how a receiver's feedback is not what it saw.
type Lie uint8

// The lies.
const (
	Honest  Lie = iota
	Boasts      // nothing is ever lost, and all comes within microseconds: 0 loss at 1 Gbit/s
	Future      // arrival times jump hours ahead, and back
	Repeats     // each report comes twenty times
	Invents     // packets that were never sent were received
)

const (
	repeats = 20
	invents = 200 // packets
)

// tell calls hear with what the controller is told instead of results, as often as it is.
func (l Lie) tell(random *rand.Rand, results []bwe.Result, hear func([]bwe.Result)) {
	switch l {
	case Boasts:
		last := results[len(results)-1].Arrival
		for i := range results {
			results[i].Received = true
			results[i].Arrival = last - time.Duration(len(results)-1-i)*10*time.Microsecond
		}
	case Future:
		if random.IntN(3) == 0 {
			jump := time.Duration(random.Int64N(int64(5*time.Hour))) - time.Hour
			for i := range results {
				results[i].Arrival += jump
			}
		}
	case Repeats:
		for range repeats - 1 {
			hear(results)
		}
	case Invents:
		last := results[len(results)-1]
		for range invents {
			last.Number++
			last.Received = true
			last.Arrival += 10 * time.Microsecond
			results = append(results, last)
		}
	}
	hear(results)
}
