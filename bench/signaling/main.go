//go:build linux

package main

import (
	"context"
	"encoding/json"
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

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "signaling:", err)
		os.Exit(1)
	}
}

func run() error {
	if spec := os.Getenv(jobEnv); spec != "" {
		var j job
		if err := json.Unmarshal([]byte(spec), &j); err != nil {
			return err
		}
		return j.run()
	}
	runs := flag.Int("runs", 7, "dials of each transport and changes of networks; the median counts")
	sessions := flag.Int("sessions", 2000, "idle sessions whose memory is measured")
	joins := flag.Int("joins", 200, "of those, how many begin to open in a second; 0: as many as the server takes")
	seconds := flag.Int("seconds", 3, "length of each measurement of messages")
	only := flag.String("only", "", "only rows whose name contains this")
	out := flag.String("out", "bench/results/signaling.json", "where the results go")
	binary := flag.String("binary", "", "server to measure; default: built from this tree")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()

	dir, err := os.MkdirTemp("", "signaling")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{
		dir: dir, runs: *runs, sessions: *sessions, joins: *joins, window: time.Duration(*seconds) * time.Second, binary: *binary,
		command: strings.Join(append([]string{"go run ./bench/signaling"}, os.Args[1:]...), " "),
	}
	if b.certificate, err = makeCertificate(dir); err != nil {
		return err
	}
	if b.binary == "" {
		b.binary = filepath.Join(dir, "tolkyn")
		fmt.Println("building the server")
		if err := server.Build(ctx, b.binary); err != nil {
			return err
		}
	}
	var failed []error
	for _, row := range rows {
		if !strings.Contains(row.name, *only) {
			continue
		}
		if err := row.measure(ctx, b, row.name); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", row.name, err))
			fmt.Println(failed[len(failed)-1])
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(b.results)+len(failed) == 0 {
		return fmt.Errorf("no row is called %q", *only)
	}
	// What was measured is worth keeping whatever has become of other rows.
	return errors.Join(append(failed, report.Keep(*out, b.results))...)
}

// rows are the measurements, in order.
var rows = []struct {
	name    string
	measure func(ctx context.Context, b *bench, name string) error
}{
	{"first_reply_quic_0rtt", dialRow(dialing{Transport: known})},
	{"first_reply_quic_fresh", dialRow(dialing{Transport: fresh})},
	{"first_reply_quic_retry", dialRow(dialing{Transport: fresh, HalfOpen: 700})},
	{"first_reply_webtransport", dialRow(dialing{Transport: web})},
	{"first_reply_wss", dialRow(dialing{Transport: wss})},
	{"first_reply_sdk_known", dialRow(dialing{Transport: sdkKnown})},
	{"first_reply_sdk_udp_blocked", dialRow(dialing{Transport: sdk, noUDP: true})},
	{"network_change_both_up", changeRow(bothUp)},
	{"network_change_break_before_make", changeRow(breakBeforeMake)},
	{"network_change_nat_rebind", changeRow(natRebind)},
	{"network_change_server_killed", changeRow(serverKilled)},
	{"idle_session_gogc10", memoryRow(true)},
	{"idle_session", memoryRow(false)},
	{"control_one_stream", messagesRow(messages{Sessions: 1, Batch: 512, Every: 4 * time.Millisecond, QUICOnly: true})},
	{"control_batched", messagesRow(messages{Sessions: 700, Batch: 75, Every: 2 * time.Second})},
	{"control_one_in_flight", messagesRow(messages{Sessions: 256, Batch: 1, Every: 25 * time.Millisecond})},
}

// bench is one run of the command.
type bench struct {
	dir         string // of this run alone
	certificate certificate
	binary      string
	command     string
	runs        int
	sessions    int
	joins       int // of sessions, a second
	window      time.Duration
	results     []report.Result
}

// add keeps a row and shows it.
func (b *bench) add(name, unit string, values, floors []float64) {
	r := report.New(b.command, name, unit, values, floors)
	b.results = append(b.results, r)
	floor := "none"
	if len(floors) > 0 {
		floor = fmt.Sprintf("%.4g, ratio %.2f", r.Floor, r.Ratio)
	}
	fmt.Printf("%-38s %10.4g %-7s floor %-22s of %.4g\n", name, r.Value, unit, floor, values)
}
