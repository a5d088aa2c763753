package signaling

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Defaults of Config.
const (
	DefaultResumeFor   = 60 * time.Second
	DefaultMaxSessions = 10_000
)

// maxOfOne sessions of one identity, those without a connection included: reloading a page for a minute leaves a dozen
// behind, and one token must not take all sessions of a node. Beyond: RATE.
const maxOfOne = 32

// callTimeout bounds one call to the SFU: pion answers an offer in milliseconds, so after this it never will.
const callTimeout = 10 * time.Second

// Config of a Server. The zero value of each optional field means its default.
type Config struct {
	// SFU carries the media. Required; the Server does not close it.
	SFU *sfu.SFU
	// Verifier checks the tokens of Hello. Required.
	Verifier *Verifier
	// Admit is asked before each join of a session that is not in its room: may this node take one more? If not, the client
	// is told BUSY and to come back after retryAfter. Called from many goroutines, must not block. Nil admits all.
	Admit func() (ok bool, retryAfter time.Duration)
	// Origins of pages that may connect besides our own: scheme and host, "https://call.example.kz".
	Origins []string
	// OwnPorts are the TCP ports that this server's own pages come from. A page on one of them, on the host that a WebTransport
	// session goes to, is our own; without them every WebTransport page must stand in Origins.
	OwnPorts []uint16
	// Transports tells clients of the other ways to this server, in Welcome and at TransportsHandler. Called from many
	// goroutines, must not block; what it returns is not changed any more. Nil: none.
	Transports func() []*wire.Transport
	// Relays are the TURN servers that a session is told of, with credentials of its own and how long they live: newer ones are
	// asked for after three quarters of that. host is the name or address by which the client has reached us, without port or
	// brackets; empty where it did not say. Called from many goroutines, must not block. Nil, or no servers: none.
	Relays func(g Grants, session, host string) (servers []*wire.IceServer, life time.Duration)
	// Revoke is told when a session is over: its credentials of Relays hold no more. Must not block. Nil: nobody is told.
	Revoke func(g Grants, session string)
	// ResumeFor is how long a session without a connection, or without media, is kept; default DefaultResumeFor.
	ResumeFor time.Duration
	// AudioSlots and VideoSlots are what Welcome says a client may offer; defaults 16 and 49, as those of sfu.Config.
	AudioSlots, VideoSlots int
	// FramesPerSecond is how many frames one session may send in the long run, and twice as many at once; default 50. Beyond:
	// RATE.
	FramesPerSecond int
	// HelloPerSecond is how often one IP address (of IPv6: a /64) may say Hello, or Resume a session that is not held, in the
	// long run, and HelloBurst how often at once; defaults 50 and 1,000. Beyond: RATE, before the token is looked at. Negative:
	// no limit. Loopback has none. HelloBurst is at least 1.
	HelloPerSecond float64
	HelloBurst     int
	// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed: without them, all who come through one share
	// its address.
	TrustedProxies []netip.Prefix
	// MaxSessions bounds memory, sessions without a connection included; default DefaultMaxSessions. Beyond it: BUSY.
	MaxSessions int
	// Name is told to clients in Welcome, such as "tolkyn 0.1.0".
	Name string
	// Logger gets one line per state change; nil discards.
	Logger *slog.Logger
}

// Server holds the sessions of one node and the connections they are on. It is the http.Handler of /v1/ws; ServeQUIC opens
// the other ways. All methods are safe from any goroutine.
type Server struct {
	// Fixed after New.
	cfg       Config
	origins   map[string]bool
	log       *slog.Logger
	epoch     time.Time
	ctx       context.Context
	cut       context.CancelFunc // ends every connection and call to the SFU at once
	addresses *addresses
	accepting context.Context
	stop      context.CancelFunc // takes no new connections

	// Guarded by mu.
	mu       sync.Mutex
	sessions map[string]*seat
	holders  map[holder]int // sessions of each identity
	conns    map[*conn]struct{}
	closing  bool

	// Goroutines: one adds itself under mu while not closing.
	running sync.WaitGroup

	// Atomic.
	lastConn atomic.Uint64
	counters counters
}

// holder is whom a token names.
type holder struct{ tenant, identity string }

func holderOf(g Grants) holder { return holder{g.Tenant, g.Identity} }

// seat is where the goroutines of a session meet it: its connection's reader, the room's loop and its timer.
type seat struct {
	// Fixed after open.
	server *Server

	// Guarded by mu.
	mu      sync.Mutex
	session *session
	conn    *conn // nil: detached
	timer   *time.Timer
	wake    time.Duration

	// Owned by whoever carries out the session's one running request.
	peer *sfu.Peer
}

// New makes a Server; it starts no goroutine.
func New(cfg Config) (*Server, error) {
	if cfg.SFU == nil || cfg.Verifier == nil {
		return nil, errors.New("signaling: SFU and Verifier are required")
	}
	if cfg.ResumeFor == 0 {
		cfg.ResumeFor = DefaultResumeFor
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.FramesPerSecond == 0 {
		cfg.FramesPerSecond = int(frameLimit.perSecond)
	}
	if cfg.HelloPerSecond == 0 {
		cfg.HelloPerSecond = float64(helloLimit.perSecond)
	}
	if cfg.HelloBurst == 0 {
		cfg.HelloBurst = helloLimit.burst
	}
	if cfg.AudioSlots == 0 {
		cfg.AudioSlots = 16
	}
	if cfg.VideoSlots == 0 {
		cfg.VideoSlots = 49
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	origins, err := parseOrigins(cfg.Origins)
	if err != nil {
		return nil, err
	}
	ctx, cut := context.WithCancel(context.Background())
	accepting, stop := context.WithCancel(ctx)
	return &Server{
		cfg: cfg, origins: origins, log: cfg.Logger, epoch: time.Now(),
		addresses: newAddresses(
			limit{perSecond: rate.Limit(cfg.HelloPerSecond), burst: cfg.HelloBurst}, maxAddresses, cfg.TrustedProxies,
		),
		ctx: ctx, cut: cut, accepting: accepting, stop: stop,
		sessions: make(map[string]*seat), holders: make(map[holder]int), conns: make(map[*conn]struct{}),
	}, nil
}

// now is monotonic time since New.
func (s *Server) now() time.Duration { return time.Since(s.epoch) }

// enter lets a goroutine take part, unless the server closes; it calls s.running.Done at its end.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.running.Add(1)
	return true
}

// open makes a session for a Hello that was believed and puts it on its connection. When there is no room for it, the
// error says why. After an early Hello the session counts once the client is proved to be there, and else ends.
func (s *Server) open(c *conn, frame uint64, g Grants) *wire.Error {
	secret := make([]byte, 16)
	// Never fails: crypto/rand ends the program instead.
	_, _ = rand.Read(secret)
	st := &seat{
		server: s,
		session: newSession(sessionConfig{
			id: randomText(12), secret: secret, grants: g, resumeFor: s.cfg.ResumeFor, epoch: s.epoch,
			server: s.cfg.Name, audioSlots: s.cfg.AudioSlots, videoSlots: s.cfg.VideoSlots,
			frameLimit: limit{perSecond: rate.Limit(s.cfg.FramesPerSecond), burst: 2 * s.cfg.FramesPerSecond},
			mint:       s.cfg.Relays,
		}),
	}
	greeting := attached{conn: c.id, frame: frame, host: hostName(c.host)}
	if s.cfg.Transports != nil {
		greeting.transports = s.cfg.Transports()
	}
	counted := func() *wire.Error {
		full := s.hold(st)
		if full == nil {
			st.log().Info("session opened", "identity", g.Identity, "tenant", g.Tenant, "room", g.Room,
				"remote", c.port.remote().String(), "transport", c.way.String())
		}
		return full
	}
	early := c.early()
	if !early {
		if full := counted(); full != nil {
			return full
		}
	}
	st.adopt(c, greeting, false)
	if early {
		c.countEarly()
		c.settle(counted, func() { st.step(shutdown{}) })
	}
	return nil
}

// hold counts the session among ours, unless there is no room for it.
func (s *Server) hold(st *seat) *wire.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := holderOf(st.session.grants)
	switch {
	case s.closing || len(s.sessions) >= s.cfg.MaxSessions:
		return &wire.Error{
			Code: wire.Error_BUSY, Fatal: true, RetryAfterMs: 5000,
			Message: "this node holds as many sessions as it can, try again later",
		}
	case s.holders[who] >= maxOfOne:
		return &wire.Error{
			Code: wire.Error_RATE, Fatal: true, RetryAfterMs: milliseconds(s.cfg.ResumeFor),
			Message: fmt.Sprintf("hello: this identity has %d sessions: resume or end one", maxOfOne),
		}
	}
	s.sessions[st.session.id] = st
	s.holders[who]++
	return nil
}

// resume puts a session on a new connection. False when it is not held, or the secret is not its own: nobody learns which.
// Beside true, c.seat is nil when the connection ended before it could displace another.
func (s *Server) resume(c *conn, frame uint64, m *wire.Resume) bool {
	s.mu.Lock()
	st := s.sessions[m.GetSessionId()]
	s.mu.Unlock()
	if st == nil || !st.session.mayResume(m.GetResumeToken()) {
		return false
	}
	counted := func() *wire.Error {
		s.counters.resumes.Add(1)
		st.log().Info("session resumed", "remote", c.port.remote().String(), "transport", c.way.String())
		return nil
	}
	early := c.early()
	if early {
		c.countEarly()
	}
	in := resumed{conn: c.id, frame: frame, lastSeq: m.GetLastSeq(), host: hostName(c.host)}
	request, took := st.adopt(c, in, early)
	if took == displacesNobody {
		if early = false; !c.proven() {
			return true
		}
		request, took = st.adopt(c, in, false)
	}
	if took == tooLate {
		return false
	}
	if early {
		c.settle(counted, func() {})
	} else {
		_ = counted() // there is always room for a session that is here
	}
	s.carryOut(st, request)
	return true
}

// drive feeds a session and carries out what it asks of the SFU. It blocks as long as those calls do.
func (s *Server) drive(st *seat, in input) { s.carryOut(st, st.step(in)) }

func (s *Server) carryOut(st *seat, r *request) {
	for r != nil {
		ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
		done := s.call(ctx, st, r)
		cancel()
		if done.err != nil && wireError(done.err).GetCode() == wire.Error_INTERNAL {
			st.log().Error("request failed", "error", done.err)
		}
		r = st.step(done)
	}
}

// call makes one call to the SFU.
func (s *Server) call(ctx context.Context, st *seat, r *request) answered {
	if do, ok := r.do.(joinRequest); ok {
		return s.join(ctx, st, do)
	}
	if _, leaving := r.do.(leaveRequest); leaving && st.peer == nil {
		return answered{}
	}
	if st.peer == nil {
		return answered{err: sfu.ErrGone}
	}
	switch do := r.do.(type) {
	case negotiateRequest:
		answer, err := st.peer.Negotiate(ctx, do.offer, do.tracks, do.profile)
		return answered{result: answer, err: err}
	case unpublishRequest:
		return answered{err: st.peer.Unpublish(ctx, do.ids)}
	case subscribeRequest:
		return answered{err: st.peer.Subscribe(ctx, do.subscription)}
	case muteRequest:
		return answered{err: st.peer.Mute(ctx, do.id, do.muted)}
	case stateRequest:
		current, err := st.peer.State(ctx)
		return answered{result: current, err: err}
	case rosterRequest:
		page, err := st.peer.Roster(ctx, do.after, do.limit)
		return answered{result: page, err: err}
	case leaveRequest:
		err := st.peer.Leave(ctx)
		st.peer = nil
		return answered{err: err}
	}
	panic("signaling: a request that nobody carries out")
}

func (s *Server) join(ctx context.Context, st *seat, do joinRequest) answered {
	if s.cfg.Admit != nil && !do.again {
		if ok, after := s.cfg.Admit(); !ok {
			return answered{err: &sfu.BusyError{RetryAfter: after}}
		}
	}
	req := do.req
	req.Events = func(event sfu.Event) { s.happened(st, do.join, event) }
	peer, joined, err := s.cfg.SFU.Join(ctx, req)
	if err != nil {
		return answered{err: err}
	}
	st.peer = peer
	st.log().Info("joined", "peer", joined.PeerID, "others", len(joined.Peers))
	return answered{result: joined}
}

// happened takes an event in the room's goroutine, which must not wait: what the session asks for then runs elsewhere.
func (s *Server) happened(st *seat, join uint64, event sfu.Event) {
	r := st.step(happened{join: join, event: event})
	if r == nil || !s.enter() {
		return
	}
	go func() {
		defer s.running.Done()
		s.carryOut(st, r)
	}()
}

// adoption says whether a session was put on a new connection.
type adoption uint8

const (
	adopted         adoption = iota
	displacesNobody          // an early greeting, and the session has a connection
	tooLate                  // the session has ended since it was found
)

// adopt puts the session on a new connection; c.seat is st from then on, if it was adopted. Else it does nothing.
func (st *seat) adopt(c *conn, in input, early bool) (*request, adoption) {
	st.mu.Lock()
	defer st.mu.Unlock()
	before := st.conn
	switch {
	case st.session.gone:
		return nil, tooLate
	case early && st.session.conn != 0:
		return nil, displacesNobody
	}
	c.before = st.session.detachedAt
	out := st.session.step(st.server.now(), in)
	if before != nil && out.displaced == before.id {
		before.displace()
	}
	st.conn, c.seat = c, st
	return st.apply(out), adopted
}

// log is for a line about this session. Sessions are many and lines few, so it is made anew for each.
func (st *seat) log() *slog.Logger { return st.server.log.With("session", st.session.id) }

// step feeds the session and does what can be done at once; the request is left to the caller.
func (st *seat) step(in input) *request {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.apply(st.session.step(st.server.now(), in))
}

// apply runs under mu.
func (st *seat) apply(out output) *request {
	s := st.server
	for _, code := range out.errors {
		s.counters.failed(code)
	}
	if out.revoke && s.cfg.Revoke != nil {
		s.cfg.Revoke(st.session.grants, st.session.id)
	}
	if c := st.conn; c != nil {
		switch {
		case !c.push(out.frames):
			s.counters.overflows.Add(1)
			st.log().Warn("connection cut: it reads too slowly", "waiting", maxOutbox)
			c.port.cut()
			st.conn = nil
			cut := st.session.step(s.now(), lost{conn: c.id})
			out.wake = cut.wake
		case out.hangup:
			c.finish(closeCode(st.session.bye))
			st.conn = nil
		}
	}
	if out.end {
		st.log().Info("session ended", "reason", st.session.bye.GetReason().String())
		s.forget(st)
	}
	st.arm(out.wake)
	return out.request
}

// arm sets the session's only timer.
func (st *seat) arm(wake time.Duration) {
	if wake == st.wake {
		return
	}
	st.wake = wake
	if st.timer != nil {
		st.timer.Stop()
	}
	if wake == 0 {
		return
	}
	st.timer = time.AfterFunc(wake-st.server.now(), func() {
		if st.server.enter() {
			defer st.server.running.Done()
			st.mu.Lock()
			st.wake = 0
			st.mu.Unlock()
			st.server.drive(st, tick{})
		}
	})
}

// forget is the end of hold, if there was one. The session's mu is held.
func (s *Server) forget(st *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[st.session.id] != st {
		return
	}
	delete(s.sessions, st.session.id)
	who := holderOf(st.session.grants)
	if s.holders[who]--; s.holders[who] == 0 {
		delete(s.holders, who)
	}
}

// Close says Bye(SHUTDOWN, REJOIN) to every session, waits until all have read it and every goroutine has ended, makes
// ServeHTTP answer 503 and ServeQUIC return. When ctx ends first, the rest is cut off and ctx's error returned. It does not close the SFU: do
// that next.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	s.closing = true
	seats := make([]*seat, 0, len(s.sessions))
	for _, st := range s.sessions {
		seats = append(seats, st)
	}
	s.mu.Unlock()

	for _, st := range seats {
		// Whatever it asks of the SFU now would be undone by the SFU's own Close.
		st.step(shutdown{})
	}
	for _, c := range s.allConns() {
		c.finish(closeCode(&wire.Bye{Reason: wire.Bye_SHUTDOWN}))
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		s.running.Wait()
	}()
	defer s.cut()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		s.cut()
		<-all
		return ctx.Err()
	}
}

// parseOrigins checks the allow-list: scheme and host, nothing more.
func parseOrigins(list []string) (map[string]bool, error) {
	origins := make(map[string]bool, len(list))
	for _, text := range list {
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.String() != u.Scheme+"://"+u.Host {
			return nil, errors.New("signaling: origin " + text + ": want scheme and host alone, such as https://call.example.kz")
		}
		origins[originKey(u)] = true
	}
	return origins, nil
}

// randomText is n random bytes, fit for URLs.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
