package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/livekit"
	"github.com/tolkyn/tolkyn/bench/server/peer"
	"github.com/tolkyn/tolkyn/bench/server/peer/peertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var here caller.Network // without a model

// start runs the server that LIVEKIT_SERVER names, or the one that `go install` made.
func start(t *testing.T) server.Server {
	t.Helper()
	binary := os.Getenv("LIVEKIT_SERVER")
	if binary == "" {
		binary = "livekit-server"
	}
	place := server.Place{Host: netip.MustParseAddr("127.0.0.1"), Dir: t.TempDir(), Start: (*exec.Cmd).Start}
	s, err := livekit.Start(t.Context(), binary, place, livekit.Options{})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	require.Contains(t, s.Version(), "livekit-server")
	return s
}

func dialerFor(t *testing.T, s server.Server) *dialer {
	t.Helper()
	d, err := newDialer(s.Target())
	require.NoError(t, err)
	return d
}

func TestEverybodyGetsEverybody(t *testing.T) {
	s := start(t)
	d := dialerFor(t, s)
	ann := peertest.Join(t, d, "room", "ann", 4, 4, here)
	listener := peertest.Join(t, d, "room", "eve", 1, 0, here)
	listener.GetsTracks(t, "ann/microphone") // before there is another
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	cid := peertest.Join(t, d, "room", "cid", 4, 4, here)
	dan := peertest.Join(t, d, "another", "dan", 4, 4, here)
	ann.Gets(t, bob, cid)
	bob.Gets(t, ann, cid)
	cid.Gets(t, ann, bob)
	require.Zero(t, dan.Got("ann/microphone"), "rooms are apart")
	require.Zero(t, listener.Got("ann/camera")+listener.Got("bob/microphone"))
	require.ElementsMatch(t, []measure.Step{measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS}, ann.Steps())
	stats := ann.Connection().Stats()
	require.Equal(t, "udp", stats.Path)
	require.Equal(t, "websocket", stats.Signaling)
	ann.Asks(t, bob)
	f, err := s.Figures(t.Context())
	require.NoError(t, err)
	require.Greater(t, f.Goroutines, 100)

	// One leaves and another comes.
	cid.Leave(t)
	fay := peertest.Join(t, d, "room", "fay", 4, 4, here)
	ann.Gets(t, bob, fay)
	fay.Gets(t, ann, bob)

	// One goes on over another network.
	ann.Connection().NetworkChanged()
	ann.Eventually(t, func() bool { return ann.Connection().Stats().Reconnects == 1 })
	ann.Gets(t, bob, fay)
	bob.Gets(t, ann)
	require.Equal(t, []bool{true, false, true}, ann.Ups())
}

// A lost WebSocket is no interruption: media goes on, and the session on another.
func TestALostConnectionIsResumed(t *testing.T) {
	d := dialerFor(t, start(t))
	var mu sync.Mutex
	var conns []net.Conn
	tracked := caller.Network{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}}
	ann := peertest.Join(t, d, "room", "ann", 4, 4, tracked)
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	ann.Gets(t, bob)
	mu.Lock()
	for _, c := range conns {
		_ = c.Close() // an error means that it is closed
	}
	mu.Unlock()
	ann.Eventually(t, func() bool { return ann.Connection().Stats().Reconnects == 1 })
	cid := peertest.Join(t, d, "room", "cid", 4, 4, here)
	ann.Gets(t, bob, cid)
	bob.Gets(t, ann)
	require.Equal(t, []bool{true}, ann.Ups())
}

func TestLostPacketsComeAgain(t *testing.T) {
	d := dialerFor(t, start(t))
	ann := peertest.Join(t, d, "room", "ann", 4, 4, peertest.Lossy(t, 0.1))
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	ann.Gets(t, bob)
	ann.GetsRepaired(t)
}

func TestWhatCannotBe(t *testing.T) {
	s := start(t)
	target := s.Target()
	target.Secret = "wrong"
	d, err := newDialer(target)
	require.NoError(t, err)
	deaf := caller.Events{Step: func(measure.Step, time.Time) {}}
	_, err = d.Dial(t.Context(), caller.Participant{Room: "room", Identity: "ann", On: deaf})
	require.ErrorContains(t, err, "401")
	require.NotErrorIs(t, err, peer.ErrRefused)
	target.Secret = ""
	_, err = newDialer(target)
	require.ErrorContains(t, err, "API key")
	target.Kind = "tolkyn"
	_, err = newDialer(target)
	require.ErrorContains(t, err, "LiveKit alone")
}
