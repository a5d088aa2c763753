package netsim

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// packetQueue stands for a kernel's receive buffer, in datagrams.
const packetQueue = 1024

// packetConn is an open port as net.PacketConn.
type packetConn struct {
	// Fixed after Host.ListenUDP.
	host    *Host
	port    uint16
	arrived chan datagram
	ended   chan struct{} // closed by Close

	deadline deadline

	// Atomic.
	closed atomic.Bool
}

type datagram struct {
	data []byte
	from netip.AddrPort
}

func newPacketConn(h *Host) *packetConn {
	return &packetConn{
		host: h, arrived: make(chan datagram, packetQueue), ended: make(chan struct{}),
		deadline: deadline{passed: make(chan struct{})},
	}
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.host.localAddr(c.port)) }

// receive drops what exceeds the queue, as a kernel does. A net.PacketConn cannot tell the ECN bits.
func (c *packetConn) receive(data []byte, from netip.AddrPort, _ packet.ECN) {
	select {
	case c.arrived <- datagram{data, from}:
	default:
	}
}

// ReadFrom cuts a datagram that is longer than p.
func (c *packetConn) ReadFrom(p []byte) (int, net.Addr, error) {
	passed := c.deadline.wait()
	select { // an expired deadline goes first, as in package net
	case <-passed:
		return 0, nil, c.failed("read", os.ErrDeadlineExceeded)
	default:
	}
	select {
	case d := <-c.arrived:
		return copy(p, d.data), net.UDPAddrFromAddrPort(d.from), nil
	case <-passed:
		return 0, nil, c.failed("read", os.ErrDeadlineExceeded)
	case <-c.ended:
		return 0, nil, c.failed("read", net.ErrClosed)
	}
}

func (c *packetConn) WriteTo(p []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	switch {
	case c.closed.Load():
		return 0, c.failed("write", net.ErrClosed)
	case !ok:
		return 0, c.failed("write", syscall.EINVAL)
	}
	target := addr.AddrPort()
	c.host.network.send(c.host, c.port, p, netip.AddrPortFrom(target.Addr().Unmap(), target.Port()), packet.NotECT)
	return len(p), nil
}

func (c *packetConn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
}

func (c *packetConn) Close() error {
	if c.closed.Swap(true) {
		return c.failed("close", net.ErrClosed)
	}
	c.host.closePort(c.port)
	c.deadline.set(time.Time{})
	close(c.ended)
	return nil
}

func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.deadline.set(t)
	return nil
}

// SetWriteDeadline does nothing: a write never blocks.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// deadline is a moment that can be moved, and a channel that closes when it passes.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // the timer has run or is about to: wait until it has closed the channel
	}
	d.timer = nil
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	passed := d.passed
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	close(passed)
}
