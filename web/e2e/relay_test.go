package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// relay is a way to a server that a test may cut. On 127.0.0.2 it has the server's page and its QUIC under the same port
// numbers, so that pages take it for the server; media goes past it.
type relay struct {
	// Fixed after startRelay.
	url    string // of the page
	server netip.AddrPort
	udp    *net.UDPConn

	// Atomic.
	cut   atomic.Bool  // UDP is dropped
	delay atomic.Int64 // of UDP to the server, ns

	running sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	clients map[netip.AddrPort]*net.UDPConn
	closers []io.Closer
	closed  bool
}

// startRelay opens the relay; it ends with the test.
func startRelay(t *testing.T, s *server) *relay {
	t.Helper()
	page, err := url.Parse(s.url)
	require.NoError(t, err)
	r := &relay{
		url: "http://" + net.JoinHostPort("127.0.0.2", page.Port()), clients: make(map[netip.AddrPort]*net.UDPConn),
		server: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), webTransportPort(t, s)),
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", page.Port()))
	require.NoError(t, err)
	here := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), r.server.Port())
	r.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(here))
	require.NoError(t, err)
	r.closers = []io.Closer{listener, r.udp}
	r.running.Go(func() { r.takeTCP(listener, page.Host) })
	r.running.Go(r.takeUDP)
	r.end(t)
	return r
}

// end closes everything when the test ends.
func (r *relay) end(t *testing.T) {
	t.Cleanup(func() {
		r.mu.Lock()
		r.closed = true
		for _, c := range r.closers {
			_ = c.Close() // closed already: a connection that ended
		}
		r.mu.Unlock()
		r.running.Wait()
	})
}

// webTransportPort asks the server where it speaks WebTransport.
func webTransportPort(t *testing.T, s *server) uint16 {
	t.Helper()
	answer, err := http.Get(s.url + "/v1/transports")
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	var told struct {
		Transports []struct {
			Kind string
			Port uint16
		}
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&told))
	for _, way := range told.Transports {
		if way.Kind == "WEBTRANSPORT" {
			return way.Port
		}
	}
	require.FailNow(t, "the server names no WebTransport", "%+v", told)
	return 0
}

// keep lets the relay close c at its end; false when that has come.
func (r *relay) keep(c io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = c.Close()
		return false
	}
	r.closers = append(r.closers, c)
	return true
}

func (r *relay) takeTCP(listener net.Listener, server string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		behind, err := net.Dial("tcp", server)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !r.keep(client) || !r.keep(behind) {
			return
		}
		for _, pair := range [][2]net.Conn{{client, behind}, {behind, client}} {
			r.running.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // however it ends, it has ended
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

func (r *relay) takeUDP() {
	packet := make([]byte, 2048)
	for {
		n, from, err := r.udp.ReadFromUDPAddrPort(packet)
		if err != nil {
			return
		}
		behind := r.behind(from)
		if behind == nil || r.cut.Load() {
			continue
		}
		send := func(b []byte) { _, _ = behind.Write(b) } // UDP may be lost
		if delay := time.Duration(r.delay.Load()); delay > 0 {
			late := append([]byte(nil), packet[:n]...)
			time.AfterFunc(delay, func() { send(late) })
			continue
		}
		send(packet[:n])
	}
}

// behind is the socket that stands for this client towards the server; nil when there is none.
func (r *relay) behind(client netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[client]; c != nil || r.closed {
		return c
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return nil
	}
	r.clients[client] = c
	r.closers = append(r.closers, c)
	r.running.Go(func() {
		packet := make([]byte, 2048)
		for {
			n, err := c.Read(packet)
			if err != nil {
				return
			}
			if !r.cut.Load() {
				_, _ = r.udp.WriteToUDPAddrPort(packet[:n], client) // UDP may be lost
			}
		}
	})
	return c
}
