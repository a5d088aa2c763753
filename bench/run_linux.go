package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/server"
)

// settle is between the workers' start and the run's zero: they load their clips meanwhile.
const settle = 1500 * time.Millisecond

// Config says what to run.
type Config struct {
	Scenario scenario.Scenario // it has passed Check
	// Command is the command line that makes the report again, for readers.
	Command         string
	Version, Commit string

	// Target is a server that runs elsewhere. Or Start starts one, for this run alone.
	Target *caller.Target
	Start  func(context.Context, server.Place) (server.Server, error)
	// Ground is for a server that is started here; empty: whatever the scenario needs.
	Ground Ground
	// Worker is the command line of a process that is caller.Work.
	Worker []string
	// StartWorker starts it at its end; nil: as the Ground has it. place is how it would be started.
	StartWorker func(cmd *exec.Cmd, place func(*exec.Cmd) error) error

	OpenOneIn int  // packets that light callers look into; 0: 16
	Debug     bool // keep every decision of every caller
	// Floor measures what a packet costs at least on this machine; nil: it is left out.
	Floor func(context.Context) (float64, error)
	// Watch is told how things stand, once a second, from one goroutine; nil: nobody is.
	Watch func(report.Snapshot)
}

// Run plays a scenario and reports. When ctx ends before it is over, the report is of what was until then, and Partial. An error
// means that there is nothing to report: the run could not be made, or nobody could come into the call. events are the callers'
// decisions, with Debug.
func Run(ctx context.Context, c Config) (report.Report, []report.Event, error) {
	r, events, _, err := runAll(ctx, c)
	if err == nil && ctx.Err() == nil {
		err = nobodyCame(r)
	}
	if err != nil {
		return report.Report{}, nil, err
	}
	return r, events, nil
}

// nobodyCame says why, when not one caller got as far as a packet: that is no measurement of quality. A server that cannot be
// reached or that refuses all tokens looks like that.
func nobodyCame(r report.Report) error {
	for _, c := range r.Callers {
		if c.Error == "" || c.SentPackets+c.ReceivedPackets > 0 {
			return nil
		}
	}
	if len(r.Callers) == 0 {
		return nil
	}
	return fmt.Errorf("nobody could come into the call at %s; the first, %s", r.Server.Address, firstError(r.Callers))
}

// runAll is Run with the totals, which conditions are looked up in.
func runAll(ctx context.Context, c Config) (r report.Report, events []report.Event, t measure.Totals, err error) {
	run := &run{config: c, callers: scenario.Schedule(c.Scenario)}
	if c.Target == nil && c.Start == nil {
		return r, nil, t, errNoServer
	}
	if err := enoughFiles(run.callers); err != nil {
		return r, nil, t, err
	}
	defer func() {
		switch failed := run.close(); {
		case failed == nil:
		case err == nil:
			// What was measured stands.
			r.Warnings = append(r.Warnings, "Not all could be cleared away: "+failed.Error()+".")
		default:
			err = errors.Join(err, failed)
		}
	}()
	if err := run.open(ctx); err != nil {
		return r, nil, t, err
	}
	if err := run.play(ctx); err != nil {
		return r, nil, t, err
	}
	return run.report(), run.events, run.totals, nil
}

// Files that callers of each kind have open, generously: sockets of signaling and media, a browser's own.
const (
	filesOfFull    = 16
	filesOfLight   = 4
	filesOfBrowser = 200
	filesOfAll     = 100
)

// enoughFiles looks at the limit before anybody runs into it.
func enoughFiles(callers []scenario.Caller) error {
	need := uint64(filesOfAll)
	for _, c := range callers {
		switch c.Kind {
		case scenario.Light:
			need += filesOfLight
		case scenario.Browser:
			need += filesOfBrowser
		default:
			need += filesOfFull
		}
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ask for the limit of open files: %w", err)
	}
	// Go programs raise their own limit as far as they may.
	if limit.Max < need {
		return fmt.Errorf("%d callers need about %d open files, and the limit is %d: raise it with 'ulimit -n %d'",
			len(callers), need, limit.Max, need)
	}
	return nil
}

// run is a run under way.
type run struct {
	config  Config
	callers []scenario.Caller
	site    *site
	dir     string
	server  server.Server // nil: it runs elsewhere
	target  caller.Target
	workers []*worker
	epoch   time.Time
	started time.Time
	partial bool
	shut    bool // nobody can come in: there is nothing to wait for
	gone    bool // the server has ended, which nobody asked it to

	empty   server.Usage // the server's before anybody came
	usage   []report.Usage
	loads   []measure.Load
	at      mark // when measuring began
	end     mark // when it ended
	totals  measure.Totals
	films   []report.Recording
	links   []report.Link
	drops   int64
	oneIn   int
	slips   int64
	figures server.Figures
	floor   float64
	events  []report.Event
}

// mark is what both sides had used and moved at a moment.
type mark struct {
	at             time.Duration
	server, client server.Usage
	kernel         time.Duration
	sent, received int64
	throttling     server.Throttling // of the workers
}

func (r *run) open(ctx context.Context) (err error) {
	ground := r.config.Ground
	if r.config.Target != nil {
		ground = Loopback
	}
	if ground == "" {
		if ground, err = groundFor(r.callers); err != nil {
			return err
		}
	}
	if r.site, err = openSite(ground, r.callers, r.config.Scenario.Seed); err != nil {
		return fmt.Errorf("lay the ground %q: %w", ground, err)
	}
	r.show(report.Snapshot{Phase: "starting"})
	if r.config.Floor != nil {
		if r.floor, err = r.config.Floor(ctx); err != nil {
			return fmt.Errorf("measure the floor: %w", err)
		}
	}
	if r.config.Target != nil {
		r.target = *r.config.Target
		return nil
	}
	if r.dir, err = os.MkdirTemp("", "tolkyn-bench"); err != nil {
		return err
	}
	place := server.Place{Host: r.site.host, Dir: r.dir, Start: r.site.startServer, Dial: r.site.dial}
	if r.server, err = r.config.Start(ctx, place); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	r.target = r.server.Target()
	r.empty = server.UsageOf(r.server.PIDs())
	return nil
}

// play starts the workers and looks once a second until they are done.
func (r *run) play(ctx context.Context) error {
	r.started = time.Now()
	r.epoch = r.started.Add(settle)
	length := r.config.Scenario.Duration
	behind, beside := r.site.split(r.callers)
	for side, list := range [][]scenario.Caller{netem.Client: behind, netem.Server: beside} {
		if len(list) == 0 {
			continue
		}
		others := behind
		if side == int(netem.Client) {
			others = beside
		}
		target := r.target
		target.Address = r.site.address(netem.Side(side))
		job := caller.Job{
			Target: target, Callers: list, Others: others, Modelled: r.site.kind == TUN && side == int(netem.Client), Epoch: r.epoch,
			Warmup: r.config.Scenario.Warmup, Duration: length, OpenOneIn: r.config.OpenOneIn, Debug: r.config.Debug,
		}
		place := func(cmd *exec.Cmd) error { return r.site.start(netem.Side(side), cmd) }
		start := place
		if r.config.StartWorker != nil {
			start = func(cmd *exec.Cmd) error { return r.config.StartWorker(cmd, place) }
		}
		w, err := startWorker(start, r.config.Worker, job)
		if err != nil {
			return err
		}
		r.workers = append(r.workers, w)
	}
	defer r.site.begin(r.epoch)()
	r.follow(ctx)
	return r.gather()
}

// follow samples until every worker has ended.
func (r *run) follow(ctx context.Context) {
	over := make(chan struct{})
	go func() {
		for _, w := range r.workers {
			<-w.done
		}
		close(over)
	}()
	late := time.NewTimer(time.Until(r.epoch.Add(r.config.Scenario.Duration + 2*endWithin)))
	defer late.Stop()
	timer := time.NewTimer(r.untilSample())
	defer timer.Stop()
	ended := ctx.Done()
	before := r.mark()
	for {
		select {
		case <-over:
			return
		case <-late.C:
			r.tellEnd()
			for _, w := range r.workers {
				w.kill()
			}
			ended = nil
		case <-ended:
			r.partial = true
			r.tellEnd()
			ended = nil
		case <-timer.C:
			timer.Reset(r.untilSample())
			now := r.mark()
			if r.server != nil && !server.Running(r.server.PIDs()) {
				r.gone, now.server = true, before.server // what it had used is not known any more
			}
			if now.at >= r.config.Scenario.Duration || r.partial || r.shut {
				continue // they say goodbye
			}
			r.sample(before, now)
			before = now
			if r.shut = r.nobodyWill(now); r.shut {
				r.tellEnd()
			}
		}
	}
}

// nobodyWill: of those whose time it was a second ago all have tried and given up, and no packet has flowed.
func (r *run) nobodyWill(now mark) bool {
	due, gaveUp, there := 0, 0, 0
	for _, c := range r.callers {
		if len(c.Events) > 0 && c.Events[0].At+time.Second <= now.at {
			due++
		}
	}
	for _, w := range r.workers {
		s := w.snapshot()
		gaveUp += s.GaveUp
		there += s.Callers
	}
	return due > 0 && gaveUp >= due && there == 0 && now.sent+now.received == 0
}

// afterTold is between a worker's telling, at whole seconds of the run's clock, and our sample of what processes used.
const afterTold = 150 * time.Millisecond

// untilSample is how long it is to the next one. What callers moved and what processes used are then of windows of one length.
func (r *run) untilSample() time.Duration {
	now := time.Since(r.epoch)
	next := (now - afterTold).Truncate(time.Second) + afterTold
	if next <= now {
		next += time.Second
	}
	return next - now
}

func (r *run) tellEnd() {
	for _, w := range r.workers {
		w.end()
	}
}

func (r *run) mark() mark {
	m := mark{at: time.Since(r.epoch), kernel: server.KernelCPU()}
	for _, w := range r.workers {
		u := server.UsageOf(server.Children(w.cmd.Process.Pid))
		m.client.CPU += u.CPU
		m.client.Memory += u.Memory
		throttled := server.ThrottlingOf(w.cmd.Process.Pid)
		m.throttling.Periods += throttled.Periods
		m.throttling.Throttled += throttled.Throttled
		s := w.snapshot()
		m.sent += s.Sent
		m.received += s.Received
	}
	if r.server != nil {
		m.server = server.UsageOf(r.server.PIDs())
	}
	return m
}

// sample notes one second.
func (r *run) sample(before, now mark) {
	seconds := (now.at - before.at).Seconds()
	u := report.Usage{
		At: now.at.Seconds(), ClientCPU: (now.client.CPU - before.client.CPU).Seconds() / seconds,
		KernelCPU: (now.kernel - before.kernel).Seconds() / seconds, ServerMemory: now.server.Memory,
		Sent: float64(now.sent-before.sent) / seconds, Received: float64(now.received-before.received) / seconds,
	}
	view := report.Snapshot{
		At: max(0, now.at.Seconds()), Length: r.config.Scenario.Duration.Seconds(), Phase: "in the call", People: len(r.callers),
		Sent: u.Sent, Received: u.Received, ClientCPU: u.ClientCPU, ServerCPU: -1,
	}
	load := measure.Load{ClientCores: u.ClientCPU}
	if periods := now.throttling.Periods - before.throttling.Periods; periods > 0 {
		load.ClientThrottled = float64(now.throttling.Throttled-before.throttling.Throttled) / float64(periods)
	}
	var drops, expected, lost int64
	for _, w := range r.workers {
		s := w.snapshot()
		view.Callers += s.Callers
		view.Failed += s.Failed
		drops += s.Drops
		expected += s.Expected
		lost += s.Lost
		if s.DelayP95 >= view.DelayP95 {
			view.DelayP95, view.Worst = s.DelayP95, s.Worst
		}
		load.ClientLag = max(load.ClientLag, time.Duration(s.Lag*float64(time.Millisecond)))
	}
	if expected > 0 {
		view.Loss = float64(lost) / float64(expected)
	}
	if n := len(r.usage); n > 0 {
		load.ClientDrops = drops - r.usage[n-1].Drops
	}
	view.ClientDrops, u.Drops, u.Callers = drops, drops, view.Callers
	if view.Callers+view.Failed < len(r.callers) && now.at < r.lastArrival() {
		view.Phase = "joining"
	}
	cores := float64(runtime.NumCPU())
	load.ClientHas = r.clientCores(cores)
	if r.server != nil {
		u.ServerCPU = (now.server.CPU - before.server.CPU).Seconds() / seconds
		view.ServerCPU = u.ServerCPU
		load.ServerCores = u.ServerCPU
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if f, err := r.server.Figures(ctx); err == nil {
			r.figures = f
			u.Goroutines = f.Goroutines
		}
		cancel()
		load.ServerHas = cores - u.ClientCPU - u.KernelCPU // what the bench leaves it
		if r.figures.Full >= 0.9 {
			load.ServerHas = load.ServerCores // what it can use at all: one core for each shard
		}
		if u.ClientCPU > u.ServerCPU {
			load.ClientHas = min(load.ClientHas, cores-u.ServerCPU-u.KernelCPU)
		}
	}
	r.usage = append(r.usage, u)
	r.loads = append(r.loads, load)
	if r.at.at == 0 && now.at >= r.measuredFrom() {
		r.at = now
	}
	r.end = now
	r.show(view)
}

// measuredFrom is when everybody should be in the call.
func (r *run) measuredFrom() time.Duration {
	from := max(r.config.Scenario.Warmup, r.lastArrival()) + 2*time.Second
	return min(from, r.config.Scenario.Duration*2/3)
}

func (r *run) lastArrival() time.Duration {
	var last time.Duration
	for _, c := range r.callers {
		if len(c.Events) > 0 {
			last = max(last, c.Events[0].At)
		}
	}
	return last
}

// clientCores is what the workers can use at most.
func (r *run) clientCores(all float64) float64 {
	sum := 0.0
	for _, w := range r.workers {
		sum += server.Quota(w.cmd.Process.Pid, all)
	}
	return min(sum, all)
}

func (r *run) show(s report.Snapshot) {
	if r.config.Watch != nil {
		r.config.Watch(s)
	}
}

// gather takes the workers' results.
func (r *run) gather() error {
	var results []*caller.Result
	for _, w := range r.workers {
		result, err := w.outcome()
		if err != nil {
			return err
		}
		results = append(results, result)
		r.events = append(r.events, w.events...)
	}
	for _, result := range results {
		r.totals.Merge(&result.Totals)
		r.films = append(r.films, result.Recordings...)
		r.links = append(r.links, result.Links...)
		r.drops += result.Drops
		r.oneIn = max(r.oneIn, result.OpenOneIn)
		r.slips += result.Slips
		r.partial = r.partial || result.Partial
	}
	r.links = append(r.links, r.site.links()...)
	return nil
}

func (r *run) close() error {
	r.tellEnd()
	var ending sync.WaitGroup
	for _, w := range r.workers {
		ending.Go(w.kill)
	}
	ending.Wait()
	if r.server != nil {
		r.server.Stop()
	}
	var err error
	if r.site != nil {
		err = r.site.close()
	}
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}
