package oneport_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/oneport"
)

const wait = 5 * time.Second

// port is a Mux with servers behind it that say who they are.
type port struct {
	*oneport.Mux
	address string
	roots   *x509.CertPool
	came    chan string // "turn", "turns", "media UFRAG", each with the first bytes that could be read
}

func startPort(t *testing.T) *port {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	certificate, roots := certificate(t)
	p := &port{address: listener.Addr().String(), roots: roots, came: make(chan string, 16)}
	tell := func(what string, conn net.Conn, first []byte) {
		defer func() { _ = conn.Close() }()
		b := make([]byte, 8)
		_, err := io.ReadFull(io.MultiReader(bytes.NewReader(first), conn), b)
		if err == nil {
			_, err = conn.Write(b)
		}
		p.came <- what + " " + string(b[4:]) + errorText(err)
	}
	p.Mux = oneport.New(listener, oneport.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"acme-tls/1"}},
		TURN: func(conn net.Conn, secure bool, first []byte) {
			_, overTLS := conn.(*tls.Conn)
			require.Equal(t, secure, overTLS)
			tell(map[bool]string{false: "turn", true: "turns"}[secure], conn, first)
		},
		Media: func(conn net.Conn, ufrag string) { tell("media "+ufrag, conn, nil) },
	})
	secure := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, err := websocket.Accept(w, r, nil)
			if err == nil {
				_ = c.Close(websocket.StatusGoingAway, "bye")
			}
			return
		}
		_, _ = io.WriteString(w, r.Proto+" "+map[bool]string{true: "tls"}[r.TLS != nil])
	})}
	plain := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host, http.StatusPermanentRedirect)
	})}
	var running sync.WaitGroup
	running.Go(func() { _ = secure.Serve(p.HTTPS()) })
	running.Go(func() { _ = plain.Serve(p.HTTP()) })
	running.Go(func() { _ = p.Serve() })
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		_ = secure.Close()
		_ = plain.Close()
		running.Wait()
	})
	return p
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"call.test"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func (p *port) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(wait)))
	return conn
}

func (p *port) dialTLS(t *testing.T, protocols ...string) *tls.Conn {
	t.Helper()
	conn := tls.Client(p.dial(t), &tls.Config{RootCAs: p.roots, ServerName: "call.test", NextProtos: protocols})
	require.NoError(t, conn.Handshake())
	return conn
}

func (p *port) comes(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-p.came:
		require.Equal(t, want, got)
	case <-time.After(wait):
		require.FailNow(t, "nobody came", "want %s", want)
	}
}

const cookie = "\x21\x12\xa4\x42"

func TestRelayed(t *testing.T) {
	p, allocate := startPort(t), message(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	for name, conn := range map[string]net.Conn{
		"turn": p.dial(t), "turns with its ALPN": p.dialTLS(t, "stun.turn"), "turns as browsers dial it": p.dialTLS(t),
	} {
		t.Run(name, func(t *testing.T) {
			for _, part := range [][]byte{allocate[:1], allocate[1:7], allocate[7:]} { // however it is cut
				_, err := conn.Write(part)
				require.NoError(t, err)
				time.Sleep(10 * time.Millisecond)
			}
			kind, _, _ := strings.Cut(name, " ")
			p.comes(t, kind+" "+cookie)
			echo := make([]byte, 8)
			_, err := io.ReadFull(conn, echo)
			require.NoError(t, err)
			require.Equal(t, allocate[:8], echo, "the way back")
		})
	}
	require.EqualValues(t, 1, p.Stats().Served[oneport.ServedTCPRelay])
	require.EqualValues(t, 2, p.Stats().Served[oneport.ServedTLSRelay])
}

func TestICE(t *testing.T) {
	p := startPort(t)
	conn, frame := p.dial(t), framed(check(t))
	_, err := conn.Write(frame[:30])
	require.NoError(t, err)
	time.Sleep(10 * time.Millisecond)
	_, err = conn.Write(frame[30:])
	require.NoError(t, err)
	p.comes(t, "media ours "+string(frame[4:8])) // with its length before it
}

func TestPages(t *testing.T) {
	p := startPort(t)
	get := func(transport http.RoundTripper, url string) (*http.Response, string) {
		t.Helper()
		client := http.Client{Transport: transport, Timeout: wait, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		answer, err := client.Get(url)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		client.CloseIdleConnections()
		return answer, string(body)
	}
	trust := func(protocols ...string) *tls.Config {
		return &tls.Config{RootCAs: p.roots, ServerName: "call.test", NextProtos: protocols}
	}
	_, body := get(&http.Transport{TLSClientConfig: trust(), ForceAttemptHTTP2: true}, "https://"+p.address)
	require.Equal(t, "HTTP/2.0 tls", body)
	for _, protocols := range [][]string{{"http/1.1"}, nil} {
		_, body = get(&http.Transport{TLSClientConfig: trust(protocols...)}, "https://"+p.address)
		require.Equal(t, "HTTP/1.1 tls", body)
	}
	answer, _ := get(http.DefaultTransport, "http://"+p.address)
	require.Equal(t, http.StatusPermanentRedirect, answer.StatusCode)

	socket, _, err := websocket.Dial(t.Context(), "wss://"+p.address, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: trust("http/1.1")}},
	})
	require.NoError(t, err)
	_, _, err = socket.Read(t.Context())
	require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
}

// TestStrangersAreClosed: what is nothing of ours ends at once.
func TestStrangersAreClosed(t *testing.T) {
	p := startPort(t)
	for name, send := range map[string]func(net.Conn) error{
		"junk":              write("\x05\x01\x00"),
		"a giant frame":     write("\xff\xfc\x00\x01\x00\x00\x00\x00"),
		"a nameless check":  func(c net.Conn) error { _, err := c.Write(framed(message(t, stun.BindingRequest))); return err },
		"a hello of 64 KiB": write("\x16\x03\x01\x40\x00\x01\x00\xff\xff" + strings.Repeat("a", 1<<14-4) + "\x16\x03\x01\x40\x00" + strings.Repeat("a", 1<<14)),
		"junk in TLS": func(c net.Conn) error {
			inner := tls.Client(c, &tls.Config{RootCAs: p.roots, ServerName: "call.test"})
			_, err := inner.Write([]byte{0x80, 1, 2})
			return err
		},
		"a challenge of ACME": func(c net.Conn) error {
			return tls.Client(c, &tls.Config{RootCAs: p.roots, ServerName: "call.test", NextProtos: []string{"acme-tls/1"}}).Handshake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, conn := p.Stats().Strange, p.dial(t)
			require.NoError(t, send(conn))
			_, err := io.Copy(io.Discard, conn)
			var late net.Error
			require.False(t, errors.As(err, &late) && late.Timeout(), "it was closed")
			require.Eventually(t, func() bool { return p.Stats().Strange == before+1 }, wait, time.Millisecond)
		})
	}
	require.Eventually(t, func() bool { return p.Stats().Waiting == 0 }, wait, time.Millisecond)
}

func write(text string) func(net.Conn) error {
	return func(c net.Conn) error {
		_, err := io.WriteString(c, text)
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return nil // reset while it wrote: closed, which is looked at afterwards
		}
		return err
	}
}

// TestSlowClientsLoseTheirPlaces: however many say nothing, or little, who says what he wants is served; and they cost no more than
// the places there are.
func TestSlowClientsLoseTheirPlaces(t *testing.T) {
	p := startPort(t)
	var slow []net.Conn
	for i := range 400 {
		conn := p.dial(t)
		if i%2 == 0 {
			require.NoError(t, write("\x16\x03\x01")(conn))
		}
		slow = append(slow, conn)
	}
	conn, allocate := p.dialTLS(t), message(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	_, err := conn.Write(allocate)
	require.NoError(t, err)
	p.comes(t, "turns "+cookie)
	stats := p.Stats()
	require.LessOrEqual(t, stats.Waiting, 256, "of one address")
	require.GreaterOrEqual(t, stats.Lost, uint64(400-256))
	_, err = slow[0].Read(make([]byte, 1))
	require.Error(t, err, "the first lost its place")
	var late net.Error
	require.False(t, errors.As(err, &late) && late.Timeout())
}
