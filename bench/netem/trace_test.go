package netem_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

func TestParseTrace(t *testing.T) {
	base := netsim.LinkConfig{Delay: 5 * ms, Loss: 0.01, QueueTime: 300 * ms}
	got, err := netem.ParseTrace(strings.NewReader(`# seconds,kbit/s,delay ms,loss %
0,2500,40,0

10, 600, 80, 2.5  # the tunnel
14.5,0
16,-
loop,30
`), base)
	require.NoError(t, err)
	step := func(at time.Duration, rate int64, delay time.Duration, loss float64, queue int) netsim.Step {
		return netsim.Step{At: at, Link: netsim.LinkConfig{Rate: rate, Delay: delay, Loss: loss, Queue: queue, QueueTime: 300 * ms}}
	}
	require.Equal(t, netsim.Trace{Loop: 30 * time.Second, Steps: []netsim.Step{
		step(0, 2_500_000, 40*ms, 0, 0),
		step(10*time.Second, 600_000, 80*ms, 0.025, 0),
		step(14500*ms, netsim.Stalled, 5*ms, 0.01, 100_000),
		step(16*time.Second, 0, 5*ms, 0.01, 0),
	}}, got)
}

func TestParseTraceNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "no step in it",
		"0,1\n\n0,2":                        "line 3: 0s is not after the line before",
		"0":                                 `line 1: write "seconds,kbit/s[,delay ms[,loss %]]"`,
		"0,1,2,3,4":                         "line 1: write",
		"x,1":                               `line 1: seconds "x": give a number from 0 to 604800`,
		"0,-1":                              `line 1: kbit/s "-1"`,
		"0,NaN":                             `line 1: kbit/s "NaN"`,
		"0,1,x":                             `line 1: delay in ms "x"`,
		"0,1,1,101":                         `line 1: loss in % "101": give a number from 0 to 100`,
		"0,1\nloop,0":                       "line 2: it begins again after 0 s",
		"0,1\nloop,5\nloop,6":               "line 3: write \"loop,seconds\", once",
		"0,1\n9,1\nloop,5":                  "step 2 is at 9s and the trace begins again after 5s",
		"0,1\n" + strings.Repeat("x", 2000): "line 2: ",
	} {
		_, err := netem.ParseTrace(strings.NewReader(text), netsim.LinkConfig{})
		require.ErrorContains(t, err, want, text)
	}
}

// Twelve packets in 240 ms, then nothing until one more.
func TestParseDeliveries(t *testing.T) {
	text := strings.Repeat("0\n5\n10\n15\n", 1) + "20\n25\n30\n35\n" + "100\n100\n"
	got, err := netem.ParseDeliveries(strings.NewReader(text), netsim.LinkConfig{Delay: ms})
	require.NoError(t, err)
	const packet = 1504 * 8 * 50 // bits a second, of one in 20 ms
	require.Equal(t, netsim.Trace{Loop: 120 * ms, Steps: []netsim.Step{
		{At: 0, Link: netsim.LinkConfig{Delay: ms, Rate: 4 * packet}},
		{At: 40 * ms, Link: netsim.LinkConfig{Delay: ms, Rate: netsim.Stalled, Queue: 100_000}},
		{At: 100 * ms, Link: netsim.LinkConfig{Delay: ms, Rate: 2 * packet}},
	}}, got)
	for text, want := range map[string]string{
		"":            "no time above 0",
		"0":           "no time above 0",
		"5\n4":        "line 2: 4 ms is before",
		"1\nx":        `line 2: "x" is no time`,
		"-1":          "is no time",
		"99999999999": "is no time",
	} {
		_, err := netem.ParseDeliveries(strings.NewReader(text), netsim.LinkConfig{})
		require.ErrorContains(t, err, want, text)
	}
}

// Whatever the file says: no panic, and what is taken is a trace that a link can follow.
func FuzzTraces(f *testing.F) {
	for _, seed := range []string{
		"0,1000\n1,0,5,3\nloop,2", "0,-\n", "0\n1\n2\n500\n", "0,1e300", "loop,5\n0,5", "3,7,0.1,0.1#x", "1\n604800000\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func() (netsim.Trace, error){
			func() (netsim.Trace, error) { return netem.ParseTrace(strings.NewReader(text), netsim.LinkConfig{}) },
			func() (netsim.Trace, error) {
				return netem.ParseDeliveries(strings.NewReader(text), netsim.LinkConfig{})
			},
		} {
			trace, err := parse()
			if err != nil {
				continue
			}
			require.NoError(t, trace.Check())
			require.NotEmpty(t, trace.Steps)
			link := netsim.NewLink(netsim.LinkConfig{}, 1)
			link.Follow(trace, 0)
			for now := time.Duration(0); now < 10*time.Second; now += 100 * ms {
				if fate := link.Send(now, 1200); fate.Verdict == netsim.Arrives {
					require.GreaterOrEqual(t, fate.At, now)
				}
			}
		}
	})
}
