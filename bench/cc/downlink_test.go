//go:build !race

// One goroutine plays: there is nothing to race with. Tests of what several play at once have the race detector.

package cc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// knowing is a controller that is told what the first bottleneck carries, a round trip and an interval of feedback late.
type knowing struct{ c Case }

func (k knowing) Sent(time.Duration, bwe.Packet)       {}
func (k knowing) Feedback(time.Duration, []bwe.Result) {}
func (k knowing) Wants(time.Duration, bwe.Bitrate)     {}
func (k knowing) Poll(now time.Duration) bwe.Estimate {
	rate := bwe.Bitrate(min(max(0.97*capacity(k.c.Links[0].At(max(now-k.late(), 0))), 30e3), 50e6))
	return bwe.Estimate{Target: rate, Pacing: rate * 3 / 2, Next: now + 50*ms}
}

func (k knowing) late() time.Duration {
	f := k.c.Flows[0]
	return k.c.Links[0].Steps[0].Link.Delay + f.After.Delay + f.Return.Delay + minInterval
}

func playDownlink(t *testing.T, name string, m Maker, seed uint64) map[Metric]float64 {
	t.Helper()
	c, ok := Find(name)
	require.True(t, ok)
	if m.New == nil {
		m = Maker{Name: "knowing", New: func(time.Duration, bwe.Config) Controller { return knowing{c} }}
	}
	r := c.Play(c, m, seed)
	t.Log(name, r.Metrics)
	return r.Metrics
}

// Whoever is told what the path carries shows nearly all that can be shown, and changes little.
func TestDownlinkThatIsToldItsCapacity(t *testing.T) {
	for _, name := range []string{"sfu-5.1", "sfu-drop", "sfu-steady"} {
		m := playDownlink(t, name, Maker{}, 1)
		require.Greater(t, m[Utility], 0.92)
		require.LessOrEqual(t, m[Utility], 1.0)
		require.LessOrEqual(t, m[WrongLayers], 0.1)
		require.LessOrEqual(t, m[Flaps], 2.0)
		require.Less(t, m[AudioLoss], 0.01)
	}
	m := playDownlink(t, "sfu-drop", Maker{}, 1)
	require.Positive(t, m[Down])
	require.Less(t, m[Down], 0.6)
	require.Less(t, m[UpMax], 1.0)
}

// Where the capacity changes within a second, nobody who learns of it afterwards shows the right layers 95 % of the time, though
// he be told it: sfu/bwe/README.md has the figures beside ours.
func TestDownlinkOnMobileNetworksThatIsToldItsCapacity(t *testing.T) {
	for _, name := range []string{"sfu-train", "sfu-lift", "sfu-lte-walk", "sfu-lte-drive"} {
		told, ours := playDownlink(t, name, Maker{}, 1), playDownlink(t, name, Tolkyn, 1)
		require.Greater(t, told[WrongLayers], 0.05, name)
		require.Greater(t, told[Utility], ours[Utility], name)
		require.Greater(t, told[Utility], 0.85, name)
	}
}

// Who believes in much more than the path carries shows less, and drowns the voices.
func TestDownlinkThatSendsTooMuch(t *testing.T) {
	m := playDownlink(t, "sfu-5.1", at(6 * bwe.Mbps)[0], 1)
	require.Less(t, m[Utility], 0.7)
	require.Greater(t, m[TooMuch], 0.9)
	require.Greater(t, m[AudioLoss], 0.01)
	require.Greater(t, m[AudioDelayP95], 250.0)
	require.Greater(t, m[QueueP95], 200.0)
}

// Who sends next to nothing wastes what there is, and harms nobody.
func TestDownlinkThatSendsTooLittle(t *testing.T) {
	m := playDownlink(t, "sfu-5.1", at(300 * bwe.Kbps)[0], 1)
	require.Less(t, m[Utility], 0.7)
	require.Greater(t, m[TooLittle], 0.9)
	require.Zero(t, m[AudioLoss])
	require.Less(t, m[QueueP95], 40.0)
}

// Equal seeds give equal runs, other seeds others.
func TestDownlinkRepeats(t *testing.T) {
	first := playDownlink(t, "sfu-drop", Tolkyn, 3)
	require.Equal(t, first, playDownlink(t, "sfu-drop", Tolkyn, 3))
	require.NotEqual(t, first, playDownlink(t, "sfu-drop", Tolkyn, 4))
}
