package udp

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ListenShared binds a free port on all IPv4 addresses. Of cfg, Portable is not looked at.
func ListenShared(cfg Config) (*Shared, error) {
	s, err := openRaw(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), cfg.withDefaults(), true)
	if err != nil {
		return nil, fmt.Errorf("listen on all addresses: %w", err)
	}
	return &Shared{s}, nil
}

// WriteFrom is WriteTo from one of our addresses. Any goroutine.
func (s *Shared) WriteFrom(p []byte, from netip.Addr, to netip.AddrPort) (int, error) {
	return s.Socket.(*rawSocket).writeFrom(p, from, to)
}

func (s *rawSocket) writeFrom(p []byte, from netip.Addr, to netip.AddrPort) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, ErrClosed
	}
	var name unix.RawSockaddrInet6
	size, ok := s.putName(&name, to)
	if !ok || !from.Is4() {
		s.counters.sendError.Add(1)
		return 0, unix.EAFNOSUPPORT
	}
	var control sourceControl
	control.prepare()
	control.info.Spec_dst = from.As4()
	vector := unix.Iovec{Base: unsafe.SliceData(p)}
	vector.SetLen(len(p))
	m := message{header: unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&name)), Namelen: size, Iov: &vector, Control: (*byte)(unsafe.Pointer(&control)),
	}}
	m.header.SetIovlen(1)
	m.header.SetControllen(int(unsafe.Sizeof(control)))
	n, errno := sendmmsg(s.fd, unsafe.Slice(&m, 1))
	s.counters.sendCalls.Add(1)
	switch {
	case errno == 0 && n == 1:
		s.counters.sent(1, len(p))
		return len(p), nil
	case errno == unix.EAGAIN || errno == unix.ENOBUFS:
		s.counters.sendAgain.Add(1)
	default:
		s.counters.sendError.Add(1)
	}
	return 0, errno
}
