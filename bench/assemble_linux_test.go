package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// A modelled link that has no room is what gives way, and an emulator that is late is the bench's own doing.
func TestLinksGiveWay(t *testing.T) {
	seconds := make([]measure.Load, 10)
	for want, links := range map[measure.Bottleneck][]report.Link{
		"":              {{Packets: 10_000, Overflow: 99, LateP99: 1}, {Packets: 20, Overflow: 20, LateP99: 80}},
		measure.Network: {{Packets: 10_000}, {Packets: 10_000, Overflow: 100}},
		measure.Client:  {{Packets: 10_000, LateP99: 9}, {Packets: 10_000, LateP99: 3}},
	} {
		got, _ := measure.FindBottleneck(withLinks(seconds, links))
		require.Equal(t, want, got)
	}
	require.Equal(t, measure.Load{}, seconds[0], "the run's own are as they were")
}

// A run is as long as its scenario, unless it was ended before: the last sample is of the second before its end.
func TestTheLengthOfARun(t *testing.T) {
	r := &run{config: Config{Scenario: scenario.Scenario{Duration: 20 * time.Second}}, end: mark{at: 19 * time.Second}}
	require.Equal(t, 20*time.Second, r.length())
	r.partial = true
	require.Equal(t, 19*time.Second, r.length())
}
