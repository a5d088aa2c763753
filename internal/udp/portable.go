package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// portableInbox is how many datagrams lie between the reader goroutine and the shard, beside the kernel's own buffer.
const portableInbox = 4096

// portableSocket is the form for systems other than Linux: a net.UDPConn and a goroutine that reads it into an Inbox.
type portableSocket struct {
	// Fixed after newPortable.
	conn   *net.UDPConn
	mover  mover
	local  netip.AddrPort
	inbox  *Inbox
	came   func() // may be nil
	reader sync.WaitGroup

	// Guarded by closing.
	closing sync.Mutex
	closed  bool

	// Atomic.
	counters counters
}

// mover carries datagrams between a net.UDPConn and the program: one a system call everywhere, many on Linux.
type mover interface {
	// read blocks for at least one datagram and hands each to put. Its data is valid during the call.
	read(put func(data []byte, from netip.AddrPort)) error
	// write sends the queue's datagrams in order and counts them.
	write(q *Queue, c *counters)
}

func listenPortable(addr netip.AddrPort, cfg Config) (Socket, error) {
	conn, err := listenConn(addr, cfg)
	if err != nil {
		return nil, err
	}
	return newPortable(conn, newMover(conn), nil), nil
}

func listenConn(addr netip.AddrPort, cfg Config) (*net.UDPConn, error) {
	network := "udp6"
	if addr.Addr().Is4() {
		network = "udp4"
	} else if addr.Addr().IsUnspecified() {
		network = "udp"
	}
	var how net.ListenConfig
	if cfg.ReusePort {
		how.Control = reusePort
	}
	packets, err := how.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen on udp %v: %w", addr, err)
	}
	conn := packets.(*net.UDPConn)
	// A system that allows less keeps its own size.
	_ = conn.SetReadBuffer(cfg.ReadBuffer)
	_ = conn.SetWriteBuffer(cfg.WriteBuffer)
	return conn, nil
}

// newPortable calls came, unless it is nil, after datagrams came.
func newPortable(conn *net.UDPConn, m mover, came func()) *portableSocket {
	local := unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	s := &portableSocket{conn: conn, mover: m, local: local, inbox: NewInbox(portableInbox), came: came}
	s.reader.Go(s.receive)
	return s
}

// receive is the reader goroutine: it ends with the connection.
func (s *portableSocket) receive() {
	for {
		err := s.mover.read(s.inbox.Put)
		s.counters.receiveCalls.Add(1)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error that came back
			s.counters.receiveError.Add(1)
		}
		if s.came != nil {
			s.came()
		}
	}
}

func (s *portableSocket) LocalAddr() netip.AddrPort        { return s.local }
func (s *portableSocket) Read(b *Batch) (int, error)       { return s.inbox.Read(b) }
func (s *portableSocket) Wait(timeout time.Duration) error { return s.inbox.Wait(timeout) }
func (s *portableSocket) Wake()                            { s.inbox.Wake() }

func (s *portableSocket) Flush(q *Queue) error {
	defer q.Reset()
	if s.isClosed() {
		return ErrClosed
	}
	s.mover.write(q, &s.counters)
	return nil
}

// portableSender is a writing half of a portableSocket for another goroutine: a mover that never reads.
type portableSender struct {
	socket *portableSocket
	mover  mover
}

func (s *portableSocket) sender() Sender { return &portableSender{s, newMover(s.conn)} }

func (w *portableSender) Flush(q *Queue) error {
	defer q.Reset()
	if w.socket.isClosed() {
		return ErrClosed
	}
	w.mover.write(q, &w.socket.counters)
	return nil
}

func (s *portableSocket) WriteTo(p []byte, to netip.AddrPort) (int, error) {
	if s.isClosed() {
		return 0, ErrClosed
	}
	n, err := s.conn.WriteToUDPAddrPort(p, to)
	s.counters.sendCalls.Add(1)
	if err != nil {
		s.counters.sendError.Add(1)
		if errors.Is(err, net.ErrClosed) {
			err = ErrClosed
		}
		return n, err
	}
	s.counters.sent(1, n)
	return n, nil
}

func (s *portableSocket) Stats() Stats {
	stats, in := s.counters.stats(), s.inbox.Stats()
	stats.ReceivedDatagrams, stats.ReceivedBytes = in.ReceivedDatagrams, in.ReceivedBytes
	stats.Overflow, stats.Truncated = in.Overflow, in.Truncated
	return stats
}

func (s *portableSocket) isClosed() bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	return s.closed
}

func (s *portableSocket) Close() error {
	s.closing.Lock()
	already := s.closed
	s.closed = true
	s.closing.Unlock()
	if already {
		return nil
	}
	s.inbox.Close()
	err := s.conn.Close()
	s.reader.Wait()
	return err
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
