//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/server"
)

// command makes all rows again.
const command = "scripts/bench-light"

// rows are the loads, in order.
var rows = []struct{ name, scenario string }{
	{"light_webinar_500", "webinar 1x500 kind=light"},
	{"light_pairs_500", "pairs 500 kind=light"},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lightcost:", err)
		os.Exit(1)
	}
}

func run() error {
	held := flag.Duration("duration", 10*time.Second, "how long each run goes on once everybody is there")
	runs := flag.Int("runs", 3, "runs of each load; the median counts")
	only := flag.String("only", "", "only loads whose name contains this")
	out := flag.String("out", "bench/results/light.json", "where the results go")
	binary := flag.String("binary", "", "tolkyn to measure; default: built from this tree")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	dir, err := os.MkdirTemp("", "lightcost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = filepath.Join(dir, "tolkyn")
		fmt.Println("building tolkyn")
		if err := server.Build(ctx, *binary); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if !strings.Contains(row.name, *only) {
			continue
		}
		var all figures
		for range *runs {
			r, err := play(ctx, *binary, fmt.Sprintf("%s duration=%v", row.scenario, *held), filepath.Join(dir, "report.json"))
			if err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
			all.add(r)
		}
		if err := report.Keep(*out, all.rows(row.name)); err != nil {
			return err
		}
	}
	return nil
}

// play runs one scenario and reads its report.
func play(ctx context.Context, binary, scenario, path string) (r report.Report, err error) {
	cmd := exec.CommandContext(ctx, binary, "bench", "--quiet", "--scenario", scenario, "--json", path)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	said, err := cmd.CombinedOutput()
	// Exit code 2: a condition did not hold, and the report says which figures.
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) {
		return r, fmt.Errorf("run %q: %w\n%s", cmd.Args, err, said)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read the report of %q: %w", cmd.Args, err)
	}
	if r.Partial || r.ServerCost.PerInAndOutNS <= 0 {
		return r, errors.New("the run ended before anything was measured")
	}
	return r, nil
}

// figures are of all runs of a load.
type figures struct {
	caller, server, ratio    []float64
	callerDrops, serverDrops []float64
	loss                     []float64 // share
}

func (f *figures) add(r report.Report) {
	f.caller = append(f.caller, r.ClientCost.PerInAndOutNS)
	f.server = append(f.server, r.ServerCost.PerInAndOutNS)
	f.ratio = append(f.ratio, r.ClientCost.PerInAndOutNS/r.ServerCost.PerInAndOutNS)
	f.callerDrops = append(f.callerDrops, float64(r.ClientCost.Drops))
	f.serverDrops = append(f.serverDrops, float64(r.ServerCost.Drops))
	f.loss = append(f.loss, lossOf(r.Streams))
}

// lossOf is the share of all packets that never came.
func lossOf(streams []measure.Stream) float64 {
	var lost, expected float64
	for _, s := range streams {
		lost += s.Loss.After * float64(s.Loss.Expected)
		expected += float64(s.Loss.Expected)
	}
	return lost / max(expected, 1)
}

func (f *figures) rows(name string) []report.Result {
	var out []report.Result
	for _, row := range []struct {
		name, unit string
		values     []float64
	}{
		{"caller", "ns", f.caller},
		{"server", "ns", f.server},
		{"ratio", "share", f.ratio},
		{"caller_drops", "datagrams", f.callerDrops},
		{"server_drops", "datagrams", f.serverDrops},
		{"loss", "share", f.loss},
	} {
		fmt.Printf("%-32s %10.4g %-10s of %.4g\n", name+"_"+row.name, report.Median(row.values), row.unit, row.values)
		out = append(out, report.New(command, name+"_"+row.name, row.unit, row.values, nil))
	}
	return out
}
