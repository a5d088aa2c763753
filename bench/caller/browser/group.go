package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

const (
	// joinWithin is how long coming into a call may take: nobody waits longer.
	joinWithin = 30 * time.Second
	// takeEvery is how often a page is asked what has been; getStats is read then.
	takeEvery = time.Second
	// early is how much before the full second: the last take of a run is in it, before anybody says goodbye.
	early = 200 * time.Millisecond
)

// Config says who calls whom.
type Config struct {
	Server    string            // its origin: http://127.0.0.1:8080; plain HTTP is treated as if it were secure
	Callers   []scenario.Caller // of kind browser, or taken as if
	Others    []scenario.Caller // who else is in their rooms, so that stamps can be told
	Transport string            // limits signaling: "websocket"; empty: whichever is there first
	// Sign makes a join token; nil, or an empty one: the page asks the server, as in development mode.
	Sign func(room, identity string) (string, error)

	Epoch    time.Time     // zero of the run's clock; zero: now
	Duration time.Duration // after it all leave; 0: when Run's context ends
	Warmup   time.Duration // what is before is not measured

	Chromium string // path; empty: Find
	// Exec changes the command before it starts, to put it elsewhere; nil: as it is. It replaces what ends Chromium with this
	// process: set Pdeathsig.
	Exec func(*exec.Cmd)
}

// Group is browser callers at work: one Chromium, a page for each. Its methods are safe from any goroutine.
type Group struct {
	// Fixed after New.
	cfg    Config
	seats  []*seat
	opened chan struct{} // closed when all pages are there, or one could not be opened

	// Fixed after opened.
	browser context.Context // nil: not running
	failed  error

	closing sync.Once
	ended   error // of closing
}

// seat is one caller's part of the run.
type seat struct {
	plan scenario.Caller
	tab  *tab

	taking sync.Mutex // one take at a time; what it brings goes in, in order

	// Guarded by mu.
	mu       sync.Mutex
	receiver *receiver
	newest   told
	steps    map[string]float64 // of the first join
	overflow int64
	rejoined int64
	wanted   bool // should be in the call
	off      time.Duration
	err      error
}

// New starts Chromium in the background and opens the pages, ready for Run. It fails when no Chromium is installed. Close ends
// what it started.
func New(cfg Config) (*Group, error) {
	server, err := url.Parse(cfg.Server)
	if err != nil || server.Host == "" {
		return nil, fmt.Errorf("browser callers need Server, the origin of its page: got %q", cfg.Server)
	}
	cfg.Server = server.Scheme + "://" + server.Host
	if cfg.Chromium == "" {
		if cfg.Chromium, err = Find(); err != nil {
			return nil, err
		}
	}
	if cfg.Epoch.IsZero() {
		cfg.Epoch = time.Now()
	}
	g := &Group{cfg: cfg, opened: make(chan struct{})}
	rooms := map[string][]scenario.Caller{}
	for _, list := range [][]scenario.Caller{cfg.Callers, cfg.Others} {
		for _, c := range list {
			rooms[c.Room] = append(rooms[c.Room], c)
		}
	}
	for _, c := range cfg.Callers {
		g.seats = append(g.seats, &seat{plan: c, receiver: newReceiver(c, rooms[c.Room], cfg.Epoch, cfg.Warmup)})
	}
	go g.open() // Close waits for it
	return g, nil
}

func (g *Group) open() {
	defer close(g.opened)
	if g.browser, g.failed = startChromium(g.cfg.Chromium, g.cfg.Server, g.cfg.Exec); g.failed != nil {
		return
	}
	for _, s := range g.seats {
		if s.tab, g.failed = openTab(g.browser, g.cfg.Server); g.failed != nil {
			return
		}
	}
}

// Run plays every caller's schedule, and returns once all have left: when ctx or Duration is over. Once. What fails is told by
// Result.
func (g *Group) Run(ctx context.Context) {
	if g.cfg.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, g.cfg.Epoch.Add(g.cfg.Duration))
		defer cancel()
	}
	select {
	case <-g.opened:
	case <-ctx.Done():
		g.fail(errors.New("the run was over before Chromium had opened its pages"))
		return
	}
	if g.failed != nil {
		g.fail(g.failed)
		return
	}
	var callers sync.WaitGroup
	for _, s := range g.seats {
		callers.Go(func() { g.attend(ctx, s) })
	}
	callers.Wait()
}

// fail tells of all callers that they could not come.
func (g *Group) fail(err error) {
	for _, s := range g.seats {
		s.fail(err)
	}
}

// attend plays one caller's schedule.
func (g *Group) attend(ctx context.Context, s *seat) {
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { g.watch(watching, s) })
	for _, e := range s.plan.Events {
		if !sleepUntil(ctx, g.cfg.Epoch.Add(e.At)) {
			break
		}
		if err := g.do(ctx, s, e.Do); err != nil && ctx.Err() == nil {
			s.fail(err)
		}
	}
	<-ctx.Done()
	stop()
	watch.Wait()
	g.leave(s)
}

// do is one thing of the schedule.
func (g *Group) do(ctx context.Context, s *seat, what scenario.Action) error {
	within, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	var err error
	switch what {
	case scenario.Join, scenario.Rejoin:
		return g.join(within, s)
	case scenario.Leave:
		s.take(within)
		s.mu.Lock()
		s.wanted = false
		s.mu.Unlock()
		_, err = call[any](within, s.tab, "leave")
	case scenario.Drop:
		_, err = call[any](within, s.tab, "drop")
	case scenario.Mute, scenario.Unmute:
		_, err = call[any](within, s.tab, "mute", what == scenario.Mute)
	}
	return err
}

// how is what a page is told of a join; see page.js.
type how struct {
	Room      string         `json:"room"`
	Name      string         `json:"name"`
	Person    string         `json:"person"` // its identity to the server
	Token     string         `json:"token"`
	Transport string         `json:"transport"`
	Slots     map[string]int `json:"slots"`
	Tracks    []published    `json:"tracks"`
	Scene     int            `json:"scene"`
	Loop      int            `json:"loop"` // pictures after which the code begins again
}

type published struct {
	Media  scenario.Media `json:"media"`
	Sender uint32         `json:"sender"` // of its stamps
	Width  int            `json:"width"`
	Height int            `json:"height"`
	Layer  source.Layer   `json:"layer"`
}

func (g *Group) join(ctx context.Context, s *seat) error {
	s.mu.Lock()
	if s.wanted || s.steps != nil {
		s.rejoined++
	}
	s.wanted = true
	s.mu.Unlock()
	h := how{
		Room: s.plan.Room, Name: s.plan.Identity, Person: scenario.Person(s.plan.Room, s.plan.Identity), Transport: g.cfg.Transport,
		Scene: s.plan.Number % source.Scenes, Loop: source.LoopFrames,
		Slots: map[string]int{"audio": s.plan.AudioSlots, "video": s.plan.VideoSlots}, Tracks: []published{},
	}
	for i, t := range s.plan.Publish {
		p := published{Media: t.Media, Sender: source.Sender(s.plan.Number, i, 0), Layer: layer(t)}
		p.Width, p.Height = size(t)
		h.Tracks = append(h.Tracks, p)
	}
	if g.cfg.Sign != nil {
		var err error
		if h.Token, err = g.cfg.Sign(s.plan.Room, h.Person); err != nil {
			return fmt.Errorf("make a token: %w", err)
		}
	}
	if _, err := call[any](ctx, s.tab, "join", h); err != nil {
		return fmt.Errorf("join room %s: %w", s.plan.Room, err)
	}
	return nil
}

// watch takes what the page has, once a second.
func (g *Group) watch(ctx context.Context, s *seat) {
	next := time.Since(g.cfg.Epoch).Truncate(takeEvery) - early
	for {
		next += takeEvery
		if !sleepUntil(ctx, g.cfg.Epoch.Add(next)) {
			return
		}
		s.take(ctx)
	}
}

// leave says goodbye, whatever became of the run.
func (g *Group) leave(s *seat) {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	_, _ = call[any](ctx, s.tab, "leave") // a page that does not answer ends with the browser
}

// take asks the page what has been.
func (s *seat) take(ctx context.Context) {
	s.taking.Lock()
	defer s.taking.Unlock()
	err := s.tab.probe(ctx)
	var t told
	if err == nil {
		t, err = call[told](ctx, s.tab, "take")
	}
	if err != nil {
		if ctx.Err() == nil {
			s.fail(fmt.Errorf("ask the page: %w", err))
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiver.ahead, s.off = s.tab.ahead, s.tab.off
	s.receiver.take(t)
	s.overflow += t.Overflow
	if s.steps == nil && t.Steps["dtls"] > 0 {
		s.steps = t.Steps
	}
	if t.Path == "" {
		t.Path, t.RTT = s.newest.Path, s.newest.RTT
	}
	s.newest = t
	for _, e := range t.Errors {
		s.err = join(s.err, errors.New(e))
	}
}

func (s *seat) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = join(s.err, err)
}

// join keeps the first errors of many.
func join(all, err error) error {
	if all != nil && len(all.Error()) > 1000 {
		return all
	}
	return errors.Join(all, err)
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close ends Chromium. Run has returned, or was never called; Result goes on telling. A second Close does nothing.
func (g *Group) Close() error {
	g.closing.Do(func() {
		<-g.opened
		if g.browser != nil {
			g.ended = endChromium(g.browser)
		}
	})
	return g.ended
}

// setup measures each step from the end of the one before, in ms.
func (s *seat) setup() map[measure.Step]float64 {
	out := map[measure.Step]float64{}
	if s.steps == nil {
		return out
	}
	began := s.receiver.run(s.steps["began"])
	last := began
	add := func(step measure.Step, at time.Duration) {
		out[step] = milliseconds(max(0, at-last))
		last = max(last, at)
	}
	for _, step := range []measure.Step{measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS} {
		if at, ok := s.steps[string(step)]; ok {
			add(step, s.receiver.run(at))
		}
	}
	if at := s.receiver.firstPacket; at > 0 {
		add(measure.FirstPacket, at)
		out[measure.Total] = milliseconds(last - began)
	}
	if at := s.receiver.firstFrame; at > 0 {
		add(measure.FirstFrame, at)
		out[measure.Total] = milliseconds(last - began)
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
