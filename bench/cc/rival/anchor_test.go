//go:build !race

// A model is one goroutine's, and pion's goroutines have the race detector in the other tests.

package rival_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/bench/cc/rival"
)

// anchors are what the real ones were measured to do in RFC 8867's conditions, elsewhere and with other sources: Chromium 156 in
// real time with one NACK a packet, Ericsson's SCReAM v2 in its own simulator with immediate feedback, pion's gcc with
// feedback each 100 ms. What they sent left in bursts; here it is paced, so that queues are shorter. off is how far the mean of three seeds may lie from that here: where it is wide, the reason stands beside it.
var anchors = []struct {
	maker  cc.Maker
	name   string
	metric cc.Metric
	real   float64
	off    float64
}{
	{rival.PionGCC, "const-1M", cc.Util, 0.862, 0.10},
	{rival.PionGCC, "const-1M", cc.QueueMean, 48, 40}, // it runs differently each time
	{rival.PionGCC, "5.1", cc.Util, 0.82, 0.10},
	{rival.PionGCC, "5.1", cc.QueueMean, 28, 20},
	{rival.PionGCC, "loss-10", cc.Util, 0.104, 0.11}, // the least that this source can send is 0.2
	{rival.GoogCC, "const-1M", cc.Util, 0.852, 0.05},
	{rival.GoogCC, "const-1M", cc.QueueMean, 23, 19},
	{rival.GoogCC, "const-1M", cc.Conv, 4.2, 3}, // Chromium's encoder takes its time
	{rival.GoogCC, "5.1", cc.Util, 0.806, 0.04},
	{rival.GoogCC, "5.1", cc.QueueMean, 23, 15},
	{rival.GoogCC, "5.1", cc.QueueP95, 50, 30},
	{rival.GoogCC, "5.1", cc.Loss, 0.0077, 0.006},
	{rival.GoogCC, "loss-10", cc.Util, 0.767, 0.16}, // that of Chromium has repair in it, which this case has not
	{rival.SCReAM, "const-1M", cc.Util, 0.887, 0.05},
	{rival.SCReAM, "const-1M", cc.QueueMean, 21, 10},
	{rival.SCReAM, "const-1M", cc.QueueP95, 66, 30},
	{rival.SCReAM, "5.1", cc.Util, 0.887, 0.04},
	{rival.SCReAM, "5.1", cc.QueueMean, 22, 12},
	{rival.SCReAM, "5.1", cc.QueueP95, 70, 30},
	{rival.SCReAM, "const-3M", cc.Conv, 3.1, 5},    // feedback each 50 ms for one with each packet
	{rival.SCReAM, "loss-10", cc.Util, 0.49, 0.32}, // likewise: a window grows by round trips, and losses are answered in them
}

func TestAnchors(t *testing.T) {
	const seeds = 3
	played := map[string][]cc.Result{} // by controller and case
	for _, a := range anchors {
		of := a.maker.Name + " " + a.name
		if played[of] == nil {
			for seed := range uint64(seeds) {
				played[of] = append(played[of], cc.Run(find(t, a.name), []cc.Maker{a.maker}, seed+1))
			}
		}
		mean := 0.0
		for _, r := range played[of] {
			mean += r.Metrics[a.metric] / seeds
		}
		t.Logf("%-13s %-9s %-14s %.3f, the real one %.3f", a.maker.Name, a.name, a.metric, mean, a.real)
		if math.Abs(mean-a.real) > a.off {
			t.Errorf("%s, %s: %s is %.3f, off %.3f by more than %.3f", a.maker.Name, a.name, a.metric, mean, a.real, a.off)
		}
	}
}

// Equal seeds of a model give equal series; pion's goroutines need not, but its virtual time costs no real time.
func TestModelsRepeat(t *testing.T) {
	for _, m := range rival.All() {
		if m.Name == rival.PionGCC.Name {
			continue
		}
		c := find(t, "5.1")
		require.Equal(t, cc.Run(c, []cc.Maker{m}, 7), cc.Run(c, []cc.Maker{m}, 7), m.Name)
	}
}
