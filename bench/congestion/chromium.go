//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/caller/browser"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/livekit"
	"github.com/tolkyn/tolkyn/bench/server/tolkyn"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// The case of RFC 8867 section 5.1: one flow, variable capacity, 50 ms one way, a drop-tail queue of 300 ms and nothing lost by
// chance. Without the jitter that section 4 allows: so a packet's wait in the queue is what it took beyond the 50 ms.
var (
	phases51 = []phase{{0, 1_000_000}, {40 * time.Second, 2_500_000}, {60 * time.Second, 600_000}, {80 * time.Second, 1_000_000}}
	length51 = 100 * time.Second
)

const (
	oneWay    = 50 * time.Millisecond
	queueTime = 300 * time.Millisecond
	// lookEvery is how often both pages are read.
	lookEvery = 500 * time.Millisecond
)

// trace is the phases as a link.
func trace(phases []phase) netsim.Trace {
	var t netsim.Trace
	for _, p := range phases {
		t.Steps = append(t.Steps, netsim.Step{At: p.from, Link: netsim.LinkConfig{Delay: oneWay, QueueTime: queueTime, Rate: p.rate}})
	}
	return t
}

// recorder keeps what the bottleneck did. Its log is called on the network's thread.
type recorder struct {
	direction netem.Direction

	mu       sync.Mutex
	passages []passage // guarded by mu
}

// protocolUDP is IP's number.
const protocolUDP = 17

func (r *recorder) log(p netem.Passage) {
	if p.Direction != r.direction || p.Fate.Verdict == netsim.Dark || len(p.Packet) < 20 || p.Packet[0]>>4 == 4 && p.Packet[9] != protocolUDP {
		return
	}
	out := passage{at: p.Sent, size: p.Size, dropped: p.Fate.Verdict != netsim.Arrives}
	if !out.dropped {
		out.queue = p.Fate.At - p.Sent - oneWay
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passages = append(r.passages, out)
}

// since returns what passed from zero on, counted from there.
func (r *recorder) since(zero time.Duration) []passage {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []passage
	for _, p := range r.passages {
		if p.at >= zero {
			p.at -= zero
			out = append(out, p)
		}
	}
	return out
}

// chromium plays the case once: Chromium beyond the bottleneck publishes, or receives, and one beside the server is the other.
func (b *bench) chromium(ctx context.Context, kind string, direction netem.Direction) (*course, error) {
	script, start := "", b.startTolkyn
	if kind == "livekit" {
		text, err := os.ReadFile(b.livekitSDK)
		if err != nil {
			return nil, err
		}
		script, start = string(text), b.startLiveKit
	}
	path, err := browser.Find()
	if err != nil {
		return nil, err
	}
	free := netsim.LinkConfig{Delay: oneWay}
	rec := &recorder{direction: direction}
	network, err := netem.Open(netem.Config{Seed: b.seed, Links: []netem.Path{{Up: free, Down: free}}, Log: rec.log})
	if err != nil {
		return nil, err
	}
	opened := time.Now()
	defer network.Close()
	s, err := start(ctx, b.place(network))
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	defer s.Stop()
	target := s.Target()
	j := job{Chromium: path, Origin: originOf(target), Script: script}
	far, err := startBrowser(func(c *exec.Cmd) error { return network.Start(netem.Client, c) }, j)
	if err != nil {
		return nil, fmt.Errorf("beyond the bottleneck: %w", err)
	}
	defer far.close()
	near, err := startBrowser(func(c *exec.Cmd) error { return network.Start(netem.Server, c) }, j)
	if err != nil {
		return nil, fmt.Errorf("beside the server: %w", err)
	}
	defer near.close()
	sender, receiver := far, near
	if direction == netem.Down {
		sender, receiver = near, far
	}

	// The receiver waits in the call; the case begins when the sender comes.
	if err := join(receiver, target, "receiver", false); err != nil {
		return nil, err
	}
	network.Follow(0, direction, trace(phases51))
	zero := time.Now()
	c := &course{length: b.length}
	for _, p := range phases51 {
		if p.from < b.length {
			c.phases = append(c.phases, p)
		}
	}
	if err := join(sender, target, "sender", true); err != nil {
		return nil, err
	}
	if err := c.follow(ctx, zero, sender, receiver); err != nil {
		return nil, err
	}
	c.passages, c.late = rec.since(zero.Sub(opened)), network.Stats().Late.P99
	for _, page := range []*chrome{sender, receiver} {
		_, _ = page.ask(order{Do: "leave"}) // what was measured stands
	}
	return c, nil
}

// follow reads both pages until the call is over.
func (c *course) follow(ctx context.Context, zero time.Time, sender, receiver *chrome) error {
	for next := time.Since(zero).Truncate(lookEvery) + lookEvery; next <= c.length; next += lookEvery {
		select {
		case <-time.After(time.Until(zero.Add(next))):
		case <-ctx.Done():
			return ctx.Err()
		}
		got, err := receiver.ask(order{Do: "take"})
		if err != nil {
			return fmt.Errorf("ask the receiver: %w", err)
		}
		sent, err := sender.ask(order{Do: "take"})
		if err != nil {
			return fmt.Errorf("ask the sender: %w", err)
		}
		var said error
		for _, e := range append(got.Taken.Errors, sent.Taken.Errors...) {
			said = errors.Join(said, errors.New(e))
		}
		if said != nil {
			return fmt.Errorf("a page: %w", said)
		}
		begin := float64(zero.UnixMicro()) / 1000
		ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
		for _, f := range got.Taken.Frames {
			c.delays = append(c.delays, delay{at: ms(f.At - begin), took: ms(f.At - f.Sent + sender.ahead)})
		}
		got.Taken.Frames = nil
		c.looks = append(c.looks, look{at: ms(got.Taken.At - begin), receiver: *got.Taken, sender: *sent.Taken})
	}
	return nil
}

const room = "congestion"

func join(page *chrome, target caller.Target, name string, publish bool) error {
	h := how{Kind: target.Kind, URL: target.URL, Name: name, Publish: publish}
	var err error
	if h.Token, err = sign(target, name); err != nil {
		return fmt.Errorf("sign a token: %w", err)
	}
	if _, err := page.ask(order{Do: "join", How: h}); err != nil {
		return fmt.Errorf("the %s: %w", name, err)
	}
	return nil
}

// sign makes a token for a person.
func sign(t caller.Target, name string) (string, error) {
	if t.Kind != "livekit" {
		return t.Sign(room, name)
	}
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": t.Key, "sub": name, "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		"video": map[string]any{"roomJoin": true, "room": room, "canPublish": true, "canSubscribe": true},
	})
	return token.SignedString([]byte(t.Secret))
}

// originOf is where a server's page is: LiveKit's target is its WebSocket.
func originOf(t caller.Target) string {
	if t.Kind == "livekit" {
		return "http" + t.URL[len("ws"):]
	}
	return t.URL
}

// place is the server's end of the network.
func (b *bench) place(network *netem.Network) server.Place {
	return server.Place{
		Host: netem.ServerAddr, Dir: b.dir,
		Start: func(c *exec.Cmd) error {
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is ours
			return network.Start(netem.Server, c)
		},
		Dial: func(ctx context.Context, kind, address string) (net.Conn, error) {
			return network.Dial(ctx, netem.Server, kind, address)
		},
	}
}

func (b *bench) startTolkyn(ctx context.Context, place server.Place) (server.Server, error) {
	return tolkyn.Start(ctx, b.binary, place)
}

func (b *bench) startLiveKit(ctx context.Context, place server.Place) (server.Server, error) {
	return livekit.Start(ctx, b.livekitServer, place, livekit.Options{})
}
