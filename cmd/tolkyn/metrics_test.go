package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/oneport"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/supervisor"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/turn"
)

// scrape is what a scraper reads of some figures.
func scrape(t *testing.T) string {
	t.Helper()
	metrics := newMetrics(figures{
		load: newLoad(config.Default().Limits),
		sfu: func() (sfu.Stats, bool) {
			var stats sfu.Stats
			stats.Shards = slices.Grow(stats.Shards, 1)[:1] // One that has done nothing.
			return stats, true
		},
		signaling: func() signaling.Stats {
			return signaling.Stats{
				Sessions: 7,
				Transports: map[string]signaling.TransportStats{
					"websocket": {Sessions: 3, Connections: 4, Accepted: 40},
					"quic":      {Sessions: 2, Connections: 2, Accepted: 20},
				},
				QUIC:   signaling.QUICStats{EarlyFrames: 5, DatagramDrops: 6, Retries: 8, HandshakesRefused: 9},
				Errors: map[string]uint64{"RATE": 3},
			}
		},
		turn: func() turn.Stats {
			stats := turn.Stats{
				Refused: map[string]uint64{"over_quota": 1}, Dropped: map[string]uint64{"late": 2}, Workers: 4, Busy: 1, Draining: true,
			}
			stats.Ways[turn.UDP] = turn.WayStats{Allocations: 11, Allocated: 12, HandedOver: turn.Traffic{Packets: 13, Bytes: 14}}
			stats.Ways[turn.TLS] = turn.WayStats{Allocations: 21, Connections: 22, HandedOver: turn.Traffic{Packets: 23}, ToPeers: turn.Traffic{Packets: 24}}
			return stats
		},
		one:   &onePort{mux: oneport.New(nil, oneport.Config{}), datagrams: oneport.NewDatagrams(nil, nil)},
		child: &supervisor.Child{Restarts: supervisor.Restarts{Panics: 1, Signals: 2}},
	})
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

func TestMetricsByTransport(t *testing.T) {
	text := scrape(t)
	for _, line := range []string{
		`tolkyn_signaling_sessions{transport="websocket"} 3`,
		`tolkyn_signaling_sessions{transport="quic"} 2`,
		`tolkyn_signaling_sessions{transport="none"} 2`,
		`tolkyn_signaling_connections{transport="websocket"} 4`,
		`tolkyn_signaling_connections_opened_total{transport="quic"} 20`,
		`tolkyn_quic_early_frames_total 5`,
		`tolkyn_quic_dropped_datagrams_total 6`,
		`tolkyn_quic_retries_total 8`,
		`tolkyn_quic_handshakes_lost_total{fate="refused"} 9`,
		`tolkyn_supervisor_restarts_total{reason="signal"} 2`,
		`tolkyn_supervisor_restarts_total{reason="exit"} 0`,
		`tolkyn_turn_allocations{transport="udp"} 11`,
		`tolkyn_turn_allocations{transport="tcp"} 0`,
		`tolkyn_turn_allocations_opened_total{transport="udp"} 12`,
		`tolkyn_turn_connections{transport="tls"} 22`,
		`tolkyn_turn_packets_total{path="handed_over"} 36`,
		`tolkyn_turn_packets_total{path="to_peers"} 24`,
		`tolkyn_turn_refused_total{reason="over_quota"} 1`,
		`tolkyn_turn_dropped_packets_total{reason="late"} 2`,
		`tolkyn_turn_draining 1`,
		`tolkyn_oneport_connections_total{for="ice_tcp"} 0`,
		`tolkyn_oneport_dropped_datagrams_total{reason="stray"} 0`,
	} {
		require.Contains(t, text, line+"\n")
	}
}

// TestShardsAreSummed: counters add up, nested ones too; a switch is on when it is on everywhere.
func TestShardsAreSummed(t *testing.T) {
	type socket struct {
		Sent uint64
		GSO  bool
	}
	type shard struct {
		Peers  int
		Busy   time.Duration
		Socket socket
	}
	require.Zero(t, sum[shard](nil))
	require.Equal(t, shard{6, 3 * time.Second, socket{12, false}}, sum([]shard{
		{1, time.Second, socket{5, true}}, {2, 0, socket{7, false}}, {3, 2 * time.Second, socket{0, true}},
	}))
}

// TestEveryMetricIsInTheGuide: what is not told of is not watched. The guide may leave out the beginning that a metric shares
// with the one before it in its row.
func TestEveryMetricIsInTheGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	var told []string
	for row := range strings.Lines(string(guide)) {
		first := ""
		for _, name := range regexp.MustCompile("`(_?[a-z][a-z_]+)[`{]").FindAllStringSubmatch(row, -1) {
			if rest, short := strings.CutPrefix(name[1], "_"); short {
				// tolkyn_part_one, _two: the part stays.
				parts := strings.SplitN(first, "_", 3)
				told = append(told, strings.Join(append(parts[:min(2, len(parts))], rest), "_"))
				continue
			}
			first = name[1]
			told = append(told, first)
		}
	}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (tolkyn_\S+)`).FindAllStringSubmatch(scrape(t), -1) {
		require.True(t, slices.Contains(told, name[1]), "docs/operations.md does not tell of %s", name[1])
	}
}
