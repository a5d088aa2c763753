//go:build !race

package signaling

import (
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// TestIdleSessionsAreSmall weighs 2,000 sessions that say nothing against as many bare connections of the QUIC library that do
// the same: accepting, one stream, one goroutine that waits with 512 bytes. Both clients and servers are in the figures, so
// only the difference counts. Resident memory says nothing here, because one turn takes up what the one before has left behind:
// bench/signaling weighs servers that run alone. The race detector has a memory of its own: not with it.
func TestIdleSessionsAreSmall(t *testing.T) {
	const sessions, most = 2000, 8 << 10 // heap and stacks, in bytes
	weigh(t, sessions, serveBare)        // the runtime keeps what goroutines leave behind
	bare := weigh(t, sessions, serveBare)
	ours := weigh(t, sessions, serveSessions)
	above := (ours - bare) / sessions
	t.Logf("%.0f B a session above the %.0f B of a bare connection", above, bare/sessions)
	require.Less(t, above, float64(most))
}

// weigh returns what so many idle connections take.
func weigh(b testing.TB, connections int, serve func(testing.TB, net.PacketConn, *tls.Certificate) func()) float64 {
	shown := certificate(b)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(b, err)
	stop := serve(b, socket, shown)
	mine, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(b, err)
	// The library's own 4 bytes are too few for 2,000 connections of six ids each: one run in twenty had two of the same id,
	// and one of them never got an answer.
	dialer := &quic.Transport{Conn: mine, ConnectionIDLength: connectionIDLength}
	trust := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPN}}
	clients := make([]*quic.Conn, connections)
	dial := func(i int) {
		connection, err := dialer.Dial(b.Context(), socket.LocalAddr(), trust, &quic.Config{
			KeepAlivePeriod: 15 * time.Second, HandshakeIdleTimeout: time.Minute, // what is weighed is not this machine's speed
		})
		require.NoError(b, err)
		stream, err := connection.OpenStream()
		require.NoError(b, err)
		who := aru
		who.Identity = fmt.Sprintf("someone-%06d", i)
		token, err := Mint(hsKey, who, time.Now(), 0)
		require.NoError(b, err)
		hello, err := wire.Binary.EncodeClient(&wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token}}})
		require.NoError(b, err)
		_, err = stream.Write(wire.AppendFrame(nil, hello))
		require.NoError(b, err)
		_, err = stream.Read(make([]byte, 512))
		require.NoError(b, err)
		clients[i] = connection
	}
	dial(0)
	before := inUse()
	for i := 1; i < connections; i++ {
		dial(i)
	}
	after := inUse()
	for _, c := range clients {
		require.NoError(b, c.CloseWithError(0, ""))
	}
	stop()
	require.NoError(b, dialer.Close())
	require.NoError(b, mine.Close())
	require.NoError(b, socket.Close())
	return after - before
}

// inUse reads the memory until it falls no more, and returns the least: on a busy machine handshakes and keepalives take their
// time to be over, and what runs when the collector comes by keeps its deep stack.
func inUse() float64 {
	const falls, readings = 64 << 10, 20 // bytes
	least := math.Inf(1)
	for range readings {
		for range 5 { // stacks shrink by half with each collection
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := float64(m.HeapAlloc + m.StackInuse)
		if now > least-falls {
			return min(least, now)
		}
		least = now
		time.Sleep(500 * time.Millisecond)
	}
	return least
}

func serveBare(b testing.TB, socket net.PacketConn, shown *tls.Certificate) func() {
	transport := &quic.Transport{Conn: socket, ConnectionIDLength: connectionIDLength}
	listener, err := transport.ListenEarly(&tls.Config{Certificates: []tls.Certificate{*shown}, NextProtos: []string{ALPN}}, quicConfig())
	require.NoError(b, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			connection, err := listener.Accept(b.Context())
			if err != nil {
				return
			}
			serving.Go(func() { readBare(connection) })
		}
	})
	return func() {
		require.NoError(b, listener.Close())
		require.NoError(b, transport.Close())
		serving.Wait()
	}
}

func readBare(connection *quic.Conn) {
	stream, err := connection.AcceptStream(connection.Context())
	if err != nil {
		return
	}
	buf := make([]byte, 512)
	for {
		n, err := stream.Read(buf)
		if err != nil {
			return
		}
		if _, err := stream.Write(buf[:n]); err != nil {
			return
		}
	}
}
