package cc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// fixed is a controller that says one rate.
type fixed struct{ rate bwe.Bitrate }

func (f fixed) Sent(time.Duration, bwe.Packet)       {}
func (f fixed) Feedback(time.Duration, []bwe.Result) {}
func (f fixed) Wants(time.Duration, bwe.Bitrate)     {}
func (f fixed) Poll(time.Duration) bwe.Estimate {
	return bwe.Estimate{Target: f.rate, Pacing: 2 * f.rate}
}
func at(rate bwe.Bitrate) []Maker {
	return []Maker{{Name: "fixed", New: func(time.Duration, bwe.Config) Controller { return fixed{rate} }}}
}

func TestFixedRateOnOneLink(t *testing.T) {
	c, ok := Find("const-1M")
	require.True(t, ok)
	r := Run(c, at(900*bwe.Kbps), 1)
	t.Log(r.Metrics)
	require.InDelta(t, 0.9, r.Metrics[UtilSteady], 0.02)
	require.Less(t, r.Metrics[QueueMean], 20.0)
	require.Zero(t, r.Metrics[Loss])
	require.Less(t, r.Metrics[Conv], 2.0)

	r = Run(c, at(1100*bwe.Kbps), 1)
	t.Log(r.Metrics)
	require.InDelta(t, 1, r.Metrics[UtilSteady], 0.01)
	require.InDelta(t, 0.075, r.Metrics[Loss], 0.025, "small packets of audio find room where large ones do not")
	require.Greater(t, r.Metrics[QueueMean], 250.0)
}
