package netem_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

func TestPresets(t *testing.T) {
	names := map[string]bool{}
	for _, p := range netem.Presets() {
		require.False(t, names[p.Name], p.Name)
		names[p.Name] = true
		require.NotEmpty(t, p.About, p.Name)
		line, err := netem.NewLine(netem.LineConfig{Links: p.Links, Events: p.Events})
		require.NoError(t, err, p.Name)
		require.NoError(t, line.Close())
		again, ok := netem.Preset(p.Name)
		require.True(t, ok)
		require.Equal(t, p, again)
		for _, path := range p.Links { // a packet in good time passes everywhere
			for _, cfg := range []netsim.LinkConfig{path.Up, path.Down, path.UpTrace.At(0), path.DownTrace.At(0)} {
				cfg.Loss, cfg.Burst = 0, netsim.Burst{}
				fate := netsim.NewLink(cfg, 1).Send(0, 1228)
				require.Equal(t, netsim.Arrives, fate.Verdict, p.Name)
				require.Less(t, fate.At, time.Second, p.Name)
			}
		}
	}
	for _, name := range []string{
		"perfect", "lan", "wifi", "wifi-busy", "lte", "3g", "2g", "satellite", "lossy-5", "lossy-10", "lossy-20", "lossy-30",
		"train", "lift", "wifi-to-lte", "steppe", "rfc8867-5.1", "rfc8867-5.8", "rfc8868-loss-10", "rfc8869-4.2",
	} {
		require.True(t, names[name], name)
	}
	_, ok := netem.Preset("moon")
	require.False(t, ok)
}

// The words: 24 kbit/s; 30 % loss each way on UDP, 3 % on TCP; NAT rebind at 10 s; UDP cut at 20 s.
func TestSteppe(t *testing.T) {
	p, ok := netem.Preset("steppe")
	require.True(t, ok)
	for _, link := range []netsim.LinkConfig{p.Links[0].Up, p.Links[0].Down} {
		require.EqualValues(t, 24_000, link.Rate)
		require.InDelta(t, 0.30, link.MeanLoss(false), 1e-9)
		require.InDelta(t, 0.03, link.MeanLoss(true), 1e-9)
	}
	require.Equal(t, []netem.Event{
		{At: 10 * time.Second, Kind: netem.EventRebind}, {At: 20 * time.Second, Kind: netem.EventCutUDP},
	}, p.Events)
}

// A source that always has something to send gets the capacity of RFC 8867 section 5.1, phase by phase.
func TestRFC8867VariableCapacity(t *testing.T) {
	p, ok := netem.Preset("rfc8867-5.1")
	require.True(t, ok)
	link := netsim.NewLink(netsim.LinkConfig{}, 1)
	link.Follow(p.Links[0].UpTrace, 0)
	passed := map[int]float64{}                                         // bits by second of leaving
	for now := time.Duration(0); now < 100*time.Second; now += 3 * ms { // 3.2 Mbit/s
		if fate := link.Send(now, 1200); fate.Verdict == netsim.Arrives {
			passed[int((fate.At-50*ms)/time.Second)] += 1200 * 8
			require.LessOrEqual(t, fate.At-now, 1400*ms, "300 ms of 2.5 Mbit/s take 1,250 ms at 0.6")
		}
	}
	for second, want := range map[int]float64{20: 1e6, 50: 2.5e6, 70: 0.6e6, 90: 1e6} {
		require.InEpsilon(t, want, passed[second], 0.03, second)
	}
}
