package caller

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// volume is what one caller's sockets take of its data volume, in bytes.
type volume struct{ up, down atomic.Int64 }

// Headers of a packet.
const (
	overUDP = 20 + 8       // IPv4, UDP
	overTCP = 20 + 20 + 12 // IPv4, TCP, its timestamps; a write or a read is taken for a packet
)

// countedConn is a TCP connection.
type countedConn struct {
	net.Conn

	volume *volume
}

// NetConn lets media over TCP see what the kernel holds.
func (c *countedConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.volume.down.Add(int64(n + overTCP))
	}
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.volume.up.Add(int64(n + overTCP))
	}
	return n, err
}

// countedPackets is a UDP socket.
type countedPackets struct {
	net.PacketConn

	volume *volume
}

// ReadFrom implements net.PacketConn.
func (c *countedPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	if err == nil {
		c.volume.down.Add(int64(n + overUDP))
	}
	return n, from, err
}

// WriteTo implements net.PacketConn.
func (c *countedPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := c.PacketConn.WriteTo(b, to)
	if err == nil {
		c.volume.up.Add(int64(n + overUDP))
	}
	return n, err
}

// SetReadBuffer is for quic-go, which wants more than the usual.
func (c *countedPackets) SetReadBuffer(bytes int) error {
	if sized, ok := c.PacketConn.(interface{ SetReadBuffer(bytes int) error }); ok {
		return sized.SetReadBuffer(bytes)
	}
	return nil
}

// SetWriteBuffer is for quic-go as well.
func (c *countedPackets) SetWriteBuffer(bytes int) error {
	if sized, ok := c.PacketConn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		return sized.SetWriteBuffer(bytes)
	}
	return nil
}

// countedNet is the machine's network as pion sees it, whose UDP sockets count.
type countedNet struct {
	*stdnet.Net

	volume *volume
}

// ListenUDP implements transport.Net.
func (n countedNet) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	c, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	return &countedUDP{c, n.volume}, nil
}

// countedUDP is a socket with all that pion's interface asks for.
type countedUDP struct {
	*net.UDPConn

	volume *volume
}

// ReadFrom implements net.PacketConn.
func (c *countedUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(b)
	if err == nil {
		c.volume.down.Add(int64(n + overUDP))
	}
	return n, from, err
}

// WriteTo implements net.PacketConn.
func (c *countedUDP) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := c.UDPConn.WriteTo(b, to)
	if err == nil {
		c.volume.up.Add(int64(n + overUDP))
	}
	return n, err
}

// ReadFromAddrPort is what pion prefers to ReadFrom.
func (c *countedUDP) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err == nil {
		c.volume.down.Add(int64(n + overUDP))
	}
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

// WriteToAddrPort is what pion prefers to WriteTo.
func (c *countedUDP) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n, err := c.WriteToUDPAddrPort(b, to)
	if err == nil {
		c.volume.up.Add(int64(n + overUDP))
	}
	return n, err
}

// reading is a state of the counters.
type reading struct {
	at       time.Duration // 0: none
	up, down int64
}

// perMinute is what a minute between two readings took, of which so long was in the call.
func perMinute(from, to reading, there time.Duration) (up, down float64) {
	if from.at == 0 || there < time.Second {
		return 0, 0
	}
	minutes := there.Minutes()
	return float64(to.up-from.up) / minutes, float64(to.down-from.down) / minutes
}
