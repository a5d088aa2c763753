package e2e

import (
	"bufio"
	be "encoding/binary"
	"encoding/json"
	"fmt"
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

// TestNarrow: on a network that lets out nothing but TCP to port 443, two Chromiums that know one name hold a call with picture,
// directly and through the relay, and send nothing anywhere else.
func TestNarrow(t *testing.T) {
	var traffic destinations
	network, err := netem.Open(netem.Config{Seed: 7, Links: []netem.Path{netem.RoundTrip(20 * time.Millisecond)}, Log: traffic.add})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, network.Close()) })
	narrow(t, network)
	ca := newAuthority(t, narrowHost)
	key := serveOnePort(t, network, ca)
	pages := map[person]tab{}
	for _, who := range []person{alice, bob} {
		p := startChromiumIn(t, network, ca).tab(t)
		pages[who] = p
		load(t, p, who, "https://"+narrowHost)
		token, err := signaling.Mint(key, signaling.Grants{
			Tenant: "acme", Room: "e2e", Identity: who.name, Publish: true, Subscribe: true,
		}, time.Now(), 0)
		require.NoError(t, err)
		eval[any](t, p, "(e2e.token = %v, null)", token)
	}
	enter(t, pages[alice], alice, slots{})
	for _, how := range []struct {
		name, relays string
		relayed      bool
	}{
		{"directly", "none", false},
		{"through the relay", ".", true},
	} {
		t.Run(how.name, func(t *testing.T) {
			eval[any](t, pages[bob], "(e2e.watched = {}, e2e.heard = {}, e2e.relayBy = new RegExp(%v), null)", how.relays)
			// From being in the call to the first picture.
			took := eval[float64](t, pages[bob], `(async () => {
				const look = { color: e2e.palette[%v], tone: %v, fps: 25 };
				await e2e.join({ name: "bob", room: "e2e", slots: {}, relayOnly: %v, look });
				const began = performance.now();
				await e2e.until(async () => e2e.sees("alice")?.frames > 0, %v);
				return performance.now() - began;
			})()`, bob.color, bob.tone, how.relayed, patience.Milliseconds())
			meet(t, pages)
			pair := eval[selected](t, pages[bob], pathOf)
			t.Logf("the first picture %.0f ms after the join; %+v", took, pair)
			require.Less(t, took, 1500.0, "ms from the join to the first picture")
			require.Equal(t, how.relayed, pair.Local == "relay", pair.Local)
			require.Equal(t, "websocket", transport(t, pages[bob]))
			for _, p := range pages {
				require.Equal(t, []string{narrowHost}, eval[[]string](t, p, namesOf), "what the page loads and is told of")
				require.Empty(t, eval[[]string](t, p, "e2e.errors"))
			}
			eval[any](t, pages[bob], "e2e.room.leave()")
			await(t, pages[alice], "alice is told that bob left", `!e2e.present("bob")`)
		})
	}
	server := netip.AddrPortFrom(narrowAddr, 443)
	for to := range traffic.all() {
		require.Equal(t, server, to.address, "%s: nobody but the server is spoken to", to.protocol)
	}
	require.Positive(t, traffic.all()[destination{"tcp", server}])
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
	for _, command := range []struct {
		apt, name, input string
		args             []string
	}{
		{"iproute2", "ip", "", []string{"address", "add", narrowAddr.String() + "/32", "dev", "link0"}},
		{"nftables", "nft", `table inet narrow {
			chain input {
				type filter hook input priority 0; policy drop;
				iif lo accept
				tcp dport 443 accept
			}
		}`, []string{"-f", "-"}},
	} {
		cmd, said := exec.Command(findProgram(t, command.apt, command.name), command.args...), &syncBuffer{}
		cmd.Stdin, cmd.Stderr = strings.NewReader(command.input), said
		require.NoError(t, network.Start(netem.Server, cmd))
		require.NoError(t, cmd.Wait(), "%s", said)
	}
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
// its own. It ends with the test.
func startChromiumIn(t *testing.T, network *netem.Network, ca *authority) *chromium {
	t.Helper()
	var namespace string
	require.NoError(t, network.In(netem.Client, func() error {
		namespace = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		return nil
	}))
	inside := filepath.Join(t.TempDir(), "chromium")
	require.NoError(t, os.WriteFile(inside, fmt.Appendf(nil, "#!/bin/sh\nexec nsenter --net=%s %s \"$@\"\n", namespace,
		findProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")), 0o700))
	return startChromium(t, chromedp.ExecPath(inside), chromedp.Env("HOME="+ca.home(t)),
		chromedp.Flag("host-resolver-rules", "MAP "+narrowHost+" "+narrowAddr.String()+", MAP * ~NOTFOUND, EXCLUDE "+narrowAddr.String()),
		chromedp.Flag("disable-features", "Translate,WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints"))
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
	return d.seen
}
