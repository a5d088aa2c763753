package cc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What congestion control has to reach, said a second time: a goal that is weakened in a case falls out of this table.
func TestGoalsOfEachCase(t *testing.T) {
	for _, want := range []struct {
		name  string
		goals []Goal
	}{
		{"const-1M", []Goal{atLeast(UtilSteady, 0.95), atMost(QueueMean, 15), atMost(QueueP95, 40), atMost(Conv, 2)}},
		{"const-3M", []Goal{atLeast(UtilSteady, 0.95), atMost(QueueMean, 15), atMost(QueueP95, 40), atMost(Conv, 3)}},
		{"const-10M", []Goal{atLeast(UtilSteady, 0.95), atMost(QueueMean, 15), atMost(QueueP95, 40), atMost(Conv, 4)}},
		{"const-1M-rtt300", []Goal{atMost(QueueMean, 40)}},
		{"5.1", []Goal{
			atLeast(Util, 0.92), atMost(QueueMean, 18), atMost(QueueP95, 50), atMost(Loss, 0.001), atMost(SenderQueueP95, 25), atMost(Settle, 1.5),
		}},
		{"5.1-owd100", []Goal{atLeast(Util, 0.92), atMost(QueueP95, 90), atMost(Loss, 0.005)}},
		{"5.2", []Goal{atLeast(Jain, 0.95), atMost(FairLoss, 0.005)}},
		{"5.4", []Goal{atLeast(Jain, 0.98)}},
		{"5.5", []Goal{atLeast(Jain, 0.95), atMost(QueueP95, 80)}},
		{"5.6-reno-300", []Goal{atLeast(Share, 0.25)}},
		{"5.6-cubic-300", []Goal{atLeast(Share, 0.25)}},
		{"5.6-reno-1000", []Goal{atLeast(Share, 0.10)}},
		{"5.6-cubic-1000", []Goal{atLeast(Share, 0.10)}},
		{"5.8", []Goal{atMost(Refill, 2)}},
		{"loss-5", []Goal{atLeast(Util, 0.90)}},
		{"loss-10", []Goal{atLeast(Util, 0.85)}},
		{"loss-20", []Goal{atLeast(Util, 0.60)}},
		{"queue-70", []Goal{atLeast(Util, 0.90), atMost(Loss, 0.005)}},
		{"queue-10", []Goal{atLeast(Util, 0.80), atMost(Loss, 0.03)}},
		{"l4s-1M", []Goal{atLeast(UtilSteady, 0.85), atMost(QueueP99, 10)}},
		{"l4s-30M", []Goal{atLeast(UtilSteady, 0.85), atMost(QueueP99, 10)}},
		{"app-limited", []Goal{atMost(Over, 1), atMost(ProbeShare, 0.03)}},
		{"lie-boasts", []Goal{atMost(Over, 1)}},
		{"sfu-5.1", []Goal{atLeast(Utility, 0.92), atMost(WrongLayers, 0.05), atMost(QueueP95, 60)}},
	} {
		c, ok := Find(want.name)
		require.True(t, ok, want.name)
		require.Subset(t, c.Goals, want.goals, want.name)
	}
}

// No estimate is ever below the configured minimum: every case that Run plays asks for it.
func TestEveryCaseIsSound(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Cases() {
		require.False(t, names[c.Name], "%s is there twice", c.Name)
		names[c.Name] = true
		require.NotEmpty(t, c.About, c.Name)
		for _, l := range c.Links {
			require.NoError(t, l.Check(), c.Name)
		}
		for i, g := range c.Goals {
			for _, other := range c.Goals[:i] {
				require.NotEqual(t, other.Metric, g.Metric, "%s has two goals for %s", c.Name, g.Metric)
			}
			require.NotEmpty(t, columnOf(g.Metric).title)
		}
		if c.Play != nil {
			continue
		}
		require.Positive(t, c.Config.Min, c.Name)
		require.Contains(t, c.Goals, atMost(UnderMin, 0), c.Name)
		require.LessOrEqual(t, c.Fair.To, c.Duration, c.Name)
		for _, f := range c.Flows {
			require.NotEmpty(t, f.Route, c.Name)
			for _, r := range append(f.Back, f.Route...) {
				require.Less(t, r, len(c.Links), c.Name)
			}
		}
	}
}
