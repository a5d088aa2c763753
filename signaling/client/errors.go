package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// The client's own errors; test with errors.Is.
var (
	// ErrTimeout: the server did not answer a request in 20 s.
	ErrTimeout = errors.New("the server did not answer")
	// ErrRenewed: the session was begun anew while a request waited, so its answer will never come.
	ErrRenewed = errors.New("the session was begun anew")
	// ErrJoined: a Client joins once.
	ErrJoined = errors.New("this client has joined already")
	// ErrNoTrack: no published track has this id.
	ErrNoTrack = errors.New("no such track is published")
)

// ServerError is the server's answer to a request it refused; find it with errors.As.
type ServerError struct {
	Code    wire.Error_Code
	Message string // names the field and the fix, in English, for developers
	// RetryAfter is how long to wait before trying again; 0 when the server did not say.
	RetryAfter time.Duration
}

// Error returns the code and the message.
func (e *ServerError) Error() string {
	return fmt.Sprintf("server: %s: %s", strings.ToLower(e.Code.String()), e.Message)
}

func fromWire(e *wire.Error) *ServerError {
	return &ServerError{
		Code: e.GetCode(), Message: e.GetMessage(),
		RetryAfter: time.Duration(e.GetRetryAfterMs()) * time.Millisecond,
	}
}

// EndError says why a session is over; every call after the end returns it.
type EndError struct {
	// Reason is the server's, LEFT when this client left, REASON_UNSPECIFIED when the server could not be reached any more.
	Reason wire.Bye_Reason
	// Err is what came before the end, if anything did.
	Err error
}

// Error returns the reason and what led to it.
func (e *EndError) Error() string {
	reason := "the server was lost"
	if e.Reason != wire.Bye_REASON_UNSPECIFIED {
		reason = strings.ToLower(e.Reason.String())
	}
	if e.Err != nil {
		return fmt.Sprintf("session ended: %s: %v", reason, e.Err)
	}
	return "session ended: " + reason
}

// Unwrap returns Err.
func (e *EndError) Unwrap() error { return e.Err }

// isTemporary says whether the same again later may work: yes, unless the server said otherwise.
func isTemporary(err error) bool {
	var refused *ServerError
	if errors.As(err, &refused) {
		return slices.Contains([]wire.Error_Code{
			wire.Error_BUSY, wire.Error_RATE, wire.Error_INTERNAL, wire.Error_ROOM_FULL,
		}, refused.Code)
	}
	var over *EndError
	return !errors.As(err, &over) && !errors.Is(err, context.Canceled)
}

func hasCode(err error, codes ...wire.Error_Code) bool {
	var refused *ServerError
	return errors.As(err, &refused) && slices.Contains(codes, refused.Code)
}

func retryAfter(err error) time.Duration {
	var refused *ServerError
	if errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return 0
}
