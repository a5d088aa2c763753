package peertest

import (
	"net"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Lossy is a way to a server on loopback that loses a share of the packets that come.
func Lossy(t testing.TB, loss float64) caller.Network {
	t.Helper()
	line, err := netem.NewLine(netem.LineConfig{Seed: 1, Links: []netem.Path{{Down: netsim.LinkConfig{Loss: loss}}}})
	require.NoError(t, err)
	var muxes []ice.UDPMux
	t.Cleanup(func() {
		for _, mux := range muxes {
			require.NoError(t, mux.Close())
		}
		require.NoError(t, line.Close())
	})
	return caller.Network{Settings: func(s *webrtc.SettingEngine) {
		// One each: servers with one media port tell PeerConnections apart by their addresses.
		socket, err := line.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		require.NoError(t, err)
		muxes = append(muxes, webrtc.NewICEUDPMux(nil, socket))
		s.SetICEUDPMux(muxes[len(muxes)-1])
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	}}
}
