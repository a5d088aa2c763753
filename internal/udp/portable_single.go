package udp

import (
	"net"
	"net/netip"
)

// singleMover moves one datagram a system call, on every system.
type singleMover struct {
	conn   *net.UDPConn
	buffer [MaxDatagram + 1]byte // the odd byte tells a longer datagram
}

func (m *singleMover) read(put func(data []byte, from netip.AddrPort)) error {
	n, from, err := m.conn.ReadFromUDPAddrPort(m.buffer[:])
	if err != nil && n < len(m.buffer) { // Windows reports a longer datagram as an error beside the full buffer
		return err
	}
	put(m.buffer[:n], unmap(from))
	return nil
}

func (m *singleMover) write(q *Queue, c *counters) {
	for i := range q.runs {
		r := &q.runs[i]
		for k := range r.count {
			n, err := m.conn.WriteToUDPAddrPort(q.datagram(r, k), r.to)
			c.sendCalls.Add(1)
			if err != nil {
				c.sendError.Add(1)
				continue
			}
			c.sent(1, n)
		}
	}
}
