//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/quic-go/quic-go"
)

// bareJob is the floor's server: quic-go with one stream a connection, whose bytes it sends back.
type bareJob struct {
	Listen      netip.AddrPort `json:"listen"`
	Certificate certificate    `json:"certificate"`
}

// bareReader is what a connection waits with, as a session does.
const bareReader = 512

// bareConfig is that of tolkyn's own connections (signaling/quic.go).
func bareConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout: 30 * time.Second, HandshakeIdleTimeout: 5 * time.Second,
		InitialStreamReceiveWindow: 32 << 10, MaxStreamReceiveWindow: 128 << 10,
		InitialConnectionReceiveWindow: 48 << 10, MaxConnectionReceiveWindow: 192 << 10,
		MaxIncomingStreams: 8, MaxIncomingUniStreams: 8, DisablePathMTUDiscovery: true,
		Allow0RTT: true, EnableDatagrams: true, EnableStreamResetPartialDelivery: true,
	}
}

// run answers true once it listens, and each command with the memory it uses.
func (j *bareJob) run(answers *json.Encoder, commands *bufio.Scanner) error {
	pair, err := tls.LoadX509KeyPair(j.Certificate.Chain, j.Certificate.Key)
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(j.Listen))
	if err != nil {
		return err
	}
	defer socket.Close()
	// A key for resets as tolkyn has one: its hashes deepen the stacks of quic-go's own goroutines.
	transport := &quic.Transport{Conn: socket, StatelessResetKey: &quic.StatelessResetKey{1}}
	defer transport.Close()
	listener, err := transport.ListenEarly(&tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, Certificates: []tls.Certificate{pair},
	}, bareConfig())
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return // closed
			}
			go echo(conn)
		}
	}()
	if err := answers.Encode(true); err != nil {
		return err
	}
	for commands.Scan() {
		if err := answers.Encode(ownMemory()); err != nil {
			return err
		}
	}
	return commands.Err()
}

// echo is the life of a connection: one goroutine that waits in a small read.
func echo(conn *quic.Conn) {
	stream, err := conn.AcceptStream(conn.Context())
	if err != nil {
		return // closed
	}
	buf := make([]byte, bareReader)
	for {
		n, err := stream.Read(buf)
		if n > 0 {
			if _, err := stream.Write(buf[:n]); err != nil {
				return // closed
			}
		}
		if err != nil {
			return // closed
		}
	}
}

// memory is what a Go process holds, in bytes.
type memory struct {
	Heap  float64 `json:"heap"`  // live after a collection
	Stack float64 `json:"stack"` // of goroutines
}

// collections before memory is read: a pool lets go at the second, and each halves the stacks that were deep once.
const collections = 5

func ownMemory() memory {
	for range collections {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{Heap: float64(m.HeapAlloc), Stack: float64(m.StackInuse)}
}
