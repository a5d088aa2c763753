package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/caller"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// servedOnePort is a server behind one port of loopback, with a certificate that all processes of this test trust.
func servedOnePort(t *testing.T) (p *process, port int, admin string) {
	t.Helper()
	dir := t.TempDir()
	made, err := makeCertificate([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now(), 24*time.Hour)
	require.NoError(t, err)
	text, err := joinPairs(made)
	require.NoError(t, err)
	key, certificate := pem.Decode(text)
	certificateFile, keyFile, file := filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "tolkyn.yaml")
	require.NoError(t, os.WriteFile(certificateFile, certificate, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(key), 0o600))
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "http:\n  certificate_file: %s\n  key_file: %s\n", certificateFile, keyFile), 0o600))
	t.Setenv("SSL_CERT_FILE", certificateFile)
	port, admin = freePort(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p = startServe(t, "--config", file, "--one-port", fmt.Sprintf("127.0.0.1:%d", port), "--admin", admin)
	require.Equal(t, fmt.Sprintf("https://127.0.0.1:%d", port), p.url)
	return p, port, admin
}

// TestCallsBehindOnePort: signaling over QUIC and media over UDP, and the same through the relay, all by one number.
func TestCallsBehindOnePort(t *testing.T) {
	p, port, admin := servedOnePort(t)
	for _, way := range []struct {
		name, flag string
		handed     bool // through the relay
	}{{"directly", "--quiet", false}, {"through the relay", "--relay", true}} {
		t.Run(way.name, func(t *testing.T) {
			dir := t.TempDir()
			handed := func() int {
				n, err := strconv.Atoi(metricOf(t, admin, `tolkyn_turn_packets_total{path="handed_over"}`))
				require.NoError(t, err)
				return n
			}
			before := handed()
			recorder, told, errs := startCall(t, p, way.flag, "--identity", "rec", "--record", filepath.Join(dir, "out"), "--json", "--quiet")
			player, summary, _ := startCall(t, p, way.flag, "--identity", "aru", "--play", song(t, dir, 4))
			require.NoError(t, player.Wait(), "%s", summary)
			require.NoError(t, recorder.Process.Signal(os.Interrupt))
			require.NoError(t, recorder.Wait(), "%s", errs)
			var report caller.Report
			require.NoError(t, json.Unmarshal(told.Bytes(), &report), "%s", told)
			require.Len(t, report.Received, 1)
			require.Greater(t, report.Received[0].Seconds, 2.0)
			require.Equal(t, way.handed, handed() > before+150, "4 s of a voice are 200 packets")
		})
	}
	require.Equal(t, "0", metricOf(t, admin, `tolkyn_udp_datagrams_total{direction="in"}`), "nothing comes to the media port itself")
	require.Equal(t, "0", metricOf(t, admin, `tolkyn_oneport_dropped_datagrams_total{reason="quic_late"}`))
	ways := transportsOf(t, p.url)
	require.Len(t, ways, 2)
	for _, w := range ways {
		require.EqualValues(t, port, w.GetPort())
		require.Contains(t, []wire.Transport_Kind{wire.Transport_QUIC, wire.Transport_WEBTRANSPORT}, w.GetKind())
		require.Empty(t, w.GetCertificateSha256(), "an authority vouches for the certificate")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{signaling.ALPN}}, nil)
	require.NoError(t, err)
	require.NoError(t, c.CloseWithError(0, ""))
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/?room=x", port))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, p.url+"/?room=x", answer.Header.Get("Location"))

	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait(), "%s", p.log)
	require.NotContains(t, p.log.String(), "panic")
}

// TestSTUNBehindOnePort: a Binding request is answered with the sender's address, whatever else goes by the number.
func TestSTUNBehindOnePort(t *testing.T) {
	p, port, _ := servedOnePort(t)
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	require.NoError(t, err)
	for _, b := range [][]byte{{0x80, 1}, {20, 1}, {0x45, 1, 2, 3}, {}, {255}, request.Raw} {
		_, err = conn.Write(b)
		require.NoError(t, err)
	}
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	b := make([]byte, 1500)
	n, err := conn.Read(b)
	require.NoError(t, err)
	response := &stun.Message{Raw: b[:n]}
	require.NoError(t, response.Decode())
	require.Equal(t, request.TransactionID, response.TransactionID)
	var mapped stun.XORMappedAddress
	require.NoError(t, mapped.GetFrom(response))
	require.Equal(t, conn.LocalAddr().String(), mapped.String())
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
}

// TestLowPortsOfPrivateAddresses are no candidates to Chromium: the log says so.
func TestLowPortsOfPrivateAddresses(t *testing.T) {
	for text, warned := range map[string]bool{
		"192.168.1.5 443": true, "fd00::5 443": true, "192.168.1.5 8443": false, "203.0.113.7 443": false,
	} {
		address, number, _ := strings.Cut(text, " ")
		port, err := strconv.ParseUint(number, 10, 16)
		require.NoError(t, err)
		var log strings.Builder
		one := &onePort{at: netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))}
		one.warn([]netip.Addr{netip.MustParseAddr(address)}, slog.New(slog.NewTextHandler(&log, nil)))
		require.Equal(t, warned, log.Len() > 0, text)
	}
}
