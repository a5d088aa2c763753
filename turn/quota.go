package turn

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/turn/credential"
)

const (
	defaultAllocations        = 16384
	defaultAllocationsPerUser = 16
	defaultAllocationsPerIP   = 512
	defaultPeersPerUser       = 5
	defaultPeersPerIP         = 100
	defaultConnections        = 16384
	defaultConnectionsPerIP   = 512
	defaultUnproven           = 32
	defaultAuthDeadline       = 10 * time.Second
	defaultIdle               = 30 * time.Second

	peersBurst = 4                      // seconds' worth of new peers at once
	bitsBurst  = 500 * time.Millisecond // of the rate in bits: a key frame's burst
	noLimit    = math.MaxInt
)

func (l Limits) withDefaults() Limits {
	for field, value := range map[*int]int{
		&l.Allocations: defaultAllocations, &l.AllocationsPerUser: defaultAllocationsPerUser,
		&l.AllocationsPerIP: defaultAllocationsPerIP, &l.PeersPerUser: defaultPeersPerUser, &l.PeersPerIP: defaultPeersPerIP,
		&l.Connections: defaultConnections, &l.ConnectionsPerIP: defaultConnectionsPerIP, &l.Unproven: defaultUnproven,
	} {
		switch {
		case *field == 0:
			*field = value
		case *field < 0:
			*field = noLimit
		}
	}
	if l.AuthDeadline == 0 {
		l.AuthDeadline = defaultAuthDeadline
	}
	if l.Idle == 0 {
		l.Idle = defaultIdle
	}
	return l
}

// inBits reports whether there is a limit in bits a second.
func (l *Limits) inBits() bool { return l.BitsPerUser > 0 || l.BitsPerIP > 0 }

// account is what one user, or one client address, takes.
type account struct {
	// Guarded by quotas.mu.
	allocations int
	connections int
	unproven    int // of the connections

	// Atomic.
	up, down bucket // bits
	peers    bucket
}

func (a *account) empty() bool { return a.allocations == 0 && a.connections == 0 }

// bucket lets a rate through, with a burst: the time at which all that was taken is paid for (GCRA). Atomic.
type bucket struct{ paid atomic.Int64 }

// take reports whether cost units may pass now, at so many a second with a burst of so long. No rate lets all pass.
func (b *bucket) take(cost, rate int, burst time.Duration, now int64) bool {
	if rate <= 0 || rate == noLimit {
		return true
	}
	price := int64(cost) * int64(time.Second) / int64(rate)
	for {
		paid := b.paid.Load()
		from := max(paid, now)
		if from-now > int64(burst) {
			return false
		}
		if b.paid.CompareAndSwap(paid, from+price) {
			return true
		}
	}
}

// quotas counts for all lanes. Packets only touch the buckets of an account, without the lock.
type quotas struct {
	// Fixed after newQuotas.
	limits Limits

	// Guarded by mu.
	mu                       sync.Mutex
	users                    map[userKey]*account
	ips                      map[netip.Addr]*account
	allocations, connections int
}

// userKey is a user whatever the call.
type userKey struct{ tenant, user string }

func keyOf(s credential.Subject) userKey { return userKey{s.Tenant, s.User} }

func newQuotas(limits Limits) *quotas {
	return &quotas{limits: limits, users: make(map[userKey]*account), ips: make(map[netip.Addr]*account)}
}

// network is what counts as one address: of IPv6 its /64, which one subscriber has.
func network(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// admit counts an allocation, and reports whether it may be.
func (q *quotas) admit(s credential.Subject, ip netip.Addr) bool {
	user, at := keyOf(s), network(ip)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.allocations >= q.limits.Allocations ||
		accountOf(q.users, user).allocations >= q.limits.AllocationsPerUser ||
		accountOf(q.ips, at).allocations >= q.limits.AllocationsPerIP {
		q.forget(user, at)
		return false
	}
	q.allocations++
	q.users[user].allocations++
	q.ips[at].allocations++
	return true
}

// left takes the allocation back.
func (q *quotas) left(s credential.Subject, ip netip.Addr) {
	user, at := keyOf(s), network(ip)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.allocations--
	accountOf(q.users, user).allocations--
	accountOf(q.ips, at).allocations--
	q.forget(user, at)
}

// accounts are those of an allocation, for as long as it is there.
func (q *quotas) accounts(s credential.Subject, ip netip.Addr) (user, at *account) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return accountOf(q.users, keyOf(s)), accountOf(q.ips, network(ip))
}

// connect counts a connection, which is unproven, and reports whether it may be.
func (q *quotas) connect(ip netip.Addr) bool {
	at := network(ip)
	q.mu.Lock()
	defer q.mu.Unlock()
	a := accountOf(q.ips, at)
	if q.connections >= q.limits.Connections || a.connections >= q.limits.ConnectionsPerIP || a.unproven >= q.limits.Unproven {
		q.forgetIP(at)
		return false
	}
	q.connections++
	a.connections++
	a.unproven++
	return true
}

// prove notes that a connection has an allocation.
func (q *quotas) prove(ip netip.Addr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	accountOf(q.ips, network(ip)).unproven--
}

// disconnect takes the connection back.
func (q *quotas) disconnect(ip netip.Addr, proven bool) {
	at := network(ip)
	q.mu.Lock()
	defer q.mu.Unlock()
	a := accountOf(q.ips, at)
	q.connections--
	a.connections--
	if !proven {
		a.unproven--
	}
	q.forgetIP(at)
}

// newPeer reports whether a permission for a further peer may be.
func (q *quotas) newPeer(s credential.Subject, ip netip.Addr, now time.Time) bool {
	user, at := q.accounts(s, ip)
	return user.peers.take(1, q.limits.PeersPerUser, peersBurst*time.Second, now.UnixNano()) &&
		at.peers.take(1, q.limits.PeersPerIP, peersBurst*time.Second, now.UnixNano())
}

func (q *quotas) forget(user userKey, at netip.Addr) {
	if a, ok := q.users[user]; ok && a.empty() {
		delete(q.users, user)
	}
	q.forgetIP(at)
}

func (q *quotas) forgetIP(at netip.Addr) {
	if a, ok := q.ips[at]; ok && a.empty() {
		delete(q.ips, at)
	}
}

func accountOf[K comparable](all map[K]*account, key K) *account {
	a, ok := all[key]
	if !ok {
		a = &account{}
		all[key] = a
	}
	return a
}
