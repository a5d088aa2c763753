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
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
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
	panics  uint64 // expected
	through *http.Client
}

var (
	serverAddr = netip.MustParseAddrPort("192.0.2.1:8443")
	clientAddr = netip.MustParseAddr("198.51.100.7")
	otherAddr  = netip.MustParseAddr("198.51.100.8")
)

// onStage plays in a bubble. A goroutine that outlives the server fails the test.
func onStage(t *testing.T, play func(t *testing.T, w *stage), edit ...func(*Config)) {
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
		ended := false
		end := func() {
			if ended {
				return
			}
			ended = true
			w.stop()
			transport.CloseIdleConnections()
			require.NoError(t, web.Close())
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		}
		t.Cleanup(end) // when it fails
		play(t, w)
		end()
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(w.t, w.server.Close(ctx))
	require.NoError(w.t, <-w.served)
	require.NoError(w.t, w.socket.Close())
	stats := w.server.Stats()
	require.Zero(w.t, stats.Sessions)
	require.Zero(w.t, stats.Connections)
	require.Zero(w.t, stats.QUIC.HalfOpen)
	require.Equal(w.t, w.panics, stats.Panics)
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

var sfuPeerLeft = sfu.PeerLeft{PeerID: "boris"}

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
	return w.quicThrough(host, known, nil)
}

// quicThrough dials through what wraps the client's socket.
func (w *stage) quicThrough(host *netsim.Host, known *memory, wrap func(net.PacketConn) net.PacketConn) *talker {
	l, err := w.dialQUIC(host, known, wrap)
	require.NoError(w.t, err)
	return &talker{w.t, l}
}

func (w *stage) dialQUIC(host *netsim.Host, known *memory, wrap func(net.PacketConn) net.PacketConn) (*quicLine, error) {
	socket, err := host.ListenUDP(0)
	require.NoError(w.t, err)
	if wrap != nil {
		socket = wrap(socket)
	}
	trust := w.trust()
	cfg := &quic.Config{EnableDatagrams: true, KeepAlivePeriod: 15 * time.Second}
	if known != nil {
		trust.ClientSessionCache, cfg.TokenStore = known.tickets, known.tokens
	}
	// The library gives each new path a connection id of the client's and takes none back: with empty ones they do not run out.
	l := &quicLine{socket: socket, transport: &quic.Transport{Conn: socket, ConnectionIDGenerator: noConnectionID{}}}
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

type noConnectionID struct{}

func (noConnectionID) GenerateConnectionID() (quic.ConnectionID, error) {
	return quic.ConnectionID{}, nil
}

func (noConnectionID) ConnectionIDLen() int { return 0 }

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

func (l *quicLine) closeCode(error) int {
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
	status    int // of the answer
	stream    *webtransport.Stream
	frames    *wire.StreamReader
}

func (w *stage) webTransport(host *netsim.Host, header http.Header) (*webLine, error) {
	socket, err := host.ListenUDP(0)
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
	response, session, err := l.dialer.Dial(w.t.Context(), "https://server.example"+WebTransportPath, header)
	l.session = session
	if response != nil {
		l.status = response.StatusCode
	}
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
	return w.dialFrom(clientAddr, by)
}

func (w *stage) dialFrom(addr netip.Addr, by way) *talker {
	w.t.Helper()
	host := w.network.Host(addr)
	switch by {
	case byQUIC:
		return w.quicFrom(host, nil)
	case byWebTransport:
		l, err := w.webTransport(host, nil)
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
	require.InDelta(c.t, time.Now().UnixMilli(), pong.GetPong().GetServerTimeMs(), 1000)
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
			onStage(t, func(_ *testing.T, w *stage) { play(w, by) }, edit...)
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

func TestWhatIsNoGreetingByEachWay(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		code  wire.Error_Code
		close websocket.StatusCode
	}{
		{"garbage", []byte{0x52, 0xff}, wire.Error_PROTOCOL, websocket.StatusProtocolError},
		{"a frame too large", make([]byte, wire.MaxClientFrame+1), wire.Error_TOO_LARGE, websocket.StatusProtocolError},
		{"join first", encoded(t, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Join{Join: &wire.Join{}}}), wire.Error_PROTOCOL, websocket.StatusProtocolError},
		{"no token", encoded(t, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{}}}), wire.Error_UNAUTHORIZED, websocket.StatusPolicyViolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyWay(t, func(w *stage, by way) {
				who := w.dial(by)
				// It may be cut off before it has said everything.
				_ = who.write(c.bytes)
				require.True(w.t, who.hearError(c.code).GetFatal())
				who.hearClose(c.close)
			})
		})
	}
}

func encoded(t testing.TB, f *wire.ClientFrame) []byte {
	b, err := wire.Binary.EncodeClient(f)
	require.NoError(t, err)
	return b
}

func TestABadFrameEndsItsSessionByEachWay(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		who, other := w.dial(by), w.dial(by)
		welcome := who.hello()
		other.hello()
		require.NoError(w.t, who.write([]byte{0x52, 0xff}))
		require.True(w.t, who.hearError(wire.Error_PROTOCOL).GetFatal())
		require.Equal(w.t, wire.Bye_PROTOCOL_ERROR, who.hear().GetBye().GetReason())
		who.hearClose(websocket.StatusProtocolError)
		again := w.dial(by)
		again.sayResume(welcome, 0)
		again.hearError(wire.Error_RESUME_EXPIRED)
		other.ping()
	})
}

func TestCloseSaysGoodbyeByEachWay(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		member, stranger := w.dial(by), w.dial(by)
		member.hello()
		stranger.ping()
		closed := make(chan error, 1)
		go func() { closed <- w.server.Close(w.t.Context()) }()
		bye := member.hear().GetBye()
		require.Equal(w.t, wire.Bye_SHUTDOWN, bye.GetReason())
		require.Equal(w.t, wire.Bye_REJOIN, bye.GetAction())
		member.hearClose(websocket.StatusGoingAway)
		stranger.hearClose(websocket.StatusGoingAway)
		require.NoError(w.t, <-closed)
	})
}

func TestCloseCutsWhenItsTimeIsUpByEachWay(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		w.dial(by).hello()
		ctx, cancel := context.WithTimeout(w.t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		require.ErrorIs(w.t, w.server.Close(ctx), context.DeadlineExceeded)
		require.Equal(w.t, 50*time.Millisecond, time.Since(start))
	})
}

func TestASessionMovesFromWayToWay(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.network.SetDefault(netsim.LinkConfig{Delay: 20 * time.Millisecond})
		c := w.dial(byWebSocket)
		welcome := c.hello()
		st := w.join(welcome)
		require.NotNil(w.t, c.hear().GetJoined())
		heard := uint64(0)
		for i, by := range []way{byQUIC, byWebTransport, byWebSocket, byQUIC, byWebSocket, byWebTransport} {
			for range 3 {
				st.step(happened{join: 1, event: sfu.PeerLeft{PeerID: fmt.Sprint(i)}})
			}
			// Of three events one is heard before the client moves, and one is lost with the old connection.
			require.Equal(w.t, heard+1, c.hear().GetSeq())
			heard++
			next := w.dial(by)
			next.sayResume(welcome, heard)
			require.Equal(w.t, heard+1, next.hear().GetResumed().GetFromSeq())
			for range 2 {
				require.Equal(w.t, heard+1, next.hear().GetSeq())
				heard++
			}
			w.hearDisplaced(c)
			c = next
			c.ping()
			require.Equal(w.t, 1, w.server.Stats().Transports[by.String()].Sessions)
		}
		require.EqualValues(w.t, 6, w.server.Stats().Resumes)
		require.Equal(w.t, 1, w.server.Stats().Sessions)
	})
}

// join puts the session into a room that no SFU knows of.
func (w *stage) join(welcome *wire.Welcome) *seat {
	w.server.mu.Lock()
	st := w.server.sessions[welcome.GetSessionId()]
	w.server.mu.Unlock()
	require.NotNil(w.t, st)
	frame, err := wire.JSON.DecodeClient(fmt.Appendf(nil, `{"join":{"offer":%s}}`, offer))
	require.NoError(w.t, err)
	st.mu.Lock()
	conn := st.conn.id
	st.mu.Unlock()
	require.NotNil(w.t, st.step(received{conn: conn, frame: frame}))
	require.Nil(w.t, st.step(answered{result: sfu.Joined{}}))
	synctest.Wait()
	return st
}

// hearDisplaced reads what was on its way, and then the reason of the end.
func (w *stage) hearDisplaced(c *talker) {
	for {
		if _, err := c.read(); err != nil {
			require.Equal(w.t, int(StatusDisplaced), c.closeCode(err))
			return
		}
	}
}

func TestWhoSaysNothingIsClosedByEachWay(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		other := w.dial(by)
		other.hello()
		start := time.Now()
		silent := w.dial(by)
		if by != byWebSocket {
			// A stream is there once it has a byte: here the length of a frame that never comes.
			stream := map[way]func() error{
				byQUIC:         func() error { _, err := silent.line.(*quicLine).stream.Write([]byte{100}); return err },
				byWebTransport: func() error { _, err := silent.line.(*webLine).stream.Write([]byte{100}); return err },
			}[by]
			require.NoError(w.t, stream())
		}
		_, err := silent.read()
		require.Error(w.t, err)
		require.InDelta(w.t, greetTimeout, time.Since(start), float64(time.Second))
		other.ping()
	})
}

func TestAFrameByteByByte(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		c := w.quic(nil)
		token, err := Mint(hsKey, aru, time.Now(), 0)
		require.NoError(t, err)
		hello := wire.AppendFrame(nil, encoded(t, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token}}}))
		for i := range hello {
			_, err := c.line.(*quicLine).stream.Write(hello[i : i+1])
			require.NoError(t, err)
			time.Sleep(10 * time.Millisecond)
		}
		require.NotNil(t, c.hear().GetWelcome())
	})
}

func TestASlowReaderIsCutOffByEachWay(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		if by == byWebSocket {
			return // has a test of its own, over pipes that hold nothing
		}
		// The server's words get lost from now on.
		slow, other := w.dial(by), w.dialFrom(otherAddr, by)
		welcome := slow.hello()
		other.hello()
		st := w.join(welcome)
		w.network.SetLink(w.network.Host(serverAddr.Addr()), w.network.Host(clientAddr), netsim.LinkConfig{Loss: 1})
		name := strings.Repeat("x", 1000)
		for i := 0; w.server.Stats().OutboxOverflows == 0; i++ {
			require.Less(w.t, i, 4*maxOutbox)
			st.step(happened{join: 1, event: sfu.PeerLeft{PeerID: name}})
			synctest.Wait()
		}
		synctest.Wait()
		require.Equal(w.t, 1, w.server.Stats().Transports[by.String()].Connections)
		other.ping()
		w.network.SetLink(w.network.Host(serverAddr.Addr()), w.network.Host(clientAddr), netsim.LinkConfig{})
		again := w.dial(by)
		again.sayResume(welcome, 0)
		require.NotNil(w.t, again.hear())
	})
}

func TestAnswersToFramesThatCameTogetherLeaveTogether(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		c := w.quic(nil)
		c.hello()
		var together []byte
		for range 90 {
			together = wire.AppendFrame(together, encoded(t, &wire.ClientFrame{Id: 2, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}))
		}
		before := w.network.Stats().Sent
		_, err := c.line.(*quicLine).stream.Write(together)
		require.NoError(t, err)
		for range 90 {
			require.NotNil(t, c.hear().GetPong())
		}
		// 360 bytes there and 1,000 back, and what acknowledges them.
		require.LessOrEqual(t, w.network.Stats().Sent-before, uint64(8))
	})
}

func TestAPanicEndsOneConnection(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		other := w.dial(by)
		other.hello()
		w.panics = 1
		unlucky := w.dial(by)
		unlucky.sayHello()
		_, err := unlucky.read()
		require.Error(w.t, err)
		other.ping()
		require.Equal(w.t, 1, w.server.Stats().Sessions)
		w.dial(by).hello()
	}, func(c *Config) {
		asked := 0
		c.Transports = func() []*wire.Transport {
			if asked++; asked%3 == 2 {
				panic("a fault of ours")
			}
			return nil
		}
	})
}

func TestWelcomeTellsOfTheOtherWays(t *testing.T) {
	there := []*wire.Transport{
		{Kind: wire.Transport_QUIC, Port: 8443},
		{Kind: wire.Transport_WEBTRANSPORT, Port: 8443, Path: WebTransportPath, CertificateSha256: [][]byte{make([]byte, 32)}},
	}
	tell := func(c *Config) {
		c.Transports = func() []*wire.Transport { return there }
		c.Origins = []string{"https://call.example.kz"}
	}
	everyWay(t, func(w *stage, by way) {
		heard := w.dial(by).hello().GetTransports()
		require.Len(w.t, heard, 2)
		require.Equal(w.t, there[1].GetCertificateSha256(), heard[1].GetCertificateSha256())
	}, tell)

	handler := testServer(t, tell).TransportsHandler()
	ask := func(method, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://127.0.0.1:8080/v1/transports", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		return w
	}
	for origin, allowed := range map[string]string{"": "", "https://call.example.kz": "https://call.example.kz", "http://127.0.0.1:8080": "http://127.0.0.1:8080"} {
		answer := ask(http.MethodGet, origin)
		require.Equal(t, http.StatusOK, answer.Code)
		require.Equal(t, allowed, answer.Header().Get("Access-Control-Allow-Origin"))
		var all wire.Transports
		require.NoError(t, protojson.Unmarshal(answer.Body.Bytes(), &all))
		require.Equal(t, wire.Transport_WEBTRANSPORT, all.GetTransports()[1].GetKind())
	}
	foreign := ask(http.MethodGet, "https://evil.example")
	require.Equal(t, http.StatusForbidden, foreign.Code)
	require.Empty(t, foreign.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, http.StatusMethodNotAllowed, ask(http.MethodPost, "").Code)
}

func serveSessions(b testing.TB, socket net.PacketConn, shown *tls.Certificate) func() {
	s := testServer(b)
	served := make(chan error)
	go func() {
		served <- s.ServeQUIC(socket, QUICConfig{Certificate: func() *tls.Certificate { return shown }, Secret: NewSecret()})
	}()
	return func() {
		require.NoError(b, s.Close(context.Background()))
		require.NoError(b, <-served)
	}
}
