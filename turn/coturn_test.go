package turn_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn"
)

// coturn's own load tool relays through us over each way, by channels and by Send, and loses nothing.
func TestCoturnsClient(t *testing.T) {
	f := start(t, func(c *turn.Config) { c.Limits.AllocationsPerUser, c.OldChannels = -1, true })
	peer := coturnsPeer(t)
	lost := regexp.MustCompile(`Total lost packets (\d+)`)
	for name, flags := range map[string][]string{
		"UDP":       {"-p", port(t, f.udp)},
		"UDP, Send": {"-p", port(t, f.udp), "-s"},
		"TCP":       {"-p", port(t, f.tcp), "-t"},
		"TCP, Send": {"-p", port(t, f.tcp), "-t", "-s"},
		"TLS":       {"-p", port(t, f.tls), "-t", "-S"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("turnutils_uclient", append(flags, "-c", "-e", "127.0.0.1", "-r", peer, "-u", user, "-w", password,
				"-m", "8", "-n", "100", "-l", "200", "127.0.0.1")...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			found := lost.FindSubmatch(out)
			require.NotNil(t, found, "%s", out)
			require.Equal(t, "0", string(found[1]), "%+v\n%s", f.Stats(), out)
		})
	}
	require.Zero(t, f.Stats().Dropped["fault"])
}

func port(t testing.TB, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return p
}

// coturnsPeer runs the echo that coturn's tool expects, and returns its port.
func coturnsPeer(t testing.TB) string {
	t.Helper()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	at := free.LocalAddr().(*net.UDPAddr).AddrPort()
	require.NoError(t, free.Close())
	cmd := exec.Command("turnutils_peer", "-L", "127.0.0.1", "-p", fmt.Sprint(at.Port()))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	answers(t, at)
	return fmt.Sprint(at.Port())
}

// answers waits until the echo is there: it says nothing by itself.
func answers(t testing.TB, at netip.AddrPort) {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	require.NoError(t, err)
	defer conn.Close()
	b := make([]byte, 200)
	eventually(t, "coturn's peer", func() bool {
		_, _ = conn.Write(b)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := conn.Read(b)
		return err == nil
	})
}
