package janus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/tolkyn/tolkyn/bench/server/peer"
)

// request is what we say; Janus wants each with a transaction of its own.
type request struct {
	Janus       string `json:"janus"`
	Transaction string `json:"transaction"`
	Session     uint64 `json:"session_id,omitempty"`
	Handle      uint64 `json:"handle_id,omitempty"`
	Plugin      string `json:"plugin,omitempty"`
	Body        any    `json:"body,omitempty"`
	JSEP        *jsep  `json:"jsep,omitempty"`
}

type jsep struct {
	Type string `json:"type"` // offer, answer
	SDP  string `json:"sdp"`
}

// reply is what Janus says, asked or not.
type reply struct {
	Janus       string `json:"janus"` // success, error, ack, event, hangup, timeout, ...
	Transaction string `json:"transaction"`
	Sender      uint64 `json:"sender"` // a handle
	Data        struct {
		ID uint64 `json:"id"`
	} `json:"data"`
	Error *struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	} `json:"error"`
	Plugin struct {
		Data event `json:"data"`
	} `json:"plugindata"`
	JSEP   *jsep  `json:"jsep"`
	Reason string `json:"reason"` // of a hangup
}

// event is VideoRoom's part of a reply.
type event struct {
	Event      string      `json:"videoroom"`
	Publishers []publisher `json:"publishers"`
	// An id, or "ok" when it is our own.
	Unpublished any      `json:"unpublished"`
	Leaving     any      `json:"leaving"`
	Streams     []stream `json:"streams"` // what flows in the subscriber's m-lines
	Code        int      `json:"error_code"`
	Error       string   `json:"error"`
}

type publisher struct {
	ID      string `json:"id"`
	Display string `json:"display"`
	Streams []struct {
		MID         string `json:"mid"`
		Type        string `json:"type"` // audio, video, data
		Description string `json:"description"`
		Disabled    bool   `json:"disabled"`
	} `json:"streams"`
}

// stream is one m-line of the subscriber.
type stream struct {
	MID         string `json:"mid"`
	Type        string `json:"type"`
	Active      bool   `json:"active"`
	Feed        string `json:"feed_id"`
	FeedMID     string `json:"feed_mid"`
	Display     string `json:"feed_display"`
	Description string `json:"feed_description"`
}

// codeRoomExists is VideoRoom's JANUS_VIDEOROOM_ERROR_ROOM_EXISTS.
const codeRoomExists = 427

// refusal is an error that Janus answered.
type refusal struct {
	code   int
	reason string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%v: %s (code %d)", peer.ErrRefused, r.reason, r.code)
}

func (r *refusal) Unwrap() error { return peer.ErrRefused }

// link is a session's WebSocket.
type link struct {
	socket  peer.Socket
	session uint64 // 0 before there is one

	// Guarded by mu.
	mu      sync.Mutex
	last    uint64
	waiting map[string]chan *reply // by transaction; nil once the link has ended
}

var errEnded = errors.New("the connection has ended")

// ask sends a request and returns its reply: of messages to a plugin, the plugin's own.
func (l *link) ask(ctx context.Context, r request) (*reply, error) {
	answered := make(chan *reply, 1)
	l.mu.Lock()
	if l.waiting == nil {
		l.mu.Unlock()
		return nil, errEnded
	}
	l.last++
	r.Transaction, r.Session = strconv.FormatUint(l.last, 10), l.session
	l.waiting[r.Transaction] = answered
	l.mu.Unlock()
	if err := l.socket.WriteJSON(ctx, r); err != nil {
		return nil, err
	}
	select {
	case a := <-answered:
		switch {
		case a == nil:
			return nil, errEnded
		case a.Error != nil:
			return nil, &refusal{a.Error.Code, a.Error.Reason}
		case a.Plugin.Data.Code != 0:
			return nil, &refusal{a.Plugin.Data.Code, cmp.Or(a.Plugin.Data.Error, "no reason given")}
		}
		return a, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, r.Transaction)
		return nil, ctx.Err()
	}
}

// read hands replies to those who wait and the rest to other, until the connection ends.
func (l *link) read(ctx context.Context, other func(*reply)) {
	defer l.end()
	for {
		b, err := l.socket.Read(ctx)
		if err != nil {
			return
		}
		var a reply
		if err := json.Unmarshal(b, &a); err != nil {
			return
		}
		if a.Janus == "ack" {
			continue // the reply proper follows
		}
		l.mu.Lock()
		answered := l.waiting[a.Transaction]
		delete(l.waiting, a.Transaction)
		l.mu.Unlock()
		if answered != nil {
			answered <- &a
		} else {
			other(&a)
		}
	}
}

// end tells those who wait that nothing will come.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, answered := range l.waiting {
		answered <- nil
	}
	l.waiting = nil
}
