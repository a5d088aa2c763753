package oneport

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4/deadline"

	"github.com/tolkyn/tolkyn/internal/udp"
)

// waiting is how many QUIC packets wait to be read at most: they carry signaling, a few small frames a client.
const waiting = 1024

// Packets are the QUIC packets of the one port, as a net.PacketConn. All methods are safe from any goroutine.
type Packets struct {
	// Fixed after NewPackets.
	local    net.Addr
	in, free chan *packet
	closed   chan struct{}
	deadline *deadline.Deadline

	once sync.Once // closes closed

	// Atomic.
	out  atomic.Pointer[udp.Port] // that the last packet came by
	late atomic.Uint64            // dropped: more came than were read
}

type packet struct {
	b    [udp.MaxDatagram]byte
	size int
	from netip.AddrPort
}

// NewPackets returns a Packets whose address is local.
func NewPackets(local netip.AddrPort) *Packets {
	return &Packets{
		local: net.UDPAddrFromAddrPort(local), in: make(chan *packet, waiting), free: make(chan *packet, waiting),
		closed: make(chan struct{}), deadline: deadline.New(),
	}
}

// take queues a copy of b.
func (p *Packets) take(b []byte, from netip.AddrPort, on udp.Port) {
	if out := p.out.Load(); out == nil || *out != on {
		kept := on // on itself would cost memory with each packet
		p.out.Store(&kept)
	}
	var fresh *packet
	select {
	case fresh = <-p.free:
	default:
		fresh = new(packet)
	}
	fresh.size, fresh.from = copy(fresh.b[:], b), from
	select {
	case p.in <- fresh:
	default:
		p.late.Add(1)
		p.giveBack(fresh)
	}
}

func (p *Packets) giveBack(read *packet) {
	select {
	case p.free <- read:
	default:
	}
}

// ReadFrom implements net.PacketConn.
func (p *Packets) ReadFrom(b []byte) (int, net.Addr, error) {
	select { // an expired deadline goes first, as in package net
	case <-p.deadline.Done():
		return 0, nil, p.failed("read", os.ErrDeadlineExceeded)
	case <-p.closed:
		return 0, nil, p.failed("read", net.ErrClosed)
	default:
	}
	select {
	case came := <-p.in:
		n, from := copy(b, came.b[:came.size]), came.from
		p.giveBack(came)
		return n, net.UDPAddrFromAddrPort(from), nil
	case <-p.deadline.Done():
		return 0, nil, p.failed("read", os.ErrDeadlineExceeded)
	case <-p.closed:
		return 0, nil, p.failed("read", net.ErrClosed)
	}
}

// WriteTo implements net.PacketConn. It does not block. What the kernel does not take is lost, as any datagram may be.
func (p *Packets) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-p.closed:
		return 0, p.failed("write", net.ErrClosed)
	default:
	}
	address, ok := to.(*net.UDPAddr)
	out := p.out.Load()
	if !ok || out == nil {
		return 0, p.failed("write", net.InvalidAddrError("nobody has come from there"))
	}
	_, _ = (*out).WriteTo(b, unmap(address.AddrPort()))
	return len(b), nil
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func (p *Packets) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Addr: p.local, Err: err}
}

// LocalAddr is the one port.
func (p *Packets) LocalAddr() net.Addr { return p.local }

// SetDeadline is SetReadDeadline: a write never blocks.
func (p *Packets) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline is as in net.PacketConn.
func (p *Packets) SetReadDeadline(t time.Time) error {
	p.deadline.Set(t)
	return nil
}

// SetWriteDeadline does nothing: a write never blocks.
func (p *Packets) SetWriteDeadline(time.Time) error { return nil }

// Close ends reading and writing. The one port stays open.
func (p *Packets) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
