//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
)

func chromiumUp(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	return b.beside(ctx, name, netem.Up)
}

func chromiumDown(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	return b.beside(ctx, name, netem.Down)
}

// beside plays the case against all servers in turn.
func (b *bench) beside(ctx context.Context, name string, direction netem.Direction) ([]report.Result, error) {
	kinds := []string{"tolkyn"}
	if b.livekitSDK != "" {
		kinds = append(kinds, "livekit")
	}
	runs := map[string][][]figures{}
	var errs error
	for i := range b.runs {
		for _, kind := range kinds {
			b.progress("%s, %s, run %d of %d", name, kind, i+1, b.runs)
			c, err := b.chromium(ctx, kind, direction)
			if err != nil {
				errs = errors.Join(errs, fmt.Errorf("%s: %w", kind, err))
				continue
			}
			b.warn(c.late)
			runs[kind] = append(runs[kind], c.parts())
			errs = errors.Join(errs, b.writeLooks(fmt.Sprintf("%s_%s_%d", name, kind, i+1), c))
			b.plots = append(b.plots, plot{fmt.Sprintf("%s, %s, run %d", name, kind, i+1), about51, c.panels()})
		}
	}
	var out []report.Result
	for _, kind := range kinds {
		out = append(out, rows(command+" -only "+name, name+"_"+kind, kind, runs[kind])...)
	}
	return compared(out, name), errs
}

// writeLooks appends every reading of a run: what the receiver decoded, and what the sender made of each encoding.
func (b *bench) writeLooks(run string, c *course) error {
	if b.looks == "" {
		return nil
	}
	f, err := os.OpenFile(b.looks, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fmt.Fprintln(f, "run,seconds,decoded,lines,freezes,nacks,plis,retransmitted,available kbit/s,encodings: lines/encoded/target kbit/s/sent again")
	for _, l := range c.looks {
		v := l.receiver.Video
		fmt.Fprintf(f, "%s,%.2f,%g,%g,%g,%g,%g,%g,%.0f", run, l.at.Seconds(), v.FramesDecoded, v.FrameHeight, v.FreezeCount, v.NackCount,
			v.PLICount, v.Retransmitted, l.sender.Available/1000)
		for _, e := range l.sender.Sent.Encodings {
			fmt.Fprintf(f, ",%g/%g/%.0f/%g", e.Height, e.FramesEncoded, e.Target/1000, e.Retransmitted)
		}
		fmt.Fprintln(f)
	}
	return f.Close()
}

const about51 = "RFC 8867, section 5.1: a capacity of 1, 2.5, 0.6 and 1 Mbit/s, 50 ms one way, a drop-tail queue of 300 ms."

// rows are medians over runs, of each phase and of the whole.
func rows(command, name, kind string, runs [][]figures) []report.Result {
	if len(runs) == 0 {
		return nil
	}
	var out []report.Result
	for i := range runs[0] {
		part := fmt.Sprintf("%s_phase%d", name, i+1)
		if i == len(runs[0])-1 {
			part = name
		}
		for _, m := range metrics {
			var values []float64
			for _, parts := range runs {
				values = append(values, m.of(parts[i]))
			}
			r := report.New(command, part+"_"+m.name, m.unit, values, nil)
			if kind != "tolkyn" {
				r.Peer = kind
			}
			out = append(out, r)
		}
	}
	return out
}

// metrics are what rows are made of.
var metrics = []struct {
	name, unit string
	of         func(figures) float64
}{
	{"sent", "kbit/s", func(f figures) float64 { return f.sent }},
	{"received", "kbit/s", func(f figures) float64 { return f.received }},
	{"lost", "share", func(f figures) float64 { return f.lost }},
	{"queue_mean", "ms", func(f figures) float64 { return f.queueMean }},
	{"queue_p95", "ms", func(f figures) float64 { return f.queue95 }},
	{"fps", "1/s", func(f figures) float64 { return f.fps }},
	{"fps_worst_2s", "1/s", func(f figures) float64 { return f.fpsMin }},
	{"fps_sent", "1/s", func(f figures) float64 { return f.sentFPS }},
	{"lines", "px", func(f figures) float64 { return f.height }},
	{"freezes", "count", func(f figures) float64 { return f.freezes }},
	{"frozen", "s", func(f figures) float64 { return f.frozen }},
	{"delay_p50", "ms", func(f figures) float64 { return f.delay50 }},
	{"delay_p95", "ms", func(f figures) float64 { return f.delay95 }},
	{"concealed", "share", func(f figures) float64 { return f.concealed }},
	{"sender_cpu_limited", "share", func(f figures) float64 { return f.limitedCPU }},
	{"emulator_late_p99", "ms", func(f figures) float64 { return f.late }},
}

// compared gives a peer's rows their ratio to ours.
func compared(all []report.Result, name string) []report.Result {
	ours := map[string]float64{}
	for _, r := range all {
		if r.Peer == "" {
			ours[r.Name[len(name+"_tolkyn"):]] = r.Value
		}
	}
	for i, r := range all {
		if r.Peer == "" {
			continue
		}
		if value := ours[r.Name[len(name+"_"+r.Peer):]]; value > 0 {
			all[i].Ratio = r.Value / value
		}
	}
	return all
}

// list prints rows as they are.
func (b *bench) list(_ string, all []report.Result) {
	for _, r := range all {
		b.progress("%-44s %10.4g %s", r.Name, r.Value, r.Unit)
	}
}

// table prints a line for each figure and a column for each server and phase.
func (b *bench) table(name string, all []report.Result) {
	var columns, figures []string
	cells := map[[2]string]report.Result{}
	for _, r := range all {
		rest := strings.TrimPrefix(r.Name, name+"_")
		column, figure, _ := strings.Cut(rest, "_")
		if number, after, ok := strings.Cut(figure, "_"); ok && strings.HasPrefix(number, "phase") {
			column, figure = column+" "+strings.TrimPrefix(number, "phase"), after
		}
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		if !slices.Contains(figures, figure) {
			figures = append(figures, figure)
		}
		cells[[2]string{column, figure}] = r
	}
	b.progress("%s", name)
	fmt.Printf("%-32s", "")
	for _, c := range columns {
		fmt.Printf("%11s", c)
	}
	fmt.Println()
	for _, f := range figures {
		unit := ""
		var line strings.Builder
		for _, c := range columns {
			r, ok := cells[[2]string{c, f}]
			if !ok {
				fmt.Fprintf(&line, "%11s", "")
				continue
			}
			unit = r.Unit
			fmt.Fprintf(&line, "%11.4g", r.Value)
		}
		fmt.Printf("%-32s%s\n", f+", "+unit, line.String())
	}
}
