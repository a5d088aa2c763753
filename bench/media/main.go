//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/server"
)

// command makes all rows again; with -only and a row's name, that one.
const command = "scripts/bench-media"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "media:", err)
		os.Exit(1)
	}
}

// bench is a run of this command. Fixed after run has read its flags.
type bench struct {
	binary   string
	dir      string // of passing files
	runs     int
	pairs    int // alternating ones, where two servers are compared
	held     time.Duration
	ground   string
	livekit  []string // flags of tolkyn bench that say where LiveKit's server and callers are
	progress func(format string, args ...any)
}

func run() error {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 3, "runs of each row; the median counts")
	flag.IntVar(&b.pairs, "pairs", 7, "pairs of runs, in turn, where two servers are compared")
	flag.DurationVar(&b.held, "duration", 8*time.Second, "how long each run goes on once everybody is there")
	flag.StringVar(&b.ground, "ground", "loopback", "what lies between light callers and server: loopback, or veth (root), whose rows end in _veth")
	only := flag.String("only", "", "only rows whose name contains this")
	out := flag.String("out", "bench/results/media.json", "where the results go")
	flag.StringVar(&b.binary, "binary", "", "tolkyn to measure; default: built from this tree")
	livekit := flag.String("livekit-server", "", "LiveKit's server; default: where go install puts it")
	callers := flag.String("livekit-callers", "", "its callers' program; default: tolkyn-livekit-callers on the PATH")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if *livekit != "" {
		b.livekit = append(b.livekit, "--livekit-server", *livekit)
	}
	if *callers != "" {
		b.livekit = append(b.livekit, "--livekit-callers", *callers)
	}
	began := time.Now()
	b.progress = func(format string, args ...any) {
		fmt.Printf("%5.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "media"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "tolkyn")
		b.progress("building tolkyn")
		if err := server.Build(ctx, b.binary); err != nil {
			return err
		}
	}
	// What one row cannot say, the others still do.
	var errs error
	for _, row := range chosen(*only, b.ground) {
		name := row.name
		if b.ground != "loopback" {
			name += "_" + b.ground
		}
		results, err := row.measure(ctx, b, name)
		if err == nil {
			b.show(results)
			err = report.Keep(*out, results)
		}
		if err != nil {
			b.progress("%s: %v", name, err)
			errs = errors.Join(errs, fmt.Errorf("%s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errs
}

// chosen are the rows whose name contains a text, or the one whose name it is; on another ground than loopback those that a
// network is part of.
func chosen(only, ground string) []row {
	var out []row
	for _, r := range rows {
		switch {
		case ground != "loopback" && !r.grounds:
		case r.name == only:
			return []row{r}
		case strings.Contains(r.name, only):
			out = append(out, r)
		}
	}
	return out
}

// show prints rows.
func (b *bench) show(results []report.Result) {
	for _, r := range results {
		line := fmt.Sprintf("%-48s %10.4g %-9s", r.Name, r.Value, r.Unit)
		if r.Floor > 0 {
			line += fmt.Sprintf(" floor %.4g", r.Floor)
		}
		if r.Ratio > 0 {
			line += fmt.Sprintf(" ratio %.2f", r.Ratio)
		}
		if r.Peer != "" {
			line += "  " + r.Peer
		}
		b.progress("%s", line)
	}
}

// command is how a row is measured again.
func (b *bench) command(name string) string {
	text := command + " -only " + name
	if b.ground != "loopback" {
		text = command + " -ground " + b.ground + " -only " + strings.TrimSuffix(name, "_"+b.ground)
	}
	return text
}
