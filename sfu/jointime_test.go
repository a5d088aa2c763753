package sfu_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// TestJoinTime measures from Join sent on an open session to DTLS connected at the client, in simulated time. Loss is on
// the media path only, each way; signaling is a stream that repairs itself.
func TestJoinTime(t *testing.T) {
	for _, c := range []struct {
		loss    float64
		seeds   uint64
		percent int // of the joins
		goal    time.Duration
	}{
		{0, 20, 100, 500 * time.Millisecond},
		{0.10, 150, 95, 900 * time.Millisecond},
		{0.30, 60, 50, time.Second},
	} {
		t.Run(fmt.Sprintf("%.0f percent loss", 100*c.loss), func(t *testing.T) {
			took := make([]time.Duration, 0, c.seeds)
			for seed := range c.seeds {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed, netsim.LinkConfig{Delay: 50 * time.Millisecond, Loss: c.loss})
					defer w.close()
					anna := w.newClient("anna")
					began := time.Now()
					anna.join("demo")
					w.eventually(60*time.Second, "anna is connected", anna.isConnected)
					anna.mu.Lock()
					defer anna.mu.Unlock()
					took = append(took, anna.connected.Sub(began))
				})
			}
			slices.Sort(took)
			at := func(percent int) time.Duration { return took[(len(took)*percent+99)/100-1] }
			t.Logf("RTT 100 ms, %d joins: min %v p50 %v p90 %v p95 %v max %v", c.seeds, took[0], at(50), at(90), at(95), at(100))
			require.LessOrEqual(t, at(c.percent), c.goal)
		})
	}
}
