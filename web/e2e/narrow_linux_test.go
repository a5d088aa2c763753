package e2e

import (
	"bufio"
	"context"
	be "encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/signaling"
)

// narrowHost is the one name behind which everything is, narrowAddr where it is found: Chromium takes no candidate on port 443 of an
// address that is not public.
const narrowHost = "call.example.test"

var narrowAddr = netip.MustParseAddr("203.0.113.7")

// TestNarrow: on a network that lets out nothing but TCP to port 443, Chromium and Firefox, who know one name, hold a call with picture,
// directly and through the relay, and send nothing anywhere else. As soon as UDP to that port is let out, all of a call takes it.
func TestNarrow(t *testing.T) {
	var traffic destinations
	network, err := netem.Open(netem.Config{Seed: 7, Links: []netem.Path{netem.RoundTrip(20 * time.Millisecond)}, Log: traffic.add})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, network.Close()) })
	narrow(t, network)
	ca := newAuthority(t, narrowHost)
	n := &narrowCall{key: serveOnePort(t, network, ca)}
	n.arrive(t, alice, startChromiumIn(t, network, ca).tab(t))
	enter(t, n.pages[alice], alice, slots{})
	n.arrive(t, bob, startChromiumIn(t, network, ca).tab(t))
	for _, how := range []struct {
		name, relays string
		relayed      bool
	}{
		{"directly", "none", false},
		{"through the relay", ".", true},
	} {
		t.Run(how.name, func(t *testing.T) {
			pair := n.joins(t, bob, how.relays, how.relayed, 1500)
			require.Equal(t, how.relayed, pair.Local == "relay", pair.Local)
			require.NotEqual(t, "udp", pair.Protocol)
			require.Equal(t, "websocket", transport(t, n.pages[bob]))
			n.leaves(t, bob)
		})
	}
	t.Run("Firefox", func(t *testing.T) {
		n.arrive(t, carol, startFirefoxIn(t, network, ca).tab(t))
		pair := n.joins(t, carol, ".", false, 3000)
		require.NotEqual(t, "udp", pair.Protocol)
		require.Equal(t, "websocket", transport(t, n.pages[carol]))
		n.leaves(t, carol)
	})
	t.Run("UDP", func(t *testing.T) {
		inServers(t, network, "nftables", "nft", "", "add", "rule", "inet", "narrow", "input", "udp", "dport", "443", "accept")
		n.arrive(t, bob, n.pages[bob])
		eval[any](t, n.pages[bob], "(e2e.slowSocket = 5000, null)") // else who is through first
		pair := n.joins(t, bob, "none", false, float64(patience.Milliseconds()))
		require.Equal(t, selected{Local: pair.Local, Protocol: "udp", Remote: netip.AddrPortFrom(narrowAddr, 443).String()}, pair)
		require.NotEqual(t, "relay", pair.Local)
		require.Equal(t, "webtransport", transport(t, n.pages[bob]))
		n.leaves(t, bob)
	})
	server := netip.AddrPortFrom(narrowAddr, 443)
	for to := range traffic.all() {
		require.Equal(t, server, to.address, "%s: nobody but the server is spoken to", to.protocol)
	}
	require.Positive(t, traffic.all()[destination{"tcp", server}])
}

// narrowCall is a call by narrowHost.
type narrowCall struct {
	key   signaling.Key
	pages map[person]tab
}

// arrive loads the page that somebody joins by.
func (n *narrowCall) arrive(t *testing.T, who person, p tab) {
	t.Helper()
	if n.pages == nil {
		n.pages = map[person]tab{}
	}
	n.pages[who] = p
	load(t, p, who, "https://"+narrowHost)
	token, err := signaling.Mint(n.key, signaling.Grants{
		Tenant: "acme", Room: "e2e", Identity: who.name, Publish: true, Subscribe: true,
	}, time.Now(), 0)
	require.NoError(t, err)
	eval[any](t, p, "(e2e.token = %v, null)", token)
}

// joins has somebody join alice by these relays, who has her picture within so many ms, and she his.
func (n *narrowCall) joins(t *testing.T, who person, relays string, relayed bool, within float64) selected {
	t.Helper()
	p := n.pages[who]
	eval[any](t, n.pages[alice], "(e2e.watched = {}, e2e.heard = {}, null)")
	eval[any](t, p, "(e2e.watched = {}, e2e.heard = {}, e2e.relayBy = new RegExp(%v), null)", relays)
	took := eval[float64](t, p, `(async () => {
		const look = { color: e2e.palette[%v], tone: %v, fps: 25 };
		await e2e.join({ name: %v, room: "e2e", slots: {}, relayOnly: %v, look });
		const began = performance.now();
		await e2e.until(async () => e2e.sees("alice")?.frames > 0, %v);
		return performance.now() - began;
	})()`, who.color, who.tone, who.name, relayed, patience.Milliseconds())
	call := map[person]tab{alice: n.pages[alice], who: p}
	meet(t, call)
	pair := eval[selected](t, p, pathOf)
	t.Logf("the first picture %.0f ms after the join; %+v", took, pair)
	require.Less(t, took, within, "ms from the join to the first picture")
	for _, p := range call {
		require.Equal(t, []string{narrowHost}, eval[[]string](t, p, namesOf), "what the page loads and is told of")
		require.Empty(t, eval[[]string](t, p, "e2e.errors"))
	}
	return pair
}

func (n *narrowCall) leaves(t *testing.T, who person) {
	t.Helper()
	eval[any](t, n.pages[who], "e2e.room.leave()")
	await(t, n.pages[alice], "alice is told that "+who.name+" left", `!e2e.present(%v)`, who.name)
}

// selected is the path that media takes.
type selected struct {
	Local    string // type of the candidate
	Protocol string // to the relay where there is one, else to the server
	Remote   string // address of the server
}

const pathOf = `(async () => {
	const stats = await e2e.stats(), by = (id) => stats.find((s) => s.id === id);
	const pair = by(stats.find((s) => s.type === "transport")?.selectedCandidatePairId) ??
		stats.find((s) => s.type === "candidate-pair" && s.selected);
	const local = by(pair.localCandidateId), remote = by(pair.remoteCandidateId);
	return { Local: local.candidateType, Protocol: local.relayProtocol ?? local.protocol, Remote: remote.address + ":" + remote.port };
})()`

// namesOf are the hosts that a page has to do with: what it has loaded, and its relays.
const namesOf = `(() => {
	const urls = performance.getEntriesByType("resource").map((r) => r.name);
	for (const pc of e2e.peers) for (const s of pc.getConfiguration().iceServers) urls.push(...[s.urls].flat());
	const hosts = urls.map((u) => {
		const relay = /^turns?:([^:?]+):443\?/.exec(u);
		return relay ? relay[1] : new URL(u).host;
	});
	return [...new Set(hosts)];
})()`

// narrow gives the server narrowAddr, and drops what is not TCP to port 443, where it arrives: a sender learns nothing.
func narrow(t *testing.T, network *netem.Network) {
	t.Helper()
	inServers(t, network, "iproute2", "ip", "", "address", "add", narrowAddr.String()+"/32", "dev", "link0")
	inServers(t, network, "nftables", "nft", `table inet narrow {
		chain input {
			type filter hook input priority 0; policy drop;
			iif lo accept
			tcp dport 443 accept
		}
	}`, "-f", "-")
}

// inServers runs a program of a Debian package in the server's namespace.
func inServers(t *testing.T, network *netem.Network, apt, name, input string, args ...string) {
	t.Helper()
	cmd, said := exec.Command(findProgram(t, apt, name), args...), &syncBuffer{}
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), said
	require.NoError(t, network.Start(netem.Server, cmd))
	require.NoError(t, cmd.Wait(), "%s", said)
}

// serveOnePort runs a server behind one port on the server's side until the test ends, and returns what signs its tokens.
func serveOnePort(t *testing.T, network *netem.Network, ca *authority) signaling.Key {
	t.Helper()
	key := signaling.Key{ID: "tests", Secret: []byte("0123456789abcdef0123456789abcdef")}
	dir := t.TempDir()
	settings, err := json.Marshal(map[string]any{
		"one_port": map[string]any{"listen": narrowAddr.String() + ":443"},
		"http":     map[string]any{"certificate_file": ca.certificateFile, "key_file": ca.keyFile},
		"signaling": map[string]any{"keys": []any{
			map[string]any{"id": key.ID, "algorithm": "HS256", "secret": string(key.Secret)},
		}},
		"state_dir": dir,
		"log":       map[string]any{"level": "info", "format": "text"},
	})
	require.NoError(t, err)
	file := filepath.Join(dir, "tolkyn.yaml") // JSON is YAML
	require.NoError(t, os.WriteFile(file, settings, 0o600))
	cmd, log := exec.Command(buildServer(t), "serve", "--config", file), &syncBuffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, network.Start(netem.Server, cmd))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server:\n%s", log)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // already gone: Wait says so
		require.NoError(t, cmd.Wait(), "the server ends cleanly on SIGTERM:\n%s", log)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "%s", log)
	require.Contains(t, line, "ready")
	return key
}

// startChromiumIn starts a Chromium of its own on the client's side, where it finds narrowHost and no other name: it has errands of
// its own. It speaks WebTransport with servers whose authority only this machine trusts. It ends with the test.
func startChromiumIn(t *testing.T, network *netem.Network, ca *authority) *chromium {
	t.Helper()
	return startChromium(t, chromedp.ExecPath(onClientsSide(t, network, findProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome"))),
		chromedp.Env("HOME="+ca.home(t)), chromedp.Flag("webtransport-developer-mode", true),
		chromedp.Flag("host-resolver-rules", "MAP "+narrowHost+" "+narrowAddr.String()+", MAP * ~NOTFOUND, EXCLUDE "+narrowAddr.String()),
		chromedp.Flag("disable-features", "Translate,WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints"))
}

// startFirefoxIn is startChromiumIn; every name is the server to it.
func startFirefoxIn(t *testing.T, network *netem.Network, ca *authority) *firefox {
	t.Helper()
	return startFirefoxAt(t, whereabouts{
		program: onClientsSide(t, network, findProgram(t, "firefox-esr", "firefox-esr", "firefox")),
		prefs:   fmt.Sprintf("user_pref(\"network.dns.forceResolve\", %q);\n", narrowAddr),
		dial: func(ctx context.Context, protocol, address string) (net.Conn, error) {
			return network.Dial(ctx, netem.Client, protocol, address)
		},
	}, ca)
}

// onClientsSide is a program that runs another one in the client's namespace.
func onClientsSide(t *testing.T, network *netem.Network, program string) string {
	t.Helper()
	var namespace string
	require.NoError(t, network.In(netem.Client, func() error {
		namespace = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		return nil
	}))
	inside := filepath.Join(t.TempDir(), filepath.Base(program))
	require.NoError(t, os.WriteFile(inside, fmt.Appendf(nil, "#!/bin/sh\nexec nsenter --net=%s %s \"$@\"\n", namespace, program), 0o700))
	return inside
}

// destinations counts packets of clients by where they go.
type destinations struct {
	mu   sync.Mutex
	seen map[destination]int // guarded by mu
}

type destination struct {
	protocol string
	address  netip.AddrPort
}

func (d *destinations) add(p netem.Passage) {
	b := p.Packet
	if p.Direction != netem.Up || len(b) < 40 {
		return
	}
	var to netip.Addr
	var protocol byte
	var head int
	switch b[0] >> 4 {
	case 4:
		to, protocol, head = netip.AddrFrom4([4]byte(b[16:20])), b[9], int(b[0]&15)*4
	case 6:
		to, protocol, head = netip.AddrFrom16([16]byte(b[24:40])), b[6], 40
	}
	name := map[byte]string{6: "tcp", 17: "udp"}[protocol]
	if name == "" || len(b) < head+4 { // the kernels' own: neighbours, routers
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[destination]int{}
	}
	d.seen[destination{name, netip.AddrPortFrom(to, be.BigEndian.Uint16(b[head+2:]))}]++
}

func (d *destinations) all() map[destination]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.seen)
}
