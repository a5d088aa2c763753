package sfu_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// newRealWorld is a server on the machine's loopback, in real time: pion's ICE-TCP dials by itself.
func newRealWorld(t *testing.T) (*world, netip.AddrPort) {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	socket, err := udp.Listen(netip.AddrPortFrom(loopback, 0), udp.Config{})
	require.NoError(t, err)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	w := &world{t: t, net: netsim.New(1)}
	w.sfu, err = sfu.New(sfu.Config{Sockets: []udp.Socket{socket}, TCP: []net.Listener{listener}, Advertise: []netip.Addr{loopback}})
	require.NoError(t, err)
	return w, netip.MustParseAddrPort(listener.Addr().String())
}

func TestACallOverICETCP(t *testing.T) {
	w, _ := newRealWorld(t)
	defer w.close()
	overTCP := func(settings *webrtc.SettingEngine) {
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
		settings.SetIncludeLoopbackCandidate(true)
		settings.SetIPFilter(net.IP.IsLoopback)
	}
	anna := w.newClientOver("anna", nil, 1, 1, overTCP).join("demo").talk()
	boris := w.newClientOver("boris", nil, 1, 1, overTCP).join("demo").talk()
	anna.hears(10*time.Second, boris)
	boris.hears(10*time.Second, anna)
	before := anna.got(boris, false)
	w.eventually(5*time.Second, "sound goes on", func() bool { return anna.got(boris, false) >= before+25 })
	st := w.shard()
	require.Zero(t, st.Socket.ReceivedDatagrams, "nothing went over UDP")
	require.Zero(t, st.Drops.Forged)
	require.NoError(t, anna.peer.Leave(t.Context()))
}

// TestAStrangerOverTCPIsHungUpOn: the framing must hold, and media needs a check first.
func TestAStrangerOverTCPIsHungUpOn(t *testing.T) {
	w, addr := newRealWorld(t)
	defer w.close()
	for name, bytes := range map[string][]byte{
		"an empty frame":       {0, 0},
		"a frame too long":     {0xff, 0xff, 1},
		"HTTP, a frame of 16k": []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp4", addr.String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write(bytes)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
			_, err = io.ReadAll(conn)
			var late net.Error
			if ok := err != nil && errors.As(err, &late); ok {
				require.False(t, late.Timeout(), "still open")
			}
		})
	}
	conn, err := net.Dial("tcp4", addr.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(append([]byte{0, 16}, 0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4))
	require.NoError(t, err)
	w.eventually(5*time.Second, "unproved media is counted", func() bool { return w.shard().Drops.UnknownSource == 1 })
}
