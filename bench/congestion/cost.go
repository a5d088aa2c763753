//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/report"
)

// loads are what congestion control is switched on and off under, on loopback, where nothing is ever congested: each costs the most
// in another way, many packets to few, few packets to many, and layers to choose from.
var loads = []struct {
	name, scenario string
	of             func(report.Cost) float64 // ns a packet
}{
	{"fanout", "webinar 1x100 kind=light", func(c report.Cost) float64 { return c.PerReceivedNS }},
	{"pairs", "pairs 100 kind=light", func(c report.Cost) float64 { return c.PerInAndOutNS }},
	{"meeting", "meeting 6x6 kind=light layers=3", func(c report.Cost) float64 { return c.PerInAndOutNS }},
}

const (
	// switchOff is the setting of the server under test, which inherits our environment.
	switchOff = "TOLKYN_MEDIA__CONGESTION_CONTROL=false"
	// costHeld and quickHeld are how long a run goes on once everybody is there.
	costHeld, quickHeld = 8 * time.Second, 4 * time.Second
	// quickPairs are for a first look.
	quickPairs = 3
)

// side is what all runs of one setting cost and carried.
type side struct{ cost, packets, loss []float64 }

func (s *side) add(r report.Report, of func(report.Cost) float64) {
	s.cost = append(s.cost, of(r.ServerCost))
	s.packets = append(s.packets, float64(r.Audio.Packets+r.Video.Packets))
	var lost, expected float64
	for _, st := range r.Streams {
		lost += st.Loss.After * float64(st.Loss.Expected)
		expected += float64(st.Loss.Expected)
	}
	s.loss = append(s.loss, lost/max(expected, 1))
}

// cost measures what the server's CPU does for a packet with congestion control and without, in turn.
func cost(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	pairs, held := b.pairs, costHeld
	if b.quick {
		pairs, held = quickPairs, quickHeld
	}
	var out []report.Result
	for _, load := range loads {
		var on, off side
		for i := range pairs {
			b.progress("%s %s, pair %d of %d", name, load.scenario, i+1, pairs)
			// Who is first changes, so that what the machine does meanwhile is the same to both.
			order := []*side{&on, &off}
			if i%2 == 1 {
				slices.Reverse(order)
			}
			for _, s := range order {
				r, err := b.tolkyn(ctx, fmt.Sprintf("%s duration=%v", load.scenario, held), s == &off)
				if err != nil {
					return out, err
				}
				s.add(r, load.of)
			}
		}
		out = append(out, costRows(command+" -only "+name, name+"_"+load.name, on, off)...)
	}
	return out, nil
}

// costRows has ratios pair by pair, of which the median counts.
func costRows(command, name string, on, off side) []report.Result {
	ratios := func(a, b []float64) []float64 {
		var out []float64
		for i := range a {
			out = append(out, a[i]/max(b[i], 1))
		}
		return out
	}
	row := func(figure, unit string, values []float64) report.Result {
		return report.New(command, name+"_"+figure, unit, values, nil)
	}
	return []report.Result{
		row("on", "ns", on.cost), row("off", "ns", off.cost), row("ratio", "ratio", ratios(on.cost, off.cost)),
		row("packets_ratio", "ratio", ratios(on.packets, off.packets)), // else they did not carry the same
		row("loss_on", "share", on.loss), row("loss_off", "share", off.loss),
	}
}

// tolkyn runs its own bench on a scenario.
func (b *bench) tolkyn(ctx context.Context, scenario string, off bool) (r report.Report, err error) {
	path := filepath.Join(b.dir, "report.json")
	cmd := exec.CommandContext(ctx, b.binary, "bench", "--quiet", "--scenario", scenario, "--json", path)
	cmd.Env = os.Environ()
	if off {
		cmd.Env = append(cmd.Env, switchOff)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	said, err := cmd.CombinedOutput()
	// Exit code 2: a condition did not hold, and the report says which figures.
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) {
		return r, fmt.Errorf("run %q: %w\n%s", cmd.Args, err, said)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.Partial || r.ServerCost.PerInAndOutNS <= 0 {
		return r, errors.New("the run ended before anything was measured")
	}
	return r, nil
}
