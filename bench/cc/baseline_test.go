package cc

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/baseline.json and the bounds of testdata/worst anew")

const (
	baselinePath  = "testdata/baseline.json"
	baselineSeeds = 3
	racedEach     = 10 // a run is one goroutine's: the detector needs to see only that two of them share nothing
)

// recorded is what our controller did in a case.
type recorded struct {
	Met     []Metric           `json:"met"`
	Missed  []Metric           `json:"missed"`
	Figures map[Metric]float64 `json:"figures"` // means of all seeds
	Digests []string           `json:"digests"` // of everything, by seed
}

// Our controller does in every case what it did when the baseline was written, to the bit: rates, queues, losses, every
// 100 ms. Whoever changes it on purpose runs this with -update and says why in the commit.
func TestOursIsAsRecorded(t *testing.T) {
	seeds := baselineSeeds
	if raced {
		seeds = 1
	}
	got := recordAll(seeds)
	if *update {
		require.False(t, raced, "with the race detector not all is played: write the baseline without")
		writeBaseline(t, got)
	}
	want := readBaseline(t)
	for i, c := range Cases() {
		if got[i].Digests == nil {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			old, ok := want[c.Name]
			require.True(t, ok, "no such case in the baseline: run with -update")
			if runtime.GOARCH != "amd64" { // other machines fuse multiplications and additions
				for m, v := range old.Figures {
					require.InEpsilon(t, 1+v, 1+got[i].Figures[m], 0.1, m)
				}
				return
			}
			if seeds == baselineSeeds {
				require.Equal(t, old.Figures, got[i].Figures)
				require.Equal(t, old.Met, got[i].Met)
			}
			require.Equal(t, old.Digests[:seeds], got[i].Digests, "figures are alike and the way to them is not")
		})
	}
}

// recordAll plays all cases on all cores.
func recordAll(seeds int) []recorded {
	cases := Cases()
	all := make([]recorded, len(cases))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(cases); i = int(next.Add(1)) - 1 {
				if !raced || i%racedEach == 0 {
					all[i] = record(cases[i], seeds)
				}
			}
		})
	}
	workers.Wait()
	return all
}

func record(c Case, seeds int) recorded {
	var runs []Result
	r := recorded{Met: []Metric{}, Missed: []Metric{}}
	for seed := range uint64(seeds) {
		run := c.play(Tolkyn, seed+1)
		runs = append(runs, run)
		r.Digests = append(r.Digests, digest(run))
	}
	row := summed(c, Tolkyn.Name, runs)
	r.Figures = row.Mean
	for _, g := range row.Goals() {
		if g.Met {
			r.Met = append(r.Met, g.Metric)
		} else {
			r.Missed = append(r.Missed, g.Metric)
		}
	}
	return r
}

// Each goal of a case stands in the baseline as met or as missed, by its own figure: none is there in words alone, and none
// that was met is forgotten when a case changes.
func TestGoalsAreChecked(t *testing.T) {
	all := readBaseline(t)
	require.Len(t, all, len(Cases()))
	for _, c := range Cases() {
		r := all[c.Name]
		for _, g := range c.Goals {
			v, ok := r.Figures[g.Metric]
			require.True(t, ok, "%s: %s is not measured", c.Name, g.Metric)
			require.Equal(t, g.Met(v), slices.Contains(r.Met, g.Metric), "%s: %s is %v", c.Name, g.Metric, v)
			require.Equal(t, !g.Met(v), slices.Contains(r.Missed, g.Metric), "%s: %s is %v", c.Name, g.Metric, v)
		}
		require.Len(t, c.Goals, len(r.Met)+len(r.Missed), c.Name)
	}
}

func readBaseline(t *testing.T) map[string]recorded {
	t.Helper()
	all := map[string]recorded{}
	b, err := os.ReadFile(baselinePath)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &all))
	return all
}

// writeBaseline writes a line a case, so that a change shows which.
func writeBaseline(t *testing.T, all []recorded) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, c := range Cases() {
		line, err := json.Marshal(all[i])
		require.NoError(t, err)
		comma := ","
		if i == len(all)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "%q: %s%s\n", c.Name, line, comma)
	}
	b.WriteString("}\n")
	require.NoError(t, os.WriteFile(baselinePath, b.Bytes(), 0o644))
}

// digest is of all figures and of the whole way, to the bit.
func digest(r Result) string {
	h := fnv.New64a()
	put := func(values ...float64) {
		for _, v := range values {
			_ = binary.Write(h, binary.LittleEndian, math.Float64bits(v)) // a hash takes all
		}
	}
	var names []string
	for m := range r.Metrics {
		names = append(names, string(m))
	}
	slices.Sort(names)
	for _, m := range names {
		fmt.Fprint(h, m)
		put(r.Metrics[Metric(m)])
	}
	put(r.Series.Queue...)
	put(r.Series.Dropped...)
	put(r.Series.TCP...)
	for _, f := range r.Series.Flows {
		put(f.Target...)
		put(f.Sent...)
		put(f.Delivered...)
		put(f.SenderQueue...)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
