package netem

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// RelayConfig describes a relay.
type RelayConfig struct {
	// Listen is where clients send to; port 0: any.
	Listen netip.AddrPort
	// Target is the server.
	Target netip.AddrPort
	// Line is what each client's network is like, from when its first datagram comes. Clients have dice of their own:
	// Line.Seed and its number, from 0.
	Line LineConfig
	// MaxClients is how many clients, told apart by their addresses, may be there at a time; others are not served.
	// 0: 1,000.
	MaxClients int
	// Idle clients, from whom nothing came for so long, are forgotten. 0: 2 minutes, as RFC 4787 requires of NATs.
	Idle time.Duration
}

const (
	defaultClients = 1000
	defaultIdle    = 2 * time.Minute
	// relayBuffer is what Linux gives without special rights here: a second of 5,000 small datagrams. What the kernel
	// drops before the model sees it would be nobody's loss.
	relayBuffer = 4 << 20
)

// Relay is a bad network before a server, for clients that are no part of this process: each client's datagrams go over a
// Line of its own, from a socket of its own, to the server and back. All methods are safe from any goroutine.
type Relay struct {
	// Fixed after OpenRelay.
	cfg    RelayConfig
	socket *net.UDPConn
	work   sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	clients map[netip.AddrPort]*relayed
	count   int
	refused uint64
	gone    [][2]Account // of clients that were forgotten, the last maxGone
	closed  bool
}

// relayed is one client.
type relayed struct {
	addr netip.AddrPort
	line *Line
	conn *Conn
	seen time.Time
}

// maxGone bounds what a relay remembers of clients it has forgotten.
const maxGone = 10_000

// OpenRelay begins to relay.
func OpenRelay(cfg RelayConfig) (*Relay, error) {
	if err := check(cfg.Line.Links, cfg.Line.Events); err != nil {
		return nil, err
	}
	if !cfg.Target.IsValid() || cfg.Target.Port() == 0 {
		return nil, fmt.Errorf("netem: RelayConfig.Target is %v: give the server's address and port", cfg.Target)
	}
	cfg.MaxClients = cmp.Or(cfg.MaxClients, defaultClients)
	cfg.Idle = cmp.Or(cfg.Idle, defaultIdle)
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(cfg.Listen))
	if err != nil {
		return nil, fmt.Errorf("netem: %w", err)
	}
	_ = socket.SetReadBuffer(relayBuffer) // where the system allows less, it takes as much as it allows
	r := &Relay{cfg: cfg, socket: socket, clients: make(map[netip.AddrPort]*relayed)}
	r.work.Go(r.run)
	return r, nil
}

// Addr is where clients send to.
func (r *Relay) Addr() netip.AddrPort { return r.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

// run takes what clients send until the socket closes.
func (r *Relay) run() {
	buf := make([]byte, mtu+1) // one longer than any that passes
	target := net.UDPAddrFromAddrPort(r.cfg.Target)
	for {
		size, from, err := r.socket.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // of this datagram or of one sent before
			continue
		}
		if c := r.client(from); c != nil {
			_, _ = c.conn.WriteTo(buf[:size], target) // an error: it was forgotten this moment
		}
	}
}

// client is the one at this address, who may be new; nil when there is no room.
func (r *Relay) client(from netip.AddrPort) *relayed {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[from]; c != nil {
		c.seen = now
		return c
	}
	if r.closed || len(r.clients) >= r.cfg.MaxClients {
		r.refused++
		return nil
	}
	c := &relayed{addr: from, seen: now}
	cfg := r.cfg.Line
	cfg.Seed += uint64(r.count) * 2 * MaxLinks // a link takes two seeds
	var err error
	if c.line, err = NewLine(cfg); err == nil {
		if c.conn, err = c.line.ListenUDP("udp", nil); err != nil {
			_ = c.line.Close() // it has no sockets
		}
	}
	if err != nil { // no more file descriptors, for instance
		r.refused++
		return nil
	}
	r.count++
	r.clients[from] = c
	r.work.Go(func() { r.serve(c) })
	return c
}

// serve takes what the server sends to one client, until the client is forgotten or its line closed.
func (r *Relay) serve(c *relayed) {
	buf := make([]byte, mtu)
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(r.cfg.Idle)) // it never fails
		size, from, err := c.conn.ReadFrom(buf)
		switch {
		case err != nil && r.idle(c):
			_ = c.line.Close() // nobody is left to be told
			return
		case err != nil:
			continue
		}
		if source := from.(*net.UDPAddr).AddrPort(); source.Port() == r.cfg.Target.Port() &&
			source.Addr().Unmap() == r.cfg.Target.Addr().Unmap() {
			_, _ = r.socket.WriteToUDPAddrPort(buf[:size], c.addr) // an error: as if it were lost behind the relay
		}
	}
}

// idle forgets a client that has long been silent or whose line was closed.
func (r *Relay) idle(c *relayed) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && c.conn.failure() == nil && time.Since(c.seen) < r.cfg.Idle {
		return false
	}
	if r.clients[c.addr] == c {
		delete(r.clients, c.addr)
		r.gone = append(r.gone, c.line.Accounts()...)
		r.gone = r.gone[max(len(r.gone)-maxGone, 0):]
	}
	return true
}

// Each calls f with each client's present address and line, to change it under way.
func (r *Relay) Each(f func(client netip.AddrPort, line *Line)) {
	r.mu.Lock()
	lines := make(map[netip.AddrPort]*Line)
	for addr, c := range r.clients {
		lines[addr] = c.line
	}
	r.mu.Unlock()
	for addr, line := range lines {
		f(addr, line)
	}
}

// Accounts says what was asked and done so far, an entry for each link of each client, also of those that are gone.
func (r *Relay) Accounts() [][2]Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append([][2]Account(nil), r.gone...)
	for _, c := range r.clients {
		all = append(all, c.line.Accounts()...)
	}
	return all
}

// Refused is how many datagrams came from clients for whom there was no room.
func (r *Relay) Refused() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// Close ends the relay and returns when its goroutines have ended; what is under way is lost. Accounts stay.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return fmt.Errorf("netem: close the relay: %w", net.ErrClosed)
	}
	r.closed = true
	var lines []*Line
	for _, c := range r.clients {
		lines = append(lines, c.line)
	}
	r.mu.Unlock()
	failed := []error{r.socket.Close()}
	for _, line := range lines {
		failed = append(failed, line.Close())
	}
	r.work.Wait()
	return errors.Join(failed...)
}
