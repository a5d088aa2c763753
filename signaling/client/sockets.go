package client

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
)

// injected bounds the packets over TCP that pion has not read yet.
const injected = 512

// mediaSocket is a UDP socket of pion's with a detour beneath.
type mediaSocket struct {
	net.PacketConn

	udp    *net.UDPConn // the same, where it is one: its addresses cost no memory
	detour *detour

	// Guarded by mu.
	mu     sync.Mutex
	queue  []packetFrom
	kicked bool
}

type packetFrom struct {
	b    []byte
	from netip.AddrPort
}

func (d *detour) wrap(under net.PacketConn) *mediaSocket {
	s := &mediaSocket{PacketConn: under, detour: d}
	s.udp, _ = under.(*net.UDPConn)
	return s
}

// ReadFromAddrPort is what pion prefers to ReadFrom.
func (s *mediaSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		if n, from, ok := s.take(b); ok {
			return n, from, nil
		}
		n, from, err := s.read(b)
		switch {
		case err != nil && errors.Is(err, os.ErrDeadlineExceeded) && s.wasKicked():
		case err != nil:
			return n, from, err
		case s.detour.arrived(s, b[:n], from):
			return n, from, nil
		}
	}
}

// ReadFrom implements net.PacketConn.
func (s *mediaSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromAddrPort(b)
	if !from.IsValid() {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), err
}

// WriteToAddrPort is what pion prefers to WriteTo.
func (s *mediaSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = unmap(to)
	if s.detour.takes(s, b, to) {
		return len(b), nil
	}
	return s.write(b, to)
}

// WriteTo implements net.PacketConn.
func (s *mediaSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	if addr, ok := to.(*net.UDPAddr); ok {
		return s.WriteToAddrPort(b, addr.AddrPort())
	}
	return s.PacketConn.WriteTo(b, to)
}

func (s *mediaSocket) read(b []byte) (int, netip.AddrPort, error) {
	if s.udp != nil {
		n, from, err := s.udp.ReadFromUDPAddrPort(b)
		if err == nil {
			countUDP(&s.detour.volume.received, n, from)
		}
		return n, unmap(from), err
	}
	n, addr, err := s.PacketConn.ReadFrom(b)
	from, _ := addr.(*net.UDPAddr)
	if from == nil {
		return n, netip.AddrPort{}, err
	}
	if err == nil {
		countUDP(&s.detour.volume.received, n, from.AddrPort())
	}
	return n, unmap(from.AddrPort()), err
}

func (s *mediaSocket) write(b []byte, to netip.AddrPort) (int, error) {
	countUDP(&s.detour.volume.sent, len(b), to)
	if s.udp != nil {
		return s.udp.WriteToUDPAddrPort(b, to)
	}
	return s.PacketConn.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// volume counts what media's UDP packets take of somebody's data volume, headers included.
type volume struct{ sent, received atomic.Uint64 }

// countUDP adds a packet of so many bytes from or to an address.
func countUDP(sum *atomic.Uint64, n int, peer netip.AddrPort) {
	headers := 20 + 8 // IPv4, UDP
	if peer.Addr().Is6() && !peer.Addr().Is4In6() {
		headers = 40 + 8
	}
	sum.Add(uint64(n + headers))
}

// inject has pion read a packet as if it had come over the socket.
func (s *mediaSocket) inject(b []byte, from netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == injected {
		return // lost, as by a socket whose buffer is full
	}
	s.queue = append(s.queue, packetFrom{append([]byte(nil), b...), from})
	s.kicked = true
	_ = s.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; that of a closed socket has ended
}

// wasKicked says whether it is us who woke the reader, who may sleep again.
func (s *mediaSocket) wasKicked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.kicked
	if was {
		s.kicked = false
		_ = s.SetReadDeadline(time.Time{})
	}
	return was
}

func (s *mediaSocket) take(b []byte) (int, netip.AddrPort, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return 0, netip.AddrPort{}, false
	}
	p := s.queue[0]
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return copy(b, p.b), p.from, true
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// beneath puts the detour under what pion opens: one socket of listen's, whose mux is the caller's to close, or those of the
// machine.
func (d *detour) beneath(settings *webrtc.SettingEngine, listen func() (net.PacketConn, error)) (ice.UDPMux, error) {
	if listen == nil {
		machine, err := stdnet.NewNet()
		if err == nil { // else pion says what is wrong with it
			settings.SetNet(sockets{machine, d})
		}
		return nil, nil
	}
	under, err := listen()
	if err != nil {
		return nil, err
	}
	mux := webrtc.NewICEUDPMux(nil, d.wrap(under))
	settings.SetICEUDPMux(mux)
	return mux, nil
}

// sockets is the machine's network as pion sees it, with a detour beneath each UDP socket.
type sockets struct {
	*stdnet.Net

	detour *detour
}

// ListenUDP implements transport.Net.
func (n sockets) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	c, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	return udpSocket{UDPConn: c, socket: n.detour.wrap(c)}, nil
}

// Interfaces implements transport.Net. pion asks before it opens sockets: after a restart there may be others. It asks from several
// goroutines at once, so that each look is one of its own.
func (sockets) Interfaces() ([]*transport.Interface, error) {
	now, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return now.Interfaces()
}

// udpSocket is a socket with all that pion's interface asks for.
type udpSocket struct {
	*net.UDPConn

	socket *mediaSocket
}

func (u udpSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	return u.socket.ReadFromAddrPort(b)
}

func (u udpSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return u.socket.WriteToAddrPort(b, to)
}

// ReadFrom implements net.PacketConn.
func (u udpSocket) ReadFrom(b []byte) (int, net.Addr, error) { return u.socket.ReadFrom(b) }

// WriteTo implements net.PacketConn.
func (u udpSocket) WriteTo(b []byte, to net.Addr) (int, error) { return u.socket.WriteTo(b, to) }
