package signaling

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// A stage is a server that is reached by every way, in simulated time: QUIC over a simulated network, WebSocket over pipes.
type stage struct {
	t       testing.TB
	server  *Server
	network *netsim.Network
	secret  Secret
	shown   *tls.Certificate

	socket  net.PacketConn
	served  chan error
	through *http.Client
	dialled int
}

var (
	serverAddr = netip.MustParseAddrPort("192.0.2.1:8443")
	clientAddr = netip.MustParseAddr("198.51.100.7")
)

// onStage plays in a bubble. A goroutine that outlives the server fails the test.
func onStage(t *testing.T, play func(w *stage), edit ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		w := &stage{t: t, server: testServer(t, edit...), network: netsim.New(1), secret: NewSecret()}
		w.shown = certificate(t)
		w.start()
		pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		web := &http.Server{Handler: w.server, ReadHeaderTimeout: time.Second}
		served := make(chan error)
		go func() { served <- web.Serve(pipes) }()
		transport := &http.Transport{DialContext: pipes.dial}
		w.through = &http.Client{Transport: transport}
		play(w)
		w.stop()
		transport.CloseIdleConnections()
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

// start opens the server's UDP port.
func (w *stage) start() {
	socket, err := w.network.Host(serverAddr.Addr()).ListenUDP(serverAddr.Port())
	require.NoError(w.t, err)
	w.socket, w.served = socket, make(chan error, 1)
	server := w.server
	go func() {
		w.served <- server.ServeQUIC(socket, QUICConfig{
			Certificate: func() *tls.Certificate { return w.shown }, Secret: w.secret,
		})
	}()
	synctest.Wait()
}

func (w *stage) stop() {
	require.NoError(w.t, w.server.Close(w.t.Context()))
	require.NoError(w.t, <-w.served)
	require.NoError(w.t, w.socket.Close())
	stats := w.server.Stats()
	require.Zero(w.t, stats.Sessions)
	require.Zero(w.t, stats.Connections)
	require.Zero(w.t, stats.QUIC.HalfOpen)
	require.Zero(w.t, stats.Panics)
}

func certificate(t testing.TB) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"server.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (w *stage) trust() *tls.Config {
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(w.shown.Certificate[0])
	require.NoError(w.t, err)
	roots.AddCert(leaf)
	return &tls.Config{RootCAs: roots, ServerName: "server.example", NextProtos: []string{ALPN}}
}

// line is one connection of a client, by whichever way; frames are protobuf.
type line interface {
	write(b []byte) error
	read() ([]byte, error)
	hangUp()
	// closeCode of what read has failed with; -1: none.
	closeCode(err error) int
}

type talker struct {
	t testing.TB
	line
}

// quicLine is a raw QUIC connection.
type quicLine struct {
	socket     net.PacketConn
	transport  *quic.Transport
	connection *quic.Conn
	stream     *quic.Stream
	frames     *wire.StreamReader
}

// quic dials from a new port. known is the client's memory of earlier connections.
func (w *stage) quic(known *memory) *talker {
	return w.quicFrom(w.network.Host(clientAddr), known)
}

// memory is what a client keeps from one connection to the next.
type memory struct {
	tickets tls.ClientSessionCache
	tokens  quic.TokenStore
}

func newMemory() *memory {
	return &memory{tickets: tls.NewLRUClientSessionCache(8), tokens: quic.NewLRUTokenStore(8, 8)}
}

func (w *stage) quicFrom(host *netsim.Host, known *memory) *talker {
	l, err := w.dialQUIC(host, known)
	require.NoError(w.t, err)
	return &talker{w.t, l}
}

func (w *stage) dialQUIC(host *netsim.Host, known *memory) (*quicLine, error) {
	socket, err := host.ListenUDP(0)
	require.NoError(w.t, err)
	trust := w.trust()
	cfg := &quic.Config{EnableDatagrams: true, KeepAlivePeriod: 15 * time.Second}
	if known != nil {
		trust.ClientSessionCache, cfg.TokenStore = known.tickets, known.tokens
	}
	l := &quicLine{socket: socket, transport: &quic.Transport{Conn: socket}}
	w.t.(*testing.T).Cleanup(l.hangUp)
	l.connection, err = l.transport.DialEarly(w.t.Context(), net.UDPAddrFromAddrPort(serverAddr), trust, cfg)
	if err != nil {
		return nil, err
	}
	if l.stream, err = l.connection.OpenStream(); err != nil {
		return nil, err
	}
	l.frames = wire.NewStreamReader(l.stream, wire.MaxServerFrame)
	return l, nil
}

func (l *quicLine) write(b []byte) error {
	_, err := l.stream.Write(wire.AppendFrame(nil, b))
	return err
}

func (l *quicLine) read() ([]byte, error) { return l.frames.Next() }

func (l *quicLine) hangUp() {
	if l.connection != nil {
		_ = l.connection.CloseWithError(0, "")
	}
	_ = l.transport.Close()
	_ = l.socket.Close()
}

func (l *quicLine) closeCode(err error) int {
	if err != nil && errors.Is(err, net.ErrClosed) {
		return -1
	}
	<-l.connection.Context().Done()
	if gone, ok := errors.AsType[*quic.ApplicationError](context.Cause(l.connection.Context())); ok && gone.Remote {
		return int(gone.ErrorCode)
	}
	return -1
}

// webLine is a WebTransport session.
type webLine struct {
	socket    net.PacketConn
	transport *quic.Transport
	dialer    *webtransport.Transport
	session   *webtransport.Session
	stream    *webtransport.Stream
	frames    *wire.StreamReader
}

func (w *stage) webTransport(header http.Header) (*webLine, error) {
	socket, err := w.network.Host(clientAddr).ListenUDP(0)
	require.NoError(w.t, err)
	l := &webLine{socket: socket, transport: &quic.Transport{Conn: socket}}
	trust := w.trust()
	trust.NextProtos = []string{http3.NextProtoH3}
	l.dialer = &webtransport.Transport{
		TLSClientConfig: trust,
		QUICConfig: &quic.Config{
			EnableDatagrams: true, EnableStreamResetPartialDelivery: true, KeepAlivePeriod: 15 * time.Second,
		},
		DialAddr: func(ctx context.Context, _ string, t *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			return l.transport.DialEarly(ctx, net.UDPAddrFromAddrPort(serverAddr), t, cfg)
		},
	}
	w.t.(*testing.T).Cleanup(l.hangUp)
	_, l.session, err = l.dialer.Dial(w.t.Context(), "https://server.example"+WebTransportPath, header)
	if err != nil {
		return l, err
	}
	if l.stream, err = l.session.OpenStream(); err != nil {
		return l, err
	}
	l.frames = wire.NewStreamReader(l.stream, wire.MaxServerFrame)
	return l, nil
}

func (l *webLine) write(b []byte) error {
	_, err := l.stream.Write(wire.AppendFrame(nil, b))
	return err
}

func (l *webLine) read() ([]byte, error) { return l.frames.Next() }

func (l *webLine) hangUp() {
	if l.session != nil {
		_ = l.session.CloseWithError(0, "")
	}
	_ = l.dialer.Close()
	_ = l.transport.Close()
	_ = l.socket.Close()
}

func (l *webLine) closeCode(error) int {
	<-l.session.Context().Done()
	_, err := l.session.AcceptStream(context.Background())
	if gone, ok := errors.AsType[*webtransport.SessionError](err); ok && gone.Remote {
		return int(gone.ErrorCode)
	}
	return -1
}

// socketLine is a WebSocket.
type socketLine struct {
	ws  *websocket.Conn
	ctx context.Context
}

func (l *socketLine) write(b []byte) error { return l.ws.Write(l.ctx, websocket.MessageBinary, b) }

func (l *socketLine) read() ([]byte, error) {
	_, b, err := l.ws.Read(l.ctx)
	return b, err
}

func (l *socketLine) hangUp() { _ = l.ws.CloseNow() }

func (l *socketLine) closeCode(err error) int { return int(websocket.CloseStatus(err)) }

// dial opens a connection by this way.
func (w *stage) dial(by way) *talker {
	w.t.Helper()
	switch by {
	case byQUIC:
		return w.quic(nil)
	case byWebTransport:
		l, err := w.webTransport(nil)
		require.NoError(w.t, err)
		return &talker{w.t, l}
	}
	ws := dialWith(w.t, anywhere, wire.Binary, w.through).ws
	return &talker{w.t, &socketLine{ws, w.t.Context()}}
}

func (c *talker) say(frame string, args ...any) {
	c.t.Helper()
	f, err := wire.JSON.DecodeClient(fmt.Appendf(nil, frame, args...))
	require.NoError(c.t, err)
	c.sayFrame(f)
}

func (c *talker) sayFrame(f *wire.ClientFrame) {
	c.t.Helper()
	b, err := wire.Binary.EncodeClient(f)
	require.NoError(c.t, err)
	require.NoError(c.t, c.write(b))
}

func (c *talker) hear() *wire.ServerFrame {
	c.t.Helper()
	b, err := c.read()
	require.NoError(c.t, err)
	f, err := wire.Binary.DecodeServer(b)
	require.NoError(c.t, err)
	return f
}

func (c *talker) hearError(code wire.Error_Code) *wire.Error {
	c.t.Helper()
	e := c.hear().GetError()
	require.NotNil(c.t, e)
	require.Equal(c.t, code, e.GetCode(), e.GetMessage())
	return e
}

func (c *talker) hearClose(want websocket.StatusCode) {
	c.t.Helper()
	_, err := c.read()
	require.Error(c.t, err)
	require.Equal(c.t, int(want), c.closeCode(err), err)
}

// sayHello as somebody; aru is in every test.
func (c *talker) sayHello() {
	c.t.Helper()
	token, err := Mint(hsKey, aru, time.Now(), 0)
	require.NoError(c.t, err)
	c.say(`{"id":"1","hello":{"token":"%s","client":"test"}}`, token)
}

func (c *talker) hello() *wire.Welcome {
	c.t.Helper()
	c.sayHello()
	w := c.hear().GetWelcome()
	require.NotNil(c.t, w)
	return w
}

func (c *talker) ping() {
	c.t.Helper()
	c.say(`{"id":"2","ping":{"clientTimeMs":"7"}}`)
	pong := c.hear()
	require.EqualValues(c.t, 2, pong.GetId())
	require.EqualValues(c.t, 7, pong.GetPong().GetClientTimeMs())
	require.Equal(c.t, time.Now().UnixMilli(), pong.GetPong().GetServerTimeMs())
}

func (c *talker) sayResume(w *wire.Welcome, lastSeq uint64) {
	c.t.Helper()
	c.sayFrame(&wire.ClientFrame{Id: 3, Message: &wire.ClientFrame_Resume{Resume: &wire.Resume{
		SessionId: w.GetSessionId(), ResumeToken: w.GetResumeToken(), LastSeq: lastSeq,
	}}})
}

func everyWay(t *testing.T, play func(w *stage, by way), edit ...func(*Config)) {
	for by := range ways {
		t.Run(by.String(), func(t *testing.T) {
			onStage(t, func(w *stage) { play(w, by) }, edit...)
		})
	}
}

func TestASessionByEachWay(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		c := w.dial(by)
		c.ping() // allowed before Hello
		welcome := c.hello()
		require.Equal(w.t, "aru", welcome.GetIdentity())
		c.ping()
		stats := w.server.Stats()
		require.Equal(w.t, TransportStats{Sessions: 1, Connections: 1, Accepted: 1}, stats.Transports[by.String()])
		c.say(`{"id":"4","mute":{}}`)
		c.hearError(wire.Error_PROTOCOL)
		c.say(`{"id":"5","leave":{}}`)
		require.NotNil(w.t, c.hear().GetOk())
		require.Equal(w.t, wire.Bye_LEFT, c.hear().GetBye().GetReason())
		c.hearClose(websocket.StatusNormalClosure)
	})
}
