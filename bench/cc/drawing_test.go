package cc_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/cc"
)

// Each row is drawn into a file of its own; losses only where there are some.
func TestWritePlots(t *testing.T) {
	var cases []cc.Case
	for _, name := range []string{"const-1M", "loss-10", "sfu-drop"} {
		c, ok := cc.Find(name)
		require.True(t, ok)
		c.Duration = 3 * time.Second
		cases = append(cases, c)
	}
	rows := cc.Play(context.Background(), cases, []cc.Maker{cc.Tolkyn}, 1, func(int, int) {})
	dir := filepath.Join(t.TempDir(), "new")
	require.NoError(t, cc.WritePlots(dir, rows))
	for name, lost := range map[string]bool{"const-1M": false, "loss-10": true, "sfu-drop": false} {
		b, err := os.ReadFile(filepath.Join(dir, name+"-tolkyn.svg"))
		require.NoError(t, err)
		require.Contains(t, string(b), "Rate, kbit/s")
		if lost {
			require.Contains(t, string(b), "Lost, packets/s")
		} else {
			require.NotContains(t, string(b), "Lost, packets/s")
		}
	}
	require.Error(t, cc.WritePlots(filepath.Join(dir, "const-1M-tolkyn.svg"), rows), "there is a file in the place of the folder")
}
