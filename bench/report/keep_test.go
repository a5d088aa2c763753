package report

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAComparisonIsKeptAsRows(t *testing.T) {
	run := func(kind string, mos float64) Report {
		r := Report{Scenario: Scenario{Name: "pairs"}, Server: Server{Kind: kind, Version: "1"}}
		r.Audio.Streams, r.Audio.MOSWorst = 2, mos
		return r
	}
	c := Compare([]Report{run("tolkyn", 4), run("tolkyn", 4.2), run("tolkyn", 4.4)}, []Report{run("livekit", 2), run("livekit", 2.1), run("livekit", 4.4)})
	rows := map[string]Result{}
	for _, r := range c.Results("the command") {
		rows[r.Name] = r
	}
	ours, theirs := rows["compare_pairs_audio_mos_worst_5_tolkyn_beside_livekit"], rows["compare_pairs_audio_mos_worst_5_livekit"]
	require.Equal(t, []any{4.2, "", 3, "the command"}, []any{ours.Value, ours.Peer, ours.Runs, ours.Command})
	require.Equal(t, []any{2.1, "livekit 1", 0.5}, []any{theirs.Value, theirs.Peer, theirs.Ratio})
}
