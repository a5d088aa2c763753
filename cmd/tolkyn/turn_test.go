package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/caller"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/doctor"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/turn/credential"
)

// sharedSecret is 40 characters, which is enough.
const sharedSecret = "a-secret-that-two-servers-share-0123456789"

// freePort is one that nobody has, UDP and TCP.
func freePort(t *testing.T) int {
	t.Helper()
	l, at, err := listenBoth("turn.listen", "turn", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return int(at.Port())
}

// metricOf reads one figure of an admin listener.
func metricOf(t *testing.T, admin, name string) string {
	t.Helper()
	_, page := get(t, "http://"+admin+"/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// allocate makes an allocation over UDP, which release ends.
func allocate(t *testing.T, port int, c credential.Credential) (release func() error) {
	t.Helper()
	holder := dialTURN(t, port, c)
	_, err := holder.Allocate(false)
	require.NoError(t, err)
	return holder.Release
}

func dialTURN(t *testing.T, port int, c credential.Credential) *doctor.Client {
	t.Helper()
	uri, err := stun.ParseURI(fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", port))
	require.NoError(t, err)
	holder, err := doctor.Dial(t.Context(), uri, nil, 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, holder.Close()) })
	holder.User, holder.Password = c.Username, c.Password
	return holder
}

// TestACallThroughTheRelay: two clients that let media go through the relay alone, by one way to it, which hands over to the SFU in the
// same process. When they have left, nothing of them is left.
func TestACallThroughTheRelay(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			dir, port, admin := t.TempDir(), freePort(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
			file := filepath.Join(dir, "tolkyn.yaml")
			require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "turn:\n  secret: %s\n  urls: [\"turn:127.0.0.1:%d?transport=%s\"]\n",
				sharedSecret, port, transport), 0o600))
			server := startServe(t, "--config", file, "--turn", fmt.Sprintf("127.0.0.1:%d", port), "--admin", admin)
			recorder, told, errs := startCall(t, server, "--relay", "--identity", "rec", "--record", filepath.Join(dir, "out"), "--json", "--quiet")
			player, summary, _ := startCall(t, server, "--relay", "--identity", "aru", "--play", song(t, dir, 4))
			require.Eventually(t, func() bool { return metricOf(t, admin, `tolkyn_turn_allocations{transport="`+transport+`"}`) == "2" },
				20*time.Second, 20*time.Millisecond)
			require.NoError(t, player.Wait(), "%s", summary)
			require.NoError(t, recorder.Process.Signal(os.Interrupt))
			require.NoError(t, recorder.Wait(), "%s", errs)

			var report caller.Report
			require.NoError(t, json.Unmarshal(told.Bytes(), &report), "%s", told)
			require.Len(t, report.Received, 1)
			require.Greater(t, report.Received[0].Seconds, 2.0)
			handed, err := strconv.Atoi(metricOf(t, admin, `tolkyn_turn_packets_total{path="handed_over"}`))
			require.NoError(t, err)
			require.Greater(t, handed, 150, "4 s of a voice are 200")
			require.Equal(t, "0", metricOf(t, admin, `tolkyn_udp_datagrams_total{direction="in"}`), "nothing comes to the media port itself")
			require.Equal(t, "0", metricOf(t, admin, `tolkyn_turn_packets_total{path="to_peers"}`))
			require.Eventually(t, func() bool { return metricOf(t, admin, `tolkyn_turn_allocations{transport="`+transport+`"}`) == "0" },
				5*time.Second, 20*time.Millisecond, "what a session was given ends with it")
			require.NoError(t, server.Process.Signal(os.Interrupt))
			require.NoError(t, server.Wait(), "%s", server.log)
		})
	}
}

// TestWelcomeNamesTheRelay: on the host by which the client came.
func TestWelcomeNamesTheRelay(t *testing.T) {
	port := freePort(t)
	p := startServe(t, "--turn", fmt.Sprintf("127.0.0.1:%d", port))
	ways := transportsOf(t, p.url)
	welcome := dialQUIC(t, ways[0], nil).hello(t, tokenOf(t, p.url))
	require.Len(t, welcome.GetIceServers(), 1)
	server := welcome.GetIceServers()[0]
	require.Equal(t, []string{
		fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", port), fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", port),
	}, server.GetUrls())
	require.InDelta(t, time.Now().Add(time.Hour).UnixMilli(), server.GetExpiresMs(), 5000)
	claims, err := credential.Parse(server.GetUsername())
	require.NoError(t, err)
	require.Equal(t, welcome.GetSessionId(), claims.Subject.Call)
	require.Equal(t, "dev", claims.Subject.Tenant)
	require.NotContains(t, server.GetUsername(), welcome.GetIdentity(), "everybody on the way reads it")
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait(), "%s", p.log)
}

// TestARelayAlone ends when its allocations have, or its time to drain.
func TestARelayAlone(t *testing.T) {
	dir, port, admin := t.TempDir(), freePort(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	file := filepath.Join(dir, "tolkyn.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
		"roles: [turn]\nturn:\n  listen: 127.0.0.1:%d\n  secret: %s\n  allow: [127.0.0.1/32]\n  drain: 20s\n  alternate: 127.0.0.1:9\n", port, sharedSecret), 0o600))
	p := startServe(t, "--config", file, "--turn", fmt.Sprintf("127.0.0.1:%d", port), "--admin", admin)
	response, _ := get(t, "http://"+admin+"/readyz")
	require.Equal(t, http.StatusOK, response.StatusCode)
	_, page := get(t, "http://"+admin+"/metrics")
	require.NotContains(t, page, "tolkyn_sfu_")
	require.NotContains(t, page, "tolkyn_signaling_")

	c := credential.Mint([]byte(sharedSecret), credential.Subject{Tenant: "t", User: "u", Call: "c"}, time.Now(), time.Minute)
	release := allocate(t, port, c)
	counted := func() bool { return metricOf(t, admin, `tolkyn_turn_allocations{transport="udp"}`) == "1" }
	require.Eventually(t, counted, 10*time.Second, 10*time.Millisecond) // a turn of its worker later
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return metricOf(t, admin, `tolkyn_turn_draining`) == "1" }, 10*time.Second, 10*time.Millisecond)
	response, body := get(t, "http://"+admin+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Contains(t, body, "draining")
	late := dialTURN(t, port, c)
	_, err := late.Allocate(false)
	refused := new(doctor.Refusal)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 300, refused.Code, "another one takes it")
	require.NoError(t, release())
	began := time.Now()
	require.NoError(t, p.Wait(), "%s", p.log)
	require.Less(t, time.Since(began), 15*time.Second, "nothing is left to wait for")
	require.Contains(t, p.log.String(), "the relay drains")
}

// TestTheRelayOfAnotherProgram: a default that is taken is done without, what was asked for is not.
func TestTheRelayOfAnotherProgram(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:3478")
	if err == nil {
		defer func() { require.NoError(t, taken.Close()) }()
	} // else somebody else has it, which is as good
	c := config.Default()
	c.StateDir = t.TempDir()
	var log strings.Builder
	logger, err := newLogger(&log, config.Log{Level: "info", Format: "json"})
	require.NoError(t, err)
	r, err := openRelay(c, config.Origins{}, nil, nil, quietState(c.StateDir), certificates{}, logger)
	require.NoError(t, err)
	require.Nil(t, r)
	require.Contains(t, log.String(), "in use by another program")
	_, err = openRelay(c, config.Origins{"turn.listen": "--turn"}, nil, nil, quietState(c.StateDir), certificates{}, logger)
	require.ErrorContains(t, err, "turn.listen: 127.0.0.1:3478 (tcp) is in use by another program")
}

func TestURLsOfTheRelay(t *testing.T) {
	port, secure := freePort(t), freePort(t)
	c := config.Default()
	c.TURN.Listen, c.TURN.Secret = fmt.Sprintf("127.0.0.1:%d", port), sharedSecret
	open := func(edit func(*config.Config)) *relay {
		settings := c
		edit(&settings)
		logger, err := newLogger(&strings.Builder{}, config.Log{Level: "info", Format: "json"})
		require.NoError(t, err)
		shown := certificates{}
		if settings.HTTP.CertificateFile != "" {
			shown.filed, err = openCertificate(settings.HTTP, logger)
			require.NoError(t, err)
		}
		r, err := openRelay(settings, config.Origins{"turn.listen": "x", "turn.tls_listen": "x"}, nil, nil, quietState(t.TempDir()), shown, logger)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.close()) })
		return r
	}
	r := open(func(*config.Config) {})
	plain := func(host string) []string {
		return []string{fmt.Sprintf("turn:%s:%d?transport=udp", host, port), fmt.Sprintf("turn:%s:%d?transport=tcp", host, port)}
	}
	require.Equal(t, plain("call.example.kz"), r.urlsFor("call.example.kz"))
	require.Equal(t, plain("127.0.0.1"), r.urlsFor("localhost"))
	require.Equal(t, plain("127.0.0.1"), r.urlsFor(""))
	require.Equal(t, plain("[2001:db8::1]"), r.urlsFor("2001:db8::1"))
	require.NoError(t, r.close())

	certificate, key := certificateFiles(t)
	r = open(func(c *config.Config) {
		c.TURN.Host, c.TURN.TLSListen = "turn.example.kz", fmt.Sprintf("127.0.0.1:%d", secure)
		c.HTTP.CertificateFile, c.HTTP.KeyFile = certificate, key
	})
	require.Equal(t, append(plain("turn.example.kz"), fmt.Sprintf("turns:turn.example.kz:%d?transport=tcp", secure)), r.urlsFor("call.example.kz"))
	require.NoError(t, r.close())

	elsewhere := []string{"turns:turn.example.kz:443?transport=tcp"}
	r = open(func(c *config.Config) {
		c.TURN.URLs, c.Roles = elsewhere, []string{config.RoleSFU, config.RoleSignaling}
	})
	require.Nil(t, r.server)
	require.Equal(t, elsewhere, r.urlsFor("call.example.kz"))

	c.TURN.Listen = ""
	logger, err := newLogger(&strings.Builder{}, config.Log{Level: "info", Format: "json"})
	require.NoError(t, err)
	r, err = openRelay(c, config.Origins{"turn.listen": "x"}, nil, nil, quietState(t.TempDir()), certificates{}, logger)
	require.NoError(t, err)
	require.Nil(t, r)
}

// TestUsersAreToldApart: by who holds the secret, and nobody else.
func TestUsersAreToldApart(t *testing.T) {
	r := &relay{secret: []byte(sharedSecret)}
	aru := r.subject(signaling.Grants{Tenant: "a", Identity: "aru"}, "s1")
	require.Equal(t, aru.User, r.subject(signaling.Grants{Tenant: "a", Identity: "aru"}, "s2").User)
	require.NotEqual(t, aru.User, r.subject(signaling.Grants{Tenant: "b", Identity: "aru"}, "s1").User)
	require.NotEqual(t, aru.User, r.subject(signaling.Grants{Tenant: "a", Identity: "dana"}, "s1").User)
	other := &relay{secret: []byte("another " + sharedSecret)}
	require.NotEqual(t, aru.User, other.subject(signaling.Grants{Tenant: "a", Identity: "aru"}, "s1").User)
}

// certificateFiles are a certificate that nobody has signed, for this machine, and its key.
func certificateFiles(t *testing.T) (certificate, key string) {
	t.Helper()
	pair, err := makeCertificate(nil, time.Now(), shortLife)
	require.NoError(t, err)
	text, err := joinPairs(pair)
	require.NoError(t, err)
	dir := t.TempDir()
	for found, rest := pem.Decode(text); found != nil; found, rest = pem.Decode(rest) {
		file := filepath.Join(dir, strings.ReplaceAll(found.Type, " ", ""))
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(found), 0o600))
	}
	return filepath.Join(dir, "CERTIFICATE"), filepath.Join(dir, "PRIVATEKEY")
}
