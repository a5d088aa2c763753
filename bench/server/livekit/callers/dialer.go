package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/server/peer"
)

// dialer dials into one server.
type dialer struct {
	url      *url.URL
	loopback bool
	target   caller.Target
}

func newDialer(t caller.Target) (*dialer, error) {
	if t.Kind != "livekit" {
		return nil, fmt.Errorf("a server of kind %q: these callers know LiveKit alone", t.Kind)
	}
	if t.Token == "" && (t.Key == "" || t.Secret == "") {
		return nil, errors.New("LiveKit wants tokens: name an API key and its secret")
	}
	u, loopback, err := peer.WebSocketURL(t.URL)
	if err != nil {
		return nil, err
	}
	return &dialer{url: u.JoinPath("rtc"), loopback: loopback, target: t}, nil
}

// Dial implements caller.Dialer.
func (d *dialer) Dial(ctx context.Context, p caller.Participant) (caller.Connection, error) {
	return peer.Dial(ctx, p, "websocket", d.open)
}

// tokenLife is longer than any run: a session that is resumed shows another.
const tokenLife = time.Hour

// token lets a participant into a room.
func (d *dialer) token(p caller.Participant) (string, error) {
	if d.target.Secret == "" {
		return d.target.Token, nil
	}
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": d.target.Key, "sub": p.Identity, "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(tokenLife).Unix(),
		"video": map[string]any{"roomJoin": true, "room": p.Room, "canPublish": true, "canSubscribe": true},
	})
	return t.SignedString([]byte(d.target.Secret))
}

// connect opens the WebSocket of a session; resume names one that is to go on.
func (d *dialer) connect(ctx context.Context, p caller.Participant, resume string) (peer.Socket, error) {
	token, err := d.token(p)
	if err != nil {
		return peer.Socket{}, fmt.Errorf("sign a token: %w", err)
	}
	query := url.Values{"protocol": {protocolVersion}, "sdk": {"go"}, "auto_subscribe": {"0"}}
	if resume != "" {
		query.Set("reconnect", "1")
		query.Set("sid", resume)
	}
	u := *d.url
	u.RawQuery = query.Encode()
	return peer.OpenSocket(ctx, p.Network, u.String(), "", http.Header{"Authorization": {"Bearer " + token}})
}

// protocolVersion is one whose server sends all changes of participants as they are and says with what action to leave.
const protocolVersion = "15"
