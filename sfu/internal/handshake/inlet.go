package handshake

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Wire carries what pion writes to the network. It is called from pion's goroutines and must not block.
type Wire interface {
	WriteTo(p []byte, to netip.AddrPort) (int, error) // one UDP datagram
}

// Transport is a way to the client beside the Wire: a TCP connection, or a relay's. It is called from pion's goroutines and must not
// block.
type Transport interface {
	Send(p []byte) bool // a copy of one packet, without a frame; false: dropped
	Stream() bool       // what is sent is not lost on the way
}

var errUnsent = errors.New("transport took no packet")

const (
	// 64 datagrams: four times the longest handshake flight, with ICE checks between them.
	inletQueue = 64
	// 8 addresses behind transports: Chromium opens two connections for each passive candidate.
	maxTransports = 8
	// 16 addresses of one ICE generation: twice those that the shard lets a peer be heard from. pion checks back whatever
	// address an authentic check came from, and that one may be false.
	maxRemotes = 16
)

type datagram struct {
	data []byte
	from netip.AddrPort
}

// inlet is what pion takes for its UDP socket: one per peer, ICE generation and address family.
type inlet struct {
	// Fixed after newInlet.
	mux   *mux
	ufrag string
	local net.Addr
	queue chan datagram

	once   sync.Once
	closed chan struct{}
}

// ReadFromAddrPort waits for the next delivered datagram. Part of ice.AddrPortReaderWriter: no address is allocated.
func (c *inlet) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-c.queue:
		return copy(b, d.data), d.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteToAddrPort sends one datagram of pion's.
func (c *inlet) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
		return c.mux.write(p, to)
	}
}

// ReadFrom implements net.PacketConn.
func (c *inlet) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn.
func (c *inlet) WriteTo(p []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	return c.WriteToAddrPort(p, u.AddrPort())
}

// Close ends the reading; pion may call it several times.
func (c *inlet) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *inlet) LocalAddr() net.Addr { return c.local }

// SetDeadline and its two halves do nothing: pion sets a deadline only right before Close.
func (c *inlet) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (c *inlet) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn.
func (c *inlet) SetWriteDeadline(time.Time) error { return nil }

// mux implements ice.UDPMux for one peer. pion gets one local address per family: the addresses told to the client are
// written into the answer, and what they are makes no difference to the checks.
type mux struct {
	// Fixed after newMux.
	wire  Wire
	wrote func()
	addrs []net.Addr // at most one per family

	mu      sync.Mutex
	current [2]*inlet // IPv4, IPv6: those of the newest ICE generation
	ufrag   string    // of that generation
	remotes []netip.AddrPort
	beside  []remote // those of remotes that are reached by a transport
	stats   Stats
	flight  flight
	agreed  bool // keys are: see repeat.go
	closed  bool
}

// remote is an address that is reached by a transport. On one machine it can be that of a socket too, and one relayed address is
// behind a link for each address of ours that was asked: answers go the way that the last packet from there came.
type remote struct {
	at  netip.AddrPort
	way Transport
}

// Stats counts what a peer's handshake dropped. All are totals since NewPeer.
type Stats struct {
	Overflow uint64 // datagrams delivered faster than pion read them
	Unrouted uint64 // datagrams delivered while pion had no socket open (before the first answer, after ICE failed)
	Crowded  uint64 // datagrams from more addresses than one client has
	Leaked   uint64 // RTP or RTCP that pion wanted to send; always 0 unless pion has changed
	Sent     uint64 // datagrams and frames pion wrote
}

// Add sums two peers' figures.
func (s *Stats) Add(o Stats) {
	s.Overflow += o.Overflow
	s.Unrouted += o.Unrouted
	s.Crowded += o.Crowded
	s.Leaked += o.Leaked
	s.Sent += o.Sent
}

func newMux(w Wire, wrote func(), advertise []netip.AddrPort) *mux {
	m := &mux{wire: w, wrote: wrote}
	var have [2]bool
	for _, a := range advertise {
		a = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
		if f := family(a.Addr()); !have[f] {
			have[f] = true
			m.addrs = append(m.addrs, net.UDPAddrFromAddrPort(a))
		}
	}
	return m
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// GetListenAddresses implements ice.UDPMux.
func (m *mux) GetListenAddresses() []net.Addr { return m.addrs }

// GetConn implements ice.UDPMux: a new ICE generation takes the place of the one before.
func (m *mux) GetConn(ufrag string, local net.Addr) (net.PacketConn, error) {
	u, ok := local.(*net.UDPAddr)
	if !ok {
		return nil, net.InvalidAddrError("not a UDP address")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := family(u.AddrPort().Addr())
	if c := m.current[f]; c != nil && c.ufrag == ufrag {
		return c, nil
	}
	if m.ufrag != ufrag {
		m.ufrag, m.remotes = ufrag, nil
	}
	c := &inlet{mux: m, ufrag: ufrag, local: local, queue: make(chan datagram, inletQueue), closed: make(chan struct{})}
	m.current[f] = c
	return c, nil
}

// RemoveConnByUfrag implements ice.UDPMux.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f, c := range m.current {
		if c != nil && c.ufrag == ufrag {
			_ = c.Close()
			m.current[f] = nil
		}
	}
}

// Close implements ice.UDPMux.
func (m *mux) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agreed, m.closed = true, true
	for f, c := range m.current {
		if c != nil {
			_ = c.Close()
			m.current[f] = nil
		}
	}
	return nil
}

// deliver hands pion a packet that came by a transport; nil: by the Wire's socket.
func (m *mux) deliver(b []byte, from netip.AddrPort, way Transport) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.attach(from, way) {
		m.stats.Overflow++
		return
	}
	c := m.current[family(from.Addr())]
	if c == nil {
		m.stats.Unrouted++
		return
	}
	if !m.knows(from) {
		m.stats.Crowded++
		return
	}
	if len(c.queue) == cap(c.queue) {
		m.stats.Overflow++
		return
	}
	c.queue <- datagram{bytes.Clone(b), from} // never blocks: mu guards every send, and there was room
	if !m.agreed && isDTLS(b) && (way == nil || !way.Stream()) {
		m.expectAnswer()
	}
}

// knows says whether pion may hear from an address: one of the first maxRemotes of this ICE generation. Needs mu.
func (m *mux) knows(from netip.AddrPort) bool {
	for _, a := range m.remotes {
		if a == from {
			return true
		}
	}
	if len(m.remotes) == maxRemotes {
		return false
	}
	m.remotes = append(m.remotes, from)
	return true
}

// attach notes which way packets from an address come, and so which way answers go. Needs mu.
func (m *mux) attach(from netip.AddrPort, way Transport) bool {
	for i := range m.beside {
		if m.beside[i].at == from {
			m.beside[i].way = way
			return true
		}
	}
	if way == nil {
		return true
	}
	if len(m.beside) == maxTransports {
		return false
	}
	m.beside = append(m.beside, remote{from, way})
	return true
}

func (m *mux) detach(way Transport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beside = slices.DeleteFunc(m.beside, func(r remote) bool { return r.way == way || r.way == nil })
}

// wayTo is the transport to an address; nil: the Wire. Needs mu.
func (m *mux) wayTo(to netip.AddrPort) Transport {
	for i := range m.beside {
		if m.beside[i].at == to {
			return m.beside[i].way
		}
	}
	return nil
}

// send puts a packet on its way.
func (m *mux) send(p []byte, to netip.AddrPort, way Transport) (int, error) {
	switch {
	case way == nil:
		return m.wire.WriteTo(p, to)
	case !way.Send(p):
		return 0, errUnsent
	}
	return len(p), nil
}

func (m *mux) write(p []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	m.mu.Lock()
	// The shard alone seals on this peer's SRTP keys: a second writer would use a nonce twice.
	leak := len(p) > 0 && p[0] >= 128 && p[0] <= 191
	if leak {
		m.stats.Leaked++
	} else {
		m.stats.Sent++
	}
	way := m.wayTo(to)
	again, last := false, false
	if !m.agreed && (way == nil || !way.Stream()) && !leak {
		again = true
		if isDTLS(p) {
			m.flight.note(p, to, time.Now())
			last = len(p) <= maxFinished
			again = last
		}
	}
	m.mu.Unlock()
	if again {
		m.repeat(checkRepeat, p, to)
	}
	if last {
		m.repeat(finishedRepeat, p, to)
	}
	if leak {
		return len(p), nil
	}
	defer m.wrote()
	return m.send(p, to, way)
}
