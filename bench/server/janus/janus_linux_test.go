//go:build peers

package janus_test

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/janus"
	"github.com/tolkyn/tolkyn/bench/server/peer/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server behind a pair of virtual cables, and this end of it.
func world(t *testing.T) (*janus.Dialer, caller.Network) {
	t.Helper()
	network, err := netem.Open(netem.Config{Veth: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, network.Close()) })
	place := server.Place{
		Host: netem.ServerAddr, Dir: t.TempDir(),
		Start: func(cmd *exec.Cmd) error { return network.Start(netem.Server, cmd) },
		Dial: func(ctx context.Context, kind, address string) (net.Conn, error) {
			return network.Dial(ctx, netem.Client, kind, address)
		},
	}
	s, err := janus.Start(t.Context(), place)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	require.Contains(t, s.Version(), "Janus 1.")
	socket, err := network.ListenUDP(netem.Client, netip.AddrPortFrom(netem.ClientAddr(0), 0))
	require.NoError(t, err)
	mux := webrtc.NewICEUDPMux(nil, socket)
	t.Cleanup(func() { require.NoError(t, mux.Close()) })
	return janus.New(s.Target().URL), caller.Network{Dial: place.Dial, Settings: func(e *webrtc.SettingEngine) {
		e.SetICEUDPMux(mux)
		e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	}}
}

func TestEverybodyGetsEverybody(t *testing.T) {
	d, n := world(t)
	ann := peertest.Join(t, d, "room", "ann", 4, 4, n)
	listener := peertest.Join(t, d, "room", "eve", 1, 0, n)
	listener.GetsTracks(t, "ann/microphone") // before there is another
	bob := peertest.Join(t, d, "room", "bob", 4, 4, n)
	cid := peertest.Join(t, d, "room", "cid", 4, 4, n)
	dan := peertest.Join(t, d, "another", "dan", 4, 4, n)
	ann.Gets(t, bob, cid)
	bob.Gets(t, ann, cid)
	cid.Gets(t, ann, bob)
	require.Zero(t, dan.Got("ann/microphone"), "rooms are apart")
	require.ElementsMatch(t, []measure.Step{measure.Connect, measure.Join, measure.ICE, measure.DTLS}, ann.Steps())
	stats := ann.Connection().Stats()
	require.Equal(t, "udp", stats.Path)
	require.Equal(t, "websocket", stats.Signaling)
	ann.Asks(t, bob)
	listener.GetsTracks(t, "ann/microphone")
	require.Zero(t, listener.Got("ann/camera")+listener.Got("bob/microphone"))

	// One leaves and another comes: their m-lines are used again.
	cid.Leave(t)
	fay := peertest.Join(t, d, "room", "fay", 4, 4, n)
	ann.Gets(t, bob, fay)
	fay.Gets(t, ann, bob)

	// One comes back over another network.
	ann.Connection().NetworkChanged()
	ann.Eventually(t, func() bool { return ann.Connection().Stats().Reconnects == 1 })
	ann.Gets(t, bob, fay)
	bob.Gets(t, ann)
	require.Equal(t, []bool{true, false, true}, ann.Ups())
}

func TestNotOnLoopback(t *testing.T) {
	_, err := janus.Start(t.Context(), server.Place{Host: netip.MustParseAddr("127.0.0.1")})
	require.ErrorContains(t, err, "loopback")
}
