package turn_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn"
)

// coturn's own load tool relays through us over each way, by channels and by Send. All that its peer sent back to us reaches it
// over streams; datagrams may find no room in a socket of another process that the machine leaves no time.
func TestCoturnsClient(t *testing.T) {
	f := start(t, func(c *turn.Config) { c.Limits.AllocationsPerUser, c.OldChannels = -1, true })
	peer := coturnsPeer(t)
	came := regexp.MustCompile(`tot_send_msgs=800, tot_recv_msgs=(\d+)\n`)
	for name, flags := range map[string][]string{
		"UDP":       {"-p", port(t, f.udp)},
		"UDP, Send": {"-p", port(t, f.udp), "-s"},
		"TCP":       {"-p", port(t, f.tcp), "-t"},
		"TCP, Send": {"-p", port(t, f.tcp), "-t", "-s"},
		"TLS":       {"-p", port(t, f.tls), "-t", "-S"},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.Stats()
			out, err := exec.Command("turnutils_uclient", append(flags, "-c", "-e", "127.0.0.1", "-r", peer, "-u", user, "-w", password,
				"-m", "8", "-n", "100", "-l", "200", "127.0.0.1")...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			found := came.FindAllSubmatch(out, -1)
			require.NotEmpty(t, found, "%s", out)
			received, err := strconv.Atoi(string(found[len(found)-1][1]))
			require.NoError(t, err)
			require.GreaterOrEqual(t, received, 400, "%s", out)
			after := f.Stats()
			relayed, late := 0, int(after.Dropped["late"]-before.Dropped["late"])
			for _, way := range []turn.Way{turn.TCP, turn.TLS} {
				relayed += int(after.Ways[way].FromPeers.Packets - before.Ways[way].FromPeers.Packets)
			}
			require.GreaterOrEqual(t, received+late, relayed, "%+v\n%s", after, out)
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
