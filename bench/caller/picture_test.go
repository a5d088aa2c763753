package caller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPicturesAreShownEvenly(t *testing.T) {
	const every, path, repair = time.Second / 30, 25 * time.Millisecond, 150 * time.Millisecond
	var clean, lossy evenly
	var gaps []time.Duration
	last := time.Duration(0)
	for i := range 600 {
		sent := time.Duration(i) * every
		require.Equal(t, sent+path, clean.shown(sent+path, sent), "nothing is held back where nothing is late")
		came := sent + path
		if i%10 == 0 {
			came += repair
		}
		at := lossy.shown(came, sent)
		require.GreaterOrEqual(t, at, came)
		if i > remembered {
			gaps = append(gaps, at-last)
		}
		last = at
	}
	for _, gap := range gaps {
		require.Equal(t, every, gap, "what is repaired in time stops nothing")
	}
	late := evenly{}
	require.Equal(t, 5*time.Second, late.shown(5*time.Second, 0))
	require.Equal(t, 5*time.Second+holdMost, late.shown(5*time.Second, 4900*time.Millisecond), "held no longer than that")
}
