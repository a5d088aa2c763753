package client

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		first := m.of("wss://0")
		for i := range 3 * maxServers {
			time.Sleep(time.Second)
			m.of(fmt.Sprint("wss://", i))
			require.Same(t, first, m.of("wss://0"), "what is used stays")
		}
		require.Len(t, m.servers, maxServers)

		for i := range 3 * maxNetworks {
			time.Sleep(time.Second)
			m.remember(first, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24), WebSocket)
		}
		require.Len(t, first.avoid, maxNetworks)
		newest := netip.MustParsePrefix("10.0.47.0/24")
		require.True(t, m.avoids(first, newest))
		require.False(t, m.avoids(first, netip.MustParsePrefix("10.0.0.0/24")))
		time.Sleep(avoidFor)
		require.False(t, m.avoids(first, newest))

		var many []*wire.Transport
		for i := range uint32(100) {
			many = append(many, &wire.Transport{Kind: wire.Transport_Kind(i % 3), Port: i})
		}
		m.learn(first, many)
		ways, told := m.ways(first)
		require.True(t, told)
		require.Len(t, ways, maxTransports)
		require.Equal(t, uint32(1), ways[0].GetPort())
	})
}

func TestWhatIsLearnedAnewIsTriedAnew(t *testing.T) {
	m := NewMemory()
	k, home := m.of("wss://a"), netip.MustParsePrefix("192.168.1.0/24")
	said := []*wire.Transport{{Kind: wire.Transport_QUIC, Port: 8443}}
	m.learn(k, said)
	m.remember(k, home, WebSocket)
	m.learn(k, said)
	require.True(t, m.avoids(k, home), "nothing new")
	m.learn(k, []*wire.Transport{{Kind: wire.Transport_QUIC, Port: 443}})
	require.False(t, m.avoids(k, home))
}

func TestNetworksAndServersHaveNames(t *testing.T) {
	for address, network := range map[string]string{
		"192.168.7.9:5": "192.168.7.0/24", "[2001:db8::1:2]:5": "2001:db8::/64", "[fe80::1%eth0]:5": "fe80::/64",
		"[::ffff:10.1.2.3]:5": "10.1.2.0/24",
	} {
		require.Equal(t, network, networkOf(net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))).String())
	}
	require.Equal(t, netip.Prefix{}, networkOf(&net.TCPAddr{}))
	require.Equal(t, netip.Prefix{}, networkOf(&net.UDPAddr{}))
	for address, name := range map[string]string{
		"wss://a/v1/ws": "wss://a:443", "ws://a/v1/ws": "ws://a:80", "wss://[::1]:8443/v1/ws": "wss://[::1]:8443",
	} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, name, serverKey(u))
	}
}
