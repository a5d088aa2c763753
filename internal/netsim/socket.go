package netsim

import (
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// inboxSize stands for a kernel's receive buffer, in datagrams.
const inboxSize = 4096

// memorySocket is the in-memory form of udp.Socket.
type memorySocket struct {
	*udp.Inbox // Read, Wait, Wake

	// Fixed after Host.Socket.
	host *Host
	port uint16

	// Atomic.
	closed                     atomic.Bool
	sent, sentBytes, sendError atomic.Uint64
}

func (s *memorySocket) LocalAddr() netip.AddrPort { return s.host.localAddr(s.port) }

func (s *memorySocket) receive(data []byte, from netip.AddrPort, ecn packet.ECN) {
	s.PutMarked(data, from, ecn)
}

// Flush is udp.Socket.Flush.
func (s *memorySocket) Flush(q *udp.Queue) error {
	defer q.Reset()
	if s.closed.Load() {
		return udp.ErrClosed
	}
	for head, data := range q.Datagrams() {
		_ = s.send(data, head.To, head.ECN) // counted
	}
	return nil
}

// WriteTo is udp.Socket.WriteTo.
func (s *memorySocket) WriteTo(p []byte, to netip.AddrPort) (int, error) {
	if s.closed.Load() {
		return 0, udp.ErrClosed
	}
	if err := s.send(p, to, packet.NotECT); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *memorySocket) send(p []byte, to netip.AddrPort, ecn packet.ECN) error {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if to.Port() == 0 || to.Addr().Is4() != s.host.Addr().Is4() {
		s.sendError.Add(1)
		return syscall.EINVAL
	}
	s.host.network.send(s.host, s.port, p, to, ecn)
	s.sent.Add(1)
	s.sentBytes.Add(uint64(len(p)))
	return nil
}

// Stats is udp.Socket.Stats.
func (s *memorySocket) Stats() udp.Stats {
	stats := s.Inbox.Stats()
	stats.SentDatagrams, stats.SentBytes, stats.SendError = s.sent.Load(), s.sentBytes.Load(), s.sendError.Load()
	return stats
}

// Close is udp.Socket.Close.
func (s *memorySocket) Close() error {
	if !s.closed.Swap(true) {
		s.host.closePort(s.port)
		s.Inbox.Close()
	}
	return nil
}
