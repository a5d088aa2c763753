package main

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// TestACallOutlivesItsCredentials: before they run out there are new ones, and a call that goes through the relay moves to an allocation
// that was made with them.
func TestACallOutlivesItsCredentials(t *testing.T) {
	const life = 4 * time.Second
	c := config.Default()
	c.HTTP.Listen, c.QUIC.Listen, c.Media.Listen, c.Admin.Listen = "127.0.0.1:0", "", "127.0.0.1:0", ""
	c.TURN.Listen, c.StateDir = fmt.Sprintf("127.0.0.1:%d", freePort(t)), t.TempDir()
	n, err := openNode(c, config.Origins{"turn.listen": "the test"}, local, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	n.relay.life = life
	n.start(t.Context(), nil)
	defer func() { require.NoError(t, n.stop(t.Context())) }()

	token := client.Token(tokenOf(t, n.url()))
	session, err := client.Dial(t.Context(), n.url(), token, client.Options{RelayOnly: true})
	require.NoError(t, err)
	first := session.Welcome().GetIceServers()[0].GetUsername()
	room, err := session.Join(t.Context(), client.JoinOptions{Name: "aru", AudioSlots: 1, VideoSlots: -1})
	require.NoError(t, err)
	began := time.Now()
	path := func() string {
		if room.State() != client.Connected { // before that pion has nothing to tell, and is still making it
			return ""
		}
		pair, err := room.Connection().SCTP().Transport().ICETransport().GetSelectedCandidatePair()
		if err != nil || pair == nil {
			return ""
		}
		require.Equal(t, webrtc.ICECandidateTypeRelay, pair.Local.Typ)
		return fmt.Sprint(pair.Local.Address, ":", pair.Local.Port)
	}
	require.Eventually(t, func() bool { return path() != "" }, 3*time.Second, 10*time.Millisecond)
	before := path()
	require.Eventually(t, func() bool { now := path(); return now != "" && now != before }, 3*life, 20*time.Millisecond,
		"a new allocation takes over")
	require.GreaterOrEqual(t, time.Since(began), life/2, "and not from the start")
	servers := room.Connection().GetConfiguration().ICEServers
	require.NotEmpty(t, servers)
	require.NotEqual(t, first, servers[0].Username)
	require.NoError(t, room.Leave())
	require.Eventually(t, func() bool { return n.relay.allocations() == 0 }, 5*time.Second, 20*time.Millisecond)
}
