package signaling

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// BenchmarkPings answers pings that a client sends 64 at a time on one control stream. CPU-ns/op is of client and server
// together: neither can be more.
func BenchmarkPings(b *testing.B) {
	before := frameLimit
	frameLimit = limit{perSecond: 1e9, burst: 2e9}
	defer func() { frameLimit = before }()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(b, err)
	stop := serveSessions(b, socket, certificate(b))
	trust := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPN}}
	connection, err := quic.DialAddr(b.Context(), socket.LocalAddr().String(), trust, nil)
	require.NoError(b, err)
	stream, err := connection.OpenStream()
	require.NoError(b, err)
	token, err := Mint(hsKey, aru, time.Now(), 0)
	require.NoError(b, err)
	_, err = stream.Write(wire.AppendFrame(nil, encoded(b, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token}}})))
	require.NoError(b, err)
	answers := wire.NewStreamReader(stream, wire.MaxServerFrame)
	_, err = answers.Next()
	require.NoError(b, err)
	const together, ahead = 64, 8
	var pings []byte
	for range together {
		pings = wire.AppendFrame(pings, encoded(b, &wire.ClientFrame{Id: 2, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{ClientTimeMs: time.Now().UnixMilli()}}}))
	}
	window := make(chan struct{}, ahead)
	failed := make(chan error, 1)
	b.ResetTimer()
	start := cpu(b)
	go func() {
		for sent := 0; sent < b.N; sent += together {
			window <- struct{}{}
			if _, err := stream.Write(pings); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	rounds := (b.N + together - 1) / together
	for i := range rounds * together {
		_, err := answers.Next()
		require.NoError(b, err)
		if i%together == together-1 {
			<-window
		}
	}
	require.NoError(b, <-failed)
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "CPU-ns/op")
	require.NoError(b, connection.CloseWithError(0, ""))
	stop()
	require.NoError(b, socket.Close())
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
