package bwe_test

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// A sender numbers its packets, tells when each left, passes feedback on, and follows the estimate.
func ExampleEstimator() {
	now := time.Duration(0) // a clock of the sender's
	e := bwe.New(now, bwe.Config{Start: 300 * bwe.Kbps})
	e.Wants(now, 2*bwe.Mbps)

	est := e.Poll(now)
	fmt.Println(est.Target, "and a probe at", est.Probe.Rate)

	var results []bwe.Result
	for number := uint64(1); number <= 8; number++ {
		e.Sent(now, bwe.Packet{Number: number, Size: 1000, Probe: est.Probe.ID})
		results = append(results, bwe.Result{Number: number, Received: true, Arrival: now})
		now += est.Probe.Rate.Time(1000)
	}
	now += 100 * time.Millisecond
	e.Feedback(now, results)
	fmt.Println(e.Poll(now).Target)
	// Output:
	// 300 kbit/s and a probe at 1.20 Mbit/s
	// 1.16 Mbit/s
}
