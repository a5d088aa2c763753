package signaling

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Real sockets here; what takes time is played in a bubble over pipes further down. No test lets a session reach the SFU.

func testServer(t testing.TB, edit ...func(*Config)) *Server {
	v, err := NewVerifier(hsKey)
	require.NoError(t, err)
	cfg := Config{SFU: new(sfu.SFU), Verifier: v, Name: "test"}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	return s
}

// serve runs the server on a real socket until the end of the test, and checks that it closes clean.
func serve(t testing.TB, s *Server) (url string) {
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Close(ctx))
		web.Close()
		stats := s.Stats()
		require.Zero(t, stats.Sessions)
		require.Zero(t, stats.Connections)
	})
	return web.URL
}

// client is a client by hand.
type client struct {
	t      testing.TB
	ws     *websocket.Conn
	format wire.Format
}

func dial(t testing.TB, url string, format wire.Format) *client {
	return dialWith(t, url, format, http.DefaultClient)
}

func dialWith(t testing.TB, url string, format wire.Format, through *http.Client) *client {
	ws, response, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
		HTTPClient: through, Subprotocols: []string{format.String()},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	require.Equal(t, format.String(), ws.Subprotocol())
	ws.SetReadLimit(wire.MaxServerFrame)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: t, ws: ws, format: format}
}

func (c *client) say(frame string, args ...any) {
	c.t.Helper()
	f, err := wire.JSON.DecodeClient(fmt.Appendf(nil, frame, args...))
	require.NoError(c.t, err)
	b, err := c.format.EncodeClient(f)
	require.NoError(c.t, err)
	c.raw(c.kind(), b)
}

func (c *client) kind() websocket.MessageType {
	if c.format == wire.JSON {
		return websocket.MessageText
	}
	return websocket.MessageBinary
}

func (c *client) raw(kind websocket.MessageType, b []byte) {
	c.t.Helper()
	require.NoError(c.t, c.ws.Write(c.t.Context(), kind, b))
}

func (c *client) hear() *wire.ServerFrame {
	c.t.Helper()
	kind, b, err := c.ws.Read(c.t.Context())
	require.NoError(c.t, err)
	require.Equal(c.t, c.kind(), kind)
	f, err := c.format.DecodeServer(b)
	require.NoError(c.t, err)
	return f
}

func (c *client) hearError(code wire.Error_Code) *wire.Error {
	c.t.Helper()
	e := c.hear().GetError()
	require.NotNil(c.t, e)
	require.Equal(c.t, code, e.GetCode(), e.GetMessage())
	require.NotEmpty(c.t, e.GetMessage())
	return e
}

func (c *client) hearClose(want websocket.StatusCode) {
	c.t.Helper()
	_, _, err := c.ws.Read(c.t.Context())
	require.Error(c.t, err)
	require.Equal(c.t, want, websocket.CloseStatus(err), err)
}

// hello opens a session.
func (c *client) hello() *wire.Welcome {
	c.t.Helper()
	token, err := Mint(hsKey, aru, time.Now(), 0)
	require.NoError(c.t, err)
	c.say(`{"id":"1","hello":{"token":"%s","client":"test"}}`, token)
	w := c.hear().GetWelcome()
	require.NotNil(c.t, w)
	return w
}

func (c *client) ping() {
	c.t.Helper()
	c.say(`{"id":"2","ping":{"clientTimeMs":"7"}}`)
	pong := c.hear()
	require.EqualValues(c.t, 2, pong.GetId())
	require.EqualValues(c.t, 7, pong.GetPong().GetClientTimeMs())
	require.InDelta(c.t, time.Now().UnixMilli(), pong.GetPong().GetServerTimeMs(), 60_000)
}

func (c *client) resume(w *wire.Welcome) {
	c.t.Helper()
	f := &wire.ClientFrame{Id: 3, Message: &wire.ClientFrame_Resume{Resume: &wire.Resume{
		SessionId: w.GetSessionId(), ResumeToken: w.GetResumeToken(),
	}}}
	b, err := c.format.EncodeClient(f)
	require.NoError(c.t, err)
	c.raw(c.kind(), b)
}

func TestASessionInBothFormats(t *testing.T) {
	s := testServer(t)
	url := serve(t, s)
	for _, format := range []wire.Format{wire.Binary, wire.JSON} {
		c := dial(t, url, format)
		c.ping() // allowed before Hello
		w := c.hello()
		require.Equal(t, "aru", w.GetIdentity())
		require.Equal(t, "test", w.GetServer())
		require.Len(t, w.GetResumeToken(), 16)
		require.Len(t, w.GetSessionId(), 16)
		c.ping()
		c.say(`{"id":"4","mute":{}}`)
		c.hearError(wire.Error_PROTOCOL)
		c.say(`{"id":"5","leave":{}}`)
		require.NotNil(t, c.hear().GetOk())
		require.Equal(t, wire.Bye_LEFT, c.hear().GetBye().GetReason())
		c.hearClose(websocket.StatusNormalClosure)
	}
	stats := s.Stats()
	require.EqualValues(t, 10, stats.FramesIn)
	require.EqualValues(t, 12, stats.FramesOut)
	require.Equal(t, map[string]uint64{"PROTOCOL": 2}, stats.Errors)
}

func TestResumeOnANewConnection(t *testing.T) {
	s := testServer(t)
	url := serve(t, s)
	first := dial(t, url, wire.Binary)
	w := first.hello()

	stranger := dial(t, url, wire.JSON)
	stranger.resume(&wire.Welcome{SessionId: w.GetSessionId(), ResumeToken: make([]byte, 16)})
	wrong := stranger.hearError(wire.Error_RESUME_EXPIRED)
	stranger.resume(&wire.Welcome{SessionId: "unknown", ResumeToken: w.GetResumeToken()})
	require.Equal(t, wrong.GetMessage(), stranger.hearError(wire.Error_RESUME_EXPIRED).GetMessage())
	stranger.hello() // the connection is still good for a new session

	second := dial(t, url, wire.JSON)
	second.resume(w)
	require.EqualValues(t, 1, second.hear().GetResumed().GetFromSeq())
	first.hearClose(StatusDisplaced)
	second.ping()

	_ = second.ws.CloseNow()
	third := dial(t, url, wire.Binary)
	third.resume(w)
	require.NotNil(t, third.hear().GetResumed())
	require.EqualValues(t, 2, s.Stats().Resumes)
	require.Equal(t, 2, s.Stats().Sessions)
}

func TestConnectionsThatDoNotSayHello(t *testing.T) {
	s := testServer(t)
	url := serve(t, s)
	expired, err := Mint(hsKey, aru, time.Now().Add(-time.Hour), 0)
	require.NoError(t, err)
	for _, c := range []struct {
		name  string
		frame string
		code  wire.Error_Code
		close websocket.StatusCode
	}{
		{"join first", `{"id":"1","join":{}}`, wire.Error_PROTOCOL, websocket.StatusProtocolError},
		{"nothing known", `{"id":"1"}`, wire.Error_PROTOCOL, websocket.StatusProtocolError},
		{"no token", `{"id":"1","hello":{}}`, wire.Error_UNAUTHORIZED, websocket.StatusPolicyViolation},
		{"an old token", `{"id":"1","hello":{"token":"` + expired + `"}}`, wire.Error_UNAUTHORIZED, websocket.StatusPolicyViolation},
		{"a novel as its name", `{"id":"1","hello":{"client":"` + strings.Repeat("x", 129) + `"}}`, wire.Error_PROTOCOL, websocket.StatusPolicyViolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			who := dial(t, url, wire.JSON)
			who.say("%s", c.frame)
			require.True(t, who.hearError(c.code).GetFatal())
			who.hearClose(c.close)
		})
	}
	t.Run("pings for ever", func(t *testing.T) {
		who := dial(t, url, wire.JSON)
		for range maxGreetings {
			who.ping()
		}
		who.hearError(wire.Error_PROTOCOL)
		who.hearClose(websocket.StatusPolicyViolation)
	})
}

func TestBadFrames(t *testing.T) {
	s := testServer(t)
	url := serve(t, s)
	for _, c := range []struct {
		name   string
		format wire.Format
		kind   websocket.MessageType
		bytes  []byte
		code   wire.Error_Code
	}{
		{"garbage", wire.Binary, websocket.MessageBinary, []byte{0x52, 0xff}, wire.Error_PROTOCOL},
		{"not JSON", wire.JSON, websocket.MessageText, []byte("hello"), wire.Error_PROTOCOL},
		{"text on tolkyn", wire.Binary, websocket.MessageText, []byte(`{}`), wire.Error_PROTOCOL},
		{"binary on tolkyn.json", wire.JSON, websocket.MessageBinary, []byte(`{}`), wire.Error_PROTOCOL},
		{"one byte too many", wire.Binary, websocket.MessageBinary, make([]byte, wire.MaxClientFrame+1), wire.Error_TOO_LARGE},
		{"four megabytes", wire.JSON, websocket.MessageText, bytes.Repeat([]byte(" "), 4<<20), wire.Error_TOO_LARGE},
	} {
		t.Run(c.name+", before hello", func(t *testing.T) {
			who := dial(t, url, c.format)
			who.raw(c.kind, c.bytes)
			who.hearError(c.code)
			who.hearClose(websocket.StatusProtocolError)
		})
		t.Run(c.name+", after hello", func(t *testing.T) {
			who := dial(t, url, c.format)
			w := who.hello()
			who.raw(c.kind, c.bytes)
			require.True(t, who.hearError(c.code).GetFatal())
			require.Equal(t, wire.Bye_PROTOCOL_ERROR, who.hear().GetBye().GetReason())
			who.hearClose(websocket.StatusProtocolError)
			again := dial(t, url, c.format)
			again.resume(w)
			again.hearError(wire.Error_RESUME_EXPIRED)
		})
	}
	t.Run("the largest frame is read", func(t *testing.T) {
		who := dial(t, url, wire.JSON)
		ping := []byte(`{"id":"2","ping":{}}`)
		who.raw(websocket.MessageText, append(ping, bytes.Repeat([]byte(" "), wire.MaxClientFrame-len(ping))...))
		require.NotNil(t, who.hear().GetPong())
	})
}

func TestOrigins(t *testing.T) {
	s := testServer(t, func(c *Config) { c.Origins = []string{"https://call.example.kz", "http://dev.example:3000"} })
	url := serve(t, s)
	own := strings.TrimPrefix(url, "http://")
	for _, c := range []struct {
		origin []string
		want   int
	}{
		{nil, http.StatusSwitchingProtocols}, // no browser
		{[]string{"http://" + own}, http.StatusSwitchingProtocols},
		{[]string{"https://call.example.kz"}, http.StatusSwitchingProtocols},
		{[]string{"https://CALL.example.kz:443"}, http.StatusSwitchingProtocols},
		{[]string{"http://dev.example:3000"}, http.StatusSwitchingProtocols},
		{[]string{"null"}, http.StatusForbidden},
		{[]string{""}, http.StatusForbidden},
		{[]string{"https://evil.example"}, http.StatusForbidden},
		{[]string{"http://call.example.kz"}, http.StatusForbidden}, // another scheme
		{[]string{"https://call.example.kz:8443"}, http.StatusForbidden},
		{[]string{"https://call.example.kz.evil.example"}, http.StatusForbidden},
		{[]string{"https://evil.example/https://call.example.kz"}, http.StatusForbidden},
		{[]string{"http://127.0.0.1"}, http.StatusForbidden}, // another port
		{[]string{"https://evil.example", "https://call.example.kz"}, http.StatusForbidden},
		{[]string{"file://"}, http.StatusForbidden},
	} {
		t.Run(fmt.Sprint(c.origin), func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			require.NoError(t, err)
			r.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {"other, tolkyn"},
				"Origin": c.origin,
			}
			response, err := http.DefaultTransport.RoundTrip(r)
			require.NoError(t, err)
			require.Equal(t, c.want, response.StatusCode)
			_ = response.Body.Close()
		})
	}
}

func TestRequestsThatAreNoWebSocket(t *testing.T) {
	url := serve(t, testServer(t))
	response, err := http.Get(url)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, response.StatusCode) // names the subprotocols
	_ = response.Body.Close()
	_, response, err = websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"chat"}})
	require.Error(t, err)
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
}

func TestAFullNodeIsBusy(t *testing.T) {
	s := testServer(t, func(c *Config) {
		c.MaxSessions = 1
		c.Admit = func() (bool, time.Duration) { return false, 1500 * time.Millisecond }
	})
	url := serve(t, s)
	first := dial(t, url, wire.JSON)
	first.hello()
	first.say(`{"id":"3","join":{"offer":%s}}`, offer)
	require.EqualValues(t, 1500, first.hearError(wire.Error_BUSY).GetRetryAfterMs())
	first.ping() // unharmed

	second := dial(t, url, wire.JSON)
	token, err := Mint(hsKey, aru, time.Now(), 0)
	require.NoError(t, err)
	second.say(`{"id":"1","hello":{"token":"%s"}}`, token)
	busy := second.hearError(wire.Error_BUSY)
	require.True(t, busy.GetFatal())
	require.NotZero(t, busy.GetRetryAfterMs())
	second.hearClose(websocket.StatusTryAgainLater)
	require.EqualValues(t, 2, s.Stats().Errors["BUSY"])
}

func TestOneIdentityHoldsFewSessions(t *testing.T) {
	s := testServer(t)
	url := serve(t, s)
	members := make([]*client, maxOfOne)
	for i := range members {
		members[i] = dial(t, url, wire.JSON)
		members[i].hello()
	}
	token, err := Mint(hsKey, aru, time.Now(), 0)
	require.NoError(t, err)
	one := dial(t, url, wire.JSON)
	one.say(`{"id":"1","hello":{"token":"%s"}}`, token)
	require.NotZero(t, one.hearError(wire.Error_RATE).GetRetryAfterMs())
	one.hearClose(websocket.StatusTryAgainLater)

	other := aru
	other.Identity = "boris"
	token, err = Mint(hsKey, other, time.Now(), 0)
	require.NoError(t, err)
	another := dial(t, url, wire.JSON)
	another.say(`{"id":"1","hello":{"token":"%s"}}`, token)
	require.NotNil(t, another.hear().GetWelcome())

	members[0].say(`{"id":"5","leave":{}}`)
	for members[0].hear().GetBye() == nil {
	}
	last := dial(t, url, wire.JSON)
	last.hello()
}

func TestCloseSaysGoodbyeToEverybody(t *testing.T) {
	s := testServer(t)
	web := httptest.NewServer(s)
	defer web.Close()
	member, stranger := dial(t, web.URL, wire.JSON), dial(t, web.URL, wire.Binary)
	member.hello()
	stranger.ping()

	closed := make(chan error)
	go func() { closed <- s.Close(t.Context()) }()
	b := member.hear().GetBye()
	require.Equal(t, wire.Bye_SHUTDOWN, b.GetReason())
	require.Equal(t, wire.Bye_REJOIN, b.GetAction())
	member.hearClose(websocket.StatusGoingAway)
	stranger.hearClose(websocket.StatusGoingAway)
	require.NoError(t, <-closed)

	response, err := http.DefaultClient.Do(upgrade(t, web.URL))
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	_ = response.Body.Close()
	require.NoError(t, s.Close(t.Context())) // again
}

func upgrade(t testing.TB, url string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header = http.Header{"Sec-Websocket-Protocol": {"tolkyn"}}
	return r
}

func TestNoSecretIsLogged(t *testing.T) {
	var log lockedBuffer
	s := testServer(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := dial(t, serve(t, s), wire.JSON)
	token, err := Mint(hsKey, aru, time.Now(), 0)
	require.NoError(t, err)
	c.say(`{"id":"1","hello":{"token":"%s"}}`, token)
	w := c.hear().GetWelcome()
	require.Contains(t, log.String(), w.GetSessionId())
	require.NotContains(t, log.String(), token[len(token)-20:])
	require.NotContains(t, log.String(), string(w.GetResumeToken()))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inBubble plays over pipes in simulated time. A goroutine that outlives the server fails the test.
func inBubble(t *testing.T, play func(t *testing.T, s *Server, through *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		s := testServer(t)
		pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		web := &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
		served := make(chan error)
		go func() { served <- web.Serve(pipes) }()
		transport := &http.Transport{DialContext: pipes.dial}
		play(t, s, &http.Client{Transport: transport})
		require.NoError(t, s.Close(t.Context()))
		transport.CloseIdleConnections()
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

const anywhere = "http://server.example"

func TestWhoSaysNothingIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, through *http.Client) {
		c := dialWith(t, anywhere, wire.JSON, through)
		start := time.Now()
		_, _, err := c.ws.Read(t.Context())
		require.Error(t, err)
		require.Equal(t, greetTimeout, time.Since(start))
	})
}

func TestADeadConnectionIsFoundByPing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, through *http.Client) {
		c := dialWith(t, anywhere, wire.JSON, through)
		c.hello()
		// It reads no more, so no pong comes: cut after the ping's time, its session ended after the resume time.
		time.Sleep(pingEvery + pongTimeout + time.Second)
		synctest.Wait()
		require.Zero(t, s.Stats().Connections)
		require.Equal(t, 1, s.Stats().Sessions)
		time.Sleep(DefaultResumeFor)
		synctest.Wait()
		require.Zero(t, s.Stats().Sessions)
	})
}

func TestALiveConnectionStays(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, through *http.Client) {
		c := dialWith(t, anywhere, wire.JSON, through)
		c.hello()
		ctx := c.ws.CloseRead(t.Context()) // answers pings
		time.Sleep(time.Hour)
		require.NoError(t, ctx.Err())
		require.Equal(t, 1, s.Stats().Connections)
		_ = c.ws.CloseNow()
	})
}

func TestASlowReaderIsCutOffAndMayResume(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, through *http.Client) {
		slow := dialWith(t, anywhere, wire.Binary, through)
		w := slow.hello()
		ping, err := wire.Binary.EncodeClient(&wire.ClientFrame{Id: 2, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
		require.NoError(t, err)
		// It asks, within its rate, and reads none of the answers.
		for i := 0; ; i++ {
			require.Less(t, i, 2*maxOutbox)
			if slow.ws.Write(t.Context(), websocket.MessageBinary, ping) != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		require.EqualValues(t, 1, s.Stats().OutboxOverflows)
		require.Zero(t, s.Stats().Connections)

		again := dialWith(t, anywhere, wire.Binary, through)
		again.resume(w)
		require.NotNil(t, again.hear().GetResumed())
		again.ping()
		_ = again.ws.CloseNow()
	})
}

func TestAClientThatDoesNotAnswerTheGoodbyeHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, through *http.Client) {
		dialWith(t, anywhere, wire.JSON, through).hello()
		start := time.Now()
		require.NoError(t, s.Close(t.Context()))
		require.LessOrEqual(t, time.Since(start), writeTimeout+goodbyeTimeout)
	})
}

func TestCloseCutsWhenItsTimeIsUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, through *http.Client) {
		dialWith(t, anywhere, wire.JSON, through).hello()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}

// pipeListener makes connections in memory: a bubble's clock stands still while a goroutine waits on a real socket.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// TestASessionThatEndsWhileItIsResumed: a Resume that finds a session in the moment of its end gets an answer, not silence.
func TestASessionThatEndsWhileItIsResumed(t *testing.T) {
	s := testServer(t)
	url := serve(t, s)
	who := dial(t, url, wire.JSON)
	w := who.hello()
	s.mu.Lock()
	st := s.sessions[w.GetSessionId()]
	s.mu.Unlock()
	who.raw(who.kind(), []byte("hello"))
	who.hearError(wire.Error_PROTOCOL)
	require.Equal(t, wire.Bye_PROTOCOL_ERROR, who.hear().GetBye().GetReason())
	who.hearClose(websocket.StatusProtocolError)
	st.mu.Lock() // it has been forgotten when this is had
	s.mu.Lock()
	s.sessions[w.GetSessionId()] = st // as a Resume found it that was just before
	s.mu.Unlock()
	st.mu.Unlock()
	again := dial(t, url, wire.JSON)
	again.resume(w)
	again.hearError(wire.Error_RESUME_EXPIRED)
	s.mu.Lock()
	delete(s.sessions, w.GetSessionId())
	s.mu.Unlock()
}
