package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/bench/caller"
)

// mostMessage bounds a message: an offer of 200 m-lines has about 300 kB.
const mostMessage = 1 << 20

// Socket is a WebSocket that carries signaling. One goroutine reads, any write.
type Socket struct{ ws *websocket.Conn }

// OpenSocket connects over a participant's network. address is ws:// or wss://; protocol may be empty.
func OpenSocket(ctx context.Context, n caller.Network, address, protocol string, header http.Header) (Socket, error) {
	transport := &http.Transport{DialContext: n.Dial}
	defer transport.CloseIdleConnections() // of attempts that failed
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header}
	if protocol != "" {
		options.Subprotocols = []string{protocol}
	}
	ws, response, err := websocket.Dial(ctx, address, options)
	if response != nil && response.Body != nil {
		defer response.Body.Close()
	}
	if err != nil {
		return Socket{}, fmt.Errorf("connect to %s: %w", hostOf(address), err)
	}
	ws.SetReadLimit(mostMessage)
	return Socket{ws}, nil
}

// hostOf leaves out what an address says beside: tokens, for instance.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the server"
	}
	return u.Host
}

// Read returns the next message, of either type.
func (s Socket) Read(ctx context.Context) ([]byte, error) {
	_, b, err := s.ws.Read(ctx)
	return b, err
}

// ReadJSON decodes the next message.
func (s Socket) ReadJSON(ctx context.Context, to any) error {
	b, err := s.Read(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("read what the server says: %w", err)
	}
	return nil
}

// Write sends a binary message; when ctx ends first, so does the connection.
func (s Socket) Write(ctx context.Context, b []byte) error {
	return s.ws.Write(ctx, websocket.MessageBinary, b)
}

// WriteJSON sends a message of text.
func (s Socket) WriteJSON(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.ws.Write(ctx, websocket.MessageText, b)
}

// Close ends the connection at once, and a Read with it. Idempotent.
func (s Socket) Close() { _ = s.ws.CloseNow() }

// WebSocketURL turns an http, https, ws or wss address into one for OpenSocket, and tells whether it is on loopback.
func WebSocketURL(address string) (u *url.URL, loopback bool, err error) {
	if u, err = url.Parse(address); err != nil {
		return nil, false, fmt.Errorf("server address: %w", err)
	}
	switch u.Scheme {
	case "https", "wss":
		u.Scheme = "wss"
	case "http", "ws":
		u.Scheme = "ws"
	default:
		return nil, false, fmt.Errorf("server address %q: want http, https, ws or wss", address)
	}
	if u.Host == "" {
		return nil, false, errors.New("server address: it names no host")
	}
	ip := net.ParseIP(u.Hostname())
	return u, u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(), nil
}
