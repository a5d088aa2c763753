package report_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
)

func TestKeepReplacesWhatWasMeasured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	first := []report.Result{{Name: "a", Value: 1}, {Name: "b", Value: 2}}
	require.NoError(t, report.Keep(path, first))
	require.NoError(t, report.Keep(path, []report.Result{{Name: "b", Value: 3}, {Name: "c", Value: 4}}))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var kept []report.Result
	require.NoError(t, json.Unmarshal(b, &kept))
	require.Equal(t, []report.Result{{Name: "a", Value: 1}, {Name: "b", Value: 3}, {Name: "c", Value: 4}}, kept)

	require.NoError(t, os.WriteFile(path, []byte("no results"), 0o644))
	require.ErrorContains(t, report.Keep(path, first), path)
}

func TestNew(t *testing.T) {
	r := report.New("make bench", "row", "ns", []float64{5, 1, 3}, []float64{2, 2, 8})
	require.Equal(t, "row", r.Name)
	require.Equal(t, "make bench", r.Command)
	require.Equal(t, 3.0, r.Value)
	require.Equal(t, 2.0, r.Floor)
	require.Equal(t, 1.5, r.Ratio)
	require.Equal(t, 3, r.Runs)
	require.Zero(t, report.New("", "", "", nil, nil).Value)
	require.Zero(t, report.New("", "", "", []float64{1}, nil).Ratio)
}
