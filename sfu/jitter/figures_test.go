package jitter_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/jitter"
)

var update = flag.Bool("update", false, "write README.md's figures and testdata's plots anew")

const (
	// seeds of each trace, and as many phases of the pulls.
	seeds = 10
	// firstSeed: the constants were chosen on seeds 1 to 10, hence the figures are of others.
	firstSeed = 1001
)

// row is one trace, over all seeds.
type row struct {
	trace
	free, oracle, oracleP95, added time.Duration // means
	ratio, worstRatio              float64
	freeRatio                      float64 // against the oracle that needs no pulls
	late, worstLate                float64 // shares of playout, concealed though the media came
	lost                           float64 // concealed because it did not come
	accelerated, expanded          float64
	fixedAdded                     time.Duration
	fixedLate                      float64 // of the first seed; share of packets that came and were not heard
}

func measure(t *testing.T, tr trace) row {
	r := row{trace: tr}
	for seed := range seeds {
		phase := time.Duration(seed) * time.Millisecond
		journeys := tr.journeys(uint64(firstSeed + seed))
		p := playTrace(t, journeys, jitter.Config{}, phase)
		c := compare(journeys, p.heard, phase)
		r.free += c.free / seeds
		r.oracle += c.oracle / seeds
		r.oracleP95 += c.oracleP95 / seeds
		r.added += c.added / seeds
		r.ratio += c.ratio() / seeds
		r.freeRatio += float64(c.added) / float64(max(c.freeP95, 1)) / seeds
		r.worstRatio = max(r.worstRatio, c.ratio())
		pulled := float64(p.stats.Pulled)
		late := float64(p.stats.ConcealedLate) / pulled
		r.late += late / seeds
		r.worstLate = max(r.worstLate, late)
		r.lost += float64(p.stats.Concealed-p.stats.ConcealedLate) / pulled / seeds
		r.accelerated += float64(p.stats.Accelerated) / pulled / seeds
		r.expanded += float64(p.stats.Expanded) / pulled / seeds

	}
	journeys := tr.journeys(firstSeed)
	fixed := playFixed(journeys, 0)
	r.fixedAdded = compare(journeys, fixed, 0).added
	came, last := 0, fixed[len(fixed)-1].number
	for _, j := range journeys {
		if !j.lost && j.number <= last {
			came++
		}
	}
	r.fixedLate = float64(came-len(fixed)) / float64(came)
	return r
}

// The goals on every trace: added delay at most 1.3 times the oracle's p95, at most 1 % late. They are means of ten seeds
// with ten phases of the pulls; the worst seed is shown beside them.
func TestFigures(t *testing.T) {
	var table strings.Builder
	table.WriteString("| trace | oracle, free of pulls | oracle: mean, p95 | **added** | ÷ oracle p95: mean, worst seed | ÷ p95 free of pulls | **late**: mean, worst seed | lost | accelerated, expanded | fixed 50 packets: added, late |\n")
	table.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, tr := range traces {
		r := measure(t, tr)
		require.LessOrEqual(t, r.ratio, 1.3, tr.name)
		require.LessOrEqual(t, r.late, 0.01, tr.name)
		require.InDelta(t, tr.loss, r.lost, 0.005, "%s: concealed is what was lost", tr.name)
		freeRatio := "–" // there is nothing to hide
		if r.free > 0 {
			freeRatio = fmt.Sprintf("%.2f", r.freeRatio)
		}
		fmt.Fprintf(&table, "| %s: %s | %.1f ms | %.1f, %.1f ms | **%.1f ms** | %.2f, %.2f | %s | **%.2f %%**, %.2f %% | %.2f %% | %.2f, %.2f %% | %.0f ms, %.2f %% |\n",
			tr.name, tr.what, inMS(r.free), inMS(r.oracle), inMS(r.oracleP95), inMS(r.added), r.ratio, r.worstRatio, freeRatio,
			100*r.late, 100*r.worstLate, 100*r.lost, 100*r.accelerated, 100*r.expanded, inMS(r.fixedAdded), 100*r.fixedLate)
	}
	inReadme(t, "traces", table.String())
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// step is a path that changes at stepAt and stays so.
type step struct {
	name   string
	before func(r float64) time.Duration
	after  func(r float64) time.Duration
	// most is how long adapting may take.
	most time.Duration
}

const stepAt = 30 * time.Second

var steps = []step{
	{"path 100 ms longer", between(0, 10*ms), between(100*ms, 110*ms), 2 * time.Second},
	{"path 100 ms shorter", between(100*ms, 110*ms), between(0, 10*ms), 2 * time.Second},
	{"jitter from 10 to 60 ms", between(0, 10*ms), between(0, 60*ms), 2 * time.Second},
	{"jitter from 60 to 10 ms", between(0, 60*ms), between(0, 10*ms), 20 * time.Second},
}

func between(least, most time.Duration) func(float64) time.Duration {
	return func(r float64) time.Duration { return least + time.Duration(r*float64(most-least)) }
}

// adapted is how long after the step the buffer needs until every second that follows is right: at most 1 % of it late,
// and played with at most 1.3 times the delay of an oracle that knows all that comes after the step.
func adapted(journeys []journey, p playback, phase time.Duration) time.Duration {
	const settle, second = 100 * time.Millisecond, time.Second
	after := look(journeys, p.heard, phase, stepAt+second, traceLength)
	fastest := time.Duration(1 << 62)
	for _, j := range journeys {
		if j.sent >= stepAt {
			fastest = min(fastest, j.arrived-j.sent)
		}
	}
	took := time.Duration(0)
	for from := stepAt; from+2*second < traceLength; from += settle {
		late := uint64(0)
		for _, s := range p.samples {
			if s.at >= from && s.at < from+second {
				late += s.concealed
			}
		}
		added := meanAdded(p.heard, from, from+second, fastest)
		if late > rate/100 || float64(added) > 1.3*float64(after.oracle) {
			took = from + settle - stepAt
		}
	}
	return took
}

func TestAdaptsToSteps(t *testing.T) {
	var table strings.Builder
	table.WriteString("| step | until every second is right: mean, worst of 10 seeds |\n|---|---|\n")
	for _, s := range steps {
		var sum, worst time.Duration
		for seed := range seeds {
			phase := 5 * ms
			journeys := trace{path: stepping(s)}.journeys(uint64(firstSeed + seed))
			took := adapted(journeys, playTrace(t, journeys, jitter.Config{}, phase), phase)
			sum += took
			worst = max(worst, took)
		}
		require.LessOrEqual(t, worst, s.most, s.name)
		fmt.Fprintf(&table, "| %s | %.1f s, %.1f s |\n", s.name, (sum / seeds).Seconds(), worst.Seconds())
	}
	inReadme(t, "steps", table.String())
}

// inReadme compares README.md's generated part of that name with text.
func inReadme(t *testing.T, name, text string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	open, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	from := bytes.Index(readme, []byte(open)) + len(open)
	to := bytes.Index(readme, []byte(end))
	require.True(t, from >= len(open) && to >= from, "README.md has no part %q", name)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(string(readme[:from])+text+string(readme[to:])), 0o644))
		return
	}
	require.Equal(t, text, string(readme[from:to]), "README.md tells other figures: go test ./sfu/jitter -update")
}

func TestPlots(t *testing.T) {
	named := func(name string) trace {
		for _, tr := range traces {
			if tr.name == name {
				return tr
			}
		}
		t.Fatalf("no trace %q", name)
		return trace{}
	}
	for file, tr := range map[string]trace{
		"wifi.svg":  named("Wi-Fi"),
		"lte.svg":   named("LTE"),
		"ramps.svg": named("ramps"),
		"step.svg":  {name: "step", what: "after 30 s, jitter of 60 ms instead of 10", path: stepping(steps[2])},
	} {
		journeys := tr.journeys(firstSeed)
		drawn := plot(tr.name+": "+tr.what, journeys, playTrace(t, journeys, jitter.Config{}, 5*ms))
		path := filepath.Join("testdata", file)
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(path, []byte(drawn), 0o644))
		}
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, drawn, string(kept), "%s is of other code: go test ./sfu/jitter -update", path)
	}
}
