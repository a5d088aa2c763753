package plain_test

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/peer/peertest"
	"github.com/tolkyn/tolkyn/bench/server/plain"
)

func TestStart(t *testing.T) {
	t.Setenv(serveHere, "1")
	place := server.Place{Host: netip.MustParseAddr("127.0.0.1"), Dir: t.TempDir(), Start: (*exec.Cmd).Start}
	s, err := plain.Start(t.Context(), []string{os.Args[0]}, place)
	require.NoError(t, err)
	defer s.Stop()
	require.Equal(t, "plain", s.Target().Kind)
	require.Contains(t, s.Version(), "pion/webrtc")
	require.Len(t, s.PIDs(), 1)
	d := plain.New(s.Target().URL)
	ann := peertest.Join(t, d, "room", "ann", 1, 1, here)
	bob := peertest.Join(t, d, "room", "bob", 1, 1, here)
	ann.Gets(t, bob)
	f, err := s.Figures(t.Context())
	require.NoError(t, err)
	require.Greater(t, f.Goroutines, 10)
	ann.Leave(t)
	bob.Leave(t)
	s.Stop()
	s.Stop()
	_, err = s.Figures(t.Context())
	require.Error(t, err, "it has ended")

	_, err = plain.Start(t.Context(), []string{"/bin/true"}, place)
	require.ErrorContains(t, err, "it has ended")
}
