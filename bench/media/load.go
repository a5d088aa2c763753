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

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// repeat plays a scenario so many times and adds the figures.
func (b *bench) repeat(ctx context.Context, name, text string, times int, f *figures) error {
	text += fmt.Sprintf(" duration=%v", b.held)
	s, err := scenario.Builtin(text)
	if err != nil {
		return err
	}
	for i := range times {
		b.progress("%s, run %d of %d: %s", name, i+1, times, text)
		r, err := b.play(ctx, text)
		if err != nil {
			return err
		}
		f.add(r, s.Warmup.Seconds(), s.Duration.Seconds())
	}
	return nil
}

// play runs one scenario and reads its report.
func (b *bench) play(ctx context.Context, text string) (r report.Report, err error) {
	path := filepath.Join(b.dir, "report.json")
	if err := b.tolkyn(ctx, "--ground", b.ground, "--scenario", text, "--json", path); err != nil {
		return r, err
	}
	if err := read(path, &r); err != nil {
		return r, err
	}
	if r.Partial || r.ServerCost.PerInAndOutNS <= 0 {
		return r, errors.New("the run ended before anything was measured")
	}
	return r, nil
}

// tolkyn runs the bench. That a condition did not hold (exit code 2) is no error: the report says which figures.
func (b *bench) tolkyn(ctx context.Context, arguments ...string) error {
	cmd := exec.CommandContext(ctx, b.binary, append([]string{"bench"}, arguments...)...)
	cmd.Args = append(cmd.Args, "--quiet")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) {
		return fmt.Errorf("run %q: %w\n%s", cmd.Args, err, said)
	}
	return ctx.Err()
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read what tolkyn bench wrote: %w", err)
	}
	return nil
}

// figures are of all runs of a load. All but of are one value a run.
type figures struct {
	of        cost
	server    []float64 // ns a packet
	floors    []float64 // ns of this machine's least for one packet of 1,100 bytes
	memory    []float64 // kB a participant
	signaling []float64 // bytes of signaling that a listener gets in a second
	switches  []float64 // of layers, of all streams together, in a second
	packets   []float64 // a second, sent and received by callers
	loss      []float64 // share
	drops     []float64 // datagrams, of the server's sockets and the callers'
	slips     []float64
}

// add takes a run that was measured between two seconds of its clock.
func (f *figures) add(r report.Report, from, to float64) {
	seconds := to - from
	f.server = append(f.server, f.of(r.ServerCost))
	f.floors = append(f.floors, r.Machine.FloorNS)
	f.memory = append(f.memory, r.ServerCost.MemoryPerCaller/1024)
	f.signaling = append(f.signaling, signalingOf(r.Callers)/seconds)
	f.switches = append(f.switches, float64(r.Video.Switches)/seconds)
	f.packets = append(f.packets, packetsOf(r.Usage, from))
	f.loss = append(f.loss, lossOf(r.Streams))
	f.drops = append(f.drops, float64(r.ServerCost.Drops+r.ClientCost.Drops))
	f.slips = append(f.slips, float64(r.ClientCost.Slips))
}

// packetsOf is how many callers sent and received in a second, from a moment on.
func packetsOf(all []report.Usage, from float64) float64 {
	var sum, n float64
	for _, u := range all {
		if u.At > from {
			sum += u.Sent + u.Received
			n++
		}
	}
	return sum / max(n, 1)
}

// signalingOf is the mean of those who only listen; of all, where nobody does.
func signalingOf(callers []measure.Caller) float64 {
	var bytes, listeners float64
	var all float64
	for _, c := range callers {
		all += float64(c.SignalBytes)
		if c.SentPackets == 0 && c.ReceivedPackets > 0 {
			bytes += float64(c.SignalBytes)
			listeners++
		}
	}
	if listeners == 0 {
		return all / float64(max(len(callers), 1))
	}
	return bytes / listeners
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

func (f *figures) rows(name, command string) []report.Result {
	out := []report.Result{report.New(command, name, "ns", f.server, nil)}
	// The floor is of large packets alone: pictures fanned out are such.
	if report.Median(f.floors) > 0 && report.Median(f.switches) > 0 && f.of(report.Cost{PerReceivedNS: 1}) == 1 {
		out[0] = report.New(command, name, "ns", f.server, f.floors)
	}
	for _, more := range []struct {
		name, unit string
		values     []float64
	}{
		{"packets", "1/s", f.packets},
		{"memory", "kB", f.memory},
		{"signaling", "B/s", f.signaling},
		{"switches", "1/s", f.switches},
		{"loss", "share", f.loss},
		{"drops", "datagrams", f.drops},
		{"slips", "1", f.slips},
	} {
		out = append(out, report.New(command, name+"_"+more.name, more.unit, more.values, nil))
	}
	return out
}
