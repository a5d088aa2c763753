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

const (
	// command makes all rows again; with -only and a row's name, that one.
	command = "go run ./bench/congestion"
	// pageVerb has this program be a page's process.
	pageVerb = "page"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == pageVerb {
		if err := servePage(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "congestion page:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "congestion:", err)
		os.Exit(1)
	}
}

// bench is a run of this command. Fixed after run has read its flags.
type bench struct {
	binary        string
	livekitServer string
	livekitSDK    string // empty: no LiveKit
	dir           string // of passing files
	looks         string // file of all readings; empty: none
	runs          int
	length        time.Duration // of the case with browsers
	cycles        int
	pairs         int // of runs with congestion control on and off
	quick         bool
	seed          uint64
	progress      func(format string, args ...any)
	plots         []plot
}

// lateLimit is how late the emulator may be, p99, before what it measures is the machine's own doing.
const lateLimit = 5 * time.Millisecond

// warn says when a run was on a machine that had no time for it.
func (b *bench) warn(late time.Duration) {
	if late > lateLimit {
		b.progress("! the emulator was %v late (p99): this machine is busy, and these figures are its own", late.Round(time.Millisecond/10))
	}
}

// measurement is one thing to measure, of which several rows come.
type measurement struct {
	name    string
	measure func(context.Context, *bench, string) ([]report.Result, error)
	show    func(*bench, string, []report.Result)
}

var measurements = []measurement{
	{"chromium_up", chromiumUp, (*bench).table},
	{"chromium_down", chromiumDown, (*bench).table},
	{"drop", drops, (*bench).list},
	{"cost", cost, (*bench).list},
}

func run() error {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 1, "runs of each case with browsers, servers in turn; the median counts")
	flag.DurationVar(&b.length, "length", length51, "how much of the case with browsers is played; less for a first look")
	flag.IntVar(&b.cycles, "cycles", 12, "drops and returns of capacity in the case without browsers")
	flag.IntVar(&b.pairs, "pairs", 7, "pairs of runs with congestion control and without")
	flag.BoolVar(&b.quick, "quick", false, "a first look: fewer and shorter pairs, two drops, half of the case with browsers")
	flag.Uint64Var(&b.seed, "seed", 1, "of the network's dice")
	only := flag.String("only", "", "only measurements whose name contains this")
	out := flag.String("out", "bench/results/congestion.json", "where the results go; empty: nowhere")
	page := flag.String("html", "", "where a page with plots goes; empty: nowhere")
	flag.StringVar(&b.looks, "looks", "", "where every reading of the pages goes, as CSV, to look into a run; empty: nowhere")
	flag.StringVar(&b.binary, "binary", "", "tolkyn to measure; default: built from this tree")
	flag.StringVar(&b.livekitServer, "livekit-server", "livekit-server", "LiveKit's server; default: where go install puts it")
	flag.StringVar(&b.livekitSDK, "livekit-sdk", "", "its SDK for browsers, dist/livekit-client.umd.js; empty: no LiveKit")
	flag.Parse()
	if b.quick {
		b.length, b.cycles = length51/2, 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	began := time.Now()
	b.progress = func(format string, args ...any) {
		fmt.Printf("%5.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "congestion"); err != nil {
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
	// What one measurement cannot say, the others still do.
	var errs error
	for _, s := range measurements {
		if !strings.Contains(s.name, *only) || ctx.Err() != nil {
			continue
		}
		results, err := s.measure(ctx, b, s.name)
		s.show(b, s.name, results)
		if err == nil && *out != "" {
			err = report.Keep(*out, results)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if *page != "" {
		errs = errors.Join(errs, writePage(*page, b.plots))
	}
	return errs
}
