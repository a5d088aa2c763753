package signaling

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
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

// oneWay is half a round trip.
const oneWay = 50 * time.Millisecond

func (w *stage) delay() { w.network.SetDefault(netsim.LinkConfig{Delay: oneWay}) }

// afterHello is a client that the server has seen before.
func (w *stage) afterHello() *memory {
	known := newMemory()
	c := w.quic(known)
	c.hello()
	c.say(`{"id":"5","leave":{}}`)
	for c.hear().GetBye() == nil {
	}
	c.hangUp()
	synctest.Wait()
	return known
}

func TestRoundTripsToTheFirstReply(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := newMemory()
		start := time.Now()
		first := w.quic(known)
		first.hello()
		require.Equal(t, 2*2*oneWay, time.Since(start))
		require.Zero(t, w.server.Stats().QUIC.EarlyFrames)
		time.Sleep(time.Second)

		start = time.Now()
		second := w.quic(known)
		welcome := second.hello()
		require.Equal(t, 2*oneWay, time.Since(start))
		require.EqualValues(t, 1, w.server.Stats().QUIC.EarlyFrames)
		second.ping()
		require.Equal(t, 2, w.server.Stats().Sessions)
		second.hangUp()
		synctest.Wait()
		time.Sleep(time.Second)

		start = time.Now()
		third := w.quic(known)
		third.sayResume(welcome, 0)
		require.NotNil(t, third.hear().GetResumed())
		require.Equal(t, 2*oneWay, time.Since(start))
		third.ping()
		require.EqualValues(t, 1, w.server.Stats().Resumes)

		// Who holds a live session is not displaced before the newcomer is proved to be there.
		start = time.Now()
		fourth := w.quic(known)
		fourth.sayResume(welcome, 0)
		require.NotNil(t, fourth.hear().GetResumed())
		require.Equal(t, 2*2*oneWay, time.Since(start))
		third.hearClose(StatusDisplaced)
		require.EqualValues(t, 2, w.server.Stats().Resumes)

		start = time.Now()
		web := w.dial(byWebTransport)
		web.hello()
		require.LessOrEqual(t, time.Since(start), 3*2*oneWay)
	})
}

func TestAnEarlyRequestWaitsForTheHandshake(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := w.afterHello()
		start := time.Now()
		c := w.quic(known)
		c.sayHello()
		c.say(`{"id":"2","ping":{}}`)
		c.say(`{"id":"3","leave":{}}`)
		require.NotNil(t, c.hear().GetWelcome())
		require.NotNil(t, c.hear().GetPong())
		require.Equal(t, 2*oneWay, time.Since(start))
		require.Zero(t, w.server.Stats().Sessions) // it does not count yet
		require.NotNil(t, c.hear().GetOk())
		require.Equal(t, 2*2*oneWay, time.Since(start))
		require.Equal(t, wire.Bye_LEFT, c.hear().GetBye().GetReason())
	})
}

func TestAnEarlySessionForWhichThereIsNoRoom(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := w.afterHello()
		w.dial(byQUIC).hello()
		late := w.quic(known)
		late.hello()
		require.True(t, late.hearError(wire.Error_BUSY).GetFatal())
		late.hearClose(websocket.StatusTryAgainLater)
		require.Equal(t, 1, w.server.Stats().Sessions)
	}, func(c *Config) { c.MaxSessions = 1 })
}

// recorder keeps what a client sends while it is on.
type recorder struct {
	net.PacketConn

	mu   sync.Mutex
	on   bool
	sent [][]byte
}

func (r *recorder) WriteTo(b []byte, to net.Addr) (int, error) {
	r.mu.Lock()
	if r.on {
		r.sent = append(r.sent, bytes.Clone(b))
	}
	r.mu.Unlock()
	return r.PacketConn.WriteTo(b, to)
}

// replay sends what was recorded from somewhere else.
func (w *stage) replay(flight [][]byte) {
	socket, err := w.network.Host(otherAddr).ListenUDP(0)
	require.NoError(w.t, err)
	for _, b := range flight {
		_, err := socket.WriteTo(b, net.UDPAddrFromAddrPort(serverAddr))
		require.NoError(w.t, err)
	}
	time.Sleep(4 * oneWay)
	synctest.Wait()
	require.NoError(w.t, socket.Close())
}

// record lets a known client say its first frames and returns the first flight.
func (w *stage) record(known *memory, say func(c *talker)) (*talker, [][]byte) {
	tape := &recorder{on: true}
	c := w.quicThrough(w.network.Host(clientAddr), known, func(socket net.PacketConn) net.PacketConn {
		tape.PacketConn = socket
		return tape
	})
	say(c)
	time.Sleep(oneWay) // half a round trip: no answer has come yet
	tape.mu.Lock()
	defer tape.mu.Unlock()
	tape.on = false
	require.NotEmpty(w.t, tape.sent)
	return c, tape.sent
}

func TestARecordedHelloDoesNothing(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := w.afterHello()
		c, flight := w.record(known, func(c *talker) {
			c.sayHello()
			c.say(`{"id":"2","leave":{}}`)
		})
		require.NotNil(t, c.hear().GetWelcome())
		for c.hear().GetBye() == nil {
		}
		c.hangUp()
		time.Sleep(5 * time.Second) // the old connection id is forgotten
		before := w.server.Stats()
		require.Zero(t, before.Sessions)

		for i := range uint64(3) {
			w.replay(flight)
			after := w.server.Stats()
			require.Equal(t, before.QUIC.EarlyFrames+i+1, after.QUIC.EarlyFrames, "the replay did not reach the session")
			require.Equal(t, before.FramesOut+i+1, after.FramesOut) // a Welcome that nobody can read, and no Ok of Leave
			require.Zero(t, after.Sessions)
			require.Zero(t, after.Transports["quic"].Sessions)
			require.Equal(t, 1, after.Connections)
			require.Equal(t, before.Errors, after.Errors)

			time.Sleep(2*quicHandshake + time.Second)
			ended := w.server.Stats()
			require.Zero(t, ended.Connections)
			require.Equal(t, before.QUIC.HandshakesFailed+i+1, ended.QUIC.HandshakesFailed)
			require.Equal(t, before.FramesOut+i+1, ended.FramesOut)
		}
	})
}

func TestARecordedResumeDisplacesNobodyAndKeepsNothingAlive(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := newMemory()
		first := w.quic(known)
		welcome := first.hello()
		st := w.join(welcome)
		require.NotNil(t, first.hear().GetJoined())
		first.hangUp()
		time.Sleep(5 * time.Second)
		live, flight := w.record(known, func(c *talker) { c.sayResume(welcome, 0) })
		require.NotNil(t, live.hear().GetResumed())
		require.EqualValues(t, 1, w.server.Stats().QUIC.EarlyFrames)

		// While the client is there: the same connection id, so QUIC itself drops it. With the connection gone it is read.
		w.replay(flight)
		live.ping()
		again := w.quic(known)
		again.sayResume(welcome, 0)
		require.NotNil(t, again.hear().GetResumed())
		live.hearClose(StatusDisplaced)
		live.hangUp()
		time.Sleep(5 * time.Second)
		before := w.server.Stats()
		w.replay(flight)
		after := w.server.Stats()
		require.Equal(t, before.QUIC.EarlyFrames+1, after.QUIC.EarlyFrames, "the replay did not reach the session")
		require.Equal(t, before.Resumes, after.Resumes)
		again.ping()
		time.Sleep(2*quicHandshake + time.Second)
		again.ping()

		// While the client is away: the recording is heard, and changes nothing about when the session ends.
		again.hangUp()
		time.Sleep(30 * time.Second)
		w.replay(flight)
		st.step(happened{join: 1, event: sfuPeerLeft})
		time.Sleep(2 * quicHandshake)
		require.Equal(t, before.Resumes, w.server.Stats().Resumes)
		back := w.quic(known)
		back.sayResume(welcome, 0)
		require.EqualValues(t, 1, back.hear().GetResumed().GetFromSeq())
		require.EqualValues(t, 1, back.hear().GetSeq()) // not lost to the recording
		back.hangUp()
		synctest.Wait()
		time.Sleep(oneWay)
		left := time.Now()
		time.Sleep(30 * time.Second)
		w.replay(flight)
		time.Sleep(DefaultResumeFor - time.Since(left) + time.Second)
		require.Zero(t, w.server.Stats().Sessions)
	})
}

func TestTicketsHoldOnAServerWithTheSameSecret(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := w.afterHello()
		w.restart(w.secret)
		start := time.Now()
		c := w.quic(known)
		c.hello()
		require.Equal(t, 2*oneWay, time.Since(start))
		c.hangUp()
		synctest.Wait()

		w.restart(NewSecret())
		start = time.Now()
		stranger, err := w.dialQUIC(w.network.Host(clientAddr), known, nil)
		require.NoError(t, err)
		early := &talker{t, stranger}
		early.sayHello()
		_, err = early.read()
		require.ErrorIs(t, err, quic.Err0RTTRejected)
		// The connection itself is good: the client says it again.
		_, err = stranger.connection.NextConnection(t.Context())
		require.NoError(t, err)
		stranger.stream, err = stranger.connection.OpenStream()
		require.NoError(t, err)
		stranger.frames = wire.NewStreamReader(stranger.stream, wire.MaxServerFrame)
		early.hello()
		require.Equal(t, 2*2*oneWay, time.Since(start))
		require.Zero(t, w.server.Stats().QUIC.EarlyFrames)
	})
}

func TestTicketsAgeByDays(t *testing.T) {
	s := NewSecret()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	today := s.ticketKeys(noon)
	require.Equal(t, today[0], s.ticketKeys(noon.Add(11 * time.Hour))[0])
	opens := func(days int) bool {
		for _, k := range s.ticketKeys(noon.AddDate(0, 0, days)) {
			if k == today[0] {
				return true
			}
		}
		return false
	}
	require.False(t, opens(-2))
	require.True(t, opens(-1)) // a server whose clock is behind
	require.True(t, opens(0))
	require.True(t, opens(ticketDays))
	require.False(t, opens(ticketDays+1))
	require.NotEqual(t, s.tokenKey(), s.resetKey())
	require.NotEqual(t, s.ticketKeys(noon), NewSecret().ticketKeys(noon))
}

func TestTicketKeysChangeWithTheDay(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := w.afterHello()
		for range 3 {
			time.Sleep(24 * time.Hour)
			start := time.Now()
			c := w.quic(known)
			c.hello()
			require.Equal(t, 2*oneWay, time.Since(start))
			time.Sleep(4 * oneWay) // until it has a new ticket
			c.hangUp()
		}
		time.Sleep(4 * 24 * time.Hour)
		start := time.Now()
		l, err := w.dialQUIC(w.network.Host(clientAddr), known, nil)
		require.NoError(t, err)
		(&talker{t, l}).sayHello()
		_, err = l.connection.NextConnection(t.Context())
		require.NoError(t, err)
		require.False(t, l.connection.ConnectionState().TLS.DidResume)
		require.Equal(t, 2*oneWay, time.Since(start))
	})
}

// restart kills the server and starts another at its address.
func (w *stage) restart(secret Secret) {
	require.NoError(w.t, w.socket.Close())
	require.Error(w.t, <-w.served)
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	// There is nobody left to say goodbye to.
	_ = w.server.Close(ctx)
	w.server, w.secret = testServer(w.t), secret
	w.start()
}

func TestAClientNoticesARestartWithItsNextPacket(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		c := w.quic(nil)
		c.hello()
		time.Sleep(time.Second)
		w.restart(w.secret)
		start := time.Now()
		c.say(`{"id":"2","ping":{}}`)
		_, err := c.read()
		var reset *quic.StatelessResetError
		require.ErrorAs(t, err, &reset)
		require.Equal(t, 2*oneWay, time.Since(start))
	})
}

func TestASessionSurvivesANewNATMapping(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		nat := w.network.NAT(netip.MustParseAddr("203.0.113.9"))
		c := w.quicFrom(nat.Host(netip.MustParseAddr("192.168.1.20")), nil)
		c.hello()
		for range 5 {
			time.Sleep(time.Second)
			nat.Rebind()
			start := time.Now()
			c.ping()
			require.Less(t, time.Since(start), 6*oneWay)
		}
		require.EqualValues(t, 1, w.server.Stats().Transports["quic"].Accepted)
		require.Equal(t, 1, w.server.Stats().Transports["quic"].Sessions)
	})
}

func TestHalfOpenHandshakesHarmOnlyThemselves(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		w.delay()
		known := newMemory()
		member := w.quic(known)
		member.hello()
		time.Sleep(time.Second)

		// From a forged address: no answer of the server arrives.
		forger := w.network.Host(otherAddr)
		w.network.SetLink(w.network.Host(serverAddr.Addr()), forger, netsim.LinkConfig{Loss: 1})
		socket, err := forger.ListenUDP(0)
		require.NoError(t, err)
		forged := &quic.Transport{Conn: socket}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var forging sync.WaitGroup
		const attempts = 2 * retryAbove
		for range attempts {
			forging.Go(func() {
				_, err := forged.Dial(ctx, net.UDPAddrFromAddrPort(serverAddr), w.trust(), nil)
				require.Error(t, err)
			})
			time.Sleep(100 * time.Microsecond) // 10,000 a second
		}
		time.Sleep(2 * oneWay)
		stats := w.server.Stats().QUIC
		require.EqualValues(t, retryAbove, stats.HalfOpen)
		require.GreaterOrEqual(t, stats.Retries, uint64(attempts-retryAbove))
		member.ping()

		// Who is really there proves its address: one round trip more. Who has done so before need not.
		start := time.Now()
		w.quic(nil).hello()
		require.Equal(t, 3*2*oneWay, time.Since(start))
		start = time.Now()
		w.quic(known).hello()
		require.Equal(t, 2*oneWay, time.Since(start))

		forging.Wait()
		time.Sleep(2*quicHandshake + time.Second)
		stats = w.server.Stats().QUIC
		require.Zero(t, stats.HalfOpen)
		require.GreaterOrEqual(t, stats.HandshakesFailed, uint64(retryAbove))
		require.NoError(t, forged.Close())
		require.NoError(t, socket.Close())
	})
}

func TestStreamsThatNobodyAskedForAreStopped(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		raw := w.quic(nil)
		raw.hello()
		connection := raw.line.(*quicLine).connection
		for range 3 * quicStreams {
			stream, err := connection.OpenStreamSync(t.Context())
			require.NoError(t, err)
			_, err = stream.Write([]byte("hi"))
			require.NoError(t, err)
			_, err = stream.Read(make([]byte, 1))
			stopped, ok := errors.AsType[*quic.StreamError](err)
			require.True(t, ok, err)
			require.EqualValues(t, unasked, stopped.ErrorCode)
			up, err := connection.OpenUniStreamSync(t.Context())
			require.NoError(t, err)
			_, err = up.Write([]byte("hi"))
			require.NoError(t, err)
			<-up.Context().Done()
		}
		raw.ping()
		require.EqualValues(t, 6*quicStreams, w.server.Stats().QUIC.UnaskedStreams)

		web := w.dial(byWebTransport)
		web.hello()
		stream, err := web.line.(*webLine).session.OpenStreamSync(t.Context())
		require.NoError(t, err)
		_, err = stream.Write([]byte("hi"))
		require.NoError(t, err)
		_, err = stream.Read(make([]byte, 1))
		stopped, ok := errors.AsType[*webtransport.StreamError](err)
		require.True(t, ok, err)
		require.EqualValues(t, unasked, stopped.ErrorCode)
		web.ping()
	})
}

func TestDatagramsCarryPingsAndNothingElse(t *testing.T) {
	everyWay(t, func(w *stage, by way) {
		if by == byWebSocket {
			return // has none
		}
		c := w.dial(by)
		c.hello()
		var hints datagrams
		if by == byQUIC {
			hints = c.line.(*quicLine).connection
		} else {
			hints = c.line.(*webLine).session
		}
		ping := encoded(w.t, &wire.ClientFrame{Id: 9, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{ClientTimeMs: 7}}})
		require.NoError(w.t, hints.SendDatagram(ping))
		b, err := hints.ReceiveDatagram(w.t.Context())
		require.NoError(w.t, err)
		frame, err := wire.Binary.DecodeServer(b)
		require.NoError(w.t, err)
		require.EqualValues(w.t, 9, frame.GetId())
		require.EqualValues(w.t, 7, frame.GetPong().GetClientTimeMs())

		for _, junk := range [][]byte{{}, {0xff}, encoded(w.t, &wire.ClientFrame{Message: &wire.ClientFrame_Leave{Leave: &wire.Leave{}}}), make([]byte, 1150)} {
			require.NoError(w.t, hints.SendDatagram(junk))
		}
		c.ping()
		synctest.Wait()
		stats := w.server.Stats().QUIC
		require.EqualValues(w.t, 5, stats.Datagrams)
		require.EqualValues(w.t, 4, stats.DatagramDrops)
		for range 3 * hintBurst {
			require.NoError(w.t, hints.SendDatagram(ping))
			synctest.Wait()
		}
		require.GreaterOrEqual(w.t, w.server.Stats().QUIC.DatagramDrops, uint64(4+hintBurst))
	})
}

func TestOriginsOfWebTransport(t *testing.T) {
	for _, c := range []struct {
		origin []string
		want   int
	}{
		{nil, http.StatusOK}, // no browser
		{[]string{"http://server.example:8080"}, http.StatusOK},
		{[]string{"https://SERVER.example"}, http.StatusOK}, // 443 is ours
		{[]string{"https://call.example.kz"}, http.StatusOK},
		{[]string{"http://server.example:8081"}, http.StatusForbidden}, // somebody else's page on this host
		{[]string{"https://server.example:8443"}, http.StatusForbidden},
		{[]string{"http://localhost:8080"}, http.StatusForbidden}, // this session goes to no loopback address
		{[]string{"https://evil.example"}, http.StatusForbidden},
		{[]string{"https://server.example.evil.example"}, http.StatusForbidden},
		{[]string{"null"}, http.StatusForbidden},
		{[]string{""}, http.StatusForbidden},
		{[]string{"file://"}, http.StatusForbidden},
		{[]string{"https://evil.example", "https://call.example.kz"}, http.StatusForbidden},
	} {
		onStage(t, func(t *testing.T, w *stage) {
			l, err := w.webTransport(w.network.Host(clientAddr), http.Header{"Origin": c.origin})
			if c.want == http.StatusOK {
				require.NoError(t, err, c.origin)
				(&talker{t, l}).hello()
				return
			}
			require.Error(t, err, c.origin)
			require.Equal(t, c.want, l.status, c.origin)
		}, func(cfg *Config) {
			cfg.Origins, cfg.OwnPorts = []string{"https://call.example.kz"}, []uint16{8080, 443}
		})
	}
}

func TestHTTP3IsForSessionsOnly(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		socket, err := w.network.Host(clientAddr).ListenUDP(0)
		require.NoError(t, err)
		transport := &quic.Transport{Conn: socket}
		trust := w.trust()
		trust.NextProtos = []string{http3.NextProtoH3}
		var connection *quic.Conn
		browser := &http3.Transport{
			TLSClientConfig: trust,
			Dial: func(ctx context.Context, _ string, t *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
				var err error
				connection, err = transport.DialEarly(ctx, net.UDPAddrFromAddrPort(serverAddr), t, cfg)
				return connection, err
			},
		}
		for path, want := range map[string]int{"/": http.StatusNotFound, WebTransportPath: http.StatusMethodNotAllowed} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://server.example"+path, nil)
			require.NoError(t, err)
			response, err := browser.RoundTrip(r)
			require.NoError(t, err)
			require.Equal(t, want, response.StatusCode)
			_ = response.Body.Close()
		}
		start := time.Now()
		<-connection.Context().Done()
		require.LessOrEqual(t, time.Since(start), greetTimeout)
		_ = browser.Close()
		require.NoError(t, transport.Close())
		require.NoError(t, socket.Close())
	})
}

func TestQUICConfigIsChecked(t *testing.T) {
	s := testServer(t)
	require.ErrorContains(t, s.ServeQUIC(nil, QUICConfig{Secret: NewSecret()}), "Certificate")
	require.ErrorContains(t, s.ServeQUIC(nil, QUICConfig{Certificate: func() *tls.Certificate { return nil }}), "Secret")
	require.NoError(t, s.Close(t.Context()))
}
