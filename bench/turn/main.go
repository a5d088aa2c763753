//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/server"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "turn:", err)
		os.Exit(1)
	}
}

const command = "make bench-turn"

func run() error {
	pairs := flag.Int("pairs", 7, "pairs of runs of each row, ours and coturn's")
	messages := flag.Int("messages", 2000, "messages of each of the 50 clients")
	held := flag.Int("allocations", 4000, "allocations held at once, for what one costs")
	only := flag.String("only", "", "only rows whose name contains this")
	out := flag.String("out", "bench/results/turn.json", "where the results go")
	binary := flag.String("binary", "", "server to measure; default: built from this tree")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()

	dir, err := os.MkdirTemp("", "turn")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = filepath.Join(dir, "tolkyn")
		fmt.Println("building the server")
		if err := server.Build(ctx, *binary); err != nil {
			return err
		}
	}
	certificate, err := makeCertificate(dir)
	if err != nil {
		return err
	}
	ours := func() (*subject, error) { return startTolkyn(*binary, dir, certificate) }
	theirs := func() (*subject, error) { return startCoturn(dir, certificate) }
	b := &bench{ctx: ctx, pairs: *pairs, messages: *messages, held: *held, sides: [2]side{{"tolkyn", ours}, {"coturn", theirs}}}
	for _, l := range loads {
		if strings.Contains(l.name, *only) {
			if err := b.load(l); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	if strings.Contains("turn_allocation", *only) {
		if err := b.allocations(); err != nil {
			return fmt.Errorf("allocations: %w", err)
		}
	}
	if strings.Contains("turn_handed_over", *only) {
		if err := b.handover(); err != nil {
			return fmt.Errorf("handed over: %w", err)
		}
	}
	if strings.Contains("turn_flood", *only) {
		if err := b.flood(*binary, dir, certificate); err != nil {
			return fmt.Errorf("flood: %w", err)
		}
	}
	return report.Keep(*out, b.results)
}

// loads are the rows, in order. Rates are of each of 50 clients.
var loads = []load{
	{name: "turn_udp_channel_120_1ms", size: 120, interval: 1},
	{name: "turn_udp_channel_120_2ms", size: 120, interval: 2},
	{name: "turn_udp_channel_120_20ms", size: 120, interval: 20},
	{name: "turn_udp_channel_1100_1ms", size: 1100, interval: 1},
	{name: "turn_udp_send_120_2ms", size: 120, interval: 2, flags: []string{"-s"}},
	{name: "turn_udp_send_1100_2ms", size: 1100, interval: 2, flags: []string{"-s"}},
	{name: "turn_tcp_channel_120_2ms", size: 120, interval: 2, flags: []string{"-t"}},
	{name: "turn_tcp_channel_1100_2ms", size: 1100, interval: 2, flags: []string{"-t"}},
	{name: "turn_tcp_send_120_2ms", size: 120, interval: 2, flags: []string{"-t", "-s"}},
	{name: "turn_tls_channel_120_2ms", size: 120, interval: 2, flags: []string{"-t", "-S"}, tls: true},
	{name: "turn_tls_channel_1100_2ms", size: 1100, interval: 2, flags: []string{"-t", "-S"}, tls: true},
}

type side struct {
	name  string
	start func() (*subject, error)
}

type bench struct {
	// Fixed.
	ctx                   context.Context
	pairs, messages, held int
	sides                 [2]side

	results []report.Result
}

// alternate measures both sides as many times as there are pairs, each time the other one first.
func (b *bench) alternate(measure func(side) ([]float64, error)) (ours, theirs [][]float64, err error) {
	var got [2][][]float64
	for pair := range b.pairs {
		order := []int{0, 1}
		if pair%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			values, err := measure(b.sides[i])
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", b.sides[i].name, err)
			}
			got[i] = append(got[i], values)
		}
	}
	return got[0], got[1], nil
}

// keep adds a figure of each side; the ratio is the median of the pairs'.
func (b *bench) keep(name, unit string, of int, ours, theirs [][]float64) {
	var a, c, ratios []float64
	for i := range ours {
		a, c = append(a, ours[i][of]), append(c, theirs[i][of])
		if theirs[i][of] > 0 {
			ratios = append(ratios, ours[i][of]/theirs[i][of])
		}
	}
	mine, peer := report.New(command, name, unit, a, nil), report.New(command, name+"_coturn", unit, c, nil)
	mine.Peer = "coturn " + coturnVersion()
	if len(ratios) > 0 {
		slices.Sort(ratios)
		mine.Ratio = ratios[len(ratios)/2]
	}
	b.results = append(b.results, mine, peer)
	fmt.Printf("%-32s %9.4g %-8s coturn %9.4g  ratio %5.2f of %.2f\n", name, mine.Value, unit, peer.Value, mine.Ratio, ratios)
}
