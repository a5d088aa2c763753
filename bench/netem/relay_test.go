package netem_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// listen opens a UDP socket on loopback that is closed with the test.
func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func relay(t *testing.T, cfg netem.RelayConfig) *netem.Relay {
	t.Helper()
	cfg.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	r, err := netem.OpenRelay(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() }) // closed by some tests
	return r
}

// What is missing at the far end is what the model lost, datagram by datagram; each client has its own dice and socket.
func TestRelay(t *testing.T) {
	const count, seed = 500, 5
	server := listen(t)
	require.NoError(t, server.SetReadBuffer(4<<20))
	cfg := netsim.LinkConfig{Loss: 0.2, Delay: 5 * ms}
	var log passages
	r := relay(t, netem.RelayConfig{
		Target: address(server), MaxClients: 2,
		Line: netem.LineConfig{Seed: seed, Links: []netem.Path{{Up: cfg}}, Log: log.add},
	})
	seen := map[netip.AddrPort]bool{}
	for client := range 2 {
		conn := listen(t)
		for i := range count {
			_, err := conn.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), r.Addr())
			require.NoError(t, err)
		}
		passed := func() []netem.Passage { return log.of(0, netem.Up)[client*count:] }
		require.Eventually(t, func() bool { return len(log.of(0, netem.Up)) == (client+1)*count }, 20*time.Second, ms)
		model := netsim.NewLink(cfg, seed+uint64(client*2*netem.MaxLinks))
		var want []uint32
		for i, p := range passed() {
			require.Equal(t, 32, p.Size)
			require.Equal(t, model.Send(p.Sent, p.Size), p.Fate)
			if p.Fate.Verdict == netsim.Arrives {
				want = append(want, uint32(i))
			}
		}
		require.InDelta(t, 0.8*count, len(want), 0.1*count)
		buf := make([]byte, 100)
		var from netip.AddrPort
		for _, number := range want {
			require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, addr, err := server.ReadFromUDPAddrPort(buf)
			require.NoError(t, err)
			require.Equal(t, number, binary.BigEndian.Uint32(buf))
			from = addr
		}
		require.False(t, seen[from], "a socket of its own")
		seen[from] = true

		_, err := server.WriteToUDPAddrPort([]byte("back"), from)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		size, relayed, err := conn.ReadFromUDPAddrPort(buf)
		require.NoError(t, err)
		require.Equal(t, "back", string(buf[:size]))
		require.Equal(t, r.Addr(), relayed)
	}
	_, err := listen(t).WriteToUDPAddrPort([]byte("one too many"), r.Addr())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.Refused() == 1 }, 10*time.Second, ms)
	lines := 0
	r.Each(func(_ netip.AddrPort, line *netem.Line) {
		line.Set(0, netem.Up, netsim.LinkConfig{})
		lines++
	})
	require.Equal(t, 2, lines)
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.Close(), net.ErrClosed)
	require.Len(t, r.Accounts(), 2, "accounts stay")
	for _, a := range r.Accounts() {
		require.EqualValues(t, count, a[netem.Up].Did.Sent)
		require.EqualValues(t, 1, a[netem.Down].Did.Arrived)
	}
}

// Strangers do not get through to a client, and a silent client is forgotten.
func TestRelayForgets(t *testing.T) {
	server := listen(t)
	r := relay(t, netem.RelayConfig{Target: address(server), Idle: 100 * ms, Line: netem.LineConfig{Links: []netem.Path{{}}}})
	client := listen(t)
	_, err := client.WriteToUDPAddrPort([]byte("hello"), r.Addr())
	require.NoError(t, err)
	buf := make([]byte, 100)
	_, from, err := server.ReadFromUDPAddrPort(buf)
	require.NoError(t, err)
	_, err = listen(t).WriteToUDPAddrPort([]byte("stranger"), from)
	require.NoError(t, err)
	_, err = server.WriteToUDPAddrPort([]byte("server"), from)
	require.NoError(t, err)
	require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	size, _, err := client.ReadFromUDPAddrPort(buf)
	require.NoError(t, err)
	require.Equal(t, "server", string(buf[:size]))
	require.Eventually(t, func() bool {
		present := 0
		r.Each(func(netip.AddrPort, *netem.Line) { present++ })
		return present == 0
	}, 10*time.Second, 10*ms)
	require.Len(t, r.Accounts(), 1)
}

func TestOpenRelayNamesWhatIsWrong(t *testing.T) {
	_, err := netem.OpenRelay(netem.RelayConfig{})
	require.ErrorContains(t, err, "Config.Links")
	line := netem.LineConfig{Links: []netem.Path{{}}}
	_, err = netem.OpenRelay(netem.RelayConfig{Line: line})
	require.ErrorContains(t, err, "RelayConfig.Target")
	taken := listen(t)
	_, err = netem.OpenRelay(netem.RelayConfig{Line: line, Listen: address(taken), Target: address(taken)})
	require.ErrorContains(t, err, "address already in use")
}
