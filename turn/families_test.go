package turn_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
	pion5 "github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn"
)

// family is an attribute that names one: REQUESTED-ADDRESS-FAMILY, or ADDITIONAL-ADDRESS-FAMILY.
func family(kind stun.AttrType, number byte) stun.Setter {
	return stun.RawAttribute{Type: kind, Value: []byte{number, 0, 0, 0}}
}

var (
	ofIPv6  = family(stun.AttrRequestedAddressFamily, 2)
	andIPv6 = family(0x8000, 2)
	atAnEnd = stun.RawAttribute{Type: stun.AttrLifetime, Value: []byte{0, 0, 0, 0}}
	refresh = stun.NewType(stun.MethodRefresh, stun.ClassRequest)
	permit  = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
)

// allocateOf allocates what the setters ask for, and returns the relayed addresses.
func (c *rawClient) allocateOf(setters ...stun.Setter) (relayed []netip.AddrPort, code stun.ErrorCode) {
	c.t.Helper()
	require.Equal(c.t, stun.CodeUnauthorized, c.ask())
	code = c.request(c.signed(append([]stun.Setter{allocateRequest, overUDP}, setters...)...)...)
	for _, a := range c.last.Attributes {
		if a.Type == stun.AttrXORRelayedAddress {
			one := stun.Message{Raw: c.last.Raw, TransactionID: c.last.TransactionID, Attributes: stun.Attributes{a}}
			var at stun.XORMappedAddress
			require.NoError(c.t, at.GetFromAs(&one, stun.AttrXORRelayedAddress))
			relayed = append(relayed, netip.MustParseAddrPort(at.String()))
		}
	}
	return relayed, code
}

// ping has an echo behind a channel answer.
func (c *rawClient) ping(channel uint16) {
	c.t.Helper()
	for _, text := range []string{"a", "longer than the first"} {
		c.send(channel, []byte(text))
		require.Equal(c.t, text, string(c.channelData()))
	}
}

// A client that comes over either family has a relayed address of either, or both, each for itself.
func TestFamilies(t *testing.T) {
	six, err := net.Listen("tcp6", "[::1]:0")
	require.NoError(t, err)
	f := start(t, func(c *turn.Config) {
		c.UDP = append(c.UDP, netip.AddrPortFrom(netip.IPv6Loopback(), 0))
		c.TCP = append(c.TCP, six)
		c.RelayAddresses = append(c.RelayAddresses, netip.IPv6Loopback())
		c.Allow = append(c.Allow, netip.PrefixFrom(netip.IPv6Loopback(), 128))
		c.Limits.AllocationsPerUser = -1
	})
	peer4, peer6 := echo(t), echoAt(t, "[::1]:0")
	dial6 := func(t *testing.T, network, address string) net.Conn {
		conn, err := net.Dial(network, address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	for name, dial := range map[string]func(t *testing.T) net.Conn{
		"UDP over IPv4": func(t *testing.T) net.Conn { return f.dial(t, turn.UDP) },
		"TCP over IPv4": func(t *testing.T) net.Conn { return f.dial(t, turn.TCP) },
		"TLS over IPv4": func(t *testing.T) net.Conn { return f.dial(t, turn.TLS) },
		"UDP over IPv6": func(t *testing.T) net.Conn { return dial6(t, "udp6", f.Addrs()[1].String()) },
		"TCP over IPv6": func(t *testing.T) net.Conn { return dial6(t, "tcp6", six.Addr().String()) },
	} {
		t.Run(name, func(t *testing.T) {
			one := newRawClient(t, dial(t))
			relayed, code := one.allocateOf(ofIPv6)
			require.Zero(t, code)
			require.Len(t, relayed, 1)
			require.Equal(t, netip.IPv6Loopback(), relayed[0].Addr())
			one.bind(0x4000, peer6)
			one.ping(0x4000)
			to := peer4.(*net.UDPAddr)
			require.EqualValues(t, 443, one.request(one.signed(permit, xorPeer{IP: to.IP, Port: to.Port})...))

			both := newRawClient(t, dial(t))
			relayed, code = both.allocateOf(andIPv6)
			require.Zero(t, code)
			require.Len(t, relayed, 2)
			require.Equal(t, loopback, relayed[0].Addr())
			require.Equal(t, netip.IPv6Loopback(), relayed[1].Addr())
			both.bind(0x4000, peer4)
			both.bind(0x4001, peer6)
			both.ping(0x4000)
			both.ping(0x4001)
			require.Zero(t, both.request(both.signed(refresh, ofIPv6)...), "one of both is renewed")
			both.ping(0x4001)
			require.Zero(t, both.request(both.signed(refresh, ofIPv6, atAnEnd)...))
			again, err := net.ListenPacket("udp6", relayed[1].String())
			require.NoError(t, err, "its socket is closed")
			require.NoError(t, again.Close())
			require.EqualValues(t, 443, both.request(both.signed(refresh, ofIPv6)...))
			before := f.Stats().Dropped["no_channel"]
			both.send(0x4001, []byte("nobody's"))
			both.ping(0x4000)
			eventually(t, "its drop", func() bool { return f.Stats().Dropped["no_channel"] == before+1 })
			require.Zero(t, both.request(both.signed(refresh, atAnEnd)...))
			require.Zero(t, one.request(one.signed(refresh, atAnEnd)...))
			eventually(t, "the end of both", func() bool {
				now, held := f.Stats(), 0
				for _, w := range now.Ways {
					held += w.Allocations
				}
				return held == 0
			})
		})
	}
	eachWay(t, func(t *testing.T, way turn.Way) { // a client that others wrote
		conn, server := f.packets(t, way)
		c, err := pion5.NewClient(&pion5.ClientConfig{
			STUNServerAddr: server, TURNServerAddr: server, Conn: conn, Username: user, Password: password, Realm: realm,
			RequestedAddressFamily: pion5.RequestedAddressFamilyIPv6,
		})
		require.NoError(t, err)
		require.NoError(t, c.Listen())
		defer c.Close()
		relayed, err := c.Allocate()
		require.NoError(t, err)
		require.Equal(t, "::1", relayed.LocalAddr().(*net.UDPAddr).IP.String())
		bounce(t, relayed, peer6)
		require.NoError(t, relayed.Close())
	})
	require.Zero(t, f.Stats().Dropped["fault"])
}

// Where there is no address of a family, that is said: 440, or of both IPv4 is granted and why the other is not.
func TestNoSuchFamily(t *testing.T) {
	f := start(t, nil)
	_, code := newRawClient(t, f.dial(t, turn.UDP)).allocateOf(ofIPv6)
	require.EqualValues(t, 440, code)
	c := newRawClient(t, f.dial(t, turn.UDP))
	relayed, code := c.allocateOf(andIPv6)
	require.Zero(t, code)
	require.Len(t, relayed, 1)
	require.Equal(t, loopback, relayed[0].Addr())
	why, err := c.last.Get(0x8001) // ADDRESS-ERROR-CODE
	require.NoError(t, err)
	require.Equal(t, []byte{2, 0, 4, 40}, why)
}
