package voice

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
)

// rows of two cases that nobody played.
func rowsOfTwo() []Row {
	lossy := one("down-20", "20 % is lost", clean(), lossy(0.2), browser, chromium, hopGoals(0.2, DownBytes)...)
	saver, _ := Find("saver")
	series := Series{Concealed: []float64{0, 1}, Copies: []float64{0, 0}, Delay: []float64{10, 20}, Down: []float64{50, 51}}
	return []Row{
		{"tolkyn", lossy, 3, map[Metric]float64{Concealed: 0.001, DownBytes: 2.3, Wrong: 0}, map[Metric]float64{Wrong: 0}, series},
		{"plain", lossy, 3, map[Metric]float64{Concealed: 0.2, DownBytes: 1, Wrong: 0.1}, map[Metric]float64{Wrong: 1}, series},
		{"tolkyn", saver, 3, map[Metric]float64{UpTalk: 20.5, UpSilent: 2, DownTalk: 19, DownSilent: 4.04}, map[Metric]float64{}, Series{}},
	}
}

func TestGoalsAreJudged(t *testing.T) {
	rows := rowsOfTwo()
	missed, of := MissedBy("tolkyn", rows)
	require.Equal(t, 3+len(rows[2].Case.Goals), of)
	var names []Metric
	for _, m := range missed {
		names = append(names, m.Goal.Metric)
	}
	require.Equal(t, []Metric{DownBytes, Concealed, DownSilent, Wrong}, names, "what was not measured is not met")
	missed, of = MissedBy("plain", rows)
	require.Equal(t, 3, of)
	require.Len(t, missed, 2)
	require.InDelta(t, 1, missed[1].Goal.Got, 0, "one wrong payload in any run is one too many")
}

func TestWrittenForms(t *testing.T) {
	table := Table{Origin: report.Origin{Command: "tolkyn bench voice", Commit: "0123456789abcdef", Date: "2026-12-01"}, Rows: rowsOfTwo()}
	var b bytes.Buffer
	require.NoError(t, WriteText(&b, table.Rows, false))
	require.Regexp(t, `(?m)^tolkyn +0\.10 ✓.* 2\.30 ✗`, b.String())
	require.Regexp(t, `(?m)^goal +≤ 0\.2 .*≤ 2\.2`, b.String())
	require.Contains(t, b.String(), "plain     1 of 3 goals met")
	require.NotContains(t, b.String(), "\x1b")

	b.Reset()
	require.NoError(t, table.WriteMarkdown(&b))
	require.Contains(t, b.String(), "at commit `0123456789ab`, 2026-12-01; means of 3 seeds")
	require.Contains(t, b.String(), "| `down-20`: 20 % is lost | ≤ 0.2 / · / ≤ 2.2 | 0.10 / – / 2.30 ✗ | 20.00 / – / 1.00 |")
	require.Contains(t, b.String(), "| `saver` | tolkyn | 20.5 | 2.0 | 19.0 | 4.0 ✗ |")

	b.Reset()
	require.NoError(t, table.WriteJSON(&b))
	var read struct {
		Commit string
		Rows   []map[string]any
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &read))
	require.Equal(t, "down-20", read.Rows[1]["case"])
	require.InDelta(t, 0.2, read.Rows[1]["concealed"], 0)
	require.Contains(t, read.Rows[1]["goals"], map[string]any{"metric": "concealed", "at_most": 0.002, "met": false})

	b.Reset()
	require.NoError(t, table.Study().WriteHTML(&b))
	require.Contains(t, b.String(), "20 % is lost")

	dir := t.TempDir()
	require.NoError(t, WritePlots(dir, table.Rows[:2]))
	drawn, err := os.ReadFile(filepath.Join(dir, "down-20.svg"))
	require.NoError(t, err)
	require.Contains(t, string(drawn), ">Concealed, %<")
	require.NotContains(t, string(drawn), ">Copies, a packet<", "there are none")
	require.ErrorContains(t, WritePlots(filepath.Join(dir, "down-20.svg"), nil), "write plots")
}
