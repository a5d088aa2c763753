package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// transportsOf asks a server for the other ways to it.
func transportsOf(t *testing.T, page string) []*wire.Transport {
	t.Helper()
	response, body := get(t, page+"/v1/transports")
	require.Equal(t, http.StatusOK, response.StatusCode)
	var all wire.Transports
	require.NoError(t, protojson.Unmarshal([]byte(body), &all))
	return all.GetTransports()
}

// pinned trusts the certificates of a transport and no others, as a browser does that was told their hashes.
func pinned(way *wire.Transport, tickets tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		ServerName: "localhost", NextProtos: []string{signaling.ALPN}, ClientSessionCache: tickets,
		InsecureSkipVerify: true, // VerifyConnection takes its place.
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			sum := sha256.Sum256(leaf.Raw)
			for _, hash := range way.GetCertificateSha256() {
				if bytes.Equal(hash, sum[:]) {
					return nil
				}
			}
			return x509.CertificateInvalidError{Cert: leaf, Detail: "not one that was told"}
		},
	}
}

// control is a control stream, by hand.
type control struct {
	conn    *quic.Conn
	stream  *quic.Stream
	frames  *wire.StreamReader
	written func() // lets in what the server answers
}

// lateSocket hears nothing before it may. On loopback the server's first answer may come while the client still opens its
// stream, and the library reads then what it writes.
type lateSocket struct {
	net.PacketConn

	may chan struct{}
}

func (s lateSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	<-s.may
	return s.PacketConn.ReadFrom(b)
}

// dialQUIC with a ticket returns before anything is heard of the server, and hears it after the first frame is sent.
func dialQUIC(t *testing.T, way *wire.Transport, tickets tls.ClientSessionCache) *control {
	t.Helper()
	plain, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	socket := lateSocket{plain, make(chan struct{})}
	c := &control{written: sync.OnceFunc(func() { close(socket.may) })}
	config := pinned(way, tickets)
	if _, known := ticket(tickets, config); !known {
		c.written()
	}
	transport := &quic.Transport{Conn: socket}
	t.Cleanup(func() {
		c.written()
		require.NoError(t, transport.Close())
		require.NoError(t, plain.Close())
	})
	server := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(way.GetPort())}
	c.conn, err = transport.DialEarly(t.Context(), server, config, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.conn.CloseWithError(0, "")) })
	c.stream, err = c.conn.OpenStream()
	require.NoError(t, err)
	require.NoError(t, c.stream.SetDeadline(time.Now().Add(30*time.Second)))
	c.frames = wire.NewStreamReader(c.stream, wire.MaxServerFrame)
	return c
}

func ticket(tickets tls.ClientSessionCache, config *tls.Config) (*tls.ClientSessionState, bool) {
	if tickets == nil {
		return nil, false
	}
	return tickets.Get(config.ServerName)
}

// hello opens a session and returns the Welcome.
func (c *control) hello(t *testing.T, token string) *wire.Welcome {
	t.Helper()
	c.send(t, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token}}})
	welcome := c.next(t).GetWelcome()
	require.NotNil(t, welcome)
	return welcome
}

func (c *control) send(t *testing.T, frame *wire.ClientFrame) {
	t.Helper()
	b, err := wire.Binary.EncodeClient(frame)
	require.NoError(t, err)
	_, err = c.stream.Write(wire.AppendFrame(nil, b))
	require.NoError(t, err)
	c.written()
}

func (c *control) next(t *testing.T) *wire.ServerFrame {
	t.Helper()
	b, err := c.frames.Next()
	require.NoError(t, err)
	frame, err := wire.Binary.DecodeServer(b)
	require.NoError(t, err)
	return frame
}

func tokenOf(t *testing.T, page string) string {
	t.Helper()
	_, body := get(t, page+"/v1/dev-token")
	var pass struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &pass))
	return pass.Token
}

// TestServeOverQUIC follows a client from what it is told to the Bye, and to the next life of the server.
func TestServeOverQUIC(t *testing.T) {
	tickets, dir := tls.NewLRUClientSessionCache(1), t.TempDir()
	p := startServe(t, "--state", dir)
	ways := transportsOf(t, p.url)
	require.Len(t, ways, 2)
	require.Equal(t, []wire.Transport_Kind{wire.Transport_QUIC, wire.Transport_WEBTRANSPORT}, []wire.Transport_Kind{ways[0].Kind, ways[1].Kind})
	require.Equal(t, "/v1/wt", ways[1].GetPath())
	require.Len(t, ways[0].GetCertificateSha256(), 1)
	require.Equal(t, ways[0].GetCertificateSha256(), ways[1].GetCertificateSha256())
	response, _ := get(t, p.url)
	require.Contains(t, response.Header.Get("Content-Security-Policy"),
		fmt.Sprintf("connect-src 'self' https://127.0.0.1:%d;", ways[1].GetPort()), "the page may open WebTransport")

	c := dialQUIC(t, ways[0], tickets)
	welcome := c.hello(t, tokenOf(t, p.url))
	require.Len(t, welcome.GetTransports(), 2)
	require.False(t, c.conn.ConnectionState().Used0RTT)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.Equal(t, wire.Bye_SHUTDOWN, c.next(t).GetBye().GetReason())
	require.NoError(t, p.Wait(), "%s", p.log)
	require.Contains(t, p.log.String(), "stopped")
	require.NotContains(t, p.log.String(), "nothing can be kept")

	// The certificate and the key of the ticket were kept: the client's first packet is its Hello.
	p = startServe(t, "--state", dir)
	again := transportsOf(t, p.url)
	require.Equal(t, ways[0].GetCertificateSha256(), again[0].GetCertificateSha256())
	c = dialQUIC(t, again[0], tickets)
	c.hello(t, tokenOf(t, p.url))
	require.True(t, c.conn.ConnectionState().Used0RTT)
	// This one is not answered before the handshake is complete, and the session counted.
	c.send(t, &wire.ClientFrame{Id: 2, Message: &wire.ClientFrame_Subscribe{Subscribe: &wire.Subscribe{}}})
	require.EqualValues(t, 2, c.next(t).GetId())
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.Equal(t, wire.Bye_SHUTDOWN, c.next(t).GetBye().GetReason())
	require.NoError(t, p.Wait(), "%s", p.log)
}

// TestSilentQUICClientHoldsNobodyUp: one that never closes is cut off.
func TestSilentQUICClientHoldsNobodyUp(t *testing.T) {
	p := startServe(t)
	ways := transportsOf(t, p.url)
	c := dialQUIC(t, ways[0], nil)
	<-c.conn.HandshakeComplete() // and no Hello, ever
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait(), "%s", p.log)
	require.Contains(t, p.log.String(), "stopped")
}

func TestServeWithoutQUIC(t *testing.T) {
	p := startServe(t, "--quic", "")
	require.Empty(t, transportsOf(t, p.url))
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
	require.NotContains(t, p.log.String(), "quic.listen")
}

// TestClientsElsewhereAreNotToldOfLoopback: they would try in vain first, each time.
func TestClientsElsewhereAreNotToldOfLoopback(t *testing.T) {
	dir := t.TempDir()
	settings, err := makeKey("main", "HS256", dir)
	require.NoError(t, err)
	file := dir + "/tolkyn.yaml"
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	p := startServe(t, "--config", file, "--media", ":0")
	require.Empty(t, transportsOf(t, p.url))
	response, _ := get(t, p.url)
	require.Contains(t, response.Header.Get("Content-Security-Policy"), "connect-src 'self';")
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
	require.Contains(t, p.log.String(), "from this machine alone")
}

func TestQUICPortInUse(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	c := config.Default()
	c.QUIC.Listen = taken.LocalAddr().String()
	_, err = openQUIC(c, nil, quietState(t.TempDir()), certificates{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "quic.listen: "+c.QUIC.Listen+" (udp) is in use by another program")
	require.ErrorContains(t, err, "--quic")
}
