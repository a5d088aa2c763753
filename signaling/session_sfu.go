package signaling

import (
	"errors"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// What the session asks of the SFU, and what the SFU says of its own accord.

// enqueue takes a request on, unless too many wait.
func (s *session) enqueue(r request, out *output) bool {
	if len(s.queue) >= maxQueue {
		s.refuseFor(r.frame, time.Second, "requests: too many are waiting for their answers", out)
		return false
	}
	if _, ok := r.do.(joinRequest); ok {
		s.joining = true
	}
	s.queue = append(s.queue, r)
	return true
}

// isUnderWay tells whether a request with this id will be answered yet.
func (s *session) isUnderWay(frame uint64) bool {
	is := func(r request) bool { return r.frame == frame && !s.isStale(r) }
	return s.running != nil && is(*s.running) || slices.ContainsFunc(s.queue, is)
}

// isStale: it asks the state for a connection that is gone.
func (s *session) isStale(r request) bool {
	_, ok := r.do.(stateRequest)
	return ok && r.conn != s.conn
}

func isForSnapshot(r request) bool {
	do, ok := r.do.(stateRequest)
	return ok && do.joined == nil
}

// start hands out the next request when none is running.
func (s *session) start(out *output) {
	if s.running != nil {
		return
	}
	s.queue = slices.DeleteFunc(s.queue, s.isStale)
	if len(s.queue) == 0 {
		s.queue = nil
		return
	}
	next := s.queue[0]
	s.queue[0] = request{} // it may hold a whole offer
	s.queue = s.queue[1:]
	switch do := next.do.(type) {
	case joinRequest:
		s.joins++
		do.join, do.again = s.joins, s.peer != 0
		next.do = do
	case stateRequest:
		next.seq, s.hold = s.log.last, true
	}
	s.running = &next
	out.request = &next
}

func (s *session) answer(now time.Duration, in answered, out *output) {
	done := s.running
	if done == nil {
		return
	}
	s.running = nil
	if s.bye != nil {
		s.answerLate(done, in)
		return
	}
	switch do := done.do.(type) {
	case joinRequest:
		s.answerJoin(now, done, do, in, out)
	case stateRequest:
		if done.conn != s.conn || s.conn == 0 {
			return // who asked is gone; whoever came after has asked for itself
		}
		s.hold = false
		if do.joined != nil {
			s.answerJoinAgain(now, done, do, in, out)
		} else {
			s.answerState(now, done, in, out)
		}
	case leaveRequest:
		s.peer = 0
		s.ok(done.frame, out)
		s.end(now, wire.Bye_LEFT, wire.Bye_STOP, out)
	case rosterRequest:
		page, ok := in.result.(sfu.RosterPage)
		if in.err != nil || !ok {
			s.explain(done.frame, in.err, out)
			return
		}
		// It is not kept: who asks again gets it as it is then.
		s.sayInTurn(out, wire.Reply(done.frame, &wire.ServerFrame_RosterPage{RosterPage: &wire.RosterPage{
			Peers: peersOut(page.Peers), Size: uint32(page.Size), More: page.More,
		}}))
	case negotiateRequest:
		if in.err != nil {
			s.explain(done.frame, in.err, out)
			return
		}
		text, _ := in.result.(string)
		answer, err := wire.Answer(text)
		if err != nil {
			s.explain(done.frame, err, out)
			return
		}
		s.reply(wire.Reply(done.frame, &wire.ServerFrame_Sdp{Sdp: answer}), out)
	case unpublishRequest:
		s.standing.forget(do.ids) // of several, those that are known have ended whatever the error is
		s.done(done.frame, in.err, out)
	default:
		s.done(done.frame, in.err, out)
	}
}

// done answers a request that returns nothing but whether it went well.
func (s *session) done(frame uint64, err error, out *output) {
	if err != nil {
		s.explain(frame, err, out)
		return
	}
	s.ok(frame, out)
}

func (s *session) answerJoin(now time.Duration, done *request, do joinRequest, in answered, out *output) {
	s.joining = slices.ContainsFunc(s.queue, func(r request) bool { _, ok := r.do.(joinRequest); return ok })
	early, arriving, missed, lost := s.early, s.arriving, s.missed, s.deferred
	s.early, s.arriving, s.missed, s.deferred = nil, standing{}, false, nil

	if in.err != nil {
		s.explain(done.frame, in.err, out)
		if lost != nil {
			s.lostPeer(now, *lost, out)
		}
		return
	}
	s.peer, s.silent, s.pending, s.standing = do.join, false, nil, arriving
	joined, _ := in.result.(sfu.Joined)
	packed, err := wire.Answer(joined.Answer)
	if err != nil {
		s.explain(done.frame, err, out)
		return
	}
	if i := slices.IndexFunc(s.queue, isForSnapshot); s.greeting && i >= 0 {
		// The state that a Resume waits for is this one: said later, it would be older than what Joined says.
		resume := s.queue[i].frame
		s.queue = slices.Delete(s.queue, i, i+1)
		s.sent, s.hold = s.log.last, false
		s.say(out, wire.Reply(resume, &wire.ServerFrame_Snapshot{Snapshot: &wire.Snapshot{
			Seq: s.sent, Joined: true, Peers: peersOut(joined.Peers), Slots: slotsOut(joined.Slots), RosterSize: uint32(joined.Size),
		}}))
		s.greeted(out)
	}
	s.say(out, wire.Reply(done.frame, &wire.ServerFrame_Joined{Joined: &wire.Joined{
		PeerId: joined.PeerID, Answer: packed,
		Peers: peersOut(joined.Peers), Slots: slotsOut(joined.Slots), RosterSize: uint32(joined.Size),
	}}))
	s.answers.replaced(do.join)
	s.keep(answer{id: done.frame, join: do.join, frame: wire.Reply(done.frame, &wire.ServerFrame_Joined{Joined: &wire.Joined{
		PeerId: joined.PeerID, Answer: packed,
	}})})
	if missed {
		s.log.skip()
		s.flush(out)
	}
	for _, event := range early {
		if _, end := event.(sfu.Gone); end || !missed {
			s.tell(now, event, out)
		}
	}
}

// answerJoinAgain says a Joined once more, with those who are in the room by now: events that came after the first one have
// been said since, and an old list would undo them.
func (s *session) answerJoinAgain(now time.Duration, done *request, do stateRequest, in answered, out *output) {
	current, ok := in.result.(sfu.Joined)
	switch {
	case in.err == nil && ok && do.join == s.peer:
		s.say(out, wire.Reply(done.frame, &wire.ServerFrame_Joined{Joined: &wire.Joined{
			PeerId: do.joined.GetPeerId(), Answer: do.joined.GetAnswer(),
			Peers: peersOut(current.Peers), Slots: slotsOut(current.Slots), RosterSize: uint32(current.Size),
		}}))
		s.standing.again()
		if a := s.answers.find(done.frame); a != nil {
			a.conn, a.after = s.conn, s.sent
		}
	case in.err == nil || isGone(in.err):
		s.sayError(done.frame, wireError(sfu.ErrGone), out)
	default:
		s.stateless(now, done.frame, in.err, out)
		return
	}
	s.flush(out)
}

// isGone: the peer is in no room, and the event that says so has come or is on its way.
func isGone(err error) bool { return errors.Is(err, sfu.ErrGone) || errors.Is(err, sfu.ErrClosed) }

// stateless: the client cannot be told what it has to know to go on.
func (s *session) stateless(now time.Duration, frame uint64, err error, out *output) {
	s.sayError(frame, wireError(err), out)
	s.end(now, wire.Bye_INTERNAL_ERROR, wire.Bye_REJOIN, out)
}

func (s *session) answerState(now time.Duration, done *request, in answered, out *output) {
	s.sent = done.seq
	what := &wire.Snapshot{Seq: done.seq}
	switch current, ok := in.result.(sfu.Joined); {
	case in.err == nil && ok:
		what.Joined, what.Peers, what.Slots = true, peersOut(current.Peers), slotsOut(current.Slots)
		what.RosterSize = uint32(current.Size)
		s.standing.again()
	case isGone(in.err):
	default:
		s.stateless(now, done.frame, in.err, out)
		return
	}
	s.say(out, wire.Reply(done.frame, &wire.ServerFrame_Snapshot{Snapshot: what}))
	s.greeted(out)
	s.flush(out)
}

// answerLate tidies up after a request that ended when the session had.
func (s *session) answerLate(done *request, in answered) {
	switch do := done.do.(type) {
	case joinRequest:
		if in.err == nil {
			s.peer = do.join
			s.queue = append(s.queue, request{do: leaveRequest{}})
		}
	case leaveRequest:
		s.peer = 0
	}
}

func (s *session) happen(now time.Duration, in happened, out *output) {
	if s.bye != nil {
		return
	}
	lost, end := in.event.(sfu.Gone)
	join, joining := s.runningJoin()
	switch {
	case joining && in.join == join:
		switch {
		case s.arriving.take(in.event): // the Snapshot that stands for those missed does not say it
		case len(s.early) < maxEarly || end:
			s.early = append(s.early, in.event)
		default:
			s.missed = true
		}
	case in.join != s.peer || s.peer == 0:
		// A peer that another has replaced.
	case joining && end:
		// Our own second join replaces our own first peer: only if that join fails is this the end.
		s.deferred = &lost
	default:
		s.tell(now, in.event, out)
	}
}

// runningJoin returns the generation of the join that the SFU is working on.
func (s *session) runningJoin() (uint64, bool) {
	if s.running == nil {
		return 0, false
	}
	do, ok := s.running.do.(joinRequest)
	return do.join, ok
}

// tell numbers an event and hands it to the client, now or when it resumes.
func (s *session) tell(now time.Duration, event sfu.Event, out *output) {
	if lost, ok := event.(sfu.Gone); ok {
		s.lostPeer(now, lost, out)
		return
	}
	if s.standing.take(event) {
		return
	}
	if frame := eventOut(event); frame != nil {
		s.number(now, frame, out)
	}
}

// sayStanding says what stands and has not been said, once the client has all that came before.
func (s *session) sayStanding(now time.Duration, out *output) {
	if s.conn == 0 || s.hold || s.greeting || s.peer == 0 || s.bye != nil {
		return
	}
	for _, frame := range s.standing.due() {
		s.number(now, frame, out)
	}
}

func (s *session) number(now time.Duration, frame *wire.ServerFrame, out *output) {
	s.log.append(now, frame)
	s.flush(out)
}

// flush hands over the events that the attached connection has not had yet.
func (s *session) flush(out *output) {
	if s.conn == 0 || s.hold {
		return
	}
	if !s.log.holds(s.sent) {
		s.snapshot(0, out)
		return
	}
	out.frames = append(out.frames, s.log.after(s.sent)...)
	s.sent = s.log.last
}

// lostPeer: the peer is no longer in the room, and it was not the client's wish.
func (s *session) lostPeer(now time.Duration, lost sfu.Gone, out *output) {
	s.peer, s.pending, s.standing = 0, nil, standing{}
	// Nothing of what was done is left: who asks again means the next peer.
	s.answers = answers{}
	switch lost.Reason {
	case sfu.GoneReplaced:
		s.end(now, wire.Bye_REPLACED, wire.Bye_STOP, out)
	case sfu.GoneShutdown:
		s.end(now, wire.Bye_SHUTDOWN, wire.Bye_REJOIN, out)
	default:
		s.silent, s.silentAt = true, now
		snapshot := &wire.Snapshot{Seq: s.log.last + 1}
		s.number(now, &wire.ServerFrame{Message: &wire.ServerFrame_Snapshot{Snapshot: snapshot}}, out)
	}
}
