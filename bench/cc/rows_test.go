package cc

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// named is a controller of one rate by a name.
func named(name string, rate bwe.Bitrate) Maker {
	m := at(rate)[0]
	m.Name = name
	return m
}

// played is two cases and two controllers: "good" meets its goal, "slow" does not.
func played(t *testing.T) []Row {
	t.Helper()
	c := short()
	c.About, c.Goals = "a short one", []Goal{atLeast(UtilSteady, 0.8), atMost(Loss, 0)}
	grid := short()
	grid.Name, grid.Grid = "8868-d50-l0-q300", true
	calls := 0
	rows := Play(t.Context(), []Case{c, grid}, []Maker{named("good", 900*bwe.Kbps), named("slow", 300*bwe.Kbps)}, 2, func(done, of int) {
		calls++
		require.Equal(t, calls, done)
		require.Equal(t, 8, of)
	})
	require.Equal(t, 8, calls)
	return rows
}

func TestPlay(t *testing.T) {
	rows := played(t)
	require.Len(t, rows, 4)
	require.Equal(t, []string{"good", "slow"}, controllers(rows))
	good := rows[0]
	require.Equal(t, 2, good.Seeds)
	a, b := Run(good.Case, at(900*bwe.Kbps), 1), Run(good.Case, at(900*bwe.Kbps), 2)
	require.InDelta(t, (a.Metrics[QueueMean]+b.Metrics[QueueMean])/2, good.Mean[QueueMean], 1e-9)
	require.InDelta(t, max(a.Metrics[QueueMean], b.Metrics[QueueMean]), good.Worst[QueueMean], 1e-9)
	require.InDelta(t, min(a.Metrics[Util], b.Metrics[Util]), good.Worst[Util], 1e-9)
	require.Equal(t, a.Series, good.Series)
	require.True(t, good.Goals()[0].Met)
	require.False(t, rows[1].Goals()[0].Met)

	missed, of := MissedBy("slow", rows)
	require.Equal(t, 2, of)
	require.Len(t, missed, 1)
	require.Equal(t, "good", missed[0].Peer)
	require.True(t, missed[0].Behind())
}

func TestPeersMayPlayFewerSeeds(t *testing.T) {
	slow := named("slow", 300*bwe.Kbps)
	slow.Seeds = 1
	rows := Play(t.Context(), []Case{short(), short()}, []Maker{named("good", 900*bwe.Kbps), slow}, 2, func(int, int) {})
	require.Len(t, rows, 4)
	for i, want := range []int{2, 1, 2, 1} {
		require.Equal(t, want, rows[i].Seeds)
	}
	require.Equal(t, Run(short(), at(300*bwe.Kbps), 1).Metrics, rows[3].Mean)
	require.Equal(t, "2 (peers: 1)", seedsOf(rows))
}

func TestPlayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rows := Play(ctx, []Case{short()}, []Maker{named("good", bwe.Mbps)}, 3, func(int, int) {})
	require.Zero(t, rows[0].Seeds)
	short := rows[0]
	short.Case.Goals = []Goal{atMost(Loss, 0)}
	require.False(t, short.Goals()[0].Met, "what was not measured is not met")
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, rows, false))
	require.NoError(t, Table{Rows: rows}.Study().WriteHTML(&b))
}

// The table as people see it: testdata/table.txt.
func TestWriteText(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, played(t), false))
	if *update {
		require.NoError(t, os.WriteFile("testdata/table.txt", b.Bytes(), 0o644))
	}
	want, err := os.ReadFile("testdata/table.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
	b.Reset()
	require.NoError(t, WriteText(&b, played(t), true))
	require.Contains(t, b.String(), "\x1b[31m")
	plain := strings.NewReplacer("\x1b[31m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[0m", "").Replace(b.String())
	require.Equal(t, string(want), plain, "colour adds nothing but itself")
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Table{Origin: report.Origin{Command: "tolkyn bench cc"}, Rows: played(t)}.WriteJSON(&b))
	var read struct {
		Command string
		Rows    []struct {
			Controller, Case string
			Seeds            int
			Util             float64
			QueueP95         float64 `json:"queue_p95_ms"`
			Worst            map[string]float64
			Goals            []struct {
				Metric  string
				AtLeast *float64 `json:"at_least"`
				AtMost  *float64 `json:"at_most"`
				Met     bool
			}
		}
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &read))
	require.Equal(t, "tolkyn bench cc", read.Command)
	require.Len(t, read.Rows, 4)
	row := read.Rows[1]
	require.Equal(t, "slow", row.Controller)
	require.Equal(t, "short", row.Case)
	require.InDelta(t, 0.3, row.Util, 0.02)
	require.Positive(t, row.QueueP95)
	require.InDelta(t, row.Util, row.Worst["util"], 0.01)
	require.InDelta(t, 0.8, *row.Goals[0].AtLeast, 1e-9)
	require.False(t, row.Goals[0].Met)
	require.True(t, row.Goals[1].Met)
	require.NotNil(t, row.Goals[1].AtMost)
}

// Each controller of a case has its plots, the grid one table without.
func TestStudy(t *testing.T) {
	s := Table{Rows: played(t)}.Study()
	require.Len(t, s.Cases, 2)
	require.Equal(t, []report.StudyScore{{Name: "good", Met: 2, Of: 2}, {Name: "slow", Met: 1, Of: 2}}, s.Scores)
	row := s.Cases[0].Rows[0]
	require.Len(t, row.Plots, 3)
	for _, p := range row.Plots {
		for _, l := range p.Lines {
			require.Len(t, l.Values, 100, l.Name)
		}
	}
	require.Equal(t, gridName, s.Cases[1].Name)
	require.Empty(t, s.Cases[1].Rows[0].Plots)
}
