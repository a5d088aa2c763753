package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// firstPort is where ports for port 0 and for NAT mappings begin, as RFC 6335 section 6 has it.
const firstPort = 49152

// Host has one address and any number of open ports.
type Host struct {
	// Fixed after Network.Host.
	network *Network
	number  int
	nat     *NAT // nil: on the open network

	// Guarded by network.mu.
	addr     netip.Addr
	ports    map[uint16]receiver
	nextPort uint16
}

// receiver is an open port: a memorySocket or a packetConn.
type receiver interface {
	receive(data []byte, from netip.AddrPort, ecn packet.ECN) // must not block; data stays unchanged afterwards
	Close() error
}

// Addr is the host's present address; behind a NAT the private one.
func (h *Host) Addr() netip.Addr {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	return h.addr
}

// Move gives the host another address, as when a phone changes from Wi-Fi to mobile. Its sockets stay open and send from the
// new address; what is under way to the old one is lost. It panics when the address is taken.
func (h *Host) Move(addr netip.Addr) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	addr = addr.Unmap()
	if n.owners[addr] != nil {
		panic(fmt.Sprintf("netsim: move to %v: address in use", addr))
	}
	delete(n.owners, h.addr)
	n.owners[addr] = h
	h.addr = addr
	if h.nat != nil {
		h.nat.forget(h)
	}
}

// ListenUDP opens a port for pion and other users of net.PacketConn; 0 takes a free one. LocalAddr is a *net.UDPAddr.
func (h *Host) ListenUDP(port uint16) (net.PacketConn, error) {
	c := newPacketConn(h)
	if err := h.open(&c.port, port, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Socket opens a port as a udp.Socket: its in-memory form. 0 takes a free one.
func (h *Host) Socket(port uint16) (udp.Socket, error) {
	s := &memorySocket{host: h, Inbox: udp.NewInbox(inboxSize)}
	if err := h.open(&s.port, port, s); err != nil {
		return nil, err
	}
	return s, nil
}

func (h *Host) open(opened *uint16, port uint16, r receiver) error {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("listen on %v port %d: %w", h.addr, port, net.ErrClosed)
	}
	for ; port == 0; h.nextPort = max(h.nextPort+1, firstPort) {
		if h.ports[h.nextPort] == nil {
			port = h.nextPort
		}
	}
	if h.ports[port] != nil {
		return fmt.Errorf("listen on %v port %d: %w", h.addr, port, syscall.EADDRINUSE)
	}
	h.ports[port] = r
	*opened = port
	return nil
}

func (h *Host) closePort(port uint16) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	delete(h.ports, port)
}

func (h *Host) localAddr(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.Addr(), port) }

// source is the address a datagram to this destination comes from.
func (h *Host) source(port uint16, to netip.AddrPort) netip.AddrPort {
	if h.nat == nil || h.neighbour(to.Addr()) {
		return netip.AddrPortFrom(h.addr, port)
	}
	return h.nat.source(h, port, to)
}

// neighbour reports whether the address is of a host behind the same NAT.
func (h *Host) neighbour(addr netip.Addr) bool {
	other, ok := h.network.owners[addr].(*Host)
	return ok && other.nat == h.nat
}

// locate finds the host itself, except that from outside its NAT nobody reaches a private address.
func (h *Host) locate(from, to netip.AddrPort) (*Host, uint16) {
	if h.nat != nil && !h.neighbour(from.Addr()) {
		return nil, 0
	}
	return h, to.Port()
}
