package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A report says how it was made, and never what opens a server.
func TestReportsKeepNoSecrets(t *testing.T) {
	require.Equal(t,
		"tolkyn bench --server https://call.example.kz --key main --secret … --scenario 'pairs 20' --pass ''",
		commandLine([]string{"bench", "--server", "https://call.example.kz", "--key", "main", "--secret", "--token", "--scenario", "pairs 20", "--pass", ""}))
	require.Equal(t, "tolkyn bench --token=… --secret-file a.secret --secret=…", commandLine([]string{"bench", "--token=abc", "--secret-file", "a.secret", "--secret=x=y"}))
}

// A folder that is not there is found before anything is measured.
func TestFilesAreLookedForFirst(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []*benchFlags{{}, {json: "report.json"}, {html: filepath.Join(dir, "report.html")}} {
		require.NoError(t, f.writable())
	}
	f := &benchFlags{html: filepath.Join(dir, "report.html"), csv: filepath.Join(dir, "missing", "streams.csv")}
	require.ErrorContains(t, f.writable(), "--csv: ")
}
