package rival_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/bench/cc/rival"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever feedback says, nobody leaves its bounds, panics, or waits for ever.
func TestStrangeFeedback(t *testing.T) {
	cfg := bwe.Config{Start: 300 * bwe.Kbps, Min: 100 * bwe.Kbps, Max: 5 * bwe.Mbps}
	for _, m := range rival.All() {
		c := m.New(time.Second, cfg)
		now := time.Second
		send := func(n uint64) { c.Sent(now, bwe.Packet{Number: n, Size: 1200}) }
		for n := uint64(1); n <= 100; n++ {
			send(n)
		}
		now += 100 * time.Millisecond
		c.Feedback(now, nil)
		c.Feedback(now, []bwe.Result{{Number: 9999, Received: true, Arrival: time.Hour}})
		var results []bwe.Result
		for n := uint64(1); n <= 50; n++ {
			results = append(results, bwe.Result{Number: n, Received: n%3 > 0, Arrival: 5 * time.Hour, Marked: n%7 == 0})
		}
		c.Feedback(now, results)
		c.Feedback(now, results)
		now += 50 * time.Millisecond
		c.Feedback(now, []bwe.Result{{Number: 60, Received: true, Arrival: time.Hour}, {Number: 99}})
		c.Wants(now, 2*bwe.Mbps)
		e := c.Poll(now)
		// pion's loss controller does not know the minimum (its own floor is 100 kbit/s).
		require.GreaterOrEqual(t, e.Target, cfg.Min, m.Name)
		require.LessOrEqual(t, e.Target, cfg.Max, m.Name)
		if m.Close != nil {
			m.Close(c)
		}
	}
}

// Flows of different controllers share a link, each in its own time.
func TestMixed(t *testing.T) {
	c := find(t, "const-1M")
	c.Duration = 20 * time.Second
	for range 3 {
		c.Flows = append(c.Flows, c.Flows[0])
	}
	r := cc.Run(c, rival.All(), 1)
	for i, f := range r.Series.Flows {
		sum := 0.0
		for _, rate := range f.Delivered {
			sum += rate
		}
		require.Greater(t, sum/float64(len(f.Delivered)), 100e3, rival.All()[i].Name)
	}
}

// find returns a case of bench/cc, or 1 Mbit/s with random loss before it.
func find(t *testing.T, name string) cc.Case {
	t.Helper()
	if name == "loss-10" {
		c := find(t, "const-1M")
		c.Flows[0].Before.Loss = 0.1
		return c
	}
	c, ok := cc.Find(name)
	require.True(t, ok, name)
	return c
}
