package signaling

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// ALPN is the application protocol of raw QUIC: the client's first bidirectional stream carries frames as wire.StreamReader
// reads them, in protobuf.
const ALPN = "tolkyn/1"

// Bounds of QUIC. Each names what happens beyond it.
const (
	// quicIdle ends a connection that brings nothing. Clients ping every 15 to 25 s; we do not: a packet from inside keeps the
	// mapping of a NAT or makes a new one, one from outside would only find it gone.
	quicIdle = 30 * time.Second
	// quicHandshake is the longest silence in a handshake; all of it may take twice as long.
	quicHandshake = 5 * time.Second
	// retryAbove so many handshakes under way, who comes next must prove its address first; it costs the client one round
	// trip, and us nothing that a forged address could use up.
	retryAbove = 500
	// refuseAbove so many, also those are refused that have proved it: they try again, or take a WebSocket.
	refuseAbove = 4 * retryAbove
	// quicStreams that a client may have open in each direction: HTTP/3 takes four, WebTransport one more.
	quicStreams = 8
	// Windows in bytes: one frame of 64 KiB must fit into a round trip or two, and nobody needs more.
	streamWindow, maxStreamWindow = 32 << 10, 128 << 10
	connWindow, maxConnWindow     = 48 << 10, 192 << 10
	// connectionIDLength in bytes: only a packet longer than the reset that answers it (42 bytes) is answered, and with this
	// even the shortest Ping on the control stream is.
	connectionIDLength = 16
	// sweepEvery: streams that nobody asked for are stopped.
	sweepEvery = 2 * time.Second
	// lingerMin and lingerTrips bound how long a client may take to read the last frames and close by itself.
	lingerMin   = 200 * time.Millisecond
	lingerTrips = 8
)

// unasked is what a stream is stopped with that nobody asked for.
const unasked = 1002

// QUICConfig of ServeQUIC.
type QUICConfig struct {
	// Certificate is called at each handshake, so that certificates change while the server runs. Required; must not block.
	Certificate func() *tls.Certificate
	// Secret keeps clients' tickets good over a restart, and on every server that has the same one. Required.
	Secret Secret
}

// quicServer is one UDP socket with raw QUIC and WebTransport on it.
type quicServer struct {
	// Fixed before the first packet.
	server    *Server
	secret    Secret
	tls       *tls.Config
	transport *quic.Transport
	web       *webtransport.Server

	// Goroutines: one a connection, and what looks after all of them.
	serving, beside sync.WaitGroup

	// Atomic.
	day atomic.Int64 // whose ticket key seals
}

// visit is what we know of a connection beside QUIC.
type visit struct {
	// Fixed before the connection is accepted.
	arrived func() bool // the handshake is complete; false: it has failed already

	// Atomic.
	hosts atomic.Int32 // of HTTP/3: whether it has a session
}

// What visit.hosts says.
const (
	hostsNone = iota
	hostsSession
	hostsNoMore
)

type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// ServeQUIC takes sessions over raw QUIC (ALPN) and WebTransport (WebTransportPath) on this socket, until Close; then it
// returns nil. It returns an error when the configuration is wrong, or when the socket breaks. The caller closes the socket
// afterwards.
func (s *Server) ServeQUIC(socket net.PacketConn, cfg QUICConfig) error {
	switch {
	case cfg.Certificate == nil:
		return errors.New("signaling: QUICConfig.Certificate is required")
	case cfg.Secret.isZero():
		return errors.New("signaling: QUICConfig.Secret is required: NewSecret makes one, keep it")
	case !s.enter():
		return nil
	}
	defer s.running.Done()
	q := newQUICServer(s, socket, cfg)
	listener, err := q.transport.ListenEarly(q.tls, quicConfig())
	if err == nil {
		err = q.serve(listener)
	}
	if err != nil {
		return fmt.Errorf("signaling: QUIC: %w", err)
	}
	return nil
}

func newQUICServer(s *Server, socket net.PacketConn, cfg QUICConfig) *quicServer {
	q := &quicServer{server: s, secret: cfg.Secret}
	q.tls = &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{ALPN, http3.NextProtoH3},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if certificate := cfg.Certificate(); certificate != nil {
				return certificate, nil
			}
			return nil, errors.New("there is no certificate yet")
		},
	}
	q.renewTickets(time.Now())
	token, reset := quic.TokenGeneratorKey(q.secret.tokenKey()), quic.StatelessResetKey(q.secret.resetKey())
	q.transport = &quic.Transport{
		Conn: socket, ConnectionIDLength: connectionIDLength, TokenGeneratorKey: &token, StatelessResetKey: &reset,
		VerifySourceAddress: q.mustProveAddress, ConnContext: q.begin,
	}
	q.web = newWebTransport(q)
	return q
}

func quicConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout: quicIdle, HandshakeIdleTimeout: quicHandshake,
		InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow, MaxConnectionReceiveWindow: maxConnWindow,
		MaxIncomingStreams: quicStreams, MaxIncomingUniStreams: quicStreams,
		DisablePathMTUDiscovery: true, // frames are small
		Allow0RTT:               true, EnableDatagrams: true,
		EnableStreamResetPartialDelivery: true, // WebTransport asks for it
	}
}

// serve accepts until the server closes or the socket breaks, and ends what it has begun.
func (q *quicServer) serve(listener *quic.EarlyListener) error {
	s := q.server
	ctx, cancel := context.WithCancel(s.ctx)
	q.beside.Go(func() { q.sweep(ctx) })
	err := q.accept(listener)
	if s.accepting.Err() != nil {
		err = nil
	}
	// Handshakes under way are refused. It fails never.
	_ = listener.Close()
	quiet := make(chan struct{})
	q.beside.Go(func() {
		defer close(quiet)
		q.serving.Wait()
	})
	select {
	case <-quiet:
	case <-s.ctx.Done():
	}
	// Whoever is left is cut off; there is nobody to tell of an error.
	_ = q.web.Close()
	_ = q.transport.Close()
	cancel()
	q.beside.Wait()
	return err
}

func (q *quicServer) accept(listener *quic.EarlyListener) error {
	for {
		connection, err := listener.Accept(q.server.accepting)
		if err != nil {
			return err
		}
		q.serving.Add(1)
		go q.welcome(connection)
	}
}

// begin is asked before a handshake. The context ends with the connection.
func (q *quicServer) begin(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	counters := &q.server.counters
	if q.server.accepting.Err() != nil || counters.halfOpen.Load() >= refuseAbove {
		counters.refused.Add(1)
		return nil, errors.New("too many handshakes")
	}
	q.renewTickets(time.Now())
	counters.halfOpen.Add(1)
	v := new(visit)
	v.arrived = context.AfterFunc(ctx, func() {
		counters.halfOpen.Add(-1)
		counters.failedHandshakes.Add(1)
	})
	return context.WithValue(ctx, visitKey{}, v), nil
}

// mustProveAddress costs a stranger a round trip; a client with a token of ours is not asked.
func (q *quicServer) mustProveAddress(net.Addr) bool {
	counters := &q.server.counters
	if counters.halfOpen.Load() < retryAbove {
		return false
	}
	counters.retries.Add(1)
	return true
}

// renewTickets takes up the keys of a new day.
func (q *quicServer) renewTickets(now time.Time) {
	day := now.Unix() / 86400
	if q.day.Swap(day) != day {
		q.tls.SetSessionTicketKeys(q.secret.ticketKeys(now))
	}
}

// welcome serves a connection whose handshake may still be under way.
func (q *quicServer) welcome(connection *quic.Conn) {
	arrived := visitOf(connection.Context()).arrived
	if isClosed(connection.HandshakeComplete()) {
		q.arrive(arrived)
	} else {
		q.beside.Go(func() {
			select {
			case <-connection.HandshakeComplete():
				q.arrive(arrived)
			case <-connection.Context().Done():
			}
		})
	}
	if state := connection.ConnectionState().TLS; state.NegotiatedProtocol == ALPN {
		go q.serveRaw(connection, state.ServerName) // on a stack of its own
		return
	}
	defer q.serving.Done()
	q.serveHTTP3(connection)
}

func (q *quicServer) arrive(arrived func() bool) {
	if arrived() {
		q.server.counters.halfOpen.Add(-1)
	}
}

// sweep looks for what clients have opened and nobody asked for.
func (q *quicServer) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for _, c := range q.server.allConns() {
			c.port.sweep()
		}
	}
}

// serveRaw is the life of a raw QUIC connection; host is whom the client has asked for.
func (q *quicServer) serveRaw(connection *quic.Conn, host string) {
	defer q.serving.Done()
	s := q.server
	p := &rawQUIC{server: s, connection: connection}
	c := &conn{id: s.lastConn.Add(1), server: s, port: p, way: byQUIC, host: host}
	if s.keep(c) {
		c.serve()
	} else {
		p.refuse()
	}
}

// rawQUIC is a QUIC connection as a port.
type rawQUIC struct {
	control

	// Fixed after accept.
	server     *Server
	connection *quic.Conn

	// Goroutines.
	hints sync.WaitGroup
}

// open waits for the client's first stream.
func (p *rawQUIC) open() error {
	ctx, cancel := context.WithDeadline(p.connection.Context(), p.deadline)
	defer cancel()
	stream, err := p.connection.AcceptStream(ctx)
	if err != nil {
		return err
	}
	p.begin(stream)
	return nil
}

// refuse tells a client that there is no room for its connection.
func (p *rawQUIC) refuse() {
	p.tell(p.server.refusalCode(), "too many connections")
}

func (p *rawQUIC) goodbye(code websocket.StatusCode, reason string) {
	if code != StatusDisplaced && p.end() {
		// What it is still sending nobody reads: it shall read instead.
		p.stream.(*quic.Stream).CancelRead(quic.StreamErrorCode(code))
		linger(p.connection.Context(), p.connection)
	}
	p.tell(code, reason)
}

// tell closes with a code.
func (p *rawQUIC) tell(code websocket.StatusCode, reason string) {
	// It fails never.
	_ = p.connection.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// cut: code 0 says nothing, and the client may resume.
func (p *rawQUIC) cut() {
	if p.connection.Context().Err() == nil {
		go p.tell(0, "")
	}
}

func (p *rawQUIC) close() {
	p.tell(0, "")
	p.hints.Wait()
}

func (p *rawQUIC) proved() <-chan struct{} { return p.connection.HandshakeComplete() }

func (p *rawQUIC) over() <-chan struct{} { return p.connection.Context().Done() }

// attend answers datagrams where the client has any.
func (p *rawQUIC) attend() {
	if p.connection.ConnectionState().SupportsDatagrams.Remote {
		p.hints.Go(func() { p.server.answerHints(p.connection.Context(), p.connection) })
	}
}

// sweep takes no stream before the control stream is known.
func (p *rawQUIC) sweep() {
	for p.opened.Load() {
		stream, err := p.connection.AcceptStream(atOnce)
		if err != nil {
			break
		}
		p.server.counters.unaskedStreams.Add(1)
		stream.CancelRead(unasked)
		stream.CancelWrite(unasked)
	}
	for {
		stream, err := p.connection.AcceptUniStream(atOnce)
		if err != nil {
			return
		}
		p.server.counters.unaskedStreams.Add(1)
		stream.CancelRead(unasked)
	}
}

// atOnce is a context for taking what is there without waiting for what is not.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (p *rawQUIC) remote() netip.AddrPort { return addrPort(p.connection.RemoteAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	from := udp.AddrPort()
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// linger waits until the client has closed, or had the time to read the last frames.
func linger(over context.Context, connection *quic.Conn) {
	wait := lingerMin + lingerTrips*connection.ConnectionStats().SmoothedRTT
	limit := time.NewTimer(min(wait, goodbyeTimeout))
	defer limit.Stop()
	select {
	case <-over.Done():
	case <-limit.C:
	}
}
