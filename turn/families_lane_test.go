package turn

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

var here6 = netip.IPv6Loopback()

func bothFamilies(c *Config) {
	c.RelayAddresses = []netip.Addr{here, here6}
	c.Allow = append(c.Allow, netip.PrefixFrom(here6, 128))
}

func attribute(kind stun.AttrType, value ...byte) stun.Setter {
	return stun.RawAttribute{Type: kind, Value: value}
}

var (
	andIPv6   = attribute(0x8000, 2, 0, 0, 0) // ADDITIONAL-ADDRESS-FAMILY
	ofIPv6    = attribute(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)
	ofIPv4    = attribute(stun.AttrRequestedAddressFamily, 1, 0, 0, 0)
	forAnHour = attribute(stun.AttrLifetime, 0, 0, 14, 16)
	forNoTime = attribute(stun.AttrLifetime, 0, 0, 0, 0)
)

// carries reports whether a packet of the client's on this channel reaches the peer, and one of the peer's the client.
func (b *bench) carries(t testing.TB, channel uint16, peer udp.Socket, relayed netip.AddrPort) (there, back bool) {
	h := channelHeader(channel, 4)
	_, err := b.client.WriteTo(append(h[:], "ping"...), b.s.addrs[0])
	require.NoError(t, err)
	b.turn()
	n, err := peer.Read(b.batch)
	require.NoError(t, err)
	_, err = peer.WriteTo([]byte("pong"), relayed)
	require.NoError(t, err)
	b.turn()
	m, err := b.client.Read(b.batch)
	require.NoError(t, err)
	return n > 0, m > 0
}

// Each family of a dual allocation runs out by itself, with its socket, and the allocation with the last one.
func TestFamiliesRunOut(t *testing.T) {
	b := openBench(t, bothFamilies)
	b.login(t)
	b.granted(t, stun.MethodAllocate, overUDP, andIPv6)
	peer6, err := udp.Listen(netip.AddrPortFrom(here6, 0), udp.Config{DisableGRO: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, peer6.Close()) }()
	var relayed [2]netip.AddrPort
	for at := range b.l.relays {
		relayed[len(at.Addr().AsSlice())/16] = at
	}
	bind := func(families ...int) {
		for _, f := range families {
			b.granted(t, stun.MethodChannelBind, channelNumber(0x4000+uint16(f)), peerAt([]udp.Socket{b.peer, peer6}[f].LocalAddr()))
		}
	}
	expect := func(v4, v6 bool) {
		t.Helper()
		there, back := b.carries(t, 0x4000, b.peer, relayed[0])
		require.Equal(t, []bool{v4, v4}, []bool{there, back}, "IPv4 after %v", b.late)
		there, back = b.carries(t, 0x4001, peer6, relayed[1])
		require.Equal(t, []bool{v6, v6}, []bool{there, back}, "IPv6 after %v", b.late)
	}
	free := func(at netip.AddrPort) bool {
		s, err := udp.Listen(at, udp.Config{})
		if err == nil {
			require.NoError(t, s.Close())
		}
		return err == nil
	}
	bind(0, 1)
	b.granted(t, stun.MethodRefresh, ofIPv6, forAnHour)
	expect(true, true)
	for _, b.late = range []time.Duration{290 * time.Second, 580 * time.Second} {
		bind(0, 1) // permissions last 5 minutes
		expect(true, true)
	}
	require.False(t, free(relayed[0]))
	b.late = 605 * time.Second
	b.turn() // looks at what runs out when it is through
	expect(false, true)
	require.True(t, free(relayed[0]), "its socket is closed")
	require.False(t, free(relayed[1]))
	require.Equal(t, 1, b.l.ways[UDP].Allocations)
	for b.late < 3200*time.Second {
		b.late += 290 * time.Second
		bind(1)
		expect(false, true)
	}
	b.late = 3605 * time.Second
	b.turn()
	expect(false, false)
	require.True(t, free(relayed[1]))
	require.Zero(t, b.l.ways[UDP].Allocations)
	require.Empty(t, b.l.relays)
	require.Zero(t, b.l.drops[faults])
}

// ends notes the links that are closed.
type ends struct {
	open, closed []*handover.Link
}

func (e *ends) Deliver(_ netip.AddrPort, l *handover.Link, _ []byte) bool {
	if !slices.Contains(e.open, l) {
		e.open = append(e.open, l)
	}
	return true
}

func (e *ends) Closed(l *handover.Link) { e.closed = append(e.closed, l) }

// A family that is given back takes its links with our own media along, and no other's.
func TestLinksEndWithTheirFamily(t *testing.T) {
	own := []netip.AddrPort{netip.AddrPortFrom(here, 5004), netip.AddrPortFrom(here6, 5004)}
	var path ends
	b := openBench(t, func(c *Config) {
		bothFamilies(c)
		c.Own, c.Path, c.Allow = own, &path, nil
	})
	b.login(t)
	b.granted(t, stun.MethodAllocate, overUDP, andIPv6)
	for f, at := range own {
		b.granted(t, stun.MethodChannelBind, channelNumber(0x4000+uint16(f)), peerAt(at))
		h := channelHeader(0x4000+uint16(f), 4)
		_, err := b.client.WriteTo(append(h[:], "ping"...), b.s.addrs[0])
		require.NoError(t, err)
		b.turn()
		require.Len(t, path.open, f+1)
		require.Equal(t, at.Addr(), path.open[f].Addr().Addr(), "each is at the relayed address of its family")
	}
	b.granted(t, stun.MethodRefresh, ofIPv4, forNoTime)
	require.Equal(t, path.open[:1], path.closed)
	b.granted(t, stun.MethodRefresh, ofIPv6, forNoTime)
	require.Equal(t, path.open, path.closed)
	require.Zero(t, b.l.ways[UDP].Allocations)
}
