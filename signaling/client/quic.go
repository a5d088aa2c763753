package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	alpn = "tolkyn/1"
	// quicIdle ends a connection that hears nothing; the server says the same.
	quicIdle = 30 * time.Second
	// probeWithin bounds the check of a new path; slower than this, a new connection is there first.
	probeWithin = time.Second
	// maxMoves of one connection: the library keeps a goroutine and a socket for each until the end; then a new connection.
	maxMoves = 8
	// closeWithin waits for the code after the end of the stream.
	closeWithin = time.Second
	// maxPings go out in one measurement, so that the library's queue of 32 never blocks.
	maxPings = 10
	// padding bytes make the smallest packet longer than a stateless reset; the field's number is the last one.
	padding, paddingField = 24, protowire.MaxValidNumber
)

// Application error codes of QUIC, as the close codes of docs/protocol.md.
const (
	codeDone      quic.ApplicationErrorCode = 1000
	codeDisplaced quic.ApplicationErrorCode = 4001
)

// quicConn is the control stream of a raw QUIC connection. Its socket may change under way.
type quicConn struct {
	// Fixed after dialQUIC.
	conn   *quic.Conn
	early  bool // the first frame goes out before the handshake
	server *net.UDPAddr
	listen ListenPacket
	turn   chan struct{} // holds one token while nobody writes
	ended  chan struct{} // closed by close

	// Fixed after greet.
	stream *quic.Stream
	frames *wire.StreamReader

	// Atomic.
	lastPing atomic.Uint64
	answers  atomic.Bool // a datagram was answered once

	// Guarded by mu.
	mu     sync.Mutex
	paths  []path        // the last one is in use
	still  chan struct{} // closed when a move is over; nil while there is none
	ahead  netip.Addr    // where the move leads to
	closed bool
}

// path is a socket and what the library keeps for it. Closing the library's part closes the connection, also when it has
// moved on long ago.
type path struct {
	socket    *socket
	transport *quic.Transport
	checked   *quic.Path // nil for the first one
}

func (p path) close() {
	// Errors of a socket that is of no use any more.
	_ = p.socket.Close()
	_ = p.transport.Close()
}

// newTransport is the library's part of a path. Packets to us carry no connection id, each socket has one connection only:
// the server would use one up at each new address of ours, and get none back.
func newTransport(s *socket) *quic.Transport {
	return &quic.Transport{Conn: s, ConnectionIDGenerator: noConnectionID{}}
}

type noConnectionID struct{}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (noConnectionID) GenerateConnectionID() (quic.ConnectionID, error) {
	return quic.ConnectionID{}, nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (noConnectionID) ConnectionIDLen() int { return 0 }

// dialQUIC opens a connection from an open socket, which it takes over. With a ticket from an earlier one it returns at
// once, else when the handshake is complete.
func dialQUIC(ctx context.Context, from net.PacketConn, server *net.UDPAddr, listen ListenPacket, config *tls.Config, tokens quic.TokenStore) (*quicConn, error) {
	s := newSocket(from, nil, nil)
	p := path{socket: s, transport: newTransport(s)}
	conn, err := p.transport.DialEarly(ctx, server, config, &quic.Config{
		MaxIdleTimeout: quicIdle, TokenStore: tokens, EnableDatagrams: true,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1, // the server opens none
	})
	if err != nil {
		p.close()
		return nil, err
	}
	c := &quicConn{
		conn: conn, server: server, listen: listen, paths: []path{p},
		turn: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	c.turn <- struct{}{}
	c.early = !c.confirmed()
	return c, nil
}

func (c *quicConn) confirmed() bool {
	select {
	case <-c.conn.HandshakeComplete():
		return true
	default:
		return false
	}
}

// greet sends the first frame and returns when the handshake is complete: until then the server can still be told to forget
// it, by closing. A server that has refused early data is sent it again.
func (c *quicConn) greet(ctx context.Context, first *wire.ClientFrame) error {
	err := c.start(ctx, first)
	if err != nil && !errors.Is(err, quic.Err0RTTRejected) {
		return err
	}
	select {
	case <-c.conn.HandshakeComplete():
	case <-c.conn.Context().Done():
		return context.Cause(c.conn.Context())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !c.early || c.conn.ConnectionState().Used0RTT {
		return err
	}
	if _, err := c.conn.NextConnection(ctx); err != nil { // the same connection, its streams made new
		return err
	}
	return c.start(ctx, first)
}

func (c *quicConn) start(ctx context.Context, first *wire.ClientFrame) (err error) {
	if c.stream, err = c.conn.OpenStream(); err != nil {
		return err
	}
	c.frames = wire.NewStreamReader(c.stream, wire.MaxServerFrame)
	return c.write(ctx, first)
}

func (c *quicConn) transport() Transport { return QUIC }

func (c *quicConn) read(ctx context.Context) (*wire.ServerFrame, error) {
	defer context.AfterFunc(ctx, c.close)()
	b, err := c.frames.Next()
	if err != nil {
		return nil, c.cause(err)
	}
	return wire.Binary.DecodeServer(b)
}

// cause finds the reason behind the end of the stream.
func (c *quicConn) cause(err error) error {
	if errors.Is(err, io.EOF) {
		wait := time.NewTimer(closeWithin)
		defer wait.Stop()
		select {
		case <-c.conn.Context().Done():
			err = context.Cause(c.conn.Context())
		case <-wait.C:
		}
	}
	if told := new(quic.ApplicationError); errors.As(err, &told) && told.Remote && told.ErrorCode == codeDisplaced {
		return errDisplaced
	}
	return err
}

func (c *quicConn) write(ctx context.Context, f *wire.ClientFrame) error {
	b, err := wire.Binary.EncodeClient(f)
	if err != nil {
		return err
	}
	select {
	case <-c.turn:
	case <-c.ended:
		return net.ErrClosed
	case <-ctx.Done():
		c.close()
		return ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if err := c.wait(ctx, f); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.close)()
	_, err = c.stream.Write(wire.AppendFrame(nil, pad(b)))
	return err
}

// wait holds a frame back during a move, and one that must not be done twice until the handshake is complete: early data can
// be recorded and sent again by others.
func (c *quicConn) wait(ctx context.Context, f *wire.ClientFrame) error {
	c.mu.Lock()
	moving := c.still
	c.mu.Unlock()
	for _, ready := range []<-chan struct{}{moving, lateEnough(c, f)} {
		if ready == nil {
			continue
		}
		select {
		case <-ready:
		case <-c.ended:
			return net.ErrClosed
		case <-ctx.Done():
			c.close()
			return ctx.Err()
		}
	}
	return nil
}

func lateEnough(c *quicConn, f *wire.ClientFrame) <-chan struct{} {
	switch f.GetMessage().(type) {
	case *wire.ClientFrame_Hello, *wire.ClientFrame_Resume, *wire.ClientFrame_Ping:
		return nil
	}
	return c.conn.HandshakeComplete()
}

// measure sends Pings as datagrams, which nothing that is lost can hold up, until one is answered. A server or a path that has
// never answered one says nothing by its silence.
func (c *quicConn) measure(ctx context.Context, again time.Duration) (rtt time.Duration, ok, silent bool) {
	sent := map[uint64]time.Time{}
	for range maxPings {
		id, now := c.lastPing.Add(1), time.Now()
		b, err := wire.Binary.EncodeClient(&wire.ClientFrame{Id: id, Message: &wire.ClientFrame_Ping{
			Ping: &wire.Ping{ClientTimeMs: now.UnixMilli()},
		}})
		if err != nil || c.conn.SendDatagram(pad(b)) != nil {
			return 0, false, false
		}
		sent[id] = now
		if !c.answers.Load() {
			again = silenceLimit
		}
		if start, ok := c.pong(ctx, again, sent); ok {
			c.answers.Store(true)
			return time.Since(start), true, false
		}
		if ctx.Err() != nil {
			break
		}
		if !c.answers.Load() {
			return 0, false, false
		}
	}
	return 0, false, c.answers.Load()
}

// pad adds to a small frame a field that nobody knows. A server that has forgotten the connection answers what is shorter than a reset with
// nothing (RFC 9000, section 10.3.3).
func pad(b []byte) []byte {
	if len(b) >= padding {
		return b
	}
	b = protowire.AppendTag(b, paddingField, protowire.BytesType)
	return protowire.AppendBytes(b, make([]byte, padding))
}

// pong waits a while for the answer to one of the Pings and returns when that was sent.
func (c *quicConn) pong(ctx context.Context, limit time.Duration, sent map[uint64]time.Time) (time.Time, bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		b, err := c.conn.ReceiveDatagram(ctx)
		if err != nil {
			return time.Time{}, false
		}
		f, err := wire.Binary.DecodeServer(b)
		if err != nil || f.GetPong() == nil {
			continue // a hint that this version does not know
		}
		if start, ok := sent[f.GetId()]; ok {
			return start, true
		}
	}
}

// move takes the connection to a new socket: the application writes nothing meanwhile, because the library checks no path
// while it has more under way than the old one lets through. False: open another connection.
func (c *quicConn) move(ctx context.Context) bool {
	moving := make(chan struct{})
	c.mu.Lock()
	if c.closed || len(c.paths) > maxMoves {
		c.mu.Unlock()
		return false
	}
	c.still = moving
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.still, c.ahead = nil, netip.Addr{}
		c.mu.Unlock()
		close(moving)
	}()
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	from, err := c.listen(ctx, c.server)
	if err != nil {
		return false
	}
	s := newSocket(from, c.paths[0].socket, c.paths[len(c.paths)-1].socket) // only this goroutine appends
	c.mu.Lock()
	c.ahead = addrOf(s)
	c.mu.Unlock()
	next := path{socket: s, transport: newTransport(s)}
	if !c.switchTo(ctx, &next) {
		// The connection goes with it, but nobody wants that one any more.
		c.close()
		next.close()
		return false
	}
	c.mu.Lock()
	closed := c.closed
	if !closed {
		before := c.paths[len(c.paths)-1]
		before.socket.leave()
		if before.checked != nil {
			// Gives its connection id back; fails only for the path in use.
			_ = before.checked.Close()
		}
		c.paths = append(c.paths, next)
	}
	c.mu.Unlock()
	if closed {
		next.close()
	}
	return !closed
}

func (c *quicConn) switchTo(ctx context.Context, next *path) bool {
	if !c.confirmed() {
		return false
	}
	var err error
	next.checked, err = c.conn.AddPath(next.transport)
	return err == nil && next.checked.Probe(ctx) == nil && next.checked.Switch() == nil
}

// leavesFrom tells whether this address of ours is the one the connection uses, or is moving to.
func (c *quicConn) leavesFrom(here netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead == here || addrOf(c.paths[len(c.paths)-1].socket) == here
}

func (c *quicConn) close() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !first {
		<-c.ended
		return
	}
	// It is over whatever the library says.
	_ = c.conn.CloseWithError(codeDone, "")
	for _, p := range c.paths {
		p.close()
	}
	close(c.ended)
}

// trust returns how the certificate of a server is checked: by the hashes it named over another connection, else by the
// roots. A resumed connection is trusted for the one that gave the ticket.
func trust(host string, hashes [][]byte, base *tls.Config) *tls.Config {
	config := base.Clone()
	config.ServerName, config.NextProtos, config.MinVersion = host, []string{alpn}, tls.VersionTLS13
	if len(hashes) == 0 {
		return config
	}
	config.InsecureSkipVerify = true // VerifyConnection looks
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if state.DidResume {
			return nil
		}
		shown := sha256.Sum256(state.PeerCertificates[0].Raw)
		if slices.ContainsFunc(hashes, func(known []byte) bool { return slices.Equal(known, shown[:]) }) {
			return nil
		}
		return fmt.Errorf("the server shows a certificate (SHA-256 %x) that it has not named", shown)
	}
	return config
}
