package shard

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/framed"
)

const (
	// maxTCPConns bounds the ICE-TCP connections of a shard, proved or not.
	maxTCPConns = 4096
	// maxStrangers bounds those of one address that no check has proved yet: a few clients behind one NAT connect at once,
	// each with two connections, and one address must not take all places.
	maxStrangers = 64
	// tcpProof is how long a connection may stay without an authenticated check.
	tcpProof = 5 * time.Second
)

// tcpConns are the ICE-TCP connections of a shard (RFC 6544, framing of RFC 4571). Two goroutines each.
type tcpConns struct {
	shard    *Shard
	listener net.Listener
	wg       sync.WaitGroup

	// Atomic.
	stale atomic.Uint64 // frames dropped because they had waited too long

	// Guarded by mu.
	mu        sync.Mutex
	conns     map[netip.AddrPort]*tcpConn
	strangers map[netip.Prefix]int // connections not proved yet, by network
	closed    bool
}

// tcpConn is one ICE-TCP connection.
type tcpConn struct {
	transport
	conn   net.Conn
	remote netip.AddrPort
	out    *framed.Writer // what waited for 100 ms is late for any ear, and is dropped
	proved atomic.Bool    // an authenticated check came through, or the connection ended: it is no stranger any more
}

// path is the way that the connection is.
func (c *tcpConn) path() path { return path{c.remote, &c.transport} }

func newTCPConns(s *Shard, l net.Listener) *tcpConns {
	t := &tcpConns{shard: s, listener: l, conns: map[netip.AddrPort]*tcpConn{}, strangers: map[netip.Prefix]int{}}
	t.wg.Go(t.accept)
	return t
}

func (t *tcpConns) accept() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select { // out of file descriptors: let some connections end
			case <-t.shard.done:
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		t.add(conn)
	}
}

func (t *tcpConns) add(conn net.Conn) {
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		conn.Close()
		return
	}
	c := &tcpConn{
		conn: conn, out: framed.NewWriter(conn, &t.stale),
		remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
	}
	c.tcp, c.stream = c, true
	if !t.enter(c) {
		conn.Close()
		return
	}
	stop := make(chan struct{})
	t.wg.Go(func() {
		if c.out.Run(stop) != nil {
			conn.Close()
		}
	})
	t.wg.Go(func() {
		c.read(t.shard)
		close(stop)
		conn.Close()
		if !c.proved.Swap(true) {
			t.leave(c)
		}
		t.mu.Lock()
		delete(t.conns, c.remote)
		t.mu.Unlock()
		t.shard.Post(tcpClosed{c})
	})
}

// enter counts a new connection, a stranger so far; false when there is no room for it.
func (t *tcpConns) enter(c *tcpConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.conns) >= maxTCPConns || t.strangers[c.network()] >= maxStrangers {
		return false
	}
	t.conns[c.remote] = c
	t.strangers[c.network()]++
	return true
}

// leave counts one stranger less. Called once for each connection.
func (t *tcpConns) leave(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.strangers[c.network()]--; t.strangers[c.network()] == 0 {
		delete(t.strangers, c.network())
	}
}

// network is what one client has for itself: an IPv4 address, or the 64 bits of an IPv6 one that a site is given.
func (c *tcpConn) network() netip.Prefix {
	bits := 64
	if c.remote.Addr().Is4() {
		bits = 32
	}
	network, _ := c.remote.Addr().Prefix(bits)
	return network
}

func (t *tcpConns) close() {
	t.listener.Close()
	t.mu.Lock()
	t.closed = true
	for _, c := range t.conns {
		c.conn.Close()
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// read takes frames off the stream and hands them to the loop; it ends with the connection or at the first frame that
// breaks the framing.
func (c *tcpConn) read(s *Shard) {
	r := bufio.NewReaderSize(c.conn, 4096)
	proof := time.AfterFunc(tcpProof, func() {
		if !c.proved.Load() {
			c.conn.Close()
		}
	})
	defer proof.Stop()
	for frame := make([]byte, framed.MaxFrame); ; {
		n, err := framed.Read(r, frame)
		if err != nil || !s.Post(tcpReceived{c, bytes.Clone(frame[:n])}) {
			return
		}
	}
}

type tcpReceived struct {
	conn *tcpConn
	b    []byte
}

func (m tcpReceived) apply(s *Shard, now time.Duration) {
	s.handle(now, m.b, m.conn.path())
	if m.conn.peer != nil && !m.conn.proved.Swap(true) {
		s.tcp.leave(m.conn)
	}
}

type tcpClosed struct{ conn *tcpConn }

func (m tcpClosed) apply(s *Shard, _ time.Duration) {
	if p := m.conn.peer; p != nil {
		s.disallow(p, m.conn.path())
	}
}

// WriteTo sends one handshake datagram now.
func (s *Shard) WriteTo(b []byte, to netip.AddrPort) (int, error) { return s.sock.WriteTo(b, to) }
