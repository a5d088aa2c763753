package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// DefaultGiveUpAfter is how long a Client tries to come back.
const DefaultGiveUpAfter = 2 * time.Minute

// leaveTimeout bounds the wait for the server's answer to a goodbye.
const leaveTimeout = 500 * time.Millisecond

// TokenSource returns a fresh token: tokens live at most 10 minutes, and a session may have to begin anew later. Called
// from one goroutine at a time.
type TokenSource func(ctx context.Context) (string, error)

// Token is the source of one token. A session that has to begin anew after it has expired ends.
func Token(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// Options of Dial. The zero value of each field means its default.
type Options struct {
	// GiveUpAfter ends a session that could not reconnect for so long; default DefaultGiveUpAfter.
	GiveUpAfter time.Duration
	// Memory is what is known from earlier connections; default one that all Clients of the process share.
	Memory *Memory
	// Transports of a server that has not been met yet, as GET /v1/transports names them; default QUIC on UDP port 8443 of
	// the server's host, and for http on this machine what the server answers when asked.
	Transports []*wire.Transport
	// RootCAs vouch for the server's certificates; default those of the system.
	RootCAs *x509.CertPool
	// Dial opens the byte streams: under the WebSocket, by default that of http.DefaultTransport, and to the server's ICE-TCP
	// address, which stands by while media takes UDP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ListenPacket opens the socket under QUIC; default a UDP socket. Without it a Client with a Dial of its own uses WebSocket
	// alone.
	ListenPacket ListenPacket
	// ListenMedia opens the one UDP socket of each PeerConnection, closed with it; default a socket on every address.
	ListenMedia func() (net.PacketConn, error)
	// Settings edits what each PeerConnection is made with: addresses, a UDP mux, loggers.
	Settings func(*webrtc.SettingEngine)
	// RelayOnly lets media go through the server's relays (TURN) alone, over UDP, TCP or TLS: our own addresses stay unknown to it, and
	// deployments are tested. Without relays nothing flows.
	RelayOnly bool
	// Relays says which of the server's relays may be used, by URL (RFC 7065); nil: all.
	Relays func(url string) bool
	// Bandwidth bounds the estimate of what our uplink carries; the zero value means bwe's defaults.
	Bandwidth bwe.Config
	// Unpaced has everything leave at once and nothing be paused, whatever the path carries: for tests and for load on links that are
	// nobody else's.
	Unpaced bool
	// NoFEC does not offer FlexFEC (RFC 8627), with which the server protects pictures where loss is random and the round trip too
	// long for what is asked for again: for measurements beside it.
	NoFEC bool
	// Logger gets a line per lost connection and failed repair; nil discards.
	Logger *slog.Logger
	// Trace is told of steps on the way into a call.
	Trace Trace
}

// Trace is told of the steps on the way into a call, for those who measure them. Its functions are called from goroutines of
// the SDK, whenever the step is taken, so again after a reconnect; they must not block. Those that are nil are left out.
type Trace struct {
	Opened   func(Transport) // a connection to the server is complete, or complete enough to speak; racing, both may be
	Welcomed func()          // the token was accepted, or a session resumed
	ICE      func()          // a pair of addresses works
	DTLS     func()          // keys are agreed: media can flow
}

func (t Trace) opened(by Transport) {
	if t.Opened != nil {
		t.Opened(by)
	}
}

func note(step func()) {
	if step != nil {
		step()
	}
}

// Client has shown its token and may join the token's room, once. All methods are safe from any goroutine.
type Client struct {
	session     *session
	transport   *http.Transport
	settings    func(*webrtc.SettingEngine)
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
	listenMedia func() (net.PacketConn, error)
	trace       Trace
	nearby      bool // the server is on this machine's loopback
	relayOnly   bool
	relays      func(url string) bool
	bandwidth   bwe.Config
	unpaced     bool
	noFEC       bool
	volume      volume
}

// Dial connects to a server, over QUIC or WebSocket, whichever is there first: its page ("https://call.example.org") or the WebSocket itself ("wss://…/v1/ws"). ctx bounds
// the opening alone. Errors: *ServerError when the server refuses, else those of the network or of token.
func Dial(ctx context.Context, url string, token TokenSource, options Options) (*Client, error) {
	u, err := socketURL(url)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if token == nil {
		return nil, errors.New("client: a TokenSource is required")
	}
	if options.GiveUpAfter == 0 {
		options.GiveUpAfter = DefaultGiveUpAfter
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: dialTimeout, TLSClientConfig: &tls.Config{RootCAs: options.RootCAs},
	}
	if options.Dial != nil {
		transport.Proxy, transport.DialContext = nil, options.Dial
	}
	c := &Client{transport: transport, settings: options.Settings, dial: options.Dial, listenMedia: options.ListenMedia, trace: options.Trace, nearby: onLoopback(u), relayOnly: options.RelayOnly, relays: options.Relays, bandwidth: options.Bandwidth, unpaced: options.Unpaced, noFEC: options.NoFEC}
	if c.session, err = openSession(ctx, newRoad(u, transport, options), token, options.GiveUpAfter, options.Logger); err != nil {
		transport.CloseIdleConnections()
		return nil, fmt.Errorf("client: %w", err)
	}
	return c, nil
}

// Welcome is what the server said at the start: identity, room, grants, limits; nil while a lost session is
// being replaced by another. Do not change it.
func (c *Client) Welcome() *wire.Welcome {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.welcome
}

// Ping asks the server for a sign of life and returns the round trip.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) { return c.session.ping(ctx) }

// RTT is the newest signaling round trip, measured every 5 s; 0 before the first.
func (c *Client) RTT() time.Duration {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.rtt
}

// Transport is what carries the session now; NoTransport while it is being reconnected.
func (c *Client) Transport() Transport {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if c.session.conn == nil {
		return NoTransport
	}
	return c.session.conn.transport()
}

// NetworkChanged tells the Client that the way to the server may be another by now: it moves its connection at once instead
// of waiting for silence, and restarts ICE. The Client looks for changes itself (on Linux it hears of them, elsewhere it looks
// every 2 s); call it where the system tells the application first. It does not wait.
func (c *Client) NetworkChanged() { c.session.networkChanged() }

// SessionStats are counters since Dial.
type SessionStats struct {
	QUIC, WebSocket uint64 // connections that carried the session
	Resumed         uint64 // of these, those that continued it
	Moved           uint64 // changes of networks that a connection outlived
}

// SessionStats returns the counters.
func (c *Client) SessionStats() SessionStats {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	return SessionStats{
		QUIC: s.road.opened[QUIC].Load(), WebSocket: s.road.opened[WebSocket].Load(), Resumed: s.resumed, Moved: s.moved,
	}
}

// Done is closed when the session is over and its goroutine has ended.
func (c *Client) Done() <-chan struct{} { return c.session.done }

// Close leaves: it says goodbye, waits at most half a second for the answer, and returns when every goroutine of the
// client and its Room has ended. Idempotent.
func (c *Client) Close() error {
	s := c.session
	s.mu.Lock()
	connected := s.conn != nil
	s.mu.Unlock()
	if connected {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
		defer cancel()
		// A write that hangs ends in time too.
		defer context.AfterFunc(ctx, s.cancel)()
		// The end is the same without the answer.
		_, _ = s.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Leave{Leave: &wire.Leave{}}}, nil)
	}
	s.cancel()
	<-s.done
	if room := s.currentRoom(); room != nil {
		<-room.done
	}
	c.transport.CloseIdleConnections()
	return nil
}
