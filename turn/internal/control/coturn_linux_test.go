package control_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// coturn is coturn's library of messages in a process of its own; see testdata/coturn.c. coturn has a program that runs this library
// over the messages of RFC 5769 (turnutils_rfc5769check), which Debian leaves out of its package, and which could say nothing of ours.
type coturn struct {
	t       *testing.T
	in      io.Writer
	answers *bufio.Scanner
}

func startCoturn(t *testing.T) *coturn {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "coturn")
	out, err := exec.Command("gcc", "-Wall", "-Werror", "-o", binary, "testdata/coturn.c", "-lturnclient", "-l:libcrypto.so.3").CombinedOutput()
	require.NoError(t, err, "gcc, and coturn for its libturnclient.a: %s", out)
	cmd := exec.Command(binary)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	answers, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	return &coturn{t, in, bufio.NewScanner(answers)}
}

func (c *coturn) ask(format string, args ...any) string {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	require.NoError(c.t, err)
	require.True(c.t, c.answers.Scan(), "coturn's library has given up: %v", c.answers.Err())
	return c.answers.Text()
}

// proof are credentials as it is told them.
func proof(user, realm, password string) string {
	return fmt.Sprintf("%x %x %x", user, realm, password)
}

// check is what it says of a message: whole, FINGERPRINT there and right, MESSAGE-INTEGRITY right, method, error, addresses.
func (c *coturn) check(kind, proof string, b []byte) string {
	c.t.Helper()
	return c.ask("check %s %s %x", kind, proof, b)
}

// request is one that it makes.
func (c *coturn) request(format string, args ...any) []byte {
	c.t.Helper()
	b, err := hex.DecodeString(c.ask(format, args...))
	require.NoError(c.t, err)
	return b
}

// TestBesideCoturn: coturn's library and we read each other's messages.
func TestBesideCoturn(t *testing.T) {
	c := startCoturn(t)
	t.Run("RFC 5769", func(t *testing.T) { c.readsRFC5769(t) })
	t.Run("our answers", func(t *testing.T) { c.readsOurAnswers(t) })
	t.Run("its requests", func(t *testing.T) { c.isRead(t) })
}

// readsRFC5769: the messages of TestRFC5769 it reads as we do, and none of them with a bit turned.
func (c *coturn) readsRFC5769(t *testing.T) {
	short, long := proof("none", "none", "VOkJxbRl1RmTxUk/WvJxBt"), proof("\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9", "example.org", "TheMatrIX")
	for name, want := range map[string]struct{ kind, proof, says string }{
		"request":               {"short", short, "1 1 1 1 0"},
		"IPv4 response":         {"short", short, "1 1 1 1 0 192.0.2.1:32853"},
		"IPv6 response":         {"short", short, "1 1 1 1 0 [2001:db8:1234:5678:11:2233:4455:6677]:32853"},
		"long-term credentials": {"long", long, "1 0 1 1 0"},
	} {
		b := control.Samples[name]
		require.Equal(t, want.says, c.check(want.kind, want.proof, b), name)
		for i := range b {
			b[i] ^= 1
			says := c.check(want.kind, want.proof, b)
			require.NotEqual(t, want.says[:5], says[:5], "%s: a bit of byte %d", name, i)
			b[i] ^= 1
		}
	}
}

// readsOurAnswers: whole, with addresses of both families, and proved by the key of the request.
func (c *coturn) readsOurAnswers(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	k.print = true
	mine := proof(k.username, k.realm, k.password)
	says := func(method stun.Method, set ...stun.Setter) string {
		return c.check("long", mine, w.core.Handle(w.now, k.at, k.build(method, set...)))
	}
	require.Equal(t, "1 1 0 1 0 "+aliceAt, says(stun.MethodBinding), "which needs no credentials")
	require.Equal(t, "1 1 1 3 0 "+aliceAt+" 20.0.0.1:50000 [2a00::1]:50000", says(stun.MethodAllocate, transport(17), additional(2)))
	require.Equal(t, "1 1 1 3 437", says(stun.MethodAllocate, transport(17)))
	require.Equal(t, "1 1 1 4 0", says(stun.MethodRefresh, seconds(700)))
	require.Equal(t, "1 1 1 8 0", says(stun.MethodCreatePermission, peer(peerA), peer(peer6)))
	require.Equal(t, "1 1 1 8 403", says(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("10.0.0.1:1"))))
	require.Equal(t, "1 1 1 9 0", says(stun.MethodChannelBind, channel(0x4000), peer(peer6)))
	k.password += "x"
	require.Equal(t, "1 1 0 4 401", says(stun.MethodRefresh), "who proves nothing is proved nothing")
}

// isRead, and granted what it asks for. Where it asks for both families it has another number for that than RFC 8656 (0x8032 for
// 0x8000), one that need not be understood: IPv4 is granted alone.
func (c *coturn) isRead(t *testing.T) {
	w := newWorld(t)
	for i, families := range []struct{ asked, granted string }{{"1 0", "1 0"}, {"0 1", "0 1"}, {"1 1", "1 0"}} {
		k := w.client("alice", fmt.Sprintf("9.0.0.1:%d", 5000+i))
		mine := proof(k.username, k.realm, k.password) + fmt.Sprintf(" %x", k.nonce)
		wrong := strings.Replace(mine, fmt.Sprintf(" %x ", k.password), " 00 ", 1)
		require.NotEqual(t, mine, wrong)
		require.Equal(t, 401, code(w.handle(k.at, c.request("allocate %s %s", wrong, families.asked))))
		reply := w.handle(k.at, c.request("allocate %s %s", mine, families.asked))
		require.Zero(t, code(reply))
		require.Equal(t, 700, lifetimeOf(reply))
		require.NoError(t, stun.Fingerprint.Check(reply))
		granted, to := k.allocation().Relayed, peerA
		require.Equal(t, families.granted == "1 0", granted[0].IsValid())
		require.Equal(t, families.granted == "0 1", granted[1].IsValid())
		if granted[1].IsValid() {
			to = peer6
		}
		require.Zero(t, code(w.handle(k.at, c.request("bind %s %s %d", mine, to.Addr(), to.Port()))))
		at, verdict := k.allocation().Peer(w.now, 0x4000)
		require.Equal(t, to, at)
		require.Equal(t, peers.Allowed, verdict)
	}
}
