package signaling

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// WebTransportPath is where browsers open a WebTransport session.
const WebTransportPath = "/v1/wt"

// maxWebHeader bytes of the one request that a connection makes.
const maxWebHeader = 8 << 10

// newWebTransport is HTTP/3 that knows one request: the one that opens a session.
func newWebTransport(q *quicServer) *webtransport.Server {
	mux := http.NewServeMux()
	mux.HandleFunc(WebTransportPath, q.serveWebTransport)
	return &webtransport.Server{
		H3: &http3.Server{
			Handler: mux, EnableDatagrams: true, MaxHeaderBytes: maxWebHeader,
			Logger: slog.New(slog.DiscardHandler), // it tells of what clients do wrong
			ConnContext: func(ctx context.Context, connection *quic.Conn) context.Context {
				return context.WithValue(ctx, connectionKey{}, connection)
			},
		},
		CheckOrigin: q.server.allowsWebTransport,
	}
}

// serveHTTP3 is the life of an HTTP/3 connection. It is there for one session, and closed when none comes.
func (q *quicServer) serveHTTP3(connection *quic.Conn) {
	v := visitOf(connection.Context())
	giveUp := func() {
		if v.hosts.CompareAndSwap(hostsNone, hostsNoMore) {
			closeHTTP3(connection)
		}
	}
	late := time.AfterFunc(greetTimeout, giveUp)
	defer late.Stop()
	closing := context.AfterFunc(q.server.accepting, giveUp)
	defer closing()
	// What it returns an error for, it has closed already.
	if q.web.ServeQUICConn(connection) != nil {
		closeHTTP3(connection)
	}
}

func closeHTTP3(connection *quic.Conn) {
	// It fails never.
	_ = connection.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}

// serveWebTransport opens a session for a page and serves it.
func (q *quicServer) serveWebTransport(w http.ResponseWriter, r *http.Request) {
	s := q.server
	if !s.allowsWebTransport(r) {
		http.Error(w, "the Origin is not on this server's list: add it to signaling.origins", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodConnect {
		w.Header().Set("Allow", http.MethodConnect)
		http.Error(w, "open a WebTransport session here", http.StatusMethodNotAllowed)
		return
	}
	connection := r.Context().Value(connectionKey{}).(*quic.Conn)
	// Nothing of HTTP is done early.
	select {
	case <-connection.HandshakeComplete():
	case <-connection.Context().Done():
		return
	}
	if !visitOf(r.Context()).hosts.CompareAndSwap(hostsNone, hostsSession) {
		http.Error(w, "one session a connection", http.StatusTooManyRequests)
		return
	}
	session, err := q.web.Upgrade(w, r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		closeHTTP3(connection)
		return
	}
	p := &webTransport{server: s, connection: connection, session: session}
	c := &conn{id: s.lastConn.Add(1), server: s, port: p, way: byWebTransport, host: r.Host}
	if s.keep(c) {
		c.serve()
	} else {
		p.refuse()
	}
	// The code of the session must arrive before the connection goes.
	linger(connection.Context(), connection)
	closeHTTP3(connection)
}

// connectionKey finds the QUIC connection of a request.
type connectionKey struct{}

// webTransport is a WebTransport session as a port.
type webTransport struct {
	control

	// Fixed after accept.
	server     *Server
	connection *quic.Conn
	session    *webtransport.Session

	// Goroutines.
	hints sync.WaitGroup
}

// open waits for the client's first stream.
func (p *webTransport) open() error {
	ctx, cancel := context.WithDeadline(p.session.Context(), p.deadline)
	defer cancel()
	stream, err := p.session.AcceptStream(ctx)
	if err != nil {
		return err
	}
	p.begin(stream)
	return nil
}

func (p *webTransport) refuse() {
	p.tell(p.server.refusalCode(), "too many connections")
}

func (p *webTransport) goodbye(code websocket.StatusCode, reason string) {
	if code != StatusDisplaced && p.end() {
		// What it is still sending nobody reads: it shall read instead.
		p.stream.(*webtransport.Stream).CancelRead(webtransport.StreamErrorCode(code))
		linger(p.session.Context(), p.connection)
	}
	p.tell(code, reason)
}

func (p *webTransport) tell(code websocket.StatusCode, reason string) {
	// It fails never.
	_ = p.session.CloseWithError(webtransport.SessionErrorCode(code), reason)
}

func (p *webTransport) cut() {
	if p.session.Context().Err() == nil {
		go p.tell(0, "")
	}
}

func (p *webTransport) close() {
	p.tell(0, "")
	p.hints.Wait()
}

// proved: the request has waited for it.
func (p *webTransport) proved() <-chan struct{} { return nil }

func (p *webTransport) over() <-chan struct{} { return p.session.Context().Done() }

func (p *webTransport) attend() {
	p.hints.Go(func() { p.server.answerHints(p.session.Context(), p.session) })
}

func (p *webTransport) sweep() {
	for p.opened.Load() {
		stream, err := p.session.AcceptStream(atOnce)
		if err != nil {
			break
		}
		p.server.counters.unaskedStreams.Add(1)
		stream.CancelRead(unasked)
		stream.CancelWrite(unasked)
	}
	for {
		stream, err := p.session.AcceptUniStream(atOnce)
		if err != nil {
			return
		}
		p.server.counters.unaskedStreams.Add(1)
		stream.CancelRead(unasked)
	}
}

func (p *webTransport) remote() netip.AddrPort { return addrPort(p.connection.RemoteAddr()) }
