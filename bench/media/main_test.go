//go:build linux

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// What Go prints becomes rows named by codec and decision, with a value a run.
func TestBenchmarksBecomeRows(t *testing.T) {
	all := measuredOf(report.ParseGoBench([]byte(`goos: linux
BenchmarkInspect/vp8-2         	100	        10.5 ns/op	       0 B/op
BenchmarkInspect/vp8-2         	100	        12.5 ns/op	       0 B/op
BenchmarkInspect/vp9-key-2     	100	        30 ns/op
BenchmarkInspectAV1/key-2      	100	        31 ns/op
BenchmarkReadDescriptor        	100	        32 ns/op
BenchmarkNext/1100B-16         	100	        80 ns/op	        70 cpu-ns/op
BenchmarkNextOf/vp9/all+descriptor-2    	100	        3300 ns/op	33 ns/packet	100 %sent
BenchmarkRing/720p-2           	100	  50000 ns/op	    123456 ring-B
ok  	x	1.2s
`)))
	got := map[string][]float64{}
	for _, m := range all {
		got[m.row()] = m.time()
	}
	require.Equal(t, map[string][]float64{
		"vp8_inspect": {10.5, 12.5}, "vp9_key_inspect": {30}, "av1_key_inspect": {31}, "read_descriptor": {32}, "next_1100b": {70},
		"vp9_all_descriptor": {33}, "ring_720p": {50000},
	}, got)
	require.Equal(t, []float64{123456}, all[len(all)-1].Values["ring-B"])
	require.Empty(t, report.ParseGoBench([]byte("Benchmark\nBenchmarkX 1\n\n")))
}

// Every row's scenario is one, and each name chooses its row alone.
func TestRows(t *testing.T) {
	for _, r := range rows {
		require.Len(t, chosen(r.name, "loopback"), 1, r.name)
	}
	require.Len(t, chosen("media_pairs", "loopback"), 3)
	require.Len(t, chosen("", "loopback"), len(rows))
	for _, r := range chosen("", "veth") {
		require.NotContains(t, r.name, "livekit")
		require.NotContains(t, r.name, "codec")
	}
	for _, text := range []string{
		"webinar 1x100 kind=light layers=3 view=1280x720,320x180,640x360,2s", "meeting 6x6 kind=light layers=3 rooms=10", "room 20x1000",
		"room 9x10 rooms=100", "webinar 1x1000 kind=light profile=360p", "meeting 8 kind=full",
	} {
		_, err := scenario.Builtin(text + " duration=8s")
		require.NoError(t, err, text)
	}
}

// Signaling is a listener's, loss is of packets, drops are of both sides, and the floor stands beside pictures fanned out alone.
func TestFigures(t *testing.T) {
	f := figures{of: perOut}
	for i := range 3 {
		f.add(report.Report{
			Machine: report.Machine{FloorNS: 1000},
			ServerCost: report.Cost{
				PerReceivedNS: 2000, MemoryPerCaller: 2048, Drops: 1,
			},
			Usage:      []report.Usage{{At: 1, Sent: 7, Received: 7}, {At: 3, Sent: 10_000, Received: 5000}, {At: 4, Sent: 20_000, Received: 5000}},
			ClientCost: report.Cost{Drops: 2, Slips: int64(i)},
			Video:      report.Total{Switches: 50},
			Callers: []measure.Caller{
				{SentPackets: 9, SignalBytes: 9999}, {ReceivedPackets: 1, SignalBytes: 100}, {ReceivedPackets: 1, SignalBytes: 300},
			},
			Streams: []measure.Stream{{Loss: measure.Loss{Expected: 300, After: 0.01}}, {Loss: measure.Loss{Expected: 100, After: 0.05}}},
		}, 2, 12)
	}
	got := map[string]float64{}
	for _, r := range f.rows("x", "command") {
		require.Equal(t, 3, r.Runs)
		require.Equal(t, "command", r.Command)
		got[r.Name] = r.Value
		if r.Name == "x" {
			require.InDelta(t, 2, r.Ratio, 1e-9)
		} else {
			require.Zero(t, r.Floor)
		}
	}
	require.InDeltaMapValues(t, map[string]float64{
		"x": 2000, "x_packets": 20_000, "x_memory": 2, "x_signaling": 20, "x_switches": 5, "x_loss": 0.02, "x_drops": 3, "x_slips": 1,
	}, got, 1e-9)
	f.of = perInAndOut
	require.Zero(t, f.rows("x", "")[0].Floor)
	require.Zero(t, lossOf(nil))
	require.InDelta(t, 5, signalingOf([]measure.Caller{{SentPackets: 1, SignalBytes: 10}, {}}), 1e-9)
}

// A load that either loses is too much; what both carry becomes rows of each, with the ratio of the pairs and the load's name.
func TestComparisons(t *testing.T) {
	spread := func(v ...float64) report.Spread { return report.Spread{Values: v, Median: v[0], Max: v[len(v)-1]} }
	c := report.Comparison{Pairs: 2, B: report.Side{Name: "livekit 1.13.5"}, Metrics: []report.Difference{
		{Name: "server CPU a packet out", A: spread(1, 2), B: spread(3, 4), Ratio: spread(2.5, 3)},
		{Name: "server CPU a packet in or out", A: spread(1, 2), B: spread(3, 4), Ratio: spread(2, 3)},
		{Name: "audio loss after repair, p95", A: spread(0, 0), B: spread(0, 0)},
		{Name: "video delay, p50", A: spread(9, 9), B: spread(9, 9)},
	}}
	require.Empty(t, unclean(c))
	rows := compared(c, "media_x", "pairs 40", "command")
	names := map[string]report.Result{}
	for _, r := range rows {
		names[r.Name] = r
		require.Equal(t, 2, r.Runs)
	}
	require.Len(t, names, 6)
	require.InDelta(t, 2, names["media_x_livekit"].Ratio, 1e-9)
	require.Equal(t, "livekit 1.13.5 at pairs 40", names["media_x_livekit"].Peer)
	require.InDelta(t, 2.5, names["media_x_out_livekit"].Ratio, 1e-9)
	require.Zero(t, names["media_x_tolkyn"].Ratio)
	require.Empty(t, names["media_x_tolkyn"].Peer)
	require.Contains(t, names, "media_x_loss_livekit")

	c.Metrics[2].B = spread(0, 0.2)
	require.Contains(t, unclean(c), "audio loss after repair")
}
