package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/oneport"
)

// authority is Pebble, Let's Encrypt's small authority for tests, which finds every name on this machine.
type authority struct {
	directory, caFile string
	tlsPort, httpPort int // where it looks whether a name is ours
}

func startAuthority(t *testing.T) authority {
	t.Helper()
	dir := t.TempDir()
	ports := freePorts(t, 5)
	a := authority{
		directory: "https://127.0.0.1:" + strconv.Itoa(ports[0]) + "/dir", caFile: filepath.Join(dir, "ca.pem"),
		tlsPort: ports[1], httpPort: ports[2],
	}
	made, err := makeCertificate([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), 24*time.Hour)
	require.NoError(t, err)
	text, err := joinPairs(made)
	require.NoError(t, err)
	key, rest := pem.Decode(text)
	require.NoError(t, os.WriteFile(a.caFile, rest, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(key), 0o600))
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": "127.0.0.1:" + strconv.Itoa(ports[0]), "certificate": a.caFile, "privateKey": filepath.Join(dir, "key.pem"),
		"tlsPort": a.tlsPort, "httpPort": a.httpPort,
	}})
	require.NoError(t, err)
	file := filepath.Join(dir, "pebble.json")
	require.NoError(t, os.WriteFile(file, settings, 0o600))

	names := "127.0.0.1:" + strconv.Itoa(ports[3])
	startBeside(t, "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", names,
		"-management", "127.0.0.1:"+strconv.Itoa(ports[4]), "-http01", "", "-https01", "", "-tlsalpn01", "")
	startBeside(t, "pebble", "-config", file, "-dnsserver", names)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(ports[0]))
		return err == nil && conn.Close() == nil
	}, 10*time.Second, 20*time.Millisecond)
	return a
}

// startBeside runs a program of Debian's package pebble until the test ends.
func startBeside(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "apt-get install -y pebble")
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: its exit code says nothing
		if t.Failed() {
			t.Logf("%s:\n%s", name, said.String())
		}
	})
}

// freePorts are free for UDP and TCP.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for len(ports) < n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = listener.Close() }()
		socket, err := net.ListenPacket("udp", listener.Addr().String())
		if err != nil {
			continue
		}
		defer func() { _ = socket.Close() }()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// issuer is who signed what is shown for call.example.test on a port.
func issuer(port int) (string, error) {
	conn, err := tls.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port), &tls.Config{ServerName: "call.example.test", InsecureSkipVerify: true})
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	leaf := conn.ConnectionState().PeerCertificates[0]
	return leaf.Issuer.CommonName, leaf.VerifyHostname("call.example.test")
}

// TestCertificateFromAnAuthority: on the one port (TLS-ALPN-01), and where only port 80 can be reached (HTTP-01). What was had is
// kept: a second start asks for nothing.
func TestCertificateFromAnAuthority(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			a, kept := startAuthority(t), quietState(t.TempDir())
			c := config.Default()
			c.ACME = config.ACME{Host: "call.example.test", AcceptTerms: true, Directory: a.directory, DirectoryCAFile: a.caFile}
			port := a.tlsPort
			if challenge == "http-01" {
				port = freePorts(t, 1)[0] // the authority finds nothing on its own
				c.ACME.HTTPListen = "127.0.0.1:" + strconv.Itoa(a.httpPort)
			}
			c.OnePort.Listen = "127.0.0.1:" + strconv.Itoa(port)
			var log strings.Builder
			end := showCertificate(t, c, kept, slog.New(slog.NewTextHandler(&log, nil)))
			require.Eventually(t, func() bool {
				who, err := issuer(port)
				return err == nil && strings.Contains(who, "Pebble")
			}, 30*time.Second, 50*time.Millisecond, "it has a certificate")
			if challenge == "http-01" {
				answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).
					Get("http://" + c.ACME.HTTPListen + "/room?x=1")
				require.NoError(t, err)
				require.NoError(t, answer.Body.Close())
				require.Equal(t, "https://127.0.0.1/room?x=1", answer.Header.Get("Location"))
			}
			end()
			require.Contains(t, log.String(), "certificate obtained")

			log.Reset()
			end = showCertificate(t, c, kept, slog.New(slog.NewTextHandler(&log, nil)))
			require.Eventually(t, func() bool {
				who, err := issuer(port)
				return err == nil && strings.Contains(who, "Pebble")
			}, 5*time.Second, 10*time.Millisecond, "it was kept")
			end()
			require.Empty(t, log.String())
		})
	}
}

// showCertificate serves TLS on the one port with what the configuration has, until end.
func showCertificate(t *testing.T, c config.Config, kept *state, log *slog.Logger) (end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", c.OnePort.Listen)
	require.NoError(t, err)
	shown, err := openCertificates(c, kept, nil, log, time.Now())
	require.NoError(t, err)
	mux := oneport.New(listener, oneport.Config{TLS: shown.https()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	go func() {
		shown.run(ctx, nil)
		done <- struct{}{}
	}()
	go func() {
		_ = mux.Serve()
		done <- struct{}{}
	}()
	return func() {
		cancel()
		require.NoError(t, mux.Close())
		<-done
		<-done
	}
}

// TestNoCertificateYet: until the authority has answered, a handshake fails and nothing else does.
func TestNoCertificateYet(t *testing.T) {
	port := freePorts(t, 1)[0]
	c := config.Default()
	c.OnePort.Listen = "127.0.0.1:" + strconv.Itoa(port)
	c.ACME = config.ACME{Host: "call.example.test", AcceptTerms: true, Directory: "https://127.0.0.1:1/dir"}
	end := showCertificate(t, c, quietState(t.TempDir()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer end()
	_, err := issuer(port)
	require.Error(t, err)
	_, err = openACME(c.ACME, &state{}, c.OnePort.Listen, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "--state")
}
