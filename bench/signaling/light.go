//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// alpn of raw QUIC.
const alpn = "tolkyn/1"

// lightConfig is a client's: as small as a session needs.
func lightConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout: 30 * time.Second, KeepAlivePeriod: 12 * time.Second,
		InitialStreamReceiveWindow: 32 << 10, InitialConnectionReceiveWindow: 48 << 10,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1, DisablePathMTUDiscovery: true,
	}
}

// session is the least client: it says Hello, then sends and reads frames.
type session struct {
	stream io.ReadWriteCloser // of frames with their length before each; nil on WebSocket
	reader *wire.StreamReader
	ws     *websocket.Conn
	early  func() bool // whether the first frame went out in early data; nil: it cannot
	close  func()
}

// hello opens a session: its first frame has gone out, its answer has come.
func (s *session) hello(ctx context.Context) error {
	t, err := token(rand.Text()) // an identity nobody has had: sessions live on for a minute after their connection
	if err != nil {
		return err
	}
	if err := s.write(ctx, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: t, Client: "bench"}}}); err != nil {
		return err
	}
	f, err := s.read(ctx)
	if err == nil && f.GetWelcome() == nil {
		err = fmt.Errorf("hello was answered by %v", f)
	}
	return err
}

func (s *session) write(ctx context.Context, f *wire.ClientFrame) error {
	b, err := wire.Binary.EncodeClient(f)
	if err != nil {
		return err
	}
	if s.ws != nil {
		return s.ws.Write(ctx, websocket.MessageBinary, b)
	}
	_, err = s.stream.Write(wire.AppendFrame(nil, b))
	return err
}

func (s *session) read(ctx context.Context) (*wire.ServerFrame, error) {
	var b []byte
	var err error
	if s.ws != nil {
		_, b, err = s.ws.Read(ctx)
	} else {
		b, err = s.reader.Next()
	}
	if err != nil {
		return nil, err
	}
	return wire.Binary.DecodeServer(b)
}

// dialQUIC opens a connection and its control stream; early, if the TLS configuration remembers the server.
func dialQUIC(ctx context.Context, transport *quic.Transport, to netip.AddrPort, config *tls.Config, tokens quic.TokenStore) (*session, error) {
	config = config.Clone()
	config.NextProtos, config.ServerName = []string{alpn}, to.Addr().String()
	light := lightConfig()
	light.TokenStore = tokens
	conn, err := transport.DialEarly(ctx, net.UDPAddrFromAddrPort(to), config, light)
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		_ = conn.CloseWithError(0, "") // it fails never
		return nil, err
	}
	return &session{
		stream: stream, reader: wire.NewStreamReader(stream, wire.MaxServerFrame),
		early: func() bool { return conn.ConnectionState().Used0RTT },
		close: func() { _ = conn.CloseWithError(0, "") }, // as above
	}, nil
}

// dialWebTransport opens a session as a page does.
func dialWebTransport(ctx context.Context, to netip.AddrPort, config *tls.Config) (*session, error) {
	transport := &webtransport.Transport{TLSClientConfig: config.Clone()}
	_, conn, err := transport.Dial(ctx, "https://"+to.String()+"/v1/wt", nil)
	if err != nil {
		return nil, err
	}
	hangUp := func() {
		// What fails here has been closed by the server.
		_ = conn.CloseWithError(0, "")
		_ = transport.Close()
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		hangUp()
		return nil, err
	}
	return &session{stream: stream, reader: wire.NewStreamReader(stream, wire.MaxServerFrame), close: hangUp}, nil
}

// dialWSS opens a secure WebSocket, from an address of this machine.
func dialWSS(ctx context.Context, from netip.Addr, to netip.AddrPort, config *tls.Config) (*session, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	transport := &http.Transport{TLSClientConfig: config.Clone(), DialContext: dialer.DialContext}
	ws, _, err := websocket.Dial(ctx, "wss://"+to.String()+"/v1/ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{wire.Binary.String()},
	})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(wire.MaxServerFrame)
	return &session{ws: ws, close: func() { _ = ws.CloseNow() }}, nil // an error: the server has closed it
}
