package light

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"

	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	// MaxOpenOneIn bounds N: the opener must see a stream's numbers before they have gone half round.
	MaxOpenOneIn = 1024
	// joinTimeout is when a join is given up: a person would have hung up.
	joinTimeout = 30 * time.Second
	// joinAgain is when a join is tried again that the server refused for now without saying until when.
	joinAgain = time.Second
)

// Config of a Fleet. Zero values are defaults.
type Config struct {
	Server  string            // base URL, http or https
	Callers []scenario.Caller // who comes when; those of other kinds than light too: whoever hands them over wants them light
	// Others are callers elsewhere, so that their stamps are known.
	Others []scenario.Caller
	// Token gives a token for a participant, whose identity is scenario.Person's here. nil: the server's development token.
	Token func(ctx context.Context, room, identity string) (string, error)
	// Media gives what the encoding of a layer, from 0, of a caller's i-th track sends. nil: noise at its rate, stamped; see Stamp.
	Media func(c scenario.Caller, i, layer int) Media
	// Client carries tokens and WebSockets. nil: one of the fleet's own.
	Client *http.Client
	// Address that media sockets are bound to. Zero: 127.0.0.1. Callers that share a socket have addresses in 127.64.0.0/10.
	Address netip.Addr

	Epoch    time.Time     // zero of the run's clock, now or later, with a monotonic reading. Zero: when New is called
	Duration time.Duration // when the run ends, on the run's clock. 0: when Run's context does
	Warmup   time.Duration // streams are measured from here on, on the run's clock

	Joining    int           // joins at one time; 0: 8
	Loops      int           // goroutines that the callers are spread over; 0: 1
	OpenOneIn  int           // packets of which one is authenticated and its stamp read, 1 to MaxOpenOneIn; 0: 16
	ReadEvery  time.Duration // how often a socket is read; 0: 20 ms
	ReadBuffer int           // kernel buffers of each socket in bytes; 0: 2 MiB
	OwnSockets bool          // each caller has one, on loopback too, where else all of a loop share one with an address each
	Together   bool          // all media begins in one moment; else each track at a moment of its own
}

func (c Config) withDefaults() (Config, error) {
	if c.Server == "" {
		return c, errors.New("light callers need Server, the base URL")
	}
	if c.OpenOneIn < 0 || c.OpenOneIn > MaxOpenOneIn {
		return c, fmt.Errorf("OpenOneIn %d: it goes from 1 to %d, 0 for 16", c.OpenOneIn, MaxOpenOneIn)
	}
	setDefault(&c.Joining, 8)
	setDefault(&c.Loops, 1)
	setDefault(&c.OpenOneIn, 16)
	setDefault(&c.ReadEvery, 20*time.Millisecond)
	// A second of 1.2 Mbit/s, at 4 kB that the kernel counts for a packet of 1,100 bytes, is 600 kB.
	setDefault(&c.ReadBuffer, 2<<20)
	if !c.Address.IsValid() {
		c.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if c.Epoch.IsZero() {
		c.Epoch = time.Now()
	}
	if c.Client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = c.Joining
		c.Client = &http.Client{Transport: transport}
	}
	if c.Media == nil {
		c.Media = func(caller scenario.Caller, i, layer int) Media {
			return noiseOf(caller.Publish[i], layer, Stamp(caller, i, layer))
		}
	}
	if c.Token == nil {
		client, server := c.Client, c.Server
		c.Token = func(ctx context.Context, room, identity string) (string, error) {
			return developmentToken(ctx, client, server, room, identity)
		}
	}
	return c, nil
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Stamp is the sender that a layer, from 0, of a caller's i-th track carries in its stamps.
func Stamp(c scenario.Caller, i, layer int) uint32 { return source.Sender(c.Number, i, layer) }

// Fleet is light callers at work. Its methods are safe from any goroutine.
type Fleet struct {
	// Fixed after New.
	env   environment
	loops []*loop
	seats []*seat
	token chan struct{} // one for each join at one time

	// Atomic.
	present, failing atomic.Int64 // callers in the call; callers that should be and cannot
	settled          atomic.Int64 // callers that have come, or failed to, once
	closed           sync.Once
}

// seat is one caller's part of the run.
type seat struct {
	plan    scenario.Caller
	loop    *loop
	failing bool // it should be in the call and is not; owned by attend
	results results
}

// New makes callers ready for Run. Close frees what it took.
func New(cfg Config) (*Fleet, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	certificate, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	print, err := fingerprint.Fingerprint(certificate.Leaf, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	f := &Fleet{token: make(chan struct{}, cfg.Joining)}
	f.env = environment{
		cfg: cfg, base: cfg.Server, client: cfg.Client, certificate: certificate, fingerprint: print,
		names: &names{byID: map[string]string{}}, epoch: time.Duration(cfg.Epoch.UnixNano()), tracks: map[trackOf]known{},
	}
	for _, all := range [][]scenario.Caller{cfg.Callers, cfg.Others} {
		for _, c := range all {
			for i, t := range c.Publish {
				silent := t.Media == scenario.Microphone &&
					slices.ContainsFunc(c.Events, func(e scenario.Event) bool { return e.Do == scenario.Mute })
				f.env.tracks[trackOf{c.Room, c.Identity, string(t.Media)}] = known{Stamp(c, i, 0), silent}
			}
		}
	}
	useLargePages(len(cfg.Callers))
	for i := range cfg.Loops {
		l, err := newLoop(&f.env.cfg, cfg.Epoch, i)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.loops = append(f.loops, l)
		go l.run()
	}
	for i, c := range cfg.Callers {
		f.seats = append(f.seats, &seat{plan: c, loop: f.loops[i%len(f.loops)]})
	}
	return f, nil
}

// Run plays every caller's schedule, and returns once all have left: when ctx or Duration is over. Once.
func (f *Fleet) Run(ctx context.Context) {
	if f.env.cfg.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, f.env.cfg.Epoch.Add(f.env.cfg.Duration))
		defer cancel()
	}
	var callers sync.WaitGroup
	for _, s := range f.seats {
		callers.Go(func() { f.attend(ctx, s) })
	}
	callers.Wait()
}

// attend plays one caller's schedule.
func (f *Fleet) attend(ctx context.Context, s *seat) {
	var d *device
	settle := sync.OnceFunc(func() { f.settled.Add(1) })
	defer settle()
	leave := func(polite bool) {
		if d != nil {
			s.loop.remove(d)
			d.close(polite)
			d = nil
			f.present.Add(-1)
		}
	}
	defer func() { leave(true) }()
	enter := func() {
		leave(true)
		if d = f.join(ctx, s); d != nil {
			s.loop.add(d)
			f.present.Add(1)
		}
		settle()
	}
	for i := 0; i < len(s.plan.Events); {
		e := s.plan.Events[i]
		switch f.until(ctx, d, e.At) {
		case over:
			return
		case lost:
			s.results.fail(d.session.why())
			leave(false)
			continue
		}
		switch e.Do {
		case scenario.Join, scenario.Rejoin:
			enter()
		case scenario.Leave:
			leave(true)
		case scenario.Drop:
			leave(false)
			s.results.reconnect()
			enter()
		case scenario.Mute, scenario.Unmute:
			if d != nil {
				f.mute(ctx, s, d, e.Do == scenario.Mute)
			}
		case scenario.Look:
			if d != nil {
				w, h := e.Size.Pixels()
				d.session.look(ctx, w, h)
			}
		}
		i++
	}
	for d != nil && f.until(ctx, d, forever) == lost {
		s.results.fail(d.session.why())
		leave(false)
	}
}

// forever is later than any event.
const forever = 1<<63 - 1

// ending says what ended a wait.
type ending int

const (
	due  ending = iota
	lost        // the server ended the session
	over        // the run is over
)

// until waits for a moment on the run's clock.
func (f *Fleet) until(ctx context.Context, d *device, at time.Duration) ending {
	var gone <-chan struct{}
	if d != nil {
		gone = d.session.ended
	}
	var moment <-chan time.Time
	if at != forever {
		timer := time.NewTimer(time.Until(f.env.cfg.Epoch.Add(at)))
		defer timer.Stop()
		moment = timer.C
	}
	select {
	case <-ctx.Done():
		return over
	case <-gone:
		return lost
	case <-moment:
		return due
	}
}

// join enters, as often as the server says to come again; nil when that failed or the fleet ends.
func (f *Fleet) join(ctx context.Context, s *seat) *device {
	if !s.failing {
		s.failing = true
		f.failing.Add(1)
	}
	for {
		select {
		case f.token <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		joining, cancel := context.WithTimeout(ctx, joinTimeout)
		d, err := enter(joining, &f.env, s.loop, &s.plan, &s.results)
		cancel()
		<-f.token
		if err == nil {
			s.failing = false
			f.failing.Add(-1)
			s.results.joined(d)
			return d
		}
		if ctx.Err() != nil {
			return nil
		}
		var refused *joinError
		if !errors.As(err, &refused) || refused.code != wire.Error_BUSY && refused.code != wire.Error_RATE {
			s.results.fail(err.Error())
			return nil
		}
		after := refused.after
		if after <= 0 {
			after = joinAgain
		}
		select {
		case <-time.After(after):
		case <-ctx.Done():
		}
	}
}

// mute stops or starts the microphone, and says so.
func (f *Fleet) mute(ctx context.Context, s *seat, d *device, muted bool) {
	for _, t := range d.published {
		if t.origin == wire.Track_MICROPHONE {
			s.loop.do(func(time.Duration) { t.muted = muted })
			writing, cancel := context.WithTimeout(ctx, time.Second)
			// An error is a broken session, of which its reader tells.
			_ = d.session.write(writing, &wire.ClientFrame{Message: &wire.ClientFrame_Mute{Mute: &wire.Mute{TrackId: t.id, Muted: muted}}})
			cancel()
		}
	}
}

// Settle returns when every caller has come once, or failed to, with the first reason of a failure.
func (f *Fleet) Settle(ctx context.Context) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for f.settled.Load() < int64(len(f.seats)) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d light callers have come: %w", f.present.Load(), len(f.seats), ctx.Err())
		}
	}
	for _, s := range f.seats {
		if why := s.results.error(); why != "" {
			return fmt.Errorf("caller %s of room %s: %s", s.plan.Identity, s.plan.Room, why)
		}
	}
	return nil
}

// Close frees the goroutines. Run has returned, or was never called; Result goes on telling. A second Close does nothing.
func (f *Fleet) Close() error {
	var err error
	f.closed.Do(func() {
		for _, l := range f.loops {
			err = errors.Join(err, l.close())
		}
		f.env.client.CloseIdleConnections()
	})
	return err
}
