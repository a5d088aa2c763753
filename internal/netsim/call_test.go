package netsim_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// newPeer is a pion client whose only socket is on the simulated network. The mux closes that socket.
func newPeer(t *testing.T, h *netsim.Host) (*webrtc.PeerConnection, ice.UDPMux) {
	t.Helper()
	conn, err := h.ListenUDP(0)
	require.NoError(t, err)
	mux := webrtc.NewICEUDPMux(nil, conn)
	var settings webrtc.SettingEngine
	settings.SetICEUDPMux(mux)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	return pc, mux
}

// negotiate exchanges one offer and answer with all candidates in them.
func negotiate(t *testing.T, offerer, answerer *webrtc.PeerConnection) {
	t.Helper()
	offer, err := offerer.CreateOffer(nil)
	require.NoError(t, err)
	gathered := webrtc.GatheringCompletePromise(offerer)
	require.NoError(t, offerer.SetLocalDescription(offer))
	<-gathered
	require.NoError(t, answerer.SetRemoteDescription(*offerer.LocalDescription()))
	answer, err := answerer.CreateAnswer(nil)
	require.NoError(t, err)
	gathered = webrtc.GatheringCompletePromise(answerer)
	require.NoError(t, answerer.SetLocalDescription(answer))
	<-gathered
	require.NoError(t, offerer.SetRemoteDescription(*answerer.LocalDescription()))
}

// Two pion peers connect at 50 ms and 5 % loss, talk over a data channel, and leave nothing behind: the bubble would name it.
func TestPionCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(7)
		defer n.Close()
		alice, bob := n.Host(netip.MustParseAddr("10.0.0.1")), n.Host(netip.MustParseAddr("10.0.0.2"))
		n.SetPath(alice, bob, netsim.LinkConfig{Delay: 50 * time.Millisecond, Loss: 0.05})
		a, aliceMux := newPeer(t, alice)
		b, bobMux := newPeer(t, bob)

		heard := make(chan string, 100)
		b.OnDataChannel(func(d *webrtc.DataChannel) {
			d.OnMessage(func(m webrtc.DataChannelMessage) { heard <- string(m.Data) })
		})
		channel, err := a.CreateDataChannel("words", nil)
		require.NoError(t, err)
		opened := make(chan struct{})
		channel.OnOpen(func() { close(opened) })
		begin := time.Now()
		negotiate(t, a, b)
		<-opened
		t.Logf("connected after %v", time.Since(begin))
		require.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond, "ICE, DTLS and SCTP take round trips of 100 ms")
		for range 100 {
			require.NoError(t, channel.SendText("word"))
		}
		for range 100 {
			require.Equal(t, "word", <-heard)
		}
		require.Positive(t, n.Stats().Lost)

		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
		require.NoError(t, aliceMux.Close())
		require.NoError(t, bobMux.Close())
	})
}
