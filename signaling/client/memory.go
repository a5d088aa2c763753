package client

import (
	"crypto/tls"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/protobuf/proto"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Bounds of a Memory. What is oldest goes first.
const (
	maxServers    = 64
	maxNetworks   = 16 // of one server
	maxTransports = 4
	// avoidFor is how long QUIC is left alone on a network where WebSocket had to win.
	avoidFor = 10 * time.Minute
)

// Memory is what Clients know from earlier connections: how else a server can be reached, TLS tickets and address tokens, with
// which the first answer comes after one round trip, and on which networks QUIC does not work. Clients that share one help
// each other. It lives as long as the process and holds at most 64 servers. All methods are safe from any goroutine.
type Memory struct {
	// Guarded by mu.
	mu      sync.Mutex
	servers map[string]*known
}

// known is what is known of one server. What was learned without encryption is kept apart by the scheme in the key.
type known struct {
	tickets tls.ClientSessionCache
	tokens  quic.TokenStore

	// Guarded by the Memory's mu.
	used       time.Time
	told       bool // the server has named its transports
	transports []*wire.Transport
	avoid      map[netip.Prefix]time.Time // networks on which WebSocket won, and when
}

// NewMemory returns an empty Memory. Clients that are given none share one for the process.
func NewMemory() *Memory { return &Memory{servers: map[string]*known{}} }

var shared = NewMemory()

// of returns what is known of a server ("https://host:port").
func (m *Memory) of(server string) *known {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.servers[server]
	if k == nil {
		if len(m.servers) >= maxServers {
			oldest := slices.MinFunc(slices.Collect(maps.Keys(m.servers)), func(a, b string) int {
				return m.servers[a].used.Compare(m.servers[b].used)
			})
			delete(m.servers, oldest)
		}
		k = &known{
			tickets: tls.NewLRUClientSessionCache(4), tokens: quic.NewLRUTokenStore(1, 4),
			avoid: map[netip.Prefix]time.Time{},
		}
		m.servers[server] = k
	}
	k.used = time.Now()
	return k
}

// learn keeps what the server says of its transports; a network that was avoided under other conditions is tried again.
func (m *Memory) learn(k *known, all []*wire.Transport) {
	var usable []*wire.Transport
	for _, t := range all {
		if t.GetKind() == wire.Transport_QUIC && t.GetPort() > 0 && t.GetPort() <= 65535 && len(usable) < maxTransports {
			usable = append(usable, t)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	same := k.told && slices.EqualFunc(k.transports, usable, func(a, b *wire.Transport) bool { return proto.Equal(a, b) })
	if !same {
		clear(k.avoid)
	}
	k.told, k.transports = true, usable
}

// ways returns the transports the server has named; false when it has not said.
func (m *Memory) ways(k *known) ([]*wire.Transport, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return k.transports, k.told
}

// avoids tells whether QUIC is better left alone on this network for now.
func (m *Memory) avoids(k *known, network netip.Prefix) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	since, ok := k.avoid[network]
	return ok && time.Since(since) < avoidFor
}

// remember keeps who won on a network.
func (m *Memory) remember(k *known, network netip.Prefix, winner Transport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(k.avoid, network)
	if winner == QUIC {
		return
	}
	if len(k.avoid) >= maxNetworks {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(k.avoid)), func(a, b netip.Prefix) int {
			return k.avoid[a].Compare(k.avoid[b])
		})
		delete(k.avoid, oldest)
	}
	k.avoid[network] = time.Now()
}

// networkOf names the network an address of ours is in: a subnet of the usual size.
func networkOf(local net.Addr) netip.Prefix {
	udp, ok := local.(*net.UDPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := udp.AddrPort().Addr().Unmap().WithZone("")
	bits := 24
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // no address: the zero Prefix names that
	return p
}
