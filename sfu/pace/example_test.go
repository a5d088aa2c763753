package pace_test

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// A picture of six packets and a voice on a path of 1 Mbit/s.
func ExampleQueue() {
	q := pace.NewQueue[string]()
	q.SetEstimate(0, bwe.Estimate{Target: bwe.Mbps, Pacing: bwe.Mbps})
	for i := range 6 {
		q.Push(0, pace.Item[string]{Class: pace.Video, Size: 1200, Value: fmt.Sprint("video ", i)})
	}
	q.Push(0, pace.Item[string]{Class: pace.Audio, Size: 120, Value: "voice"})

	for now := time.Duration(0); q.Stats().Waiting > 0; now = q.Next(now) {
		for {
			it, _, ok := q.Pop(now)
			if !ok {
				break
			}
			fmt.Println(now.Round(time.Millisecond), it.Value)
		}
	}

	// Output:
	// 0s voice
	// 0s video 0
	// 6ms video 1
	// 15ms video 2
	// 25ms video 3
	// 34ms video 4
	// 44ms video 5
}
