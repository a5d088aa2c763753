//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/report"
)

// besideHeld is how long each run beside another server is measured: with it all pairs take a quarter of an hour.
const besideHeld = 5 * time.Second

// beside is a row of Tolkyn and LiveKit in turn, at the first of the loads that both carry without loss. Only full callers reach
// LiveKit, and what those cost bounds the loads.
func beside(name string, loads ...string) row {
	return row{name, false, func(ctx context.Context, b *bench, name string) ([]report.Result, error) {
		for _, load := range loads {
			first, err := b.compare(ctx, name, load, 1)
			if err != nil {
				return nil, err
			}
			if why := unclean(first); why != "" {
				b.progress("%s: too much for one of them: %s", load, why)
				continue
			}
			c, err := b.compare(ctx, name, load, b.pairs)
			if err != nil {
				return nil, err
			}
			return compared(c, name, load, b.command(name)), nil
		}
		return nil, fmt.Errorf("none of %s is carried without loss by both", strings.Join(loads, ", "))
	}}
}

// compare plays a load against both, so many times each.
func (b *bench) compare(ctx context.Context, name, load string, rounds int) (c report.Comparison, err error) {
	text := fmt.Sprintf("%s kind=full duration=%v", load, min(b.held, besideHeld))
	b.progress("%s, %d × two runs: %s", name, rounds, text)
	path := filepath.Join(b.dir, "comparison.json")
	arguments := append([]string{
		"compare", b.binary, "livekit", "--scenario", text, "--rounds", strconv.Itoa(rounds), "--json", path,
	}, b.livekit...)
	if err := b.tolkyn(ctx, arguments...); err != nil {
		return c, err
	}
	if err := read(path, &c); err != nil {
		return c, err
	}
	if c.Pairs < rounds {
		return c, errors.New("the comparison ended early")
	}
	return c, nil
}

// The comparison's own names of what a load must not have, and of what it costs.
var (
	faults = []string{"missing streams", "server drops", "audio loss after repair, p95", "video loss after repair, p95"}
	costs  = map[string]string{"server CPU a packet in or out": "", "server CPU a packet out": "_out"}
)

// unclean says what a load was too much for; empty: for nothing.
func unclean(c report.Comparison) string {
	for _, m := range c.Metrics {
		for _, fault := range faults {
			if m.Name == fault && (m.A.Max > 0 || m.B.Max > 0) {
				return fmt.Sprintf("%s: %.3g of ours, %.3g of the other's", fault, m.A.Max, m.B.Max)
			}
		}
	}
	return ""
}

// compared makes the rows: ours, and the other's with its ratio to ours, the median of pairs. What was lost stands beside them.
func compared(c report.Comparison, name, load, command string) []report.Result {
	peer := c.B.Name + " at " + load
	var out []report.Result
	for _, m := range c.Metrics {
		suffix, cost := costs[m.Name]
		if !cost {
			continue
		}
		ours := report.New(command, name+suffix+"_tolkyn", "ns", m.A.Values, nil)
		theirs := report.New(command, name+suffix+"_livekit", "ns", m.B.Values, nil)
		theirs.Ratio, theirs.Peer = m.Ratio.Median, peer
		out = append(out, ours, theirs)
	}
	for _, side := range []struct {
		name, peer string
		of         func(report.Difference) report.Spread
	}{
		{"_tolkyn", "", func(d report.Difference) report.Spread { return d.A }},
		{"_livekit", peer, func(d report.Difference) report.Spread { return d.B }},
	} {
		worst := 0.0 // %
		for _, m := range c.Metrics {
			if strings.HasSuffix(m.Name, "loss after repair, p95") {
				worst = max(worst, side.of(m).Max)
			}
		}
		row := report.New(command, name+"_loss"+side.name, "share", []float64{worst / 100}, nil)
		row.Peer, row.Runs = side.peer, c.Pairs
		out = append(out, row)
	}
	return out
}
