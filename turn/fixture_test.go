package turn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	pion3 "github.com/pion/turn/v3"
	pion5 "github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn"
)

const (
	user, password = "alice", "secret"
	realm          = "turn"
	patience       = 10 * time.Second
)

var loopback = netip.MustParseAddr("127.0.0.1")

// fixture is a whole server on loopback with a listener of each way.
type fixture struct {
	*turn.Server
	udp, tcp, tls string
	roots         *x509.CertPool
	relayPorts    [2]uint16
}

// start serves with relay to this machine allowed. change may alter the configuration.
func start(t testing.TB, change func(*turn.Config)) *fixture {
	t.Helper()
	f := &fixture{roots: x509.NewCertPool()}
	certificate := selfSigned(t, f.roots)
	plain, secure := listen(t), listen(t)
	// coturn's client tries old versions of TLS too.
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS10}
	first := uint16(10000 + mrand.IntN(100)*200) // below what systems give out by themselves
	f.relayPorts = [2]uint16{first, first + 199}
	cfg := turn.Config{
		UDP:            []netip.AddrPort{netip.AddrPortFrom(loopback, 0)},
		TCP:            []net.Listener{plain},
		TLS:            []net.Listener{tls.NewListener(turn.Listen(secure), tlsConfig)},
		RelayAddresses: []netip.Addr{loopback},
		RelayPorts:     f.relayPorts,
		Users:          map[string]string{user: password, "bob": password},
		Allow:          []netip.Prefix{netip.PrefixFrom(loopback, 32)},
		Workers:        2,
		Limits:         turn.Limits{PeersPerUser: -1, AuthDeadline: time.Minute}, // a busy machine takes its time
	}
	if change != nil {
		change(&cfg)
	}
	s, err := turn.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	f.Server = s
	f.udp, f.tcp, f.tls = s.Addrs()[0].String(), plain.Addr().String(), secure.Addr().String()
	return f
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func selfSigned(t testing.TB, roots *x509.CertPool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dial connects a socket of the given way.
func (f *fixture) dial(t testing.TB, way turn.Way) (conn net.Conn) {
	t.Helper()
	var err error
	switch way {
	case turn.UDP:
		conn, err = net.Dial("udp4", f.udp)
	case turn.TCP:
		conn, err = net.Dial("tcp4", f.tcp)
	case turn.TLS:
		conn, err = tls.Dial("tcp4", f.tls, &tls.Config{RootCAs: f.roots})
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client is a TURN client that others wrote.
type client interface {
	Listen() error
	Allocate() (net.PacketConn, error)
	CreatePermission(addrs ...net.Addr) error
	Close()
}

// strangers are clients that are not ours, by name.
var strangers = map[string]func(t testing.TB, f *fixture, way turn.Way, name string) client{
	"pion v3": func(t testing.TB, f *fixture, way turn.Way, name string) client {
		conn, server := f.packets(t, way)
		c, err := pion3.NewClient(&pion3.ClientConfig{
			STUNServerAddr: server, TURNServerAddr: server, Conn: conn, Username: name, Password: password, Realm: realm,
		})
		require.NoError(t, err)
		return c
	},
	"pion v5": func(t testing.TB, f *fixture, way turn.Way, name string) client {
		conn, server := f.packets(t, way)
		c, err := pion5.NewClient(&pion5.ClientConfig{
			STUNServerAddr: server, TURNServerAddr: server, Conn: conn, Username: name, Password: password, Realm: realm,
		})
		require.NoError(t, err)
		return c
	},
}

// packets is a client's way to the server as a net.PacketConn, and the server's address.
func (f *fixture) packets(t testing.TB, way turn.Way) (net.PacketConn, string) {
	t.Helper()
	if way == turn.UDP {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn, f.udp
	}
	conn := f.dial(t, way)
	return pion5.NewSTUNConn(conn), conn.RemoteAddr().String()
}

// allocate connects and allocates.
func (f *fixture) allocate(t testing.TB, stranger string, way turn.Way, name string) (client, net.PacketConn, error) {
	t.Helper()
	c := strangers[stranger](t, f, way, name)
	require.NoError(t, c.Listen())
	t.Cleanup(c.Close)
	relayed, err := c.Allocate()
	if err == nil {
		t.Cleanup(func() { _ = relayed.Close() })
	}
	return c, relayed, err
}

func (f *fixture) mustAllocate(t testing.TB, stranger string, way turn.Way, name string) (client, net.PacketConn) {
	t.Helper()
	c, relayed, err := f.allocate(t, stranger, way, name)
	require.NoError(t, err)
	return c, relayed
}

// echo is a peer that sends everything back to where it came from.
func echo(t testing.TB) net.Addr {
	t.Helper()
	return echoAt(t, "127.0.0.1:0")
}

func echoAt(t testing.TB, address string) net.Addr {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(b[:n], from)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
	return conn.LocalAddr()
}

// eventually waits for what another goroutine brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, 2*time.Millisecond, what)
}

func eachWay(t *testing.T, f func(t *testing.T, way turn.Way)) {
	for way, name := range wayNames {
		t.Run(name, func(t *testing.T) { f(t, way) })
	}
}

var wayNames = map[turn.Way]string{turn.UDP: "UDP", turn.TCP: "TCP", turn.TLS: "TLS"}
