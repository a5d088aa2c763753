package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// connection carries frames between a session and its server. One goroutine reads, another keeps; any may write.
type connection interface {
	transport() Transport
	// read returns the next frame; errDisplaced when the session was resumed on a newer connection.
	read(ctx context.Context) (*wire.ServerFrame, error)
	// write sends one frame; when ctx ends first, so does the connection.
	write(ctx context.Context, f *wire.ClientFrame) error
	// measure takes the round trip beside the frames, asking again whenever an answer is overdue. Without an answer, silent
	// tells whether that is a bad sign, or such a measurement cannot be made here.
	measure(ctx context.Context, again time.Duration) (rtt time.Duration, ok, silent bool)
	// move adapts the connection to a change of networks; false when another one is needed.
	move(ctx context.Context) bool
	// close ends the connection at once, and a read with it. Idempotent.
	close()
}

// errDisplaced: docs/protocol.md, code 4001.
var errDisplaced = errors.New("the session was resumed on another connection")

const statusDisplaced websocket.StatusCode = 4001

type webSocket struct{ ws *websocket.Conn }

func overWebSocket(ctx context.Context, address string, through *http.Client) (webSocket, error) {
	ws, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: through, Subprotocols: []string{wire.Binary.String()},
	})
	if response != nil && response.Body != nil {
		defer response.Body.Close()
	}
	if err != nil {
		return webSocket{}, err
	}
	ws.SetReadLimit(wire.MaxServerFrame)
	return webSocket{ws}, nil
}

func (c webSocket) transport() Transport { return WebSocket }

func (c webSocket) read(ctx context.Context) (*wire.ServerFrame, error) {
	kind, b, err := c.ws.Read(ctx)
	switch {
	case websocket.CloseStatus(err) == statusDisplaced:
		return nil, errDisplaced
	case err != nil:
		return nil, err
	case kind != websocket.MessageBinary:
		return nil, fmt.Errorf("%w: a text message", wire.ErrBadFrame)
	}
	return wire.Binary.DecodeServer(b)
}

func (c webSocket) write(ctx context.Context, f *wire.ClientFrame) error {
	b, err := wire.Binary.EncodeClient(f)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageBinary, b)
}

// measure leaves it to the frames: TCP holds them all up together.
func (c webSocket) measure(context.Context, time.Duration) (time.Duration, bool, bool) {
	return 0, false, false
}

// move asks whether TCP has survived, which it does where only another network was added.
func (c webSocket) move(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	return c.ws.Ping(ctx) == nil
}

func (c webSocket) close() { _ = c.ws.CloseNow() }

// socketURL: "https://host" and "wss://host/v1/ws" name the same WebSocket.
func socketURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "https", "wss":
		u.Scheme = "wss"
	case "http", "ws":
		u.Scheme = "ws"
	default:
		return nil, fmt.Errorf("server address %q: want http, https, ws or wss", address)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/ws"
	}
	return u, nil
}

func onLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
