//go:build linux

package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/server"
)

// TestDrop is one drop and return in real time, through a server of its own process. On a machine that others use it wants no more
// than what a call must not be without: sound goes on, what does not fit any more stops, pictures go on, and the bottleneck is not
// kept full. How good all of that is the command measures.
func TestDrop(t *testing.T) {
	b := &bench{dir: t.TempDir(), binary: filepath.Join(t.TempDir(), "tolkyn")}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	t.Chdir("../..")
	require.NoError(t, server.Build(ctx, b.binary))
	s, err := b.startTolkyn(ctx, b.onLoopback())
	require.NoError(t, err)
	defer s.Stop()
	d, err := playDrops(ctx, s, 1, plan{1, 0, 6 * time.Second, 4 * time.Second})
	require.NoError(t, err)

	c := d.each()[0]
	bad, gap := d.sound()
	lost := 0
	for _, p := range d.passages {
		if p.dropped {
			lost++
		}
	}
	t.Logf("%+v; sound lost or late %.4f, longest gap %v; %d of %d packets dropped", c, bad, gap, lost, len(d.passages))
	require.Less(t, bad, 0.05, "sound")
	require.Less(t, gap, 2*time.Second, "sound")
	require.Less(t, c.lastOld, 3*time.Second, "the layer that does not fit")
	require.Less(t, c.silence, 6*time.Second, "pictures")
	require.Less(t, float64(lost), 0.05*float64(len(d.passages)), "full queue")
}
