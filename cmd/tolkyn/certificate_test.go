package main

import (
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// quietState keeps things in dir and says nothing.
func quietState(dir string) *state { return &state{dir: dir, log: slog.New(slog.DiscardHandler)} }

func TestCertificateIsKeptWhileItIsGood(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	file, kept := filepath.Join(dir, "lan.pem"), quietState(dir)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	home := []netip.Addr{netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5")}
	first, err := kept.lanCertificate(home, now)
	require.NoError(t, err)
	require.NoError(t, first.Leaf.VerifyHostname("192.168.1.5"))
	require.NoError(t, first.Leaf.VerifyHostname("fd00::5"))
	require.NoError(t, first.Leaf.VerifyHostname("localhost"))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	for _, test := range []struct {
		name      string
		addresses []netip.Addr
		later     time.Duration
		same      bool
	}{
		{"the next day", home, 24 * time.Hour, true},
		{"fewer addresses", home[:1], 24 * time.Hour, true},
		{"soon at its end", home, certificateLife - certificateRenew + time.Minute, false},
		{"another address", []netip.Addr{netip.MustParseAddr("10.0.0.5")}, 24 * time.Hour, false},
		{"before it was made", home, -24 * time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, err := os.ReadFile(file)
			require.NoError(t, err)
			_, err = kept.lanCertificate(test.addresses, now.Add(test.later))
			require.NoError(t, err)
			after, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, test.same, string(before) == string(after))
			require.NoError(t, os.WriteFile(file, before, 0o600))
		})
	}
}

func TestBrokenCertificateIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lan.pem")
	require.NoError(t, os.WriteFile(file, []byte("half a file"), 0o600))
	made, err := quietState(dir).lanCertificate(nil, time.Now())
	require.NoError(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, made.Certificate, splitPairs(text)[0].Certificate)
}

// TestFiledCertificateFollowsItsFiles: whoever renews it writes one file after the other and tells nobody.
func TestFiledCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	files := config.HTTP{CertificateFile: filepath.Join(dir, "chain.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write := func(file, block string, pair *tls.Certificate, at time.Time) {
		text, err := joinPairs(pair)
		require.NoError(t, err)
		for found, rest := pem.Decode(text); found != nil; found, rest = pem.Decode(rest) {
			if found.Type == block {
				require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(found), 0o600))
				require.NoError(t, os.Chtimes(file, at, at))
			}
		}
	}
	now := time.Now()
	first, err := makeCertificate(nil, now, shortLife)
	require.NoError(t, err)
	second, err := makeCertificate(nil, now, shortLife)
	require.NoError(t, err)
	write(files.CertificateFile, "CERTIFICATE", first, now)
	write(files.KeyFile, "PRIVATE KEY", first, now)
	f, err := openCertificate(files, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, first.Certificate, f.Certificate().Certificate)

	write(files.CertificateFile, "CERTIFICATE", second, now.Add(time.Second))
	f.look()
	require.Equal(t, first.Certificate, f.Certificate().Certificate, "the new one has no key yet")
	write(files.KeyFile, "PRIVATE KEY", second, now.Add(2*time.Second))
	f.look()
	require.Equal(t, second.Certificate, f.Certificate().Certificate)
	require.NoError(t, os.Remove(files.KeyFile))
	f.look()
	require.Equal(t, second.Certificate, f.Certificate().Certificate)
}

func TestAdvertised(t *testing.T) {
	wildcard := netip.IPv4Unspecified()
	got, err := advertised([]string{"203.0.113.7", "::ffff:203.0.113.8"}, wildcard)
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")}, got)

	got, err = advertised(nil, netip.MustParseAddr("127.0.0.1"))
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, got)

	got, err = advertised(nil, wildcard)
	require.NoError(t, err)
	require.NotEmpty(t, got)
	require.False(t, got[0].IsUnspecified())
}

func TestDecideMode(t *testing.T) {
	keys := []config.Key{{ID: "main"}}
	for _, test := range []struct {
		name   string
		change func(*config.Config)
		want   mode
	}{
		{"defaults", func(*config.Config) {}, local},
		{"IPv6 loopback", func(c *config.Config) { c.HTTP.Listen = "[::1]:8080" }, local},
		{"by name", func(c *config.Config) { c.HTTP.Listen = "localhost:8080" }, local},
		{"lan", func(c *config.Config) { c.LAN.Enabled = true }, lan},
		{"keys", func(c *config.Config) { c.Signaling.Keys = keys; c.HTTP.Listen = ":80" }, production},
		{"keys within the network", func(c *config.Config) { c.Signaling.Keys = keys; c.LAN.Enabled = true }, production},
		{"public page", func(c *config.Config) { c.HTTP.Listen = ":8080" }, 0},
		{"public TLS", func(c *config.Config) { c.HTTP.TLSListen = "0.0.0.0:8443" }, 0},
		{"public QUIC", func(c *config.Config) { c.QUIC.Listen = ":8443" }, 0},
		{"public media", func(c *config.Config) { c.Media.Listen = "[::]:7882" }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := config.Default()
			test.change(&c)
			got, err := decideMode(c, nil)
			require.Equal(t, test.want, got)
			if test.want == 0 {
				require.ErrorContains(t, err, "tolkyn token key")
				return
			}
			require.NoError(t, err)
		})
	}
}
