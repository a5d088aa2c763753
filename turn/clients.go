package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/frame"
)

// relayBuffer is the kernel's receive buffer of a relay port in bytes: 100 ms of 80 Mbit/s.
const relayBuffer = 1 << 20

func newLane(s *Server, index int, portable bool) (*lane, error) {
	group, err := udp.NewGroup(portable)
	if err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	return &lane{
		server: s, index: index, group: group, linked: make(map[*allocation]struct{}), conns: make(map[control.Client]*conn), relays: make(map[netip.AddrPort]*relayPort),
		batch: udp.NewBatch(), out: udp.NewQueue(burst), up: udp.NewQueue(udp.MaxMessages), scratch: make([]byte, readBudget/4),
	}, nil
}

// serve binds a socket for clients.
func (l *lane) serve(addr netip.AddrPort, shared bool) (udp.Port, error) {
	key := l.add(nil)
	port, err := l.group.Listen(addr, udp.Config{DisableGRO: true, ReusePort: shared}, key)
	if err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	l.things[key] = port
	l.clients = append(l.clients, port)
	return port, nil
}

// begin gives the lane its core.
func (l *lane) begin(cfg control.Config) {
	cfg.Open, cfg.Close = l.open, l.closeRelayed
	cfg.Bound = func(a *control.Allocation, peer netip.AddrPort, channel uint16) {
		if al, ok := a.Value.(*allocation); ok {
			al.bound(peer, channel)
		}
	}
	l.core = control.New(cfg)
}

// open is control.Config.Open. Where peers are only our own media, the relayed address is a number: no socket is bound to it.
func (l *lane) open(o control.Open) (netip.AddrPort, bool) {
	ports := l.server.ports
	var try func(netip.AddrPort) bool
	if len(l.server.cfg.Allow) > 0 {
		try = l.listen
	}
	if o.Take.IsValid() { // its number is held already
		ok := try == nil || try(o.Take)
		if !ok {
			l.server.refuse(noPort)
		}
		return o.Take, ok
	}
	addr := ports.address(o.IPv6)
	if !addr.IsValid() {
		return netip.AddrPort{}, false
	}
	at, ok := ports.take(addr, o.Even, o.Reserve, try)
	if !ok {
		l.server.refuse(noPort)
	}
	return at, ok
}

// listen binds a relay port, on all addresses where the advertised one is not this machine's own: it stands behind a NAT.
func (l *lane) listen(relayed netip.AddrPort) bool {
	rp := &relayPort{relayed: relayed}
	rp.key = l.add(rp)
	cfg := udp.Config{ReadBuffer: relayBuffer}
	port, err := l.group.Listen(relayed, cfg, rp.key)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		all := netip.IPv4Unspecified()
		if relayed.Addr().Is6() {
			all = netip.IPv6Unspecified()
		}
		port, err = l.group.Listen(netip.AddrPortFrom(all, relayed.Port()), cfg, rp.key)
	}
	if err != nil {
		l.remove(rp.key)
		return false
	}
	rp.port = port
	l.relays[relayed] = rp
	return true
}

// closeRelayed is control.Config.Close.
func (l *lane) closeRelayed(relayed netip.AddrPort, a *control.Allocation) {
	l.lastOf = cached{}
	if rp := l.relays[relayed]; rp != nil {
		if l.upPort == rp.port {
			l.flushPeers()
		}
		_ = rp.port.Close()
		rp.of = nil
		delete(l.relays, relayed)
		l.remove(rp.key)
	}
	l.server.ports.give(relayed)
	if a == nil {
		return
	}
	if al, ok := a.Value.(*allocation); ok {
		al.close(relayed.Addr().Is4())
	}
}

// adopt takes a connection, of which first was read already.
func (l *lane) adopt(nc net.Conn, client control.Client, born time.Time, first []byte) {
	if l.ended {
		l.server.quotas.disconnect(client.Addr.Addr(), false)
		_ = nc.Close()
		return
	}
	c := &conn{lane: l, client: client, born: born, heard: born}
	c.frames.Spares = &l.spares
	c.s = streamOf(nc, func() { l.call(c) })
	_, c.pumped = c.s.(*pump)
	c.key = l.add(c)
	l.conns[client] = c
	l.ways[client.Way].Connections++
	l.changed = true
	if err := c.s.watch(l.group, c.key); err != nil {
		l.close(c)
		return
	}
	if err := c.feed(first, l.now); err != nil {
		l.server.refuse(notOurs)
		l.close(c)
		return
	}
	l.readConn(c) // what crypto/tls holds already is not told of
}

func (l *lane) readConn(c *conn) {
	if c.gone {
		return
	}
	more, err := c.read(l.now)
	l.flushPeers()
	switch {
	case c.gone:
	case err != nil:
		if errors.Is(err, frame.ErrForeign) || errors.Is(err, frame.ErrTooLong) {
			l.server.refuse(notOurs)
		}
		l.close(c)
	case more:
		l.again = append(l.again, c)
	}
}

// more reads on where a budget was spent.
func (l *lane) more() {
	again := l.again
	l.again = l.againBefore[:0]
	for _, c := range again {
		l.guard(c, func() { l.readConn(c) })
	}
	l.againBefore = again
}

// frame is one from a client's connection.
func (l *lane) frame(c *conn, b []byte) {
	if b[0] >= 0x40 {
		a := l.find(c.client)
		if a == nil {
			l.dropped(unknown, 1)
			return
		}
		l.channelData(a, b)
		return
	}
	if l.data(c.client, b) {
		return
	}
	if reply := l.request(c.client, b, nil, c); len(reply) > 0 {
		if !c.send(nil, reply, l.now, true) {
			l.dropped(slow, 1)
		}
		l.write(c)
	}
}

// write has the connection flushed at the end of this turn.
func (l *lane) write(c *conn) {
	if !c.listed && !c.gone {
		c.listed = true
		l.writing = append(l.writing, c)
	}
}

// flushConns writes what waits. Connections that do not take it are looked at again after lookEvery.
func (l *lane) flushConns() {
	if len(l.stalled) > 0 && !l.now.Before(l.look) {
		for _, c := range l.stalled {
			c.stalled = false
			l.write(c)
		}
		l.stalled = l.stalled[:0]
	}
	for _, c := range l.writing {
		c.listed = false
		if c.gone || c.stalled {
			continue
		}
		l.guard(c, func() { l.flushConn(c) })
	}
	clear(l.writing)
	l.writing = l.writing[:0]
}

func (l *lane) flushConn(c *conn) {
	done, err := c.flush(l.now)
	if err != nil {
		l.server.refuse(slowReader)
		l.close(c)
		return
	}
	if !done {
		if len(l.stalled) == 0 {
			l.look = l.now.Add(lookEvery)
		}
		c.stalled = true
		l.stalled = append(l.stalled, c)
	}
}

// close ends a connection and what was allocated on it.
func (l *lane) close(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	l.lastOf = cached{}
	delete(l.conns, c.client)
	l.remove(c.key)
	l.ways[c.client.Way].Connections--
	l.changed = true
	l.server.quotas.disconnect(c.client.Addr.Addr(), c.proven)
	l.core.Gone(c.client)
	_ = c.s.Close()
}

// sweepAll looks at what has a deadline.
func (l *lane) sweepAll() {
	l.expiry = l.core.Expire(l.now) // what came since it was last asked may run out sooner
	limits := &l.server.quotas.limits
	for _, c := range l.conns {
		a := l.core.Find(c.client)
		switch {
		case a != nil:
		case !c.proven && l.now.Sub(c.born) >= limits.AuthDeadline:
			l.server.refuse(neverAllocated)
			l.close(c)
		case c.proven && l.now.Sub(c.heard) >= limits.Idle:
			l.server.refuse(idleConnection)
			l.close(c)
		}
	}
	for al := range l.linked {
		al.refresh(l.now)
	}
}

// due is when the lane must have its next turn.
func (l *lane) due() time.Time {
	if len(l.again) > 0 {
		return l.now
	}
	at := l.sweep
	if l.expiry.Before(at) {
		at = l.expiry
	}
	if len(l.stalled) > 0 && l.look.Before(at) {
		at = l.look
	}
	return at
}

func (l *lane) revoke(who credential.Subject) {
	n := l.core.Drop(func(a *control.Allocation) bool { return who.Matches(a.Subject) })
	l.server.refused[revoked].Add(uint64(n))
}

// end closes all that the lane has.
func (l *lane) end() {
	l.now = time.Now()
	l.ended = true
	l.take()
	for _, c := range l.conns {
		l.guard(nil, func() { l.close(c) })
	}
	l.guard(nil, func() { l.core.Drop(func(*control.Allocation) bool { return true }) })
	for _, p := range l.clients {
		_ = p.Close()
	}
	_ = l.group.Close()
}
