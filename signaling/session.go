package signaling

import (
	"crypto/subtle"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// A session is one client's signaling session as a pure state machine. It outlives its connections.
//
//	         Join               sfu says yes
//	open ────────────► joining ─────────────► joined ──┐ Join again: a new peer takes the old one's place
//	 ▲  ▲                 │ sfu says no         │  ▲───┘
//	 │  └─────────────────┘                     │
//	 └──── Gone{Silent, Failed}: Join again ◄───┤
//	      within resumeFor, or Bye(TIMEOUT)     │ Leave, Gone{Replaced}, shutdown, a broken frame
//	                                            ▼
//	any of these, detached for resumeFor ───► ended
//
// Beside that it is attached to one connection or detached; Resume attaches it to the newest and displaces the one before.
// Calls to the SFU are outputs, one at a time: step(answered) brings the result and may ask for the next.
type session struct {
	// Fixed after newSession.
	sessionConfig

	// The connection.
	conn       uint64 // number of the attached connection; 0: detached
	detachedAt time.Duration

	// Limits; nil: not touched yet.
	frames, offers, news *rate.Limiter
	breaches             breaches

	// Events.
	log  replay
	sent uint64 // the last event handed to the attached connection
	hold bool   // the whole state is on its way: events wait behind it

	// Events of which only the newest counts.
	standing standing

	// TURN servers.
	relays relays

	// The Snapshot on its way answers a Resume, and is the first that its connection hears: answers wait in held.
	greeting bool
	held     []*wire.ServerFrame

	// Answers.
	answers answers
	sweepAt time.Duration // when events and answers that are too old are let go; 0: there are none

	// The peer.
	joins    uint64      // joins asked for so far: each names a generation of events
	peer     uint64      // the generation that is in the room; 0: none
	early    []sfu.Event // events of a join that is still in flight
	arriving standing    // those of them that stand
	missed   bool        // early was full: the room's state must be asked for
	deferred *sfu.Gone   // the peer's end, met while a join that may replace it is in flight
	silentAt time.Duration
	silent   bool // the peer was lost at silentAt and may join again
	pending  []sfu.Track

	// Requests to the SFU.
	running *request
	queue   []request

	// The end.
	bye     *wire.Bye
	goneAt  time.Duration // when bye was said
	gone    bool          // the server has been told to forget us
	joining bool          // a join is running or queued
}

// Bounds of a session. Each names what happens beyond it.
const (
	maxReplay  = 256 // events kept for Resume; beyond: Snapshot
	maxQueue   = 32  // requests waiting for the SFU; beyond: Error RATE
	maxEarly   = 256 // events waiting for Joined; beyond: Snapshot right after it
	maxTracks  = 64  // tracks in one request, and published without an offer yet; beyond: Error TOO_LARGE
	maxWishes  = 512 // lines of one Subscribe; beyond: Error TOO_LARGE
	maxTrackID = 64  // bytes
)

// input is what can happen to a session.
type input interface{ input() }

type (
	// attached: the first connection, whose Hello had this frame id; transports are for Welcome, host is whom the client has
	// asked for.
	attached struct {
		conn, frame uint64
		transports  []*wire.Transport
		host        string
	}
	// resumed: a new connection presented the secret.
	resumed struct {
		conn, frame, lastSeq uint64
		host                 string
	}
	// lost: a connection ended. since, unless 0, is when the one before had: this one was not what it seemed.
	lost struct {
		conn  uint64
		since time.Duration
	}
	// received: a connection brought a frame.
	received struct {
		conn  uint64
		frame *wire.ClientFrame
	}
	// garbled: a connection brought something that is no frame; err says what, from package wire.
	garbled struct {
		conn uint64
		err  error
	}
	// happened: the SFU told the peer of the join-th join something.
	happened struct {
		join  uint64
		event sfu.Event
	}
	// answered: the request of an earlier output is done. result is sfu.Joined (a state: without the answer), string (an SDP
	// answer), sfu.RosterPage or nil.
	answered struct {
		result any
		err    error
	}
	// tick: the time of output.wake has come.
	tick struct{}
	// shutdown: the server closes.
	shutdown struct{}
)

func (attached) input() {}
func (resumed) input()  {}
func (lost) input()     {}
func (received) input() {}
func (garbled) input()  {}
func (happened) input() {}
func (answered) input() {}
func (tick) input()     {}
func (shutdown) input() {}

// output is what a step wants done, in this order.
type output struct {
	displaced uint64              // cut this connection, without a word
	frames    []*wire.ServerFrame // to the attached connection
	hangup    bool                // then close that connection
	request   *request            // make this call, then step(answered)
	wake      time.Duration       // step(tick) no later than this; 0: no need
	end       bool                // forget the session; no input will change it any more
	revoke    bool                // its TURN credentials hold no more
	errors    []wire.Error_Code   // said in frames, to be counted
}

// request is one call to the SFU.
type request struct {
	frame uint64 // id to answer
	conn  uint64 // connection that a state is for
	seq   uint64 // last event before a state was asked for
	do    any    // one of the following
}

type (
	joinRequest struct {
		join  uint64 // generation: comes back in happened
		again bool   // this session has a peer already: no admission needed
		req   sfu.JoinRequest
	}
	negotiateRequest struct {
		offer   string
		tracks  []sfu.Track
		profile sfu.Profile
	}
	unpublishRequest struct{ ids []string }
	subscribeRequest struct{ subscription sfu.Subscription }
	rosterRequest    struct {
		after string
		limit int
	}
	muteRequest struct {
		id    string
		muted bool
	}
	// stateRequest is for a Snapshot, or for the second saying of a Joined: then joined is what is left of the first.
	stateRequest struct {
		join   uint64
		joined *wire.Joined
	}
	leaveRequest struct{}
)

// sessionConfig is what the server knows about a session before it begins.
type sessionConfig struct {
	id                     string
	secret                 []byte // 128 random bits: who holds them may resume
	grants                 Grants
	resumeFor              time.Duration
	epoch                  time.Time                                                               // wall clock at now = 0
	server                 string                                                                  // for Welcome
	audioSlots, videoSlots int                                                                     // for Welcome
	frameLimit             limit                                                                   // of all that the client sends; zero: frameLimit
	mint                   func(g Grants, session, host string) ([]*wire.IceServer, time.Duration) // Config.Relays
}

func newSession(c sessionConfig) *session {
	if c.frameLimit == (limit{}) {
		c.frameLimit = frameLimit
	}
	return &session{
		sessionConfig: c,
		log:           replay{keep: c.resumeFor},
	}
}

// mayResume compares in constant time: nothing about the secret leaks through how long a guess takes.
func (s *session) mayResume(secret []byte) bool {
	return subtle.ConstantTimeCompare(s.secret, secret) == 1
}

// step takes one input and returns what is to be done about it.
func (s *session) step(now time.Duration, in input) output {
	var out output
	if s.gone {
		return out
	}
	switch in := in.(type) {
	case attached:
		s.attach(now, in, &out)
	case resumed:
		s.resume(now, in, &out)
	case lost:
		s.lose(now, in)
	case received:
		s.receive(now, in, &out)
	case garbled:
		s.garbled(now, in, &out)
	case happened:
		s.happen(now, in, &out)
	case answered:
		s.answer(now, in, &out)
	case tick:
		s.expire(now, &out)
	case shutdown:
		// Sessions live in memory: after a restart there is nothing to resume.
		s.end(now, wire.Bye_SHUTDOWN, wire.Bye_REJOIN, &out)
	}
	s.sayStanding(now, &out)
	s.start(&out)
	s.settle(now, &out)
	return out
}

func (s *session) attach(now time.Duration, in attached, out *output) {
	s.conn, s.relays.host = in.conn, in.host
	s.say(out, wire.Reply(in.frame, &wire.ServerFrame_Welcome{Welcome: &wire.Welcome{
		SessionId:   s.id,
		ResumeToken: s.secret,
		ResumeMs:    milliseconds(s.resumeFor),
		Limits: &wire.Limits{
			MaxFrameBytes: wire.MaxClientFrame, MaxSdpBytes: wire.MaxSDP,
			MaxAudioSlots: uint32(s.audioSlots), MaxVideoSlots: uint32(s.videoSlots),
		},
		Identity:     s.grants.Identity,
		Room:         s.grants.Room,
		Publish:      s.grants.Publish,
		Subscribe:    s.grants.Subscribe,
		ServerTimeMs: s.wall(now),
		Server:       s.server,
		Transports:   in.transports,
		IceServers:   s.mintRelays(now),
	}}))
}

func (s *session) resume(now time.Duration, in resumed, out *output) {
	s.answers.handled(min(in.lastSeq, s.sent))
	s.answers.lost()
	out.displaced = s.conn
	s.conn, s.hold, s.greeting, s.held = in.conn, false, false, nil
	if in.host != "" {
		s.relays.host = in.host
	}
	if s.bye != nil {
		s.say(out, wire.Reply(0, &wire.ServerFrame_Bye{Bye: s.bye}))
		s.hangup(out)
		return
	}
	s.log.expire(now)
	if !s.log.holds(in.lastSeq) {
		s.greeting = s.peer != 0
		s.snapshot(in.frame, out)
	} else {
		s.sent = in.lastSeq
		s.say(out, wire.Reply(in.frame, &wire.ServerFrame_Resumed{Resumed: &wire.Resumed{FromSeq: in.lastSeq + 1}}))
		s.flush(out)
	}
	if s.relays.due || s.relays.later {
		s.sayRelays(now, out)
	}
}

// snapshot answers with the whole state instead of the events that led to it.
func (s *session) snapshot(frame uint64, out *output) {
	if s.peer == 0 {
		s.sent = s.log.last
		s.say(out, wire.Reply(frame, &wire.ServerFrame_Snapshot{Snapshot: &wire.Snapshot{Seq: s.sent}}))
		return
	}
	s.hold = true
	// Those asked for by connections that are gone would pile up behind a slow room.
	s.queue = slices.DeleteFunc(s.queue, s.isStale)
	s.queue = append(s.queue, request{frame: frame, conn: s.conn, do: stateRequest{}})
}

func (s *session) lose(now time.Duration, in lost) {
	if in.conn != s.conn || s.conn == 0 {
		return
	}
	s.conn, s.hold, s.greeting, s.held, s.detachedAt = 0, false, false, nil, now
	if in.since != 0 {
		s.detachedAt = in.since
	}
}

// greeted: the Snapshot that a Resume waits for has been said, so now the answers may follow.
func (s *session) greeted(out *output) {
	out.frames = append(out.frames, s.held...)
	s.greeting, s.held = false, nil
	s.answers.saidAfter(s.sent)
}

// hangup lets the connection go once it has said what it has to say.
func (s *session) hangup(out *output) {
	out.hangup = s.conn != 0
	s.conn = 0
}

func (s *session) expire(now time.Duration, out *output) {
	if s.sweepAt != 0 && now >= s.sweepAt {
		s.sweepAt = 0
		s.log.expire(now)
		s.answers.sweep()
	}
	s.renewRelays(now, out)
	switch {
	case s.bye != nil:
	case s.conn == 0 && now >= s.detachedAt+s.resumeFor:
		s.end(now, wire.Bye_TIMEOUT, wire.Bye_REJOIN, out)
	case s.silent && !s.joining && now >= s.silentAt+s.resumeFor:
		s.end(now, wire.Bye_TIMEOUT, wire.Bye_REJOIN, out)
	}
}

// end says goodbye, and leaves the room if the peer is still in it.
func (s *session) end(now time.Duration, reason wire.Bye_Reason, action wire.Bye_Action, out *output) {
	if s.bye != nil {
		return
	}
	s.bye, s.goneAt = &wire.Bye{Reason: reason, Action: action}, now
	s.queue, s.early, s.missed, s.deferred, s.hold, s.joining, s.silent = nil, nil, false, nil, false, false, false
	s.log.kept, s.answers, s.greeting, s.held = nil, answers{}, false, nil
	s.standing, s.arriving = standing{}, standing{}
	out.revoke = s.mint != nil
	s.say(out, wire.Reply(0, &wire.ServerFrame_Bye{Bye: s.bye}))
	s.hangup(out)
	if s.peer != 0 && reason != wire.Bye_SHUTDOWN {
		s.queue = append(s.queue, request{do: leaveRequest{}})
	}
}

// settle works out when to wake up, and whether there is anything left to wake up for.
func (s *session) settle(now time.Duration, out *output) {
	if s.bye != nil {
		// A device that was replaced while it was away must learn it when it comes back; else it would join anew, replace
		// the other one, and the two would throw each other out for ever.
		if s.bye.GetReason() == wire.Bye_REPLACED && now < s.goneAt+s.resumeFor {
			out.wake = s.goneAt + s.resumeFor
			return
		}
		s.gone = s.running == nil
		out.end = s.gone
		return
	}
	if s.conn == 0 {
		out.wakeBy(s.detachedAt + s.resumeFor)
	}
	if s.relays.renewAt != 0 {
		out.wakeBy(s.relays.renewAt)
	}
	if s.silent && !s.joining {
		out.wakeBy(s.silentAt + s.resumeFor)
	}
	// One sweep a resume time, and none while there is nothing to sweep: what nobody comes back for is gone in two of them.
	if s.sweepAt == 0 && len(s.log.kept)+len(s.answers.kept) > 0 {
		s.sweepAt = now + s.resumeFor
	}
	if s.sweepAt != 0 {
		out.wakeBy(s.sweepAt)
	}
}

func (out *output) wakeBy(at time.Duration) {
	if out.wake == 0 || at < out.wake {
		out.wake = at
	}
}
