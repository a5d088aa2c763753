package signaling

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// The way of a frame through a connection, from top to bottom: serve, greet, read, session, push, flush. One goroutine
// reads for as long as the connection lives. Another writes while something waits, and ends: thousands of idle sessions
// cost one goroutine each.
const (
	// maxOutbox frames wait for the client to read. A client that lets so many pile up is cut off; it resumes when it can.
	maxOutbox = 256
	// maxHeld frames of answers wait while the reader takes what has arrived already: they share packets.
	maxHeld = 64
	// greetTimeout is for a first frame that opens a session: who connects knows already what to say.
	greetTimeout = 10 * time.Second
	// maxGreetings that fail or only ping, before a connection without a session is closed.
	maxGreetings = 8
	// writeTimeout for one frame: on a path that moves 64 KiB slower than this no call is possible.
	writeTimeout = 10 * time.Second
	// goodbyeTimeout bounds the end of a connection, whatever the client sends or does not send.
	goodbyeTimeout = 5 * time.Second
)

// StatusDisplaced closes a connection whose session was resumed on a newer one: do not reconnect.
const StatusDisplaced websocket.StatusCode = 4001

// way is how a connection has come.
type way uint8

const (
	byWebSocket way = iota
	byQUIC
	byWebTransport
	ways // how many there are
)

func (w way) String() string { return [...]string{"websocket", "quic", "webtransport"}[w] }

// port is a transport as a connection needs it. next, more and until belong to the reader; send and goodbye to whoever
// writes, one at a time.
type port interface {
	// open waits until frames can be read.
	open() error
	// wait returns when there may be a frame, or an error of the transport.
	wait() error
	// next reads one frame. Errors: of the transport, or those of package wire.
	next() (*wire.ClientFrame, error)
	// more tells that next would not wait.
	more() bool
	// until bounds the reading; the zero time takes the bound away.
	until(t time.Time)
	// send writes frames. Errors: of the transport, or those of package wire for a frame that cannot be sent.
	send(frames []*wire.ServerFrame) error
	// goodbye ends the connection once the client has read what was sent; it takes at most about goodbyeTimeout.
	goodbye(code websocket.StatusCode, reason string)
	// cut ends the connection at once: reading and writing fail. It does not wait, and any goroutine may call it.
	cut()
	// close cuts, and waits until nothing of the connection is left.
	close()
	// proved is closed once the client has shown that it is no recording of an earlier one; nil: it has from the start.
	proved() <-chan struct{}
	// over is closed at the end of the transport; only where proved is not nil.
	over() <-chan struct{}
	// attend starts what goes on beside the frames for as long as a session is on the connection.
	attend()
	// sweep stops what the client has begun and nobody asked for.
	sweep()
	// remote is where the client is now.
	remote() netip.AddrPort
}

// conn is one connection, by whichever way.
type conn struct {
	// Fixed after accept.
	id     uint64
	server *Server
	port   port
	way    way
	format wire.Format
	client netip.Addr // where a trusted proxy says that it comes from; else invalid
	host   string     // whom the client has asked for, perhaps with a port; empty: it did not say

	// Owned by the reader.
	seat   *seat         // the session on this connection
	proof  chan struct{} // closed when an early greeting has been settled; nil: there was none
	before time.Duration // since when a session that was resumed early had been without a connection

	// Guarded by mu.
	mu      sync.Mutex
	outbox  []*wire.ServerFrame
	writing bool          // a goroutine is in flush
	idle    chan struct{} // closed when it ends; made by who waits for that
	held    bool          // the reader will flush
	closing bool          // after outbox: say goodbye
	left    bool          // nobody writes any more
	code    websocket.StatusCode
	reason  string

	// Atomic.
	seated atomic.Bool // a session is on this connection; for Stats
}

// serve is the life of the connection. An idle one waits in read, with little on its stack: what is used of it decides
// whether the collector can halve it.
func (c *conn) serve() {
	defer c.leave()
	if c.enter() {
		c.read()
	}
}

// leave is the end of the connection. A panic ends this one and no other.
func (c *conn) leave() {
	if p := recover(); p != nil {
		c.server.panicked(p)
		c.port.cut()
	}
	if c.seat != nil {
		c.server.drive(c.seat, c.lost())
	}
	c.depart()
	c.port.close()
	if c.proof != nil {
		<-c.proof
	}
	c.server.drop(c)
}

// enter puts a session on the connection; false when there will be none.
func (c *conn) enter() bool {
	c.port.until(time.Now().Add(greetTimeout))
	if c.port.open() != nil || !c.greet() {
		return false
	}
	if c.proof == nil {
		c.seated.Store(true)
	}
	c.port.until(time.Time{})
	c.port.attend()
	return true
}

// greet reads until a session is on this connection; false when none will be.
func (c *conn) greet() bool {
	for range maxGreetings {
		frame, err := c.next()
		if err != nil {
			if isBadFrame(err) {
				c.reject(0, frameError(err), websocket.StatusProtocolError)
			}
			return false
		}
		id := frame.GetId()
		switch m := frame.GetMessage().(type) {
		case *wire.ClientFrame_Ping:
			c.countEarly()
			c.push([]*wire.ServerFrame{pong(id, m.Ping, time.Now())})
		case *wire.ClientFrame_Hello:
			return c.hello(id, m.Hello)
		case *wire.ClientFrame_Resume:
			if c.server.resume(c, id, m.Resume) {
				return c.seat != nil
			}
			if !c.mayGreet(id, "resume") {
				return false
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
			return false
		}
	}
	c.reject(0, &wire.Error{
		Code: wire.Error_PROTOCOL, Fatal: true, Message: "hello: did not come",
	}, websocket.StatusPolicyViolation)
	return false
}

func (c *conn) hello(id uint64, m *wire.Hello) bool {
	if len(m.GetClient()) > maxName {
		c.reject(id, &wire.Error{
			Code: wire.Error_PROTOCOL, Fatal: true, Message: "hello.client: at most 128 bytes",
		}, websocket.StatusPolicyViolation)
		return false
	}
	if !c.mayGreet(id, "hello") {
		return false
	}
	grants, err := c.server.cfg.Verifier.Verify(m.GetToken(), time.Now())
	if err != nil {
		c.reject(id, &wire.Error{
			Code: wire.Error_UNAUTHORIZED, Fatal: true, Message: "hello.token: " + shorten(err.Error()),
		}, websocket.StatusPolicyViolation)
		return false
	}
	if full := c.server.open(c, id, grants); full != nil {
		c.reject(id, full, websocket.StatusTryAgainLater)
		return false
	}
	c.seat.log().Debug("client", "software", m.GetClient(), "format", c.format.String(), "transport", c.way.String())
	return true
}

// mayGreet bounds what strangers make us check.
func (c *conn) mayGreet(id uint64, what string) bool {
	from := c.client
	if !from.IsValid() {
		from = c.port.remote().Addr()
	}
	wait := c.server.addresses.take(time.Now(), from)
	if wait > 0 {
		c.reject(id, &wire.Error{
			Code: wire.Error_RATE, Fatal: true, RetryAfterMs: milliseconds(wait),
			Message: what + ": too many from this address",
		}, websocket.StatusTryAgainLater)
	}
	return wait == 0
}

// read feeds the session until the connection ends or brings something that is no frame. Answers to frames that have
// arrived together leave together.
func (c *conn) read() {
	held := 0
	for {
		if !c.port.more() && c.port.wait() != nil {
			return
		}
		var ok bool
		if held, ok = c.readOne(held); !ok {
			return
		}
	}
}

// readOne feeds the session with one frame. Of answers to frames before it, so many are held back.
func (c *conn) readOne(held int) (int, bool) {
	frame, err := c.next()
	if isBadFrame(err) {
		c.server.drive(c.seat, garbled{conn: c.id, err: err})
		return 0, false
	}
	if err != nil {
		return 0, false
	}
	if c.proof != nil && !mayComeEarly(frame) && !isClosed(c.proof) {
		c.letGo()
		held = 0
		<-c.proof
	}
	more := c.port.more()
	if more && held == 0 {
		c.hold()
	}
	if more || held > 0 {
		held++
	}
	request := c.seat.step(received{conn: c.id, frame: frame})
	switch {
	case held == 0:
	case request != nil:
		c.letGo()
		held = 0
	case !more || held == maxHeld:
		c.writeHeld()
		held = 0
	}
	c.server.carryOut(c.seat, request)
	return held, true
}

// next reads one frame.
func (c *conn) next() (*wire.ClientFrame, error) {
	frame, err := c.port.next()
	if err == nil || isBadFrame(err) {
		c.server.counters.framesIn.Add(1)
	}
	return frame, err
}

func isBadFrame(err error) bool {
	return errors.Is(err, wire.ErrBadFrame) || errors.Is(err, wire.ErrFrameTooLarge)
}

func pong(id uint64, ping *wire.Ping, now time.Time) *wire.ServerFrame {
	return wire.Reply(id, &wire.ServerFrame_Pong{Pong: &wire.Pong{
		ClientTimeMs: ping.GetClientTimeMs(), ServerTimeMs: now.UnixMilli(),
	}})
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
	if c.closing || c.left {
		return true // nobody will read them
	}
	if len(c.outbox) >= maxOutbox {
		return false
	}
	c.outbox = append(c.outbox, frames...)
	c.wake()
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
	c.wake()
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
		c.port.cut()
	}
	c.quiet()
	c.left = true
}

// hold keeps answers back until writeHeld or letGo.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// letGo leaves to a writer what was held.
func (c *conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	if len(c.outbox) > 0 {
		c.wake()
	}
}

// writeHeld writes what was held in the reader's own goroutine: a client that sends faster than it reads waits for itself.
func (c *conn) writeHeld() {
	c.mu.Lock()
	c.quiet()
	c.held = false
	if c.left || len(c.outbox) == 0 {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.mu.Unlock()
	c.flush()
}

// wake starts a writer, unless somebody writes or is about to. mu is held.
func (c *conn) wake() {
	if c.writing || c.left || c.held && !c.closing {
		return
	}
	c.writing = true
	go c.flush()
}

// quiet waits until nobody writes. mu is held before and after.
func (c *conn) quiet() {
	for c.writing {
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
}

// flush sends what waits, and the goodbye after it. Who calls it has set writing.
func (c *conn) flush() {
	defer func() {
		if p := recover(); p != nil {
			c.server.panicked(p)
			c.giveUp()
		}
	}()
	for {
		c.mu.Lock()
		frames := c.outbox
		c.outbox = nil
		closing, code, reason := c.closing, c.code, c.reason
		if len(frames) == 0 && !closing {
			c.stop()
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		sent := len(frames) == 0 || c.send(frames)
		if sent && !closing {
			continue
		}
		if sent {
			c.port.goodbye(code, reason)
		}
		c.giveUp()
		return
	}
}

// giveUp is the end of flush when nothing more can be sent.
func (c *conn) giveUp() {
	c.port.cut()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	c.stop()
}

// stop is the end of flush. mu is held.
func (c *conn) stop() {
	c.writing = false
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

func (c *conn) send(frames []*wire.ServerFrame) bool {
	err := c.port.send(frames)
	if isBadFrame(err) {
		c.server.log.Error("frame cannot be sent", "error", err, "remote", c.port.remote().String())
		c.port.goodbye(websocket.StatusInternalError, "internal")
	}
	if err != nil {
		return false
	}
	c.server.counters.framesOut.Add(uint64(len(frames)))
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
	s.counters.accepted[c.way].Add(1)
	return true
}

func (s *Server) allConns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

func (s *Server) drop(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// refusalCode is what a connection is closed with that there is no room for.
func (s *Server) refusalCode() websocket.StatusCode {
	if s.accepting.Err() != nil {
		return websocket.StatusGoingAway
	}
	return websocket.StatusTryAgainLater
}

// closeCode is what the transport says after a Bye: a browser's onclose, or the error of a QUIC connection.
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
