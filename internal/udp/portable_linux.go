package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// batchMover moves up to MaxMessages datagrams a system call through golang.org/x/net.
type batchMover struct {
	conn interface { // *ipv4.PacketConn or *ipv6.PacketConn
		ReadBatch(ms []ipv4.Message, flags int) (int, error)
		WriteBatch(ms []ipv4.Message, flags int) (int, error)
	}

	// Owned by the reader.
	in []ipv4.Message

	// Owned by the caller of Flush.
	out   []ipv4.Message
	addrs [MaxMessages]net.UDPAddr
	ips   [MaxMessages][16]byte
	count int
}

func newMover(conn *net.UDPConn) mover {
	m := &batchMover{in: make([]ipv4.Message, MaxMessages), out: make([]ipv4.Message, MaxMessages)}
	if unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort()).Addr().Is4() {
		m.conn = ipv4.NewPacketConn(conn)
	} else {
		m.conn = ipv6.NewPacketConn(conn)
	}
	for i := range MaxMessages {
		m.in[i].Buffers = [][]byte{make([]byte, MaxDatagram+1)} // the odd byte tells a longer datagram
		m.out[i].Buffers = [][]byte{nil}
		m.out[i].Addr = &m.addrs[i]
	}
	return m
}

func (m *batchMover) read(put func(data []byte, from netip.AddrPort)) error {
	n, err := m.conn.ReadBatch(m.in, 0)
	if err != nil {
		return err
	}
	for i := range n {
		put(m.in[i].Buffers[0][:m.in[i].N], unmap(m.in[i].Addr.(*net.UDPAddr).AddrPort()))
	}
	return nil
}

func (m *batchMover) write(q *Queue, c *counters) {
	for i := range q.runs {
		r := &q.runs[i]
		for k := range r.count {
			if !r.to.IsValid() {
				c.sendError.Add(1)
				continue
			}
			m.add(q.datagram(r, k), r.to)
			if m.count == MaxMessages {
				m.flush(c)
			}
		}
	}
	m.flush(c)
}

func (m *batchMover) add(data []byte, to netip.AddrPort) {
	i := m.count
	m.ips[i] = to.Addr().As16()
	m.addrs[i] = net.UDPAddr{IP: m.ips[i][:], Port: int(to.Port()), Zone: to.Addr().Zone()}
	m.out[i].Buffers[0] = data
	m.count++
}

// flush goes on where the kernel stopped, as rawSocket.send does.
func (m *batchMover) flush(c *counters) {
	for at := 0; at < m.count; {
		n, err := m.conn.WriteBatch(m.out[at:m.count], unix.MSG_DONTWAIT)
		c.sendCalls.Add(1)
		switch {
		case err == nil && n > 0:
			bytes := 0
			for i := at; i < at+n; i++ {
				bytes += len(m.out[i].Buffers[0])
			}
			c.sent(n, bytes)
			at += n
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS):
			c.sendAgain.Add(uint64(m.count - at))
			at = m.count
		default:
			c.sendError.Add(1)
			at++
		}
	}
	m.count = 0
}

// reusePort is a net.ListenConfig.Control.
func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if failed := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}); failed != nil {
		return failed
	}
	return err
}
