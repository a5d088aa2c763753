package signaling

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/time/rate"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Datagrams carry hints: a Ping of the client, and its Pong, past whatever waits on the control stream. They may get lost and
// nothing depends on them.
const (
	// maxHint bytes: any path carries them.
	maxHint = 1100
	// hintsPerSecond of one client are answered, and hintBurst at once. What is more is dropped.
	hintsPerSecond, hintBurst = 50, 100
)

// datagrams is a QUIC connection or a WebTransport session.
type datagrams interface {
	ReceiveDatagram(ctx context.Context) ([]byte, error)
	SendDatagram(b []byte) error
}

// answerHints answers pings until the connection ends.
func (s *Server) answerHints(ctx context.Context, d datagrams) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
		}
	}()
	budget := rate.NewLimiter(hintsPerSecond, hintBurst)
	for {
		b, err := d.ReceiveDatagram(ctx)
		if err != nil {
			return
		}
		s.counters.datagrams.Add(1)
		answer, ok := answerHint(b, time.Now())
		// A datagram that cannot be sent now is late already.
		if !ok || !budget.Allow() || d.SendDatagram(answer) != nil {
			s.counters.datagramDrops.Add(1)
		}
	}
}

// answerHint returns the Pong for a Ping; false for anything else.
func answerHint(b []byte, now time.Time) ([]byte, bool) {
	if len(b) > maxHint {
		return nil, false
	}
	frame, err := wire.Binary.DecodeClient(b)
	if err != nil {
		return nil, false
	}
	ping, ok := frame.GetMessage().(*wire.ClientFrame_Ping)
	if !ok {
		return nil, false
	}
	answer, err := wire.Binary.EncodeServer(pong(frame.GetId(), ping.Ping, now))
	return answer, err == nil
}

// panicked keeps what a client did to one connection from touching the others.
func (s *Server) panicked(p any) {
	s.counters.panics.Add(1)
	s.log.Error("a connection panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
