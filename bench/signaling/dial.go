//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/tolkyn/tolkyn/bench/netem"
)

// The ways of a first reply.
const (
	known    = "quic known" // raw QUIC with a ticket and a token of the server
	fresh    = "quic fresh"
	web      = "webtransport"
	wss      = "wss"
	sdk      = "sdk"       // the Go SDK, which races QUIC and WebSocket
	sdkKnown = "sdk known" // the same, after an earlier visit
)

// dialing times how long it takes from the start of a dial to the answer to the first frame.
type dialing struct {
	Transport   string         `json:"transport"`
	To          netip.AddrPort `json:"to"`
	Runs        int            `json:"runs"`
	HalfOpen    int            `json:"half_open"` // handshakes that are begun before and never finished
	Certificate certificate    `json:"certificate"`

	noUDP bool
}

// dialRow runs a dialing over a link of 100 ms.
func dialRow(d dialing) func(ctx context.Context, b *bench, name string) error {
	return func(_ context.Context, b *bench, name string) error {
		network, err := netem.Open(netem.Config{Seed: 1, Links: []netem.Path{netem.RoundTrip(roundTrip)}})
		if err != nil {
			return err
		}
		defer closeNetwork(network)
		tolkyn, err := b.serve(network, netem.ServerAddr)
		if err != nil {
			return err
		}
		defer tolkyn.Kill()
		network.CutUDP(0, d.noUDP)
		d.To, d.Runs, d.Certificate = netip.AddrPortFrom(netem.ServerAddr, tlsPort), b.runs, b.certificate
		c, err := start(network, netem.Client, job{Dial: &d})
		if err != nil {
			return err
		}
		defer c.end()
		var took []float64
		if err := c.answer(&took); err != nil {
			return err
		}
		var trips []float64
		for _, ms := range took {
			trips = append(trips, ms/float64(roundTrip.Milliseconds()))
		}
		b.add(name, "ms", took, nil)
		b.add(name+"_round_trips", "1", trips, nil)
		late := network.Stats().Late
		fmt.Printf("  the link was late by p50 %v, p99 %v\n", late.P50, late.P99)
		return nil
	}
}

// run answers the times in ms.
func (d *dialing) run(answers *json.Encoder) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	config, err := d.Certificate.trust()
	if err != nil {
		return err
	}
	dial := map[string]func(context.Context, *tls.Config) (time.Duration, error){
		known: d.known(), fresh: d.fresh, web: d.web, wss: d.wss, sdk: d.sdk(false), sdkKnown: d.sdk(true),
	}[d.Transport]
	if d.HalfOpen > 0 {
		stop, err := d.halfOpen(ctx, config)
		if err != nil {
			return err
		}
		defer stop()
	}
	var took []float64
	for range d.Runs {
		t, err := dial(ctx, config)
		if err != nil {
			return err
		}
		took = append(took, float64(t)/1e6)
	}
	return answers.Encode(took)
}

// known makes the server's acquaintance with its first dial, which does not count.
func (d *dialing) known() func(context.Context, *tls.Config) (time.Duration, error) {
	tickets, tokens := tls.NewLRUClientSessionCache(4), quic.NewLRUTokenStore(1, 4)
	met := false
	return func(ctx context.Context, config *tls.Config) (time.Duration, error) {
		config = config.Clone()
		config.ClientSessionCache = tickets
		if !met {
			if _, err := d.raw(ctx, config, tokens, false); err != nil {
				return 0, err
			}
			met = true
		}
		return d.raw(ctx, config, tokens, true)
	}
}

func (d *dialing) fresh(ctx context.Context, config *tls.Config) (time.Duration, error) {
	return d.raw(ctx, config, nil, false)
}

// raw dials raw QUIC; early says whether the first frame must have gone out with the first packet.
func (d *dialing) raw(ctx context.Context, config *tls.Config, tokens quic.TokenStore, early bool) (time.Duration, error) {
	began := time.Now()
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return 0, err
	}
	defer socket.Close()
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	s, err := dialQUIC(ctx, transport, d.To, config, tokens)
	if err != nil {
		return 0, err
	}
	took, err := hello(ctx, s, began)
	if err == nil && s.early() != early {
		err = fmt.Errorf("used early data: %v, want %v", s.early(), early)
	}
	return took, err
}

// hello says it, takes the time and leaves. What a server sends after the handshake, as tickets, has the time to come.
func hello(ctx context.Context, s *session, began time.Time) (time.Duration, error) {
	defer s.close()
	if err := s.hello(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	time.Sleep(3 * roundTrip)
	return took, nil
}

func (d *dialing) web(ctx context.Context, config *tls.Config) (time.Duration, error) {
	began := time.Now()
	s, err := dialWebTransport(ctx, d.To, config)
	if err != nil {
		return 0, err
	}
	return hello(ctx, s, began)
}

func (d *dialing) wss(ctx context.Context, config *tls.Config) (time.Duration, error) {
	began := time.Now()
	s, err := dialWSS(ctx, netip.IPv4Unspecified(), d.To, config)
	if err != nil {
		return 0, err
	}
	return hello(ctx, s, began)
}

// halfOpen begins handshakes whose client hears nothing, so that the server asks strangers to prove their addresses.
func (d *dialing) halfOpen(ctx context.Context, config *tls.Config) (stop func(), err error) {
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, err
	}
	transport := &quic.Transport{Conn: deaf{socket}} // ends with the process
	ctx, cancel := context.WithCancel(ctx)
	for range d.HalfOpen {
		go func() {
			if s, err := dialQUIC(ctx, transport, d.To, config, nil); err == nil {
				s.close() // cannot be: it hears nothing
			}
		}()
	}
	time.Sleep(10 * roundTrip)
	return cancel, nil
}

// deaf is a socket that sends and never receives.
type deaf struct{ net.PacketConn }

func (d deaf) ReadFrom([]byte) (int, net.Addr, error) { select {} }
