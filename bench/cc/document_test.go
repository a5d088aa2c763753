package cc

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Rows stand on the sheets that show their cases, with what misses its goal marked, and at the end what ours missed.
func TestWriteMarkdown(t *testing.T) {
	c := short()
	c.Name, c.Goals = "const-1M", []Goal{atLeast(UtilSteady, 0.8), atMost(Loss, 0)}
	other := short()
	other.Name = "5.3"
	grid := short()
	grid.Name, grid.Grid = "8868-d50-l0-q300", true
	rows := Play(t.Context(), []Case{c, other, grid}, []Maker{named("slow", 300*bwe.Kbps), named("good", 900*bwe.Kbps)}, 1, func(int, int) {})
	var b bytes.Buffer
	require.NoError(t, Table{Origin: report.Origin{Command: "tolkyn bench cc", Commit: "0123456789abcdef"}, Rows: rows}.WriteMarkdown(&b))
	got := b.String()
	require.Contains(t, got, "Made by `tolkyn bench cc` at commit `0123456789ab`")
	require.Contains(t, got, "**One flow**: util % / Q p95 / loss %\n\n|  | goal | slow | good |\n|---|---|---|---|\n| `const-1M` | · / · / ≤ 0 | 29.7 / ")
	require.Contains(t, got, "| `5.3` |  | 29.7 / ")
	require.Regexp(t, `\| .const-1M. \| ≥ 80 / · / · \| 29\.8 ✗ / [0-9.]+ / [0-9.]+ \| 89\.6 / `, got)
	require.Contains(t, got, "| 50 ms  0 % | 29.7 / ")
	require.Contains(t, got, "| met | 1 of 2 | 2 of 2 |")
	require.Contains(t, got, "| `const-1M` | steady % | ≥ 80 | 29.8 | good, 89.6 |")
	require.NotContains(t, got, "L4S")

	b.Reset()
	require.NoError(t, Table{}.WriteMarkdown(&b), "nothing was played")
}
