package caller

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller/browser"
	"github.com/tolkyn/tolkyn/bench/caller/light"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// Work is the whole of a worker process: it reads one Job from in, plays its callers against the server that dialerOf reaches,
// and writes Messages to out, the Result last. It returns when the job is done, or in wrote a second line or ended. What cannot
// be done at all is told as a Message and is no error; an error is that in or out failed.
func Work(ctx context.Context, in io.Reader, out io.Writer, dialerOf func(Target) (Dialer, error)) error {
	lines := bufio.NewReader(in)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	w := &work{out: json.NewEncoder(out)}
	if err := json.Unmarshal(first, &w.job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // it ends with the process at the latest
		_, _ = lines.ReadBytes('\n')
		w.early.Store(ctx.Err() == nil)
		cancel()
	}()
	result, err := w.run(ctx, dialerOf)
	if err != nil {
		return w.say(Message{Error: err.Error()})
	}
	result.Partial = w.early.Load()
	return w.say(Message{Result: result})
}

// work is a job under way.
type work struct {
	job      Job
	fulls    []*full
	fleet    *light.Fleet
	browsers *browser.Group
	early    atomic.Bool // told to end before its time

	lagging sync.Mutex
	lag     measure.Histogram // by how much the clock of playout was late in this second

	saying sync.Mutex
	out    *json.Encoder
}

func (w *work) say(m Message) error {
	w.saying.Lock()
	defer w.saying.Unlock()
	return w.out.Encode(m)
}

func (w *work) run(ctx context.Context, dialerOf func(Target) (Dialer, error)) (*Result, error) {
	kinds := map[scenario.Kind][]scenario.Caller{}
	for _, c := range w.job.Callers {
		kinds[c.Kind] = append(kinds[c.Kind], c)
	}
	cast := newCast(w.job.Callers, w.job.Others)
	ctx, cancel := context.WithDeadline(ctx, w.job.Epoch.Add(w.job.Duration))
	defer cancel()
	if err := w.prepare(cast, kinds, dialerOf); err != nil {
		return nil, err
	}
	var calls sync.WaitGroup
	for _, f := range w.fulls {
		calls.Go(func() { f.run(ctx) })
	}
	if w.fleet != nil {
		calls.Go(func() { w.fleet.Run(ctx) })
	}
	if w.browsers != nil {
		calls.Go(func() { w.browsers.Run(ctx) })
	}
	var clocks sync.WaitGroup
	stop := make(chan struct{})
	clocks.Go(func() { w.play(stop) })
	clocks.Go(func() { w.watch(stop) })
	<-ctx.Done()
	end := min(time.Since(w.job.Epoch), w.job.Duration)
	result := w.results(end)
	close(stop)
	clocks.Wait()
	calls.Wait()
	return result, w.finish(result)
}

func (w *work) prepare(cast *cast, kinds map[scenario.Kind][]scenario.Caller, dialerOf func(Target) (Dialer, error)) error {
	clips, err := source.Load()
	if err != nil {
		return err
	}
	if list := kinds[scenario.Full]; len(list) > 0 {
		dialer, err := dialerOf(w.job.Target)
		if err != nil {
			return err
		}
		for _, c := range list {
			n, err := newNetwork(c, w.job)
			if err != nil {
				return fmt.Errorf("caller %s: %w", c.Identity, err)
			}
			f, err := newFull(cast.byNumber[c.Number], cast, dialer, clips, n, w.job, w.note)
			if err != nil {
				return err
			}
			w.fulls = append(w.fulls, f)
		}
	}
	if list := kinds[scenario.Light]; len(list) > 0 {
		if w.fleet, err = newFleet(list, w.job, clips); err != nil {
			return err
		}
	}
	if list := kinds[scenario.Browser]; len(list) > 0 {
		if w.browsers, err = newBrowsers(list, w.job); err != nil {
			return err
		}
	}
	return nil
}

// note tells of a decision, with Debug.
func (w *work) note(who, what string, args ...any) {
	if !w.job.Debug {
		return
	}
	e := report.Event{At: time.Since(w.job.Epoch).Seconds(), Caller: who, Name: what}
	if len(args) > 0 {
		detail := map[string]any{}
		for i := 0; i+1 < len(args); i += 2 {
			if key, ok := args[i].(string); ok {
				detail[key] = args[i+1]
			}
		}
		e.Detail = detail
	}
	if err := w.say(Message{Event: &e}); err != nil {
		fmt.Fprintln(os.Stderr, "tell an event:", err)
	}
}

// play is the clock of all full callers' playout: one goroutine, since a ticker for each would wake the machine all the time.
func (w *work) play(stop <-chan struct{}) {
	if len(w.fulls) == 0 {
		return
	}
	next := time.Since(w.job.Epoch).Truncate(jitter.Period)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next += jitter.Period
		timer.Reset(time.Until(w.job.Epoch.Add(next)))
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		w.lagging.Lock()
		w.lag.Add(max(0, time.Since(w.job.Epoch)-next))
		w.lagging.Unlock()
		for _, f := range w.fulls {
			f.listen(next)
		}
	}
}

// watch tells how things stand, once a second.
func (w *work) watch(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		// At whole seconds of the run's clock: whoever listens knows when, and samples the CPU at the same moments.
		next := time.Since(w.job.Epoch).Truncate(time.Second) + time.Second
		timer.Reset(time.Until(w.job.Epoch.Add(next)))
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		s := w.snapshot()
		if err := w.say(Message{Snapshot: &s}); err != nil {
			fmt.Fprintln(os.Stderr, "tell how things stand:", err)
		}
	}
}

func (w *work) snapshot() Snapshot {
	s := Snapshot{At: time.Since(w.job.Epoch)}
	w.lagging.Lock()
	s.Lag = w.lag.Percentile(90)
	w.lag = measure.Histogram{}
	w.lagging.Unlock()
	for _, f := range w.fulls {
		f.note()
		f.snapshot(&s)
	}
	if w.fleet != nil {
		addFleet(w.fleet, &s)
	}
	if w.browsers != nil {
		addBrowsers(w.browsers, &s)
	}
	return s
}

// results of full callers are taken while everybody is still in the call.
func (w *work) results(end time.Duration) *Result {
	r := &Result{}
	for _, f := range w.fulls {
		f.note()
		f.results(end, &r.Totals)
		r.Drops += f.dropped()
	}
	return r
}

// finish adds what is known once everybody has left.
func (w *work) finish(r *Result) error {
	var errs error
	for _, f := range w.fulls {
		r.Links = append(r.Links, f.net.links()...)
		errs = errors.Join(errs, f.net.close())
		if f.receiver.tapes != nil {
			films, err := f.receiver.tapes.recordings()
			errs = errors.Join(errs, err)
			r.Recordings = append(r.Recordings, films...)
		}
	}
	slices.SortStableFunc(r.Links, func(a, b report.Link) int { return int(b.Packets - a.Packets) })
	if w.fleet != nil {
		fleetResult(w.fleet.Result(), r)
		errs = errors.Join(errs, w.fleet.Close())
	}
	if w.browsers != nil {
		result := w.browsers.Result()
		r.Totals.Merge(&result.Totals)
		w.note("browsers", "clock", "off_at_most_ms", float64(result.ClockError)/float64(time.Millisecond))
		errs = errors.Join(errs, w.browsers.Close())
	}
	return errs
}

// snapshot adds one caller.
func (f *full) snapshot(s *Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		s.Callers++
	}
	if f.err != nil {
		s.Failed++
		if f.conn == nil && !f.joining {
			s.GaveUp++
		}
	}
	for _, t := range f.tapes {
		s.Sent += t.packets.Load()
	}
	s.Drops += f.before.Dropped + f.stats.Dropped
	s.Received += f.receiver.packets
	for _, st := range f.receiver.order {
		second, loss := st.latest(s.At)
		s.Expected += loss.Expected
		s.Lost += int64(loss.After * float64(loss.Expected))
		if second.DelayP95 > s.DelayP95 {
			s.DelayP95 = second.DelayP95
			s.Worst = fmt.Sprintf("%s/%s ← %s %s", f.role.Room, f.role.Identity, st.from.Identity, st.track.Media)
		}
	}
}

// latest is the last whole second of a stream, and its loss so far.
func (st *stream) latest(now time.Duration) (measure.Slice, measure.Loss) {
	if st.sound != nil {
		return st.sound.Latest(now)
	}
	return st.sight.Latest(now)
}
