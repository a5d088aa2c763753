package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

func TestCertificateIsKeptWhileItIsGood(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "lan.pem")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	home := []netip.Addr{netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5")}
	first, err := keptCertificate(file, home, now)
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
			_, err = keptCertificate(file, test.addresses, now.Add(test.later))
			require.NoError(t, err)
			after, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, test.same, string(before) == string(after))
			require.NoError(t, os.WriteFile(file, before, 0o600))
		})
	}
}

func TestBrokenCertificateIsMadeAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lan.pem")
	require.NoError(t, os.WriteFile(file, []byte("half a file"), 0o600))
	_, err := keptCertificate(file, nil, time.Now())
	require.NoError(t, err)
}

func TestStateDirectoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := keptCertificate(filepath.Join(file, "lan.pem"), nil, time.Now())
	require.ErrorContains(t, err, "--state")
}

func TestStateDir(t *testing.T) {
	t.Setenv("HOME", "/home/aigerim")
	t.Setenv("XDG_STATE_HOME", "")
	dir, err := stateDir("")
	require.NoError(t, err)
	require.Equal(t, "/home/aigerim/.local/state/tolkyn", dir)
	t.Setenv("XDG_STATE_HOME", "/var/state")
	dir, err = stateDir("")
	require.NoError(t, err)
	require.Equal(t, "/var/state/tolkyn", dir)
	dir, err = stateDir("/here")
	require.NoError(t, err)
	require.Equal(t, "/here", dir)
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
