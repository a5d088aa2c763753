//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/tolkyn"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// The case of a subscriber whose capacity drops and comes back, over and over: RTT 50 ms, the queue of RFC 8867.
const (
	wide, narrow = 2_500_000, 600_000 // bits a second
	dropOneWay   = 25 * time.Millisecond
	// settleWithin is how long it may take until the wide link has carried the largest layer for long enough.
	settleWithin = 60 * time.Second
)

// plan is how often capacity drops, and how long each one holds.
type plan struct {
	cycles    int
	settle    time.Duration // how long the wide link must have carried the largest layer before the first drop
	low, high time.Duration // how long each capacity holds
}

// usualPlan has each capacity hold long enough for a flap to show, and for coming back.
func usualPlan(cycles int) plan {
	return plan{cycles, 5 * time.Second, 10 * time.Second, 15 * time.Second}
}

func (p plan) cycle() time.Duration  { return p.low + p.high }
func (p plan) length() time.Duration { return time.Duration(p.cycles) * p.cycle() }

// dropped is what one run of it was. Times count from the first drop.
type dropped struct {
	plan
	firstUp  time.Duration // from the first picture to the first of the largest layer
	late     time.Duration // p99 by which the emulator itself was late
	frames   []arrived     // packets of pictures, in order of arrival
	sounds   []arrived     // packets of sound
	passages []passage     // of the link to the subscriber
}

// arrived is one packet.
type arrived struct {
	at        time.Duration
	left      time.Duration // when it came to the bottleneck, or a little later
	timestamp uint32
	number    uint16
	layer     int // of its frame; -1: nobody said
	repaired  bool
	age       time.Duration // of sound: since it was sent by its speaker
}

// subscriber collects what comes. Its events are on the connection's goroutines.
type subscriber struct {
	opened time.Time // of the line: times count from there

	// Guarded by mu.
	mu       sync.Mutex
	frames   []arrived
	sounds   []arrived
	layers   map[uint32]int // by timestamp
	largest  time.Duration  // since when the largest layer has come alone; 0: it does not
	firstUp  time.Duration  // when it came for the first time; 0: it has not
	passages []passage
	leaves   []transit
}

// transit is when a datagram came to the bottleneck and when it arrived.
type transit struct{ at, arrives time.Duration }

func (s *subscriber) packet(at time.Time, from caller.Source, p *rtp.Packet, came measure.Repair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := arrived{at: at.Sub(s.opened), timestamp: p.Timestamp, number: p.SequenceNumber, layer: -1, repaired: came != measure.FirstTry}
	if from.Kind == measure.Audio {
		stamp, ok := source.ReadOpus(p.Payload)
		if ok {
			a.age = time.Duration(at.UnixMicro()-stamp.Sent) * time.Microsecond
		}
		s.sounds = append(s.sounds, a)
		return
	}
	if stamp, ok := source.ReadTail(p.Payload); ok && p.Marker {
		s.layers[p.Timestamp] = stamp.Layer()
		switch {
		case stamp.Layer() != int(source.High):
			s.largest = 0
		case s.largest == 0:
			s.largest = a.at
			s.firstUp = cmp.Or(s.firstUp, a.at)
		}
	}
	// The newest that has arrived by now is this one, or came to the bottleneck a little later.
	for i := len(s.leaves) - 1; i >= 0; i-- {
		if s.leaves[i].arrives <= a.at {
			a.left = s.leaves[i].at
			break
		}
	}
	s.frames = append(s.frames, a)
}

func (s *subscriber) log(p netem.Passage) {
	if p.Direction != netem.Down {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := passage{at: p.Sent, size: p.Size, dropped: p.Fate.Verdict != netsim.Arrives}
	if !out.dropped {
		out.queue = p.Fate.At - p.Sent - dropOneWay
		s.leaves = append(s.leaves, transit{p.Sent, p.Fate.At})
	}
	s.passages = append(s.passages, out)
}

// settled waits until the largest layer has come for long enough.
func (s *subscriber) settled(ctx context.Context, long time.Duration) error {
	limit := time.After(settleWithin)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		s.mu.Lock()
		since, now := s.largest, time.Since(s.opened)
		s.mu.Unlock()
		if since > 0 && now-since >= long {
			return nil
		}
		select {
		case <-again.C:
		case <-limit:
			return fmt.Errorf("the largest layer did not come for %v within %v, at %d kbit/s", long, settleWithin, wide/1000)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// result is everything from zero on.
func (s *subscriber) result(zero time.Duration, p plan) *dropped {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &dropped{plan: p, firstUp: s.firstUp}
	if len(s.frames) > 0 {
		d.firstUp -= s.frames[0].at
	}
	for _, a := range s.frames {
		if layer, ok := s.layers[a.timestamp]; ok {
			a.layer = layer
		}
		if a.at -= zero; a.at >= 0 {
			a.left -= zero
			d.frames = append(d.frames, a)
		}
	}
	for _, a := range s.sounds {
		if a.at -= zero; a.at >= 0 {
			d.sounds = append(d.sounds, a)
		}
	}
	for _, p := range s.passages {
		if p.at -= zero; p.at >= 0 {
			d.passages = append(d.passages, p)
		}
	}
	return d
}

// playDrops has one publish three layers and a voice over loopback, and one subscribe over the changing line, through a server of
// its own process.
func playDrops(ctx context.Context, s server.Server, seed uint64, p plan) (_ *dropped, err error) {
	target := s.Target()
	target.Transport = "websocket"
	dialer, err := tolkyn.New(target)
	if err != nil {
		return nil, err
	}
	sub := &subscriber{opened: time.Now(), layers: map[uint32]int{}}
	line, err := netem.NewLine(netem.LineConfig{
		Seed: seed, Links: []netem.Path{{Up: netsim.LinkConfig{Delay: dropOneWay}, Down: dropLink(wide)}}, Log: sub.log,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, line.Close()) }()
	leave, err := sub.watch(ctx, dialer, line)
	if err != nil {
		return nil, fmt.Errorf("the subscriber: %w", err)
	}
	defer func() { err = errors.Join(err, leave()) }()
	stop, err := publish(ctx, dialer)
	if err != nil {
		return nil, fmt.Errorf("the publisher: %w", err)
	}
	defer func() { err = errors.Join(err, stop()) }()

	if err := sub.settled(ctx, p.settle); err != nil {
		return nil, err
	}
	line.Follow(0, netem.Down, netsim.Trace{
		Steps: []netsim.Step{{At: 0, Link: dropLink(wide)}, {At: lead, Link: dropLink(narrow)}, {At: lead + p.low, Link: dropLink(wide)}},
		Loop:  p.cycle(),
	})
	zero := time.Since(sub.opened) + lead
	select {
	case <-time.After(lead + p.length()):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d := sub.result(zero, p)
	d.late = line.Accounts()[0][netem.Down].Did.Late.P99
	return d, nil
}

func dropLink(rate int64) netsim.LinkConfig {
	return netsim.LinkConfig{Delay: dropOneWay, Rate: rate, QueueTime: queueTime}
}

const dropRoom = "drops"

// publish comes and sends the clips until stop, which leaves.
func publish(ctx context.Context, dialer *tolkyn.Dialer) (stop func() error, err error) {
	clips, err := source.Load()
	if err != nil {
		return nil, err
	}
	tapes, err := caller.NewTapes(clips, scenario.Caller{
		Room: dropRoom, Identity: "publisher", Number: 1,
		Publish: []scenario.Track{{Media: scenario.Microphone, Profile: scenario.Voice}, {Media: scenario.Camera, Profile: scenario.P720, Layers: 3}},
	})
	if err != nil {
		return nil, err
	}
	flows := make(chan struct{}) // closed when media can flow
	conn, err := dialer.Dial(ctx, caller.Participant{
		Room: dropRoom, Identity: "publisher", Tracks: tapes.Tracks(),
		On: caller.Events{
			Step: func(step measure.Step, _ time.Time) {
				if step == measure.DTLS { // told once
					close(flows)
				}
			},
			Packet: func(time.Time, caller.Source, *rtp.Packet, measure.Repair) {}, KeyframeRequest: tapes.KeyframeRequest, Up: func(time.Time, bool) {},
		},
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-flows:
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), conn.Close())
	}
	playing, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- tapes.Play(playing) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, conn.Close())
	}, nil
}

// watch comes over the line and wants the picture as large as it is, until leave.
func (s *subscriber) watch(ctx context.Context, dialer *tolkyn.Dialer, line *netem.Line) (leave func() error, err error) {
	socket, err := line.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	mux := webrtc.NewICEUDPMux(nil, socket)
	conn, err := dialer.Dial(ctx, caller.Participant{
		Room: dropRoom, Identity: "subscriber", AudioSlots: 1, VideoSlots: 1,
		Network: caller.Network{Settings: func(e *webrtc.SettingEngine) {
			e.SetICEUDPMux(mux)
			e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		}},
		On: caller.Events{
			Step: func(measure.Step, time.Time) {}, Packet: s.packet, KeyframeRequest: func(string) {}, Up: func(time.Time, bool) {},
		},
	})
	if err != nil {
		return nil, errors.Join(err, mux.Close())
	}
	conn.Look(source.High.Size())
	return func() error { return errors.Join(conn.Close(), mux.Close()) }, nil
}

// lead is before the first drop, so that the link knows of it while packets wait.
const lead = time.Second

func (b *bench) onLoopback() server.Place {
	return server.Place{
		Host: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Dir: b.dir,
		Start: func(c *exec.Cmd) error {
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			return c.Start()
		},
	}
}

// drops is the scenario: rows of all cycles of a run.
func drops(ctx context.Context, b *bench, name string) ([]report.Result, error) {
	s, err := b.startTolkyn(ctx, b.onLoopback())
	if err != nil {
		return nil, err
	}
	defer s.Stop()
	p := usualPlan(b.cycles)
	b.progress("%s, %d cycles of %v", name, p.cycles, p.cycle())
	d, err := playDrops(ctx, s, b.seed, p)
	if err != nil {
		return nil, err
	}
	b.warn(d.late)
	b.plots = append(b.plots, plot{name, "A subscriber's capacity drops from 2.5 to 0.6 Mbit/s and comes back: 25 ms one way, a drop-tail queue of 300 ms.", d.panels()})
	return d.rows(command+" -only "+name, name), nil
}
