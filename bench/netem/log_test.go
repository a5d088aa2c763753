package netem_test

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/tolkyn/tolkyn/bench/netem"
)

// passages collects the trace of a network.
type passages struct {
	mu  sync.Mutex
	all []netem.Passage
}

func (p *passages) add(passage netem.Passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, passage)
}

// of returns those of one link and direction, in order.
func (p *passages) of(link int, d netem.Direction) []netem.Passage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.all), func(q netem.Passage) bool { return q.Link != link || q.Direction != d })
}

func address(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// echo sends back what arrives until the socket closes.
func echo(c *net.UDPConn) {
	buf := make([]byte, 2000)
	for {
		size, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if _, err := c.WriteToUDPAddrPort(buf[:size], from); err != nil {
			return
		}
	}
}
