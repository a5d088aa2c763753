package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// examineTURN runs `tolkyn doctor turn` and returns what it says, and whether it found nothing bad.
func examineTURN(t *testing.T, args ...string) (said string, good bool) {
	t.Helper()
	binary, err := exec.LookPath("tolkyn")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"doctor", "turn"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	require.Empty(t, errs.String())
	return out.String(), err == nil
}

// finding is what was said about one thing, the mend included.
func finding(t *testing.T, said, verdict, about string) string {
	t.Helper()
	lines := strings.Split(said, "\n")
	for i, line := range lines {
		if f := strings.Fields(line); len(f) > 1 && f[0] == verdict && f[1] == about {
			return line + " " + strings.TrimSpace(lines[i+1])
		}
	}
	t.Fatalf("there is no %q about %s in:\n%s", verdict, about, said)
	return ""
}

// relayOf starts a relay of these settings (YAML below turn:) and returns its port.
func relayOf(t *testing.T, settings string, args ...string) (file string, port int, server *process) {
	t.Helper()
	port = freePort(t)
	file = filepath.Join(t.TempDir(), "tolkyn.yaml")
	text := fmt.Sprintf("turn:\n  listen: 127.0.0.1:%d\n%s", port, settings)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	server = startServe(t, append([]string{"--config", file, "--turn", fmt.Sprintf("127.0.0.1:%d", port)}, args...)...)
	return file, port, server
}

func endServe(t *testing.T, server *process) {
	t.Helper()
	require.NoError(t, server.Process.Signal(os.Interrupt))
	require.NoError(t, server.Wait(), "%s", server.log)
}

// TestDoctorFindsADefaultInstallGood, by the page's address: every reserved address is refused, and a call goes through each way.
func TestDoctorFindsADefaultInstallGood(t *testing.T) {
	_, port, server := relayOf(t, "")
	defer endServe(t, server)
	said, good := examineTURN(t, server.url)
	require.True(t, good, said)
	for _, transport := range []string{"udp", "tcp"} {
		url := fmt.Sprintf("turn:127.0.0.1:%d?transport=%s\n", port, transport)
		_, of, found := strings.Cut(said, url)
		require.True(t, found, said)
		for _, about := range []string{"reach", "credentials", "loops", "ranges", "call"} {
			finding(t, of, "ok", about)
		}
		require.Contains(t, finding(t, of, "ok", "ranges"), "all of 34 reserved addresses are refused")
	}
	require.NotContains(t, said, "warn")
}

// TestDoctorOverTLS: a certificate of nobody is bad, with its authority known all is well.
func TestDoctorOverTLS(t *testing.T) {
	certificate, key := certificateFiles(t)
	secure := freePort(t)
	secret := filepath.Join(t.TempDir(), "turn.secret")
	require.NoError(t, os.WriteFile(secret, []byte(sharedSecret+"\nthe-one-before-it-0123456789\n"), 0o600))
	_, _, server := relayOf(t, fmt.Sprintf("  secret_file: %s\n  tls_listen: 127.0.0.1:%d\nhttp:\n  certificate_file: %s\n  key_file: %s\n",
		secret, secure, certificate, key))
	defer endServe(t, server)
	url := fmt.Sprintf("turns:127.0.0.1:%d", secure)
	said, good := examineTURN(t, url, "--secret-file", secret)
	require.False(t, good)
	require.Contains(t, finding(t, said, "FAIL", "reach"), "fix: browsers trust no certificate of an authority of your own")
	said, good = examineTURN(t, url, "--secret-file", secret, "--ca", certificate)
	require.True(t, good, said)
	finding(t, said, "ok", "ranges")
	said, good = examineTURN(t, fmt.Sprintf("turns:localhost.example:%d", secure), "--secret-file", secret, "--ca", certificate, "--within", "1s")
	require.False(t, good)
	require.Contains(t, finding(t, said, "FAIL", "reach"), "A or AAAA record")

	// Clients are told of it, and the one before the newest secret still counts.
	said, _ = examineTURN(t, server.url, "--ca", certificate)
	require.Contains(t, said, fmt.Sprintf("turns:127.0.0.1:%d?transport=tcp\n  ok    reach", secure))
	before := filepath.Join(t.TempDir(), "before")
	require.NoError(t, os.WriteFile(before, []byte("the-one-before-it-0123456789"), 0o600))
	said, good = examineTURN(t, url, "--secret-file", before, "--ca", certificate)
	require.True(t, good, said)
}

// TestDoctorFindsWhatIsWrong: each mistake has its words.
func TestDoctorFindsWhatIsWrong(t *testing.T) {
	file, port, server := relayOf(t, "  secret: "+sharedSecret+"\n  allow: [10.0.0.0/8, 192.168.0.0/16]\n  users: [{name: aru, password: barys}]\n")
	defer endServe(t, server)
	udp := fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", port)

	said, good := examineTURN(t, udp, "--user", "aru", "--password", "barys")
	require.False(t, good)
	ranges := finding(t, said, "FAIL", "ranges")
	require.Contains(t, ranges, "2 of 34 reserved networks")
	require.Contains(t, ranges, "10.0.0.0/8 (10.1.2.3)")
	require.Contains(t, ranges, "192.168.0.0/16 (192.168.1.1)")

	said, good = examineTURN(t, "--config", file)
	require.True(t, good, "what the operator allows is meant\n%s", said)

	said, good = examineTURN(t, udp, "--user", "aru", "--password", "tulpar")
	require.False(t, good)
	require.Contains(t, finding(t, said, "FAIL", "credentials"), "fix: user, password or secret are not those of the relay")

	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	said, good = examineTURN(t, fmt.Sprintf("turn:%v?transport=udp", silent.LocalAddr()), "--user", "aru", "--password", "barys", "--within", "500ms")
	require.False(t, good)
	require.Contains(t, finding(t, said, "FAIL", "reach"), "fix: let UDP to 127.0.0.1:")
	said, good = examineTURN(t, fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", freePort(t)), "--user", "aru", "--password", "barys")
	require.False(t, good)
	require.Contains(t, finding(t, said, "FAIL", "reach"), "fix: let TCP to 127.0.0.1:")
}

// TestDoctorRelaysToAPeer that the operator allows, through a socket of the relay's.
func TestDoctorRelaysToAPeer(t *testing.T) {
	_, port, server := relayOf(t, "  secret: "+sharedSecret+"\n  allow: [127.0.0.1/32]\n")
	defer endServe(t, server)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(sharedSecret), 0o600))
	said, _ := examineTURN(t, fmt.Sprintf("turn:127.0.0.1:%d", port), "--secret-file", secret)
	require.Equal(t, 2, strings.Count(said, " and back in "), said)
	finding(t, said, "ok", "loops")
}

// TestDoctorExaminesCoturn, which is how it stands beside ours: the release of Debian 12 lets clients reach private networks.
func TestDoctorExaminesCoturn(t *testing.T) {
	binary, err := exec.LookPath("turnserver")
	require.NoError(t, err, "Debian's package coturn (scripts/test installs it)")
	port, dir := freePort(t), t.TempDir()
	coturn := exec.CommandContext(t.Context(), binary, "--no-tls", "--no-dtls", "--no-cli", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1",
		fmt.Sprintf("--listening-port=%d", port), "--use-auth-secret", "--static-auth-secret="+sharedSecret, "--realm=turn",
		"--pidfile="+filepath.Join(dir, "pid"), "--db="+filepath.Join(dir, "db"), "--log-file="+filepath.Join(dir, "log"), "--simple-log")
	require.NoError(t, coturn.Start())
	defer func() {
		require.NoError(t, coturn.Process.Kill())
		_ = coturn.Wait() // says that it was killed
	}()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil && conn.Close() == nil
	}, 10*time.Second, 20*time.Millisecond)
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(sharedSecret), 0o600))
	said, good := examineTURN(t, fmt.Sprintf("turn:127.0.0.1:%d", port), "--secret-file", secret)
	require.False(t, good)
	finding(t, said, "ok", "credentials")
	require.Contains(t, finding(t, said, "FAIL", "ranges"), "10.0.0.0/8 (10.1.2.3)")
}
