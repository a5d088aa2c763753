package report

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// run has one audio stream with a delay and a server with a cost.
func run(delay, cost float64) Report {
	return Report{
		Passed: true, Server: Server{Kind: "tolkyn", Local: true}, ServerCost: Cost{PerReceivedNS: cost},
		Audio: Total{Streams: 1, Delay: measure.Distribution{P50: delay}, MOS: measure.Distribution{P50: 4}},
	}
}

func runs(pairs ...[2]float64) (all []Report) {
	for _, p := range pairs {
		all = append(all, run(p[0], p[1]))
	}
	return all
}

func find(t *testing.T, c Comparison, name string) Difference {
	t.Helper()
	for _, d := range c.Metrics {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no metric %q", name)
	return Difference{}
}

func TestComparePlantedRuns(t *testing.T) {
	a := runs([2]float64{10, 1000}, [2]float64{12, 1100}, [2]float64{11, 1000}, [2]float64{13, 1200})
	b := runs([2]float64{30, 500}, [2]float64{24, 1100}, [2]float64{33, 2000}, [2]float64{26, 1200})
	c := Compare(a, b)
	require.Equal(t, 4, c.Pairs)
	require.Equal(t, 4, c.A.Passed)
	require.Empty(t, c.Warnings)

	d := find(t, c, "audio delay, p50")
	require.Equal(t, Spread{Values: []float64{10, 12, 11, 13}, Min: 10, Median: 11.5, Max: 13}, d.A)
	require.Equal(t, Spread{Values: []float64{30, 24, 33, 26}, Min: 24, Median: 28, Max: 33}, d.B)
	require.Equal(t, Spread{Values: []float64{3, 2, 3, 2}, Min: 2, Median: 2.5, Max: 3}, d.Ratio, "pair by pair")
	require.Equal(t, "A", d.Better)

	d = find(t, c, "server CPU a packet out")
	require.Equal(t, Spread{Values: []float64{0.5, 1, 2, 1}, Min: 0.5, Median: 1, Max: 2}, d.Ratio)
	require.Empty(t, d.Better)
	require.Equal(t, "the runs overlap", d.Why)

	require.Equal(t, "same", find(t, c, "audio MOS, median").Better)
	require.Empty(t, find(t, c, "missing streams").Ratio.Values, "0 ÷ 0 is no ratio")
	title, _ := c.verdict()
	require.Equal(t, "A is better", title)
	title, _ = Compare(b, a).verdict()
	require.Equal(t, "B is better", title)

	var out bytes.Buffer
	require.NoError(t, c.WriteJSON(&out))
	var back Comparison
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, c.Metrics, back.Metrics)
}

func TestCompareSaysWhatItCannotKnow(t *testing.T) {
	one := Compare(runs([2]float64{10, 1000}), runs([2]float64{90, 1000}))
	d := find(t, one, "audio delay, p50")
	require.Empty(t, d.Better)
	require.Contains(t, d.Why, "one run of a side says nothing")
	require.Equal(t, 9.0, d.Ratio.Median)
	title, _ := one.verdict()
	require.Equal(t, "These runs do not say who is better", title)

	// Two runs of each, apart by less than twice the spread; and by more.
	two := Compare(runs([2]float64{10, 1}, [2]float64{14, 1}), runs([2]float64{20, 1}, [2]float64{21, 1}))
	require.Empty(t, find(t, two, "audio delay, p50").Better)
	two = Compare(runs([2]float64{10, 1}, [2]float64{14, 1}), runs([2]float64{22, 1}, [2]float64{23, 1}))
	require.Equal(t, "A", find(t, two, "audio delay, p50").Better)

	odd := runs([2]float64{10, 1}, [2]float64{10, 1})
	odd[1].Scenario.Seed, odd[1].Machine.Cores, odd[1].Version, odd[1].Partial, odd[1].Bottleneck = 2, 8, "v9", true, "client"
	odd[1].Scenario.YAML = "other"
	require.Len(t, Compare(odd, odd[:1]).Warnings, 7)

	empty := Compare(nil, nil)
	require.Empty(t, empty.Metrics)
	require.NoError(t, empty.WriteText(&bytes.Buffer{}, false))
}

// TestCompareIsRarelyWrong draws equal sides: whoever is called better then is so by chance.
func TestCompareIsRarelyWrong(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	m := metric{name: "x", step: 0}
	for n := 2; n <= 6; n++ {
		const times = 20_000
		wrong := 0
		for range times {
			a, b := make([]float64, n), make([]float64, n)
			for i := range n {
				a[i], b[i] = 100+draw.NormFloat64(), 100+draw.NormFloat64()
			}
			if side, _ := better(m, spreadOf(a), spreadOf(b)); side != "" {
				wrong++
			}
		}
		require.Less(t, float64(wrong)/times, 0.05, "%d runs of a side", n)
	}
	// And it is not deaf: twice as dear is seen in two pairs with 10 % of spread.
	seen := 0
	for range 1000 {
		a := []float64{100 + 5*draw.NormFloat64(), 100 + 5*draw.NormFloat64()}
		b := []float64{200 + 10*draw.NormFloat64(), 200 + 10*draw.NormFloat64()}
		if side, _ := better(m, spreadOf(a), spreadOf(b)); side == "A" {
			seen++
		}
	}
	require.Greater(t, seen, 950)
}
