package signaling

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// helloLimit is for one address: Hellos, and Resumes of sessions that are not held. It is applied before any signature is
// checked, so that strangers cannot make us do that without end. A Resume that succeeds is never refused: who holds a session
// may come back together with everybody else on his network. An address is not a person: a carrier's NAT holds thousands of
// phones, and after a restart all of them say Hello at once, so 1,000 may. What is left to a stranger is 50 checks of a
// signature a second, half a percent of a core.
var helloLimit = limit{perSecond: 50, burst: 1000}

// maxAddresses are remembered at once, some 4 MB. Beyond: the one seen least recently is forgotten, and starts with a whole
// burst when it comes back; nobody is refused because others are many.
const maxAddresses = 16 << 10

// addresses applies a limit to each address that greets us. An address is remembered while it matters: for as long as its
// limiter takes to fill up again.
//
//	oldest ◄──► … ◄──► newest     each an entry of table too
//
// All methods are safe from any goroutine.
type addresses struct {
	// Fixed after newAddresses.
	limit   limit
	most    int
	proxies []netip.Prefix // whose word about where a request comes from is believed

	// Guarded by mu.
	mu        sync.Mutex
	table     map[netip.Prefix]*visitor
	ring      visitor // ring.newer is the oldest, ring.older the newest
	refused   uint64
	forgotten uint64 // before their time, since there were too many
}

// visitor is one address.
type visitor struct {
	limiter      *rate.Limiter
	from         netip.Prefix
	last         time.Time
	older, newer *visitor
}

func newAddresses(l limit, most int, proxies []netip.Prefix) *addresses {
	a := &addresses{limit: l, most: most, proxies: proxies, table: make(map[netip.Prefix]*visitor)}
	a.ring.older, a.ring.newer = &a.ring, &a.ring
	return a
}

// take counts a greeting from this address. It returns 0, or how long the address has to wait. Loopback is never limited: it
// is this machine, or a reverse proxy on it that is not named as one, and then everybody would share one limit. A limit below
// 0 is none.
func (a *addresses) take(at time.Time, from netip.Addr) time.Duration {
	from = from.Unmap()
	if !from.IsValid() || from.IsLoopback() || a.limit.perSecond < 0 {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.visit(at, network(from))
	wait := a.limit.take(at, &v.limiter)
	if wait > 0 {
		a.refused++
	}
	return wait
}

// visit finds the address or remembers it, as the newest one.
func (a *addresses) visit(at time.Time, from netip.Prefix) *visitor {
	v := a.table[from]
	if v == nil {
		a.makeRoom(at)
		v = &visitor{from: from}
		a.table[from] = v
	} else {
		v.unlink()
	}
	v.last = at
	v.older, v.newer = a.ring.older, &a.ring
	v.older.newer, v.newer.older = v, v
	return v
}

// makeRoom forgets up to two that have been idle for long enough, so that they become fewer, and if need be one that has not.
func (a *addresses) makeRoom(at time.Time) {
	full := time.Duration(float64(a.limit.burst) / float64(a.limit.perSecond) * float64(time.Second))
	for range 2 {
		if oldest := a.ring.newer; oldest != &a.ring && at.Sub(oldest.last) >= full {
			a.forget(oldest)
		}
	}
	if len(a.table) >= a.most {
		a.forget(a.ring.newer)
		a.forgotten++
	}
}

func (a *addresses) forget(v *visitor) {
	v.unlink()
	delete(a.table, v.from)
}

func (v *visitor) unlink() {
	v.older.newer, v.newer.older = v.newer, v.older
}

// stats: greetings refused, and addresses forgotten before their time since there were too many.
func (a *addresses) stats() (refused, forgotten uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused, a.forgotten
}

// network is what one household or phone has: an IPv4 address, 2⁶⁴ of IPv6.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	// Never fails: the address is valid and has so many bits.
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// of is where a request comes from: the other end of its connection, or, when that is a trusted proxy, the last address in
// X-Forwarded-For that is none. Proxies append to that header, so what stands before it is the client's own claim.
func (a *addresses) of(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := peer.Addr().Unmap()
	told := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(told) - 1; i >= 0 && a.isProxy(from); i-- {
		before, err := netip.ParseAddr(strings.TrimSpace(told[i]))
		if err != nil {
			break
		}
		from = before.Unmap()
	}
	return from
}

func (a *addresses) isProxy(addr netip.Addr) bool {
	for _, p := range a.proxies {
		if p.Contains(addr.WithZone("")) {
			return true
		}
	}
	return false
}
