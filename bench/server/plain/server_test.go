package plain_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/server/peer"
	"github.com/tolkyn/tolkyn/bench/server/peer/peertest"
	"github.com/tolkyn/tolkyn/bench/server/plain"
)

// serveHere has the test's own binary be the server.
const serveHere = "PLAIN_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveHere) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// Its last argument is the address.
	if err := plain.Serve(ctx, os.Args[len(os.Args)-1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var (
	here caller.Network // without a model
	deaf = caller.Events{Step: func(measure.Step, time.Time) {}}
)

// serve runs a server and returns where it is.
func serve(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	over := make(chan error, 1)
	go func() { over <- plain.Serve(ctx, "127.0.0.1:0", in) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-over)
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var said plain.Listening
	require.NoError(t, json.Unmarshal(line, &said))
	require.Contains(t, said.Version, "pion/webrtc")
	return "http://" + said.Listening
}

func TestEverybodyGetsEverybody(t *testing.T) {
	d := plain.New(serve(t))
	ann := peertest.Join(t, d, "room", "ann", 4, 4, here)
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	cid := peertest.Join(t, d, "room", "cid", 4, 4, here)
	other := peertest.Join(t, d, "another", "dan", 4, 4, here)
	ann.Gets(t, bob, cid)
	bob.Gets(t, ann, cid)
	cid.Gets(t, ann, bob)
	require.Zero(t, other.Got("ann/microphone"), "rooms are apart")
	require.ElementsMatch(t, []measure.Step{measure.Connect, measure.Join, measure.ICE, measure.DTLS}, ann.Steps())
	require.Equal(t, []bool{true}, ann.Ups())
	stats := ann.Connection().Stats()
	require.Equal(t, "udp", stats.Path)
	require.Equal(t, "websocket", stats.Signaling)
	ann.Asks(t, bob)

	// One leaves and another comes: their m-lines are used again.
	cid.Leave(t)
	eve := peertest.Join(t, d, "room", "eve", 4, 4, here)
	ann.Gets(t, bob, eve)
	eve.Gets(t, ann, bob)
}

func TestNobodyGetsMoreThanAskedFor(t *testing.T) {
	d := plain.New(serve(t))
	ann := peertest.Join(t, d, "room", "ann", 4, 4, here)
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	listener := peertest.Join(t, d, "room", "cid", 1, 0, here)
	listener.GetsTracks(t, "ann/microphone")
	bob.Gets(t, ann)
	require.Zero(t, listener.Got("bob/microphone"))
	require.Zero(t, listener.Got("ann/camera"))
	// Who comes next in the queue takes the place that is free.
	ann.Leave(t)
	listener.GetsTracks(t, "bob/microphone")
}

func TestACallerComesBack(t *testing.T) {
	d := plain.New(serve(t))
	ann := peertest.Join(t, d, "room", "ann", 4, 4, here)
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	ann.Gets(t, bob)
	ann.Connection().NetworkChanged()
	ann.Eventually(t, func() bool { return ann.Connection().Stats().Reconnects == 1 })
	ann.Gets(t, bob)
	bob.Gets(t, ann)
	require.Equal(t, []bool{true, false, true}, ann.Ups())
	require.Len(t, ann.Steps(), 4, "a second session is no part of setting up")
}

func TestTheSecondWithAnIdentityTakesThePlace(t *testing.T) {
	d := plain.New(serve(t))
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	first := peertest.Join(t, d, "room", "ann", 4, 4, here)
	bob.Gets(t, first)
	first.Gets(t, bob)
	second := peertest.Join(t, d, "room", "ann", 4, 4, here)
	second.Gets(t, bob)
	bob.Gets(t, second)
	require.Equal(t, []bool{true, false}, first.Ups(), "it is gone")
	require.Zero(t, first.Connection().Stats().Reconnects, "and does not come again")
}

func TestLostPacketsComeAgain(t *testing.T) {
	d := plain.New(serve(t))
	ann := peertest.Join(t, d, "room", "ann", 4, 4, peertest.Lossy(t, 0.1))
	bob := peertest.Join(t, d, "room", "bob", 4, 4, here)
	ann.Gets(t, bob)
	ann.GetsRepaired(t)
}

func TestWhatCannotBe(t *testing.T) {
	at := serve(t)
	_, err := plain.New(at).Dial(t.Context(), caller.Participant{Room: "room", Identity: "ann smith", On: deaf})
	require.ErrorIs(t, err, peer.ErrRefused)
	require.ErrorContains(t, err, "join.identity")
	_, err = plain.New("quic://127.0.0.1:1").Dial(t.Context(), caller.Participant{Room: "room", Identity: "ann", On: deaf})
	require.ErrorContains(t, err, "want http")
}
