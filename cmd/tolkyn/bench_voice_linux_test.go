package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A whole call is played by the built program, outside of any test, and written in each form.
func TestBenchVoicePlaysACall(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	cmd, out, errs := benchCommand(t, "voice", "-q", "--case", "clean", "--way", "tolkyn,plain", "--seeds", "1",
		"--json", in("voice.json"), "--html", in("voice.html"), "--markdown", in("voice.md"), "--plots", in("plots"))
	require.NoError(t, cmd.Run(), errs)
	require.Empty(t, errs.String())
	require.Contains(t, out.String(), "clean  nothing is lost")
	b, err := os.ReadFile(in("voice.json"))
	require.NoError(t, err)
	var read struct{ Rows []map[string]any }
	require.NoError(t, json.Unmarshal(b, &read))
	require.Len(t, read.Rows, 2)
	require.Equal(t, "tolkyn", read.Rows[0]["way"])
	require.Less(t, read.Rows[0]["delay_mean_ms"], 20.0)
	require.Positive(t, read.Rows[0]["delay_mean_ms"])
	for _, name := range []string{"voice.html", "voice.md", "plots/clean.svg"} {
		require.FileExists(t, in(name))
	}
}

func TestBenchVoiceRefusesInOneLine(t *testing.T) {
	for args, want := range map[[2]string]string{
		{"--case", "none"}: "--case: no case is called \"none\"",
		{"--case", "["}:    "--case \"[\": syntax error",
		{"--way", "none"}:  "--way: got \"none\", want one of tolkyn, plain, fec, red-2",
		{"--seeds", "0"}:   "--seeds: got 0, want at least 1",
	} {
		cmd, _, errs := benchCommand(t, "voice", args[0], args[1])
		require.NotZero(t, exitCodeOf(t, cmd.Run()))
		require.Contains(t, errs.String(), want)
	}
}
