package turn

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

const (
	firstRelayPort, lastRelayPort = 49152, 65535

	// rest is how long a number is not given out again: what its last holder's peers still send shall not reach the next.
	rest = 10 * time.Second
)

// relayPorts gives out relayed addresses: numbers that are held, whether a socket is bound to them or not.
type relayPorts struct {
	// Fixed after newRelayPorts.
	first, count int
	addrs        []netip.Addr

	// Guarded by mu.
	mu   sync.Mutex
	held map[netip.AddrPort]time.Time // the zero time: held now; else free from then on
	now  func() time.Time
}

func newRelayPorts(addrs []netip.Addr, ports [2]uint16) *relayPorts {
	if ports == [2]uint16{} {
		ports = [2]uint16{firstRelayPort, lastRelayPort}
	}
	return &relayPorts{
		first: int(ports[0]), count: int(ports[1]) - int(ports[0]) + 1, addrs: addrs,
		held: make(map[netip.AddrPort]time.Time), now: time.Now,
	}
}

// address of the family, the zero Addr when there is none.
func (p *relayPorts) address(ipv6 bool) netip.Addr {
	for _, a := range p.addrs {
		if a.Is6() == ipv6 {
			return a
		}
	}
	return netip.Addr{}
}

// take holds a port for which try, when it is not nil, succeeds; with even an even one, and with pair the next one as well,
// which must be taken with exactly.
func (p *relayPorts) take(addr netip.Addr, even, pair bool, try func(netip.AddrPort) bool) (netip.AddrPort, bool) {
	start := rand.IntN(p.count) // numbers that nobody can guess
	for i := range p.count {
		port := p.first + (start+i)%p.count
		if even && port%2 != 0 {
			continue
		}
		at := netip.AddrPortFrom(addr, uint16(port))
		if !p.hold(at, pair) {
			continue
		}
		if try == nil || try(at) {
			return at, true
		}
		p.free(at)
		if pair {
			p.free(next(at))
		}
	}
	return netip.AddrPort{}, false
}

func (p *relayPorts) hold(at netip.AddrPort, pair bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isFree(at) {
		return false
	}
	if pair {
		second := next(at)
		if int(second.Port()) >= p.first+p.count || !p.isFree(second) {
			return false
		}
		p.held[second] = time.Time{}
	}
	p.held[at] = time.Time{}
	return true
}

func (p *relayPorts) isFree(at netip.AddrPort) bool {
	until, ok := p.held[at]
	return !ok || !until.IsZero() && !p.now().Before(until)
}

// give lets a number rest and then be taken again.
func (p *relayPorts) give(at netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[at] = p.now().Add(rest)
}

// free lets it be taken again at once: it was never used.
func (p *relayPorts) free(at netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, at)
}

func next(at netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(at.Addr(), at.Port()+1) }
