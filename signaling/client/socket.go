package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// drainFor is how long the socket of a path that was left still hears what was under way to it.
const drainFor = 3 * time.Second

// Sizes in bytes of what may be a stateless reset (RFC 9000, section 10.3), and how many wait to be looked at.
const (
	minReset, maxReset = 21, 64
	maxShown           = 16
)

// ListenPacket opens the socket under a QUIC connection or a new path of one; server is where its packets go. The SDK closes
// what it returns.
type ListenPacket func(ctx context.Context, server *net.UDPAddr) (net.PacketConn, error)

// connectedUDP is a socket that knows one server: the system binds it to the address that leads there, and says so when
// nobody listens, which a socket that is not connected never hears.
type connectedUDP struct{ net.Conn }

func dialUDP(ctx context.Context, server *net.UDPAddr) (net.PacketConn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	return connectedUDP{c}, nil
}

// ReadFrom implements net.PacketConn.
func (c connectedUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (c connectedUDP) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

// socket is a packet socket as the QUIC library may see it: the library gives a connection up at the first error of any of
// its sockets, also of one that it has left for a better path.
type socket struct {
	net.PacketConn

	first  *socket       // of the connection; nil when it is this one
	before *socket       // whose place it takes; nil for the first one
	shown  chan []byte   // what came in on a later one and may be a reset
	ended  chan struct{} // closed by Close

	// Guarded by mu.
	mu     sync.Mutex
	drain  *time.Timer
	closed bool

	// Atomic.
	left      atomic.Bool            // for another path: its errors concern nobody
	successor atomic.Pointer[socket] // once that has heard of the server: what goes out here goes out there too
}

// newSocket wraps the first socket of a connection, or a later one, which takes over from before.
func newSocket(c net.PacketConn, first, before *socket) *socket {
	return &socket{
		PacketConn: c, first: first, before: before, shown: make(chan []byte, maxShown), ended: make(chan struct{}),
	}
}

// SetReadBuffer and SetWriteBuffer do nothing: the system's own size is far more than signaling fills.
func (s *socket) SetReadBuffer(int) error { return nil }

// SetWriteBuffer as SetReadBuffer.
func (s *socket) SetWriteBuffer(int) error { return nil }

// ReadFrom implements net.PacketConn.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(b)
	if err == nil || !s.left.Load() {
		s.show(b[:n])
		s.succeed(err)
		return n, from, err
	}
	select {
	case packet := <-s.shown:
		return copy(b, packet), s.LocalAddr(), nil // nobody looks where a reset comes from
	case <-s.ended:
		return 0, nil, net.ErrClosed
	}
}

// show hands what may be a stateless reset on: the library knows its tokens only where the connection began.
func (s *socket) show(packet []byte) {
	if s.first == nil || len(packet) < minReset || len(packet) > maxReset || packet[0]&0xc0 != 0x40 {
		return
	}
	select {
	case s.first.shown <- slices.Clone(packet):
	default: // while the first socket still drains nobody takes them
	}
}

// succeed has what goes out by the socket before go out here too, from the first packet that comes in here on. That packet holds
// the server's own check of the path. The answer belongs on the path it asks about (RFC 9000, section 8.2.2), but the library
// sends it where it sends everything else, once; where that is dead, the server asks again after 100 ms or more, and stays with
// the old address until then. Nobody sees more by it: the library keeps its connection id on the new path anyway.
func (s *socket) succeed(err error) {
	if err == nil && s.before != nil && s.before.successor.Load() == nil {
		s.before.successor.Store(s)
	}
}

// WriteTo implements net.PacketConn. What the system does not take (no route, no memory, a firewall) is a lost packet: the
// network may be back before the connection needs it.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	if next := s.successor.Load(); next != nil {
		// The library's own packets on that path show whether it works.
		_, _ = next.PacketConn.WriteTo(b, to)
	}
	n, err := s.PacketConn.WriteTo(b, to)
	switch {
	case err == nil:
		return n, nil
	case s.left.Load():
		return len(b), nil
	case errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EMSGSIZE):
		return n, err
	}
	return len(b), nil
}

// leave lets the socket hear what is still under way, then closes it. The library believes it open.
func (s *socket) leave() {
	s.left.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		// Closing twice is an error that nobody needs.
		s.drain = time.AfterFunc(drainFor, func() { _ = s.PacketConn.Close() })
	}
}

// Close implements net.PacketConn. Idempotent.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.ended)
	if s.drain != nil && !s.drain.Stop() {
		return nil
	}
	return s.PacketConn.Close()
}
