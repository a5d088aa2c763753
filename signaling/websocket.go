package signaling

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// The way of a frame through a connection, from top to bottom: ServeHTTP, greet, read, session, push, write. Two goroutines:
// the handler's own reads, another writes. Every 50 s a timer adds one for as long as a ping takes.
const (
	// maxOutbox frames wait for the client to read. A client that lets so many pile up is cut off; it resumes when it can.
	maxOutbox = 256
	// greetTimeout is for a first frame that opens a session: who connects knows already what to say.
	greetTimeout = 10 * time.Second
	// maxGreetings that fail or only ping, before a connection without a session is closed.
	maxGreetings = 8
	// writeTimeout for one frame: on a path that moves 64 KiB slower than this no call is possible.
	writeTimeout = 10 * time.Second
	// pingEvery keeps proxies from cutting an idle connection, which most do after 60 s. It is not how a lost client is
	// noticed: its media falls silent long before.
	pingEvery = 50 * time.Second
	// pongTimeout is long enough for a phone that changes networks with TCP still alive.
	pongTimeout = 15 * time.Second
	// goodbyeTimeout bounds the closing handshake, whatever the client sends or does not send.
	goodbyeTimeout = 5 * time.Second
)

// StatusDisplaced closes a connection whose session was resumed on a newer one: do not reconnect.
const StatusDisplaced websocket.StatusCode = 4001

// conn is one WebSocket connection.
type conn struct {
	// Fixed after accept.
	id     uint64
	server *Server
	ws     *websocket.Conn
	raw    net.Conn
	format wire.Format
	remote string
	ctx    context.Context
	cut    context.CancelFunc // ends the connection at once, without waiting
	ready  chan struct{}      // holds one token while outbox or closing has news
	done   chan struct{}      // closed by write at its end

	// Guarded by mu.
	mu      sync.Mutex
	outbox  []*wire.ServerFrame
	closing bool // after outbox: say goodbye
	code    websocket.StatusCode
	reason  string
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
	ctx, cut := context.WithCancel(s.ctx)
	c := &conn{
		id: s.lastConn.Add(1), server: s, ws: ws, raw: hijack.raw, remote: r.RemoteAddr,
		ctx: ctx, cut: cut, ready: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if ws.Subprotocol() == wire.JSON.String() {
		c.format = wire.JSON
	}
	if !s.keep(c) {
		_ = ws.CloseNow()
		cut()
		return
	}
	defer s.drop(c)
	c.serve()
}

// serve is the life of the connection.
func (c *conn) serve() {
	go c.write()
	pinger := c.startPings()
	if st := c.greet(); st != nil {
		c.read(st)
		c.server.drive(st, lost{conn: c.id})
	}
	pinger.Stop()
	c.depart()
	<-c.done
	// The closing handshake has been tried where it makes sense.
	_ = c.ws.CloseNow()
}

// greet reads until a session is open on this connection; nil when none will be.
func (c *conn) greet() *seat {
	ctx, cancel := context.WithTimeout(c.ctx, greetTimeout)
	defer cancel()
	for range maxGreetings {
		frame, err := c.next(ctx)
		if err != nil {
			if isBadFrame(err) {
				c.reject(0, frameError(err), websocket.StatusProtocolError)
			}
			return nil
		}
		id := frame.GetId()
		switch m := frame.GetMessage().(type) {
		case *wire.ClientFrame_Ping:
			c.push([]*wire.ServerFrame{wire.Reply(id, &wire.ServerFrame_Pong{Pong: &wire.Pong{
				ClientTimeMs: m.Ping.GetClientTimeMs(), ServerTimeMs: time.Now().UnixMilli(),
			}})})
		case *wire.ClientFrame_Hello:
			return c.hello(id, m.Hello)
		case *wire.ClientFrame_Resume:
			if st, ok := c.server.resume(c, id, m.Resume); ok {
				return st
			}
			c.refuse(id, &wire.Error{
				Code:    wire.Error_RESUME_EXPIRED,
				Message: "resume: this session is no longer held: say Hello and join again",
			})
		default:
			c.reject(id, &wire.Error{
				Code: wire.Error_PROTOCOL, Fatal: true,
				Message: "hello: must be the first frame of a connection, unless resume is",
			}, websocket.StatusProtocolError)
			return nil
		}
	}
	c.reject(0, &wire.Error{
		Code: wire.Error_PROTOCOL, Fatal: true, Message: "hello: did not come",
	}, websocket.StatusPolicyViolation)
	return nil
}

func (c *conn) hello(id uint64, m *wire.Hello) *seat {
	if len(m.GetClient()) > maxName {
		c.reject(id, &wire.Error{
			Code: wire.Error_PROTOCOL, Fatal: true, Message: "hello.client: at most 128 bytes",
		}, websocket.StatusPolicyViolation)
		return nil
	}
	grants, err := c.server.cfg.Verifier.Verify(m.GetToken(), time.Now())
	if err != nil {
		c.reject(id, &wire.Error{
			Code: wire.Error_UNAUTHORIZED, Fatal: true, Message: "hello.token: " + shorten(err.Error()),
		}, websocket.StatusPolicyViolation)
		return nil
	}
	st, full := c.server.open(c, id, grants)
	if full != nil {
		c.reject(id, full, websocket.StatusTryAgainLater)
		return nil
	}
	st.log.Debug("client", "software", m.GetClient(), "format", c.format.String())
	return st
}

// read feeds the session until the connection ends or brings something that is no frame.
func (c *conn) read(st *seat) {
	for {
		frame, err := c.next(c.ctx)
		if isBadFrame(err) {
			c.server.drive(st, garbled{conn: c.id, err: err})
			return
		}
		if err != nil {
			return
		}
		c.server.drive(st, received{conn: c.id, frame: frame})
	}
}

// next reads one frame. Errors: of the connection, or those of package wire.
func (c *conn) next(ctx context.Context) (*wire.ClientFrame, error) {
	kind, message, err := c.ws.Reader(ctx)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(message, wire.MaxClientFrame+1))
	if err != nil {
		return nil, err
	}
	c.server.counters.framesIn.Add(1)
	if kind != c.kind() {
		return nil, errWrongKind
	}
	return c.format.DecodeClient(b)
}

// errWrongKind: RFC 6455 section 5.6 knows text and binary messages, and a format uses one of them.
var errWrongKind = fmt.Errorf("%w: tolkyn.json is text messages, tolkyn is binary ones", wire.ErrBadFrame)

func isBadFrame(err error) bool {
	return errors.Is(err, wire.ErrBadFrame) || errors.Is(err, wire.ErrFrameTooLarge)
}

func (c *conn) kind() websocket.MessageType {
	if c.format == wire.JSON {
		return websocket.MessageText
	}
	return websocket.MessageBinary
}

// refuse answers a greeting that did not open a session.
func (c *conn) refuse(id uint64, e *wire.Error) {
	c.server.counters.failed(e.GetCode())
	c.push([]*wire.ServerFrame{wire.Reply(id, &wire.ServerFrame_Error{Error: e})})
}

// reject refuses and closes.
func (c *conn) reject(id uint64, e *wire.Error, code websocket.StatusCode) {
	c.refuse(id, e)
	c.finish(code, strings.ToLower(e.GetCode().String()))
}

// push hands frames to the writer. False when so many wait already that the client is not reading.
func (c *conn) push(frames []*wire.ServerFrame) bool {
	if len(frames) == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return true // nobody will read them
	}
	if len(c.outbox) >= maxOutbox {
		return false
	}
	c.outbox = append(c.outbox, frames...)
	c.notify()
	return true
}

// finish closes the connection once what waits has been written. The first one to say so decides on the code.
func (c *conn) finish(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.closing, c.code, c.reason = true, code, reason
	c.notify()
}

// displace closes the connection and forgets what waits: the newer one brings it.
func (c *conn) displace() {
	c.mu.Lock()
	c.outbox = nil
	c.mu.Unlock()
	c.finish(StatusDisplaced, "the session was resumed on another connection")
}

// depart ends the connection when the reader has: at once, unless a goodbye is due.
func (c *conn) depart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.cut()
	}
}

func (c *conn) notify() {
	select {
	case c.ready <- struct{}{}:
	default: // the writer has not taken the last token yet
	}
}

// write sends what waits, until the goodbye or the end of the connection.
func (c *conn) write() {
	defer close(c.done)
	defer c.cut()
	for {
		select {
		case <-c.ready:
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		frames := c.outbox
		c.outbox = nil
		closing, code, reason := c.closing, c.code, c.reason
		c.mu.Unlock()
		for _, frame := range frames {
			if !c.send(frame) {
				return
			}
		}
		if closing {
			c.goodbye(code, reason)
			return
		}
	}
}

func (c *conn) send(frame *wire.ServerFrame) bool {
	b, err := c.format.EncodeServer(frame)
	if err != nil {
		c.server.log.Error("frame cannot be sent", "error", err, "remote", c.remote)
		c.goodbye(websocket.StatusInternalError, "internal")
		return false
	}
	ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
	defer cancel()
	if err := c.ws.Write(ctx, c.kind(), b); err != nil {
		return false
	}
	c.server.counters.framesOut.Add(1)
	return true
}

// goodbye does the closing handshake. The library waits for the rest of a frame without a limit, so we hold the socket.
func (c *conn) goodbye(code websocket.StatusCode, reason string) {
	limit := time.AfterFunc(goodbyeTimeout, func() { _ = c.raw.Close() })
	defer limit.Stop()
	// Whether the client answers makes no difference to what follows.
	_ = c.ws.Close(code, reason)
}

// startPings pings every pingEvery until the timer is stopped.
func (c *conn) startPings() *time.Timer {
	var pinger *time.Timer
	armed := make(chan struct{})
	pinger = time.AfterFunc(pingEvery, func() {
		<-armed
		if c.ping() {
			pinger.Reset(pingEvery)
		}
	})
	close(armed)
	return pinger
}

// ping waits for the pong, and ends a connection that does not send it.
func (c *conn) ping() bool {
	if !c.server.enter() {
		return false
	}
	defer c.server.running.Done()
	ctx, cancel := context.WithTimeout(c.ctx, pongTimeout)
	defer cancel()
	if err := c.ws.Ping(ctx); err != nil {
		c.cut()
		return false
	}
	return true
}

// keep counts the connection among ours, unless there are far more than sessions could use.
func (s *Server) keep(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= 2*s.cfg.MaxSessions {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) drop(c *conn) {
	c.cut()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// allowsOrigin: browsers always say where a page comes from, so no Origin means that no browser is asking. The token is in
// Hello and never in a cookie: a foreign page could not use a visitor's rights anyway.
func (s *Server) allowsOrigin(r *http.Request) bool {
	if len(r.Header.Values("Origin")) == 0 || isOwnOrigin(r) {
		return true
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && len(r.Header.Values("Origin")) == 1 && s.origins[originKey(origin)]
}

// originKey compares origins as RFC 6454 section 5 does: scheme, host and port, the host without regard to case.
func originKey(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
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

// closeCode is what a browser's onclose sees after a Bye.
func closeCode(bye *wire.Bye) (websocket.StatusCode, string) {
	reason := strings.ToLower(bye.GetReason().String())
	switch bye.GetReason() {
	case wire.Bye_SHUTDOWN:
		return websocket.StatusGoingAway, reason
	case wire.Bye_PROTOCOL_ERROR:
		return websocket.StatusProtocolError, reason
	case wire.Bye_INTERNAL_ERROR:
		return websocket.StatusInternalError, reason
	}
	return websocket.StatusNormalClosure, reason
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
