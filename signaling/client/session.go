package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	dialTimeout    = 10 * time.Second // TCP, TLS, the upgrade and the first answer on a bad network
	requestTimeout = 20 * time.Second // a join behind the handshake gate waits at most a few seconds
	writeTimeout   = 10 * time.Second
	pingEvery      = 5 * time.Second
	pongWithin     = 8 * time.Second // slower than this is taken for a dead connection
	openTries      = 3
)

// Over QUIC silence is noticed sooner, above all in a call: a server that has lost its keys cannot reset the connection.
const (
	callPingEvery = time.Second
	pongAgain     = 100 * time.Millisecond // or a round trip and a half; between the Pings of one measurement
	silenceLimit  = 1500 * time.Millisecond
	silenceRTTs   = 8 // the limit is at least so many round trips
)

// session is one client's signaling session: it outlives the connection that carries it. When a connection breaks it
// dials again and resumes; unanswered requests are sent again, which the protocol makes safe. One goroutine, run, reads
// and decides; requests write from their callers' goroutines.
type session struct {
	// Fixed after openSession.
	road        *road
	token       TokenSource
	giveUpAfter time.Duration
	log         *slog.Logger
	ctx         context.Context
	cancel      context.CancelFunc
	changed     chan netip.Addr // holds the new address, or the zero Addr, while a change of networks is to be dealt with
	done        chan struct{}   // closed at the end of run

	// Guarded by mu.
	mu       sync.Mutex
	conn     connection // nil while none carries the session
	welcome  *wire.Welcome
	relays   []*wire.IceServer // the newest
	lastID   uint64
	lastSeq  uint64 // last event handled
	pending  map[uint64]*request
	rtt      time.Duration
	room     *Room
	hurry    bool      // the network has changed since the last attach: do not wait
	abandon  func()    // ends what a change of networks makes pointless
	moved    uint64    // connections that went to another network
	resumed  uint64    // and those that were replaced
	lastWord *EndError // why cancel was called, if not to leave
	over     *EndError

	// Atomic.
	heard atomic.Uint64 // frames

	// Owned by run.
	lastError error // an Error frame that announced the end
}

// request waits for its answer.
type request struct {
	frame  *wire.ClientFrame
	first  func(*wire.ServerFrame) // if set: sees the answer before any later event is handled
	result chan result             // one place
}

type result struct {
	frame *wire.ServerFrame
	err   error
}

// verdict is what to do after a connection.
type verdict uint8

const (
	goOn   verdict = iota
	resume         // the connection is lost, the session need not be
	renew          // the session is lost: open another
	stop           // over
)

// openSession says Hello, at most openTries times, and starts the session's goroutine.
func openSession(ctx context.Context, r *road, token TokenSource, giveUpAfter time.Duration, log *slog.Logger) (*session, error) {
	s := &session{
		road: r, token: token, giveUpAfter: giveUpAfter, log: log, abandon: func() {},
		changed: make(chan netip.Addr, 1), done: make(chan struct{}), pending: map[uint64]*request{},
	}
	var wait backoff
	for tries := 1; ; tries++ {
		conn, err := s.hello(ctx)
		if err == nil {
			s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
			s.attach(conn)
			go s.run(conn)
			return s, nil
		}
		if tries == openTries || !isTemporary(err) || ctx.Err() != nil {
			return nil, err
		}
		if err := sleep(ctx, max(retryAfter(err), wait.next())); err != nil {
			return nil, err
		}
	}
}

// dial opens a connection with the first frame and returns its answer.
func (s *session) dial(ctx context.Context, first *wire.ClientFrame) (connection, *wire.ServerFrame, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s.mu.Lock()
	s.lastID++
	first.Id = s.lastID
	s.mu.Unlock()
	conn, answer, err := s.road.open(ctx, first)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	return conn, answer, nil
}

func (s *session) hello(ctx context.Context) (connection, error) {
	token, err := s.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	conn, answer, err := s.dial(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Hello{
		Hello: &wire.Hello{Token: token, Client: "tolkyn-go"},
	}})
	if err != nil {
		return nil, err
	}
	if answer.GetWelcome() == nil {
		conn.close()
		return nil, errors.New("hello was not answered by a welcome")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.welcome, s.lastSeq, s.relays = answer.GetWelcome(), 0, answer.GetWelcome().GetIceServers()
	return conn, nil
}

func (s *session) resume(ctx context.Context, w *wire.Welcome) (connection, error) {
	s.mu.Lock()
	seen := s.lastSeq
	s.mu.Unlock()
	conn, answer, err := s.dial(ctx, &wire.ClientFrame{Ack: seen, Message: &wire.ClientFrame_Resume{Resume: &wire.Resume{
		SessionId: w.GetSessionId(), ResumeToken: w.GetResumeToken(), LastSeq: seen,
	}}})
	if err != nil {
		return nil, err
	}
	if snapshot := answer.GetSnapshot(); snapshot != nil {
		s.snapshot(snapshot)
	} else if answer.GetResumed() == nil {
		conn.close()
		return nil, errors.New("resume was answered by neither resumed nor a snapshot")
	}
	return conn, nil
}

// attach puts the session on a connection and sends what is still unanswered, in order.
func (s *session) attach(conn connection) {
	s.mu.Lock()
	s.conn, s.hurry = conn, false
	var again []*wire.ClientFrame
	for _, id := range slices.Sorted(maps.Keys(s.pending)) {
		again = append(again, s.pending[id].frame)
	}
	room := s.room
	s.mu.Unlock()
	for _, f := range again {
		s.send(conn, f)
	}
	if room != nil {
		room.sessionIs(true)
	}
}

func (s *session) detach() {
	s.mu.Lock()
	s.conn = nil
	room := s.room
	s.mu.Unlock()
	if room != nil {
		room.sessionIs(false)
	}
}

// run is the life of the session after Welcome.
func (s *session) run(conn connection) {
	defer close(s.done)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	watcher.Go(func() { s.road.watch(s.ctx, s.addressChanged) })
	for {
		next, over := s.serve(conn)
		s.detach()
		if next == renew {
			s.forget()
		}
		if next != stop {
			if conn, over = s.reconnect(); conn != nil {
				s.attach(conn)
				continue
			}
		}
		s.end(over)
		return
	}
}

// serve reads one connection to its end.
func (s *session) serve(conn connection) (verdict, *EndError) {
	ctx, cancel := context.WithCancel(s.ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keep(ctx, conn) })
	defer func() {
		cancel()
		conn.close()
		keeper.Wait()
	}()
	s.lastError = nil
	for {
		f, err := conn.read(ctx)
		switch {
		case s.ctx.Err() != nil:
			return stop, s.farewell()
		case errors.Is(err, errDisplaced):
			return stop, &EndError{Err: err}
		case err != nil:
			s.log.Debug("connection lost", "error", err)
			return resume, nil
		}
		s.heard.Add(1)
		if next, over := s.handle(f); next != goOn {
			return next, over
		}
	}
}

func (s *session) handle(f *wire.ServerFrame) (verdict, *EndError) {
	if seq := f.GetSeq(); seq > 0 {
		s.mu.Lock()
		seen := seq <= s.lastSeq
		s.lastSeq = max(s.lastSeq, seq)
		s.mu.Unlock()
		if seen {
			return goOn, nil
		}
	}
	switch m := f.GetMessage().(type) {
	case *wire.ServerFrame_Bye:
		return s.bye(m.Bye)
	case *wire.ServerFrame_Snapshot:
		s.snapshot(m.Snapshot)
		return goOn, nil
	case *wire.ServerFrame_IceServers:
		s.relaysAre(m.IceServers.GetIceServers())
		return goOn, nil
	case *wire.ServerFrame_Error:
		if f.GetId() == 0 {
			s.lastError = fromWire(m.Error)
			return goOn, nil
		}
	}
	if f.GetId() > 0 {
		s.answer(f)
	} else if room := s.currentRoom(); room != nil {
		room.handle(f)
	}
	return goOn, nil
}

func (s *session) bye(b *wire.Bye) (verdict, *EndError) {
	switch b.GetAction() {
	case wire.Bye_RESUME:
		return resume, nil
	case wire.Bye_REJOIN:
		return renew, nil
	}
	return stop, &EndError{Reason: b.GetReason(), Err: s.lastError}
}

func (s *session) snapshot(m *wire.Snapshot) {
	s.mu.Lock()
	s.lastSeq = max(s.lastSeq, m.GetSeq())
	s.mu.Unlock()
	if room := s.currentRoom(); room != nil {
		room.snapshot(m)
	}
}

func (s *session) answer(f *wire.ServerFrame) {
	s.mu.Lock()
	q := s.pending[f.GetId()]
	delete(s.pending, f.GetId())
	s.mu.Unlock()
	if q == nil {
		return // answered before the reconnect, or given up
	}
	if e := f.GetError(); e != nil {
		q.result <- result{err: fromWire(e)}
		return
	}
	if q.first != nil {
		q.first(f)
	}
	q.result <- result{frame: f}
}

func (s *session) ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	_, err := s.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Ping{
		Ping: &wire.Ping{ClientTimeMs: start.UnixMilli()},
	}}, nil)
	if err != nil {
		return 0, err
	}
	rtt := time.Since(start)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rtt = rtt
	return rtt, nil
}

// reconnect dials until the session is resumed or a new one is open. Nil: it is over.
func (s *session) reconnect() (connection, *EndError) {
	start := time.Now()
	var wait backoff
	pause := wait.next()
	for {
		s.mu.Lock()
		w, hurry := s.welcome, s.hurry
		s.mu.Unlock()
		if hurry {
			pause = 0
		}
		conn, err := s.again(w, pause)
		if err == nil {
			return conn, nil
		}
		var over *EndError
		switch {
		case s.ctx.Err() != nil:
			return nil, s.farewell()
		case errors.Is(err, errMoved) && time.Since(start) <= s.giveUpAfter:
			wait, pause = backoff{}, 0
		case errors.As(err, &over):
			return nil, over
		case w != nil && hasCode(err, wire.Error_RESUME_EXPIRED, wire.Error_PROTOCOL, wire.Error_UNAUTHORIZED, wire.Error_NOT_FOUND):
			s.forget()
			pause = 0
		case !isTemporary(err) || time.Since(start) > s.giveUpAfter:
			return nil, &EndError{Err: err}
		default:
			s.log.Debug("reconnect", "error", err)
			s.calm()
			pause = max(retryAfter(err), wait.next())
		}
	}
}

// again resumes the session that w opened, or opens another when w is nil, after a pause. errMoved when the network has
// changed under way.
func (s *session) again(w *wire.Welcome, pause time.Duration) (connection, error) {
	ctx, release := s.untilMoved(s.ctx)
	defer release()
	err := sleep(ctx, pause)
	var conn connection
	switch {
	case err != nil:
	case w != nil:
		if conn, err = s.resume(ctx, w); err == nil {
			s.mu.Lock()
			s.resumed++
			s.mu.Unlock()
		}
	default:
		if conn, err = s.hello(ctx); err == nil {
			if room := s.currentRoom(); room != nil {
				room.lose()
			}
		}
	}
	if err != nil && ctx.Err() != nil && s.ctx.Err() == nil {
		return nil, errMoved
	}
	return conn, err
}

// giveUp ends the session from another goroutine.
func (s *session) giveUp(err error) {
	s.mu.Lock()
	s.lastWord = &EndError{Err: err}
	s.mu.Unlock()
	s.cancel()
}

// farewell is why the session ended when its context did.
func (s *session) farewell() *EndError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastWord != nil {
		return s.lastWord
	}
	return &EndError{Reason: wire.Bye_LEFT}
}

// forget gives the session up; requests that belong to it fail.
func (s *session) forget() {
	s.mu.Lock()
	s.welcome = nil
	s.mu.Unlock()
	s.failPending(ErrRenewed)
}

// end closes the session for good and tells the room.
func (s *session) end(over *EndError) {
	s.mu.Lock()
	s.over = over
	room := s.room
	s.mu.Unlock()
	s.cancel()
	s.failPending(over)
	if room != nil {
		room.end(over)
	}
}

func (s *session) failPending(err error) {
	s.mu.Lock()
	all := s.pending
	s.pending = map[uint64]*request{}
	s.mu.Unlock()
	for _, q := range all {
		q.result <- result{err: err}
	}
}

// request sends a frame and waits for its answer, across reconnects. first, if set, sees a good answer on the session's
// goroutine, before any later event. Errors: *ServerError, *EndError, ErrTimeout, ErrRenewed, those of ctx.
func (s *session) request(ctx context.Context, frame *wire.ClientFrame, first func(*wire.ServerFrame)) (*wire.ServerFrame, error) {
	// A frame that cannot be sent would break each new connection.
	if _, err := wire.Binary.EncodeClient(frame); err != nil {
		return nil, err
	}
	q := &request{frame: frame, first: first, result: make(chan result, 1)}
	s.mu.Lock()
	if s.over != nil {
		defer s.mu.Unlock()
		return nil, s.over
	}
	s.lastID++
	frame.Id = s.lastID
	s.pending[frame.Id] = q
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		s.send(conn, frame)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrTimeout)
	defer cancel()
	select {
	case r := <-q.result:
		return r.frame, r.err
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.pending, frame.GetId())
		s.mu.Unlock()
		return nil, context.Cause(ctx)
	}
}

// send writes one frame; a failure ends the connection, and the frame is sent again on the next.
func (s *session) send(conn connection, f *wire.ClientFrame) {
	s.mu.Lock()
	envelope := &wire.ClientFrame{Id: f.GetId(), Ack: s.lastSeq, Message: f.GetMessage()}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	if conn.write(ctx, envelope) != nil {
		conn.close()
	}
}

func (s *session) currentRoom() *Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
