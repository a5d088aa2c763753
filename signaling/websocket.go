package signaling

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// WebSocket is the way that everything works over: a frame is a message. Every 50 s a timer adds a goroutine for as long as
// a ping takes.
const (
	// pingEvery keeps proxies from cutting an idle connection, which most do after 60 s. It is not how a lost client is
	// noticed: its media falls silent long before.
	pingEvery = 50 * time.Second
	// pongTimeout is long enough for a phone that changes networks with TCP still alive.
	pongTimeout = 15 * time.Second
)

// webSocket is a WebSocket as a port.
type webSocket struct {
	// Fixed after accept.
	server *Server
	ws     *websocket.Conn
	raw    net.Conn
	format wire.Format
	from   netip.AddrPort
	ctx    context.Context
	end    context.CancelFunc // ends the connection at once, without waiting

	// Owned by the reader.
	reading context.Context // ctx, or bounded within it
	unbound context.CancelFunc
	pinger  *time.Timer
}

// ServeHTTP is /v1/ws. It returns when the connection has ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.allowsOrigin(r) {
		http.Error(w, "the Origin is not on this server's list: add it to signaling.origins", http.StatusForbidden)
		return
	}
	offered := offeredProtocols(r)
	if !slices.Contains(offered, wire.Binary.String()) && !slices.Contains(offered, wire.JSON.String()) {
		http.Error(w, `Sec-WebSocket-Protocol: want "tolkyn" (protobuf) or "tolkyn.json"`, http.StatusBadRequest)
		return
	}
	if !s.enter() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server is closing", http.StatusServiceUnavailable)
		return
	}
	defer s.running.Done()

	hijack := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{
		Subprotocols:       []string{wire.Binary.String(), wire.JSON.String()},
		InsecureSkipVerify: true, // allowsOrigin has looked, by a stricter rule
	})
	if err != nil {
		return // Accept has answered
	}
	// next bounds what it reads, so that the client hears why before it is closed.
	ws.SetReadLimit(-1)
	ctx, end := context.WithCancel(s.ctx)
	p := &webSocket{server: s, ws: ws, raw: hijack.raw, ctx: ctx, end: end, reading: ctx}
	// Of a listener in memory nothing is parsed: it has no addresses.
	p.from, _ = netip.ParseAddrPort(r.RemoteAddr)
	if ws.Subprotocol() == wire.JSON.String() {
		p.format = wire.JSON
	}
	c := &conn{id: s.lastConn.Add(1), server: s, port: p, way: byWebSocket, format: p.format, client: s.addresses.of(r), host: r.Host}
	if !s.keep(c) {
		p.close()
		return
	}
	c.serve()
}

func (p *webSocket) open() error {
	p.startPings()
	return nil
}

// attend: pings go on from the start.
func (p *webSocket) attend() {}

// wait: next does.
func (p *webSocket) wait() error { return nil }

// next reads one frame.
func (p *webSocket) next() (*wire.ClientFrame, error) {
	kind, message, err := p.ws.Reader(p.reading)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(message, wire.MaxClientFrame+1))
	if err != nil {
		return nil, err
	}
	if kind != p.kind() {
		return nil, errWrongKind
	}
	return p.format.DecodeClient(b)
}

// errWrongKind: RFC 6455 section 5.6 knows text and binary messages, and a format uses one of them.
var errWrongKind = fmt.Errorf("%w: tolkyn.json is text messages, tolkyn is binary ones", wire.ErrBadFrame)

func (p *webSocket) kind() websocket.MessageType {
	if p.format == wire.JSON {
		return websocket.MessageText
	}
	return websocket.MessageBinary
}

// more: the library does not tell.
func (p *webSocket) more() bool { return false }

func (p *webSocket) until(t time.Time) {
	if p.unbound != nil {
		p.unbound()
		p.unbound = nil
	}
	p.reading = p.ctx
	if !t.IsZero() {
		p.reading, p.unbound = context.WithDeadline(p.ctx, t)
	}
}

func (p *webSocket) send(frames []*wire.ServerFrame) error {
	for _, frame := range frames {
		b, err := p.format.EncodeServer(frame)
		if err != nil {
			return err
		}
		if err := p.write(b); err != nil {
			return err
		}
	}
	return nil
}

func (p *webSocket) write(b []byte) error {
	ctx, cancel := context.WithTimeout(p.ctx, writeTimeout)
	defer cancel()
	return p.ws.Write(ctx, p.kind(), b)
}

// goodbye does the closing handshake. The library waits for the rest of a frame without a limit, so we hold the socket.
func (p *webSocket) goodbye(code websocket.StatusCode, reason string) {
	limit := time.AfterFunc(goodbyeTimeout, func() { _ = p.raw.Close() })
	defer limit.Stop()
	// Whether the client answers makes no difference to what follows.
	_ = p.ws.Close(code, reason)
}

func (p *webSocket) cut() { p.end() }

func (p *webSocket) close() {
	p.end()
	p.until(time.Time{})
	if p.pinger != nil {
		p.pinger.Stop()
	}
	// The closing handshake has been tried where it makes sense.
	_ = p.ws.CloseNow()
}

// proved: TCP has no early data, and TLS takes none here.
func (p *webSocket) proved() <-chan struct{} { return nil }

func (p *webSocket) over() <-chan struct{} { return p.ctx.Done() }

// sweep: a WebSocket is one stream.
func (p *webSocket) sweep() {}

func (p *webSocket) remote() netip.AddrPort { return p.from }

// startPings pings every pingEvery until the timer is stopped.
func (p *webSocket) startPings() {
	armed := make(chan struct{})
	p.pinger = time.AfterFunc(pingEvery, func() {
		<-armed
		if p.ping() {
			p.pinger.Reset(pingEvery)
		}
	})
	close(armed)
}

// ping waits for the pong, and ends a connection that does not send it.
func (p *webSocket) ping() bool {
	if !p.server.enter() {
		return false
	}
	defer p.server.running.Done()
	ctx, cancel := context.WithTimeout(p.ctx, pongTimeout)
	defer cancel()
	if err := p.ws.Ping(ctx); err != nil {
		p.end()
		return false
	}
	return true
}

func offeredProtocols(r *http.Request) []string {
	var names []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// hijacker remembers the socket that the WebSocket library takes over.
type hijacker struct {
	http.ResponseWriter

	raw net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.raw = raw
	return raw, buffered, err
}
