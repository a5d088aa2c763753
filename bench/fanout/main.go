//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/server"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

func run() error {
	if spec := os.Getenv(floorEnv); spec != "" {
		var job floorJob
		if err := json.Unmarshal([]byte(spec), &job); err != nil {
			return err
		}
		return runFloor(job)
	}
	if spec := os.Getenv(joinerEnv); spec != "" {
		return runJoiner(spec)
	}
	seconds := flag.Int("seconds", 10, "length of each measurement")
	runs := flag.Int("runs", 3, "measurements of each row; the median counts")
	only := flag.String("only", "", "only rows whose name contains this")
	out := flag.String("out", "bench/results/fanout.json", "where the results go")
	binary := flag.String("binary", "", "server to measure; default: built from this tree")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()

	b := &bench{window: time.Duration(*seconds) * time.Second, runs: *runs, binary: *binary}
	if b.binary == "" {
		dir, err := os.MkdirTemp("", "fanout")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.binary = filepath.Join(dir, "tolkyn")
		fmt.Println("building the server")
		if err := server.Build(ctx, b.binary); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if !strings.Contains(row.name, *only) {
			continue
		}
		if err := row.measure(ctx, b, row.name); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return report.Keep(*out, b.results)
}

// rows are the measurements, in order.
var rows = []struct {
	name    string
	measure func(ctx context.Context, b *bench, name string) error
}{
	{"fanout_video_1to100_22kpps", func(ctx context.Context, b *bench, name string) error {
		return b.fanout(ctx, name, fanout{publishers: 1, subscribers: 100, pattern: pattern{video: true, payload: 1064, burst: 7, every: time.Second / 30, fraction: 3}})
	}},
	{"fanout_video_1to100_80kpps", func(ctx context.Context, b *bench, name string) error {
		return b.fanout(ctx, name, fanout{publishers: 1, subscribers: 100, pattern: pattern{video: true, payload: 1064, burst: 4, every: 5 * time.Millisecond}})
	}},
	{"fanout_audio_10to100_50kpps", func(ctx context.Context, b *bench, name string) error {
		return b.fanout(ctx, name, fanout{publishers: 10, subscribers: 100, pattern: pattern{payload: 84, burst: 1, every: 20 * time.Millisecond}})
	}},
	{"fanout_audio_10to100_50kpps_apart", func(ctx context.Context, b *bench, name string) error {
		return b.fanout(ctx, name, fanout{publishers: 10, subscribers: 100, apart: true, pattern: pattern{payload: 84, burst: 1, every: 20 * time.Millisecond}})
	}},
	{"participant", func(ctx context.Context, b *bench, name string) error { return b.participants(ctx, name, 200) }},
	{"forward_delay_50_joins_per_s", func(ctx context.Context, b *bench, name string) error { return b.delay(ctx, name, 50) }},
}

type bench struct {
	window  time.Duration
	runs    int
	binary  string
	results []report.Result
}

func (b *bench) add(name, unit string, values, floors []float64) {
	r := report.New("make bench", name, unit, values, floors)
	b.results = append(b.results, r)
	fmt.Printf("%-36s %12.4g %-8s floor %8.4g  ratio %5.2f  of %v\n", name, r.Value, unit, r.Floor, r.Ratio, values)
}

// fanout is a fan-out row: everybody in one room, publishers that only send, subscribers that only receive.
type fanout struct {
	publishers, subscribers int
	pattern                 pattern
	apart                   bool // publishers spread over the interval: no two packets of one tick
}

// fanout measures server CPU per packet that a subscriber received, and the floor, in turn.
func (b *bench) fanout(ctx context.Context, name string, f fanout) error {
	srv, err := startServer(b.binary)
	if err != nil {
		return err
	}
	defer srv.Stop()
	publisher, subscriber := shape{sendVideo: true}, shape{videoSlots: 1}
	if !f.pattern.video {
		publisher, subscriber = shape{sendAudio: true}, shape{audioSlots: f.publishers}
	}
	pubs, err := dialAll(ctx, srv.base, name, "pub", f.publishers, publisher)
	defer closeAll(pubs)
	if err != nil {
		return err
	}
	subs, err := dialAll(ctx, srv.base, name, "sub", f.subscribers, subscriber)
	defer closeAll(subs)
	if err != nil {
		return err
	}
	poll := newPoller(append(slices.Clone(subs), pubs...))
	defer poll.close()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	if f.apart {
		for i, c := range pubs {
			sending.Go(func() {
				pause(ctx, f.pattern.every*time.Duration(i)/time.Duration(len(pubs)))
				publish([]*caller{c}, f.pattern, stop)
			})
		}
	} else {
		sending.Go(func() { publish(pubs, f.pattern, stop) })
	}
	defer sending.Wait()
	defer close(stop)
	pause(ctx, 2*time.Second)

	burst := f.pattern.burst
	if !f.pattern.video && !f.apart {
		burst = f.publishers
	}
	every := f.pattern.every
	if f.apart {
		every /= time.Duration(f.publishers)
	}
	var costs, floors, mallocs, shares []float64
	for range b.runs {
		got, err := b.window1(ctx, srv, poll)
		if err != nil {
			return err
		}
		costs, mallocs, shares = append(costs, got.ns), append(mallocs, got.mallocs), append(shares, got.received)
		fl, err := floor(ctx, floorJob{Payload: f.pattern.payload, Burst: burst, Every: every, For: b.window / 2})
		if err != nil {
			return err
		}
		floors = append(floors, fl)
	}
	b.add(name, "ns", costs, floors)
	b.add(name+"_mallocs", "1/packet", mallocs, nil)
	b.add(name+"_received", "share", shares, nil)
	return nil
}

type window struct{ ns, mallocs, received float64 }

// window1 measures one window of a running call.
func (b *bench) window1(ctx context.Context, srv *subject, poll *poller) (window, error) {
	pid := srv.PID()
	read := func() (cpu time.Duration, mallocs float64, err error) {
		if cpu, err = server.CPU(pid); err != nil {
			return
		}
		cpu += softirqCPU()
		mallocs, err = srv.metric(ctx, "go_memstats_mallocs_total")
		return
	}
	_, mallocs0, err := read()
	if err != nil {
		return window{}, err
	}
	cpu0, _, err := read()
	if err != nil {
		return window{}, err
	}
	_, mallocs1, err := read() // what reading itself allocates
	if err != nil {
		return window{}, err
	}
	received0, lost0 := poll.tally.received.Load(), poll.tally.lost.Load()
	pause(ctx, b.window)
	received1, lost1 := poll.tally.received.Load(), poll.tally.lost.Load()
	cpu1, mallocs2, err := read()
	if err != nil {
		return window{}, err
	}
	if bad := poll.tally.bad.Load(); bad > 0 {
		return window{}, fmt.Errorf("%d packets did not authenticate", bad)
	}
	packets := float64(received1 - received0)
	if packets == 0 {
		return window{}, fmt.Errorf("nothing was received")
	}
	own := (mallocs1 - mallocs0) / 2
	return window{
		ns:       float64(cpu1-cpu0) / packets,
		mallocs:  max(mallocs2-mallocs1-own, 0) / packets,
		received: packets / (packets + float64(max(lost1-lost0, 0))),
	}, nil
}

func dialAll(ctx context.Context, base, room, name string, n int, s shape) ([]*caller, error) {
	var callers []*caller
	for i := range n {
		c, err := dial(ctx, base, room, fmt.Sprintf("%s%d", name, i), s)
		if err != nil {
			return callers, err
		}
		callers = append(callers, c)
	}
	return callers, nil
}

func closeAll(callers []*caller) {
	for _, c := range callers {
		c.close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
