package turn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/credential"
)

func TestBucket(t *testing.T) {
	var b bucket
	now := time.Now().UnixNano()
	passed := 0
	for range 10_000 { // a second, a packet each 100 µs
		now += int64(100 * time.Microsecond)
		if b.take(8000, 1_000_000, 100*time.Millisecond, now) {
			passed++
		}
	}
	require.InDelta(t, 125+13, passed, 2, "1 Mbit/s of packets of 8 kbit, and a burst of 100 ms")
	require.True(t, b.take(8000, 0, 0, now), "no rate, no limit")
}

func TestQuotasForgetWhoLeft(t *testing.T) {
	q := newQuotas(Limits{Allocations: 3, AllocationsPerUser: 2, ConnectionsPerIP: 2, Unproven: 1}.withDefaults())
	one, two := credential.Subject{Tenant: "t", User: "1", Call: "a"}, credential.Subject{Tenant: "t", User: "2"}
	ip, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	require.True(t, q.admit(one, ip))
	one.Call = "b"
	require.True(t, q.admit(one, other), "another call of the same user")
	require.False(t, q.admit(one, ip))
	require.True(t, q.admit(two, ip))
	require.False(t, q.admit(two, ip), "more than all may have")
	q.left(one, other)
	require.True(t, q.admit(one, other))
	for range 2 {
		q.left(one, ip)
		ip = other
	}
	q.left(two, netip.MustParseAddr("192.0.2.1"))

	v6 := netip.MustParseAddr("2001:db8::1")
	require.True(t, q.connect(v6))
	require.False(t, q.connect(v6.Next()), "a /64 is one subscriber")
	require.True(t, q.connect(netip.MustParseAddr("2001:db8:0:1::1")))
	q.prove(v6)
	require.True(t, q.connect(v6))
	q.disconnect(v6, true)
	q.disconnect(v6, false)
	q.disconnect(netip.MustParseAddr("2001:db8:0:1::1"), false)
	require.Empty(t, q.users)
	require.Empty(t, q.ips)
	require.Zero(t, q.allocations)
	require.Zero(t, q.connections)
}

func TestRelayPorts(t *testing.T) {
	ip := netip.MustParseAddr("192.0.2.1")
	p := newRelayPorts([]netip.Addr{ip}, [2]uint16{5000, 5003})
	now := time.Now()
	p.now = func() time.Time { return now }
	require.Equal(t, ip, p.address(false))
	require.False(t, p.address(true).IsValid())

	pair, ok := p.take(ip, true, true, nil)
	require.True(t, ok)
	require.Zero(t, pair.Port()%2)
	even, ok := p.take(ip, true, false, nil)
	require.True(t, ok)
	require.NotEqual(t, pair.Port(), even.Port())
	_, ok = p.take(ip, true, false, nil)
	require.False(t, ok, "no even one is left")
	last, ok := p.take(ip, false, false, nil)
	require.True(t, ok)
	require.Equal(t, even.Port()+1, last.Port())
	p.give(last)
	_, ok = p.take(ip, false, false, nil)
	require.False(t, ok, "a number rests")
	now = now.Add(rest)
	_, ok = p.take(ip, false, false, func(netip.AddrPort) bool { return false })
	require.False(t, ok, "another program has it")
	again, ok := p.take(ip, false, false, nil)
	require.True(t, ok)
	require.Equal(t, last, again)
}
