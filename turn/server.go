package turn

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// Server relays. All methods are safe from any goroutine.
type Server struct {
	// Fixed after New.
	cfg    Config
	rules  *peers.Rules
	quotas *quotas
	ports  *relayPorts
	users  *users
	log    reports
	// lastChannel is the first byte of the highest channel that there can be.
	lastChannel byte
	addrs       []netip.AddrPort
	lanes       []*lane
	workers     []*worker
	alive       context.Context // until Close
	kill        context.CancelFunc

	// Guarded by mu.
	mu     sync.Mutex
	joined sync.WaitGroup // goroutines

	// Atomic.
	closing  atomic.Bool
	draining atomic.Pointer[netip.AddrPort]
	turns    atomic.Uint32 // whose turn it is to get the next connection
	numbers  atomic.Uint64 // of connections
	refused  [refusals]atomic.Uint64
	unpaid   atomic.Uint64 // packets of our own media that were above a limit in bits
}

// New binds the UDP addresses and serves them and the listeners, until Close. An error is one of the configuration, or of binding.
func New(cfg Config) (*Server, error) {
	s, err := open(cfg)
	if err != nil {
		return nil, err
	}
	for _, w := range s.workers {
		s.joined.Go(w.run)
	}
	for _, l := range cfg.TCP {
		s.joined.Go(func() { s.accept(l, TCP) })
	}
	for _, l := range cfg.TLS {
		s.joined.Go(func() { s.accept(l, TLS) })
	}
	return s, nil
}

// open returns a server that is bound and does not run.
func open(cfg Config) (*Server, error) {
	if cfg.Realm == "" {
		cfg.Realm = "turn"
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Workers < 0 {
		return nil, fmt.Errorf("turn: %d workers", cfg.Workers)
	}
	if cfg.RelayPorts[0] > cfg.RelayPorts[1] {
		return nil, fmt.Errorf("turn: relay ports %d to %d are none", cfg.RelayPorts[0], cfg.RelayPorts[1])
	}
	s := &Server{cfg: cfg, quotas: newQuotas(cfg.Limits.withDefaults()), log: reports{logger: cfg.Logger}}
	s.alive, s.kill = context.WithCancel(context.Background())
	s.lastChannel = 0x4F
	if cfg.OldChannels {
		s.lastChannel = 0x7F
	}
	s.users = newUsers(cfg.Realm, cfg.Secrets, cfg.Users)
	if err := s.bind(); err != nil {
		return nil, errors.Join(err, s.unbind())
	}
	return s, nil
}

// bind makes the lanes with their sockets, and the workers.
func (s *Server) bind() error {
	portable := false
	for i := range s.cfg.Workers {
		l, err := newLane(s, i, portable)
		if err != nil {
			return err
		}
		s.lanes = append(s.lanes, l)
		for k, addr := range s.cfg.UDP {
			if i > 0 {
				addr = s.addrs[k] // with its real port
			}
			port, err := l.serve(addr, s.cfg.Workers > 1)
			if err != nil {
				return err
			}
			if i == 0 {
				s.addrs = append(s.addrs, port.LocalAddr())
			}
		}
	}
	relay := slices.Clone(s.cfg.RelayAddresses)
	for i, a := range relay {
		relay[i] = a.Unmap()
	}
	if len(relay) == 0 && len(s.addrs) > 0 && !s.addrs[0].Addr().IsUnspecified() {
		relay = append(relay, s.addrs[0].Addr())
	}
	s.ports = newRelayPorts(relay, s.cfg.RelayPorts)
	s.rules = peers.New(s.cfg.Own, s.cfg.Allow)
	s.refuseOurselves()
	core := control.Config{
		Realm: s.cfg.Realm, Key: s.users.key, Admit: s.admit, Left: s.left, Permit: s.permit, Draining: s.drains, Peers: s.rules, OldChannels: s.cfg.OldChannels,
		IPv4: s.ports.address(false).IsValid(), IPv6: s.ports.address(true).IsValid(),
	}
	_, _ = rand.Read(core.NonceKey[:]) // never fails
	for _, l := range s.lanes {
		l.begin(core)
	}
	for i := range s.cfg.Workers {
		group, err := udp.NewGroup(portable)
		if err != nil {
			return fmt.Errorf("turn: %w", err)
		}
		s.workers = append(s.workers, &worker{server: s, index: i, group: group})
	}
	for _, l := range s.lanes {
		s.workers[0].give(l)
	}
	s.workers[0].owns = len(s.lanes)
	return nil
}

// unbind takes back what bind got, where it failed.
func (s *Server) unbind() error {
	var errs []error
	for _, l := range s.lanes {
		for _, p := range l.clients {
			errs = append(errs, p.Close())
		}
		errs = append(errs, l.group.Close())
	}
	for _, w := range s.workers {
		errs = append(errs, w.group.Close())
	}
	return errors.Join(errs...)
}

// refuseOurselves denies what would loop: our own listeners and relay ports.
func (s *Server) refuseOurselves() {
	listeners := slices.Clone(s.addrs)
	for _, l := range slices.Concat(s.cfg.TCP, s.cfg.TLS) {
		listeners = append(listeners, addrPortOf(l.Addr()))
	}
	machine := slices.Clone(s.ports.addrs)
	if all, err := net.InterfaceAddrs(); err == nil {
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				machine = append(machine, p.Addr().Unmap())
			}
		}
	}
	for _, at := range listeners {
		if !at.IsValid() {
			continue
		}
		if !at.Addr().IsUnspecified() {
			s.rules.Refuse(at.Addr(), at.Port(), at.Port())
			continue
		}
		for _, ip := range machine {
			s.rules.Refuse(ip, at.Port(), at.Port())
		}
	}
	for _, ip := range machine {
		s.rules.Refuse(ip, uint16(s.ports.first), uint16(s.ports.first+s.ports.count-1))
	}
}

func (s *Server) admit(who credential.Subject, ip netip.Addr) bool {
	if !s.quotas.admit(who, ip) {
		s.refuse(overQuota)
		return false
	}
	return true
}

func (s *Server) left(a *control.Allocation) {
	s.quotas.left(a.Subject, a.Client.Addr.Addr())
	if al, ok := a.Value.(*allocation); ok {
		al.lane.ways[a.Client.Way].Allocations--
		al.lane.changed = true
	}
}

func (s *Server) permit(a *control.Allocation, _ netip.Addr) bool {
	if !s.quotas.newPeer(a.Subject, a.Client.Addr.Addr(), time.Now()) {
		s.refuse(tooManyPeers)
		return false
	}
	return true
}

func (s *Server) drains() (netip.AddrPort, bool) {
	alternate := s.draining.Load()
	if alternate == nil {
		return netip.AddrPort{}, false
	}
	return *alternate, true
}

// Addrs are the bound UDP addresses, in the order of Config.UDP.
func (s *Server) Addrs() []netip.AddrPort { return slices.Clone(s.addrs) }

// accept serves a listener until that is closed.
func (s *Server) accept(l net.Listener, way Way) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.closing.Load() || errors.Is(err, net.ErrClosed) {
				return
			}
			s.log.warn("turn: accept", "error", err)
			time.Sleep(10 * time.Millisecond) // out of descriptors: others must close first
			continue
		}
		s.ServeConn(conn, way, nil)
	}
}

// ServeConn serves a connection that another accepted, and owns it from here: it returns at once. first is what has been read off
// it already. A *tls.Conn may still have its handshake before it. What lies over a TCP connection has a method NetConn and holds
// nothing back; a *tls.Conn is cheapest over a Conn (Wrap).
func (s *Server) ServeConn(conn net.Conn, way Way, first []byte) {
	remote := addrPortOf(conn.RemoteAddr())
	if s.closing.Load() || !remote.IsValid() {
		_ = conn.Close()
		return
	}
	if !s.quotas.connect(remote.Addr()) {
		s.refuse(tooManyConnections)
		_ = conn.Close()
		return
	}
	client := control.Client{Addr: remote, Local: addrPortOf(conn.LocalAddr()), Way: way, Conn: s.numbers.Add(1)}
	born := time.Now()
	l := s.lanes[int(s.turns.Add(1))%len(s.lanes)]
	if t, ok := conn.(*tls.Conn); ok && !t.ConnectionState().HandshakeComplete {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closing.Load() {
			s.quotas.disconnect(remote.Addr(), false)
			_ = conn.Close()
			return
		}
		s.joined.Go(func() {
			ctx, cancel := context.WithTimeout(s.alive, s.quotas.limits.AuthDeadline)
			defer cancel()
			if err := t.HandshakeContext(ctx); err != nil {
				s.refuse(badHandshake)
				s.quotas.disconnect(remote.Addr(), false)
				_ = conn.Close()
				return
			}
			l.post(func(l *lane) { l.adopt(conn, client, born, first) })
		})
		return
	}
	l.post(func(l *lane) { l.adopt(conn, client, born, first) })
}

func (s *Server) refuse(why refusal) { s.refused[why].Add(1) }

// Revoke ends the allocations of all whom who names (an empty field names any) and refuses their credentials from now on. Nothing
// is relayed for them after the lanes' next turns, which is at once.
func (s *Server) Revoke(who credential.Subject) {
	s.users.revoke(who, time.Now())
	for _, l := range s.lanes {
		l.post(func(l *lane) { l.revoke(who) })
	}
}

// Drain refuses new allocations: with 300 and this alternate server where it is one of the client's family, else with 486. Those
// there are live on. The zero AddrPort names none.
func (s *Server) Drain(alternate netip.AddrPort) { s.draining.Store(&alternate) }

// Close ends all allocations and connections and releases the sockets.
func (s *Server) Close() error {
	s.mu.Lock()
	already := s.closing.Swap(true)
	s.mu.Unlock()
	if already {
		return nil
	}
	s.kill()
	var errs []error
	for _, l := range slices.Concat(s.cfg.TCP, s.cfg.TLS) {
		errs = append(errs, l.Close())
	}
	for _, w := range s.workers {
		w.group.Wake()
	}
	s.joined.Wait()
	for _, l := range s.lanes {
		if !l.ended { // on its way between two workers
			l.end()
		}
		l.take() // connections that came meanwhile
	}
	return errors.Join(errs...)
}
