//go:build linux

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
)

// The ratio is taken run by run, loss is of packets and not of streams, and each side's drops stand for themselves.
func TestRows(t *testing.T) {
	var f figures
	for _, r := range [][2]float64{{1000, 2000}, {3000, 4000}, {1800, 3000}} {
		f.add(report.Report{
			ClientCost: report.Cost{PerInAndOutNS: r[0], Drops: 2}, ServerCost: report.Cost{PerInAndOutNS: r[1], Drops: 7},
			Streams: []measure.Stream{
				{Loss: measure.Loss{Expected: 300, After: 0.01}}, {Loss: measure.Loss{Expected: 100, After: 0.05}},
			},
		})
	}
	got := map[string]float64{}
	for _, r := range f.rows("light_x") {
		require.Equal(t, 3, r.Runs)
		got[r.Name] = r.Value
	}
	require.InDeltaMapValues(t, map[string]float64{
		"light_x_caller": 1800, "light_x_server": 3000, "light_x_ratio": 0.6,
		"light_x_caller_drops": 2, "light_x_server_drops": 7, "light_x_loss": 0.02,
	}, got, 1e-9)
	require.Zero(t, lossOf(nil))
}
