package signaling

import (
	"errors"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// What the session asks of the SFU, and what the SFU says of its own accord.

// enqueue takes a request on, unless too many wait. A client that has resumed sends again what it has no answer to; if that is
// still on its way, it is not done twice: a Join done twice would give the client the answer for a peer that is replaced.
func (s *session) enqueue(r request, out *output) bool {
	if r.frame != 0 && s.isUnderWay(r.frame) {
		return false
	}
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

func (s *session) isUnderWay(frame uint64) bool {
	if s.running != nil && s.running.frame == frame {
		return true
	}
	return slices.ContainsFunc(s.queue, func(r request) bool { return r.frame == frame })
}

// start hands out the next request when none is running.
func (s *session) start(out *output) {
	if s.running != nil || len(s.queue) == 0 {
		return
	}
	next := s.queue[0]
	s.queue = s.queue[1:]
	switch do := next.do.(type) {
	case joinRequest:
		s.joins++
		do.join, do.again = s.joins, s.peer != 0
		next.do = do
	case stateRequest:
		next.seq = s.log.last
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
		s.answerState(now, done, in, out)
	case leaveRequest:
		s.peer = 0
		s.ok(done.frame, out)
		s.end(now, wire.Bye_LEFT, wire.Bye_STOP, out)
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
		s.say(out, wire.Reply(done.frame, &wire.ServerFrame_Sdp{Sdp: answer}))
	default:
		if in.err != nil {
			s.explain(done.frame, in.err, out)
			return
		}
		s.ok(done.frame, out)
	}
}

func (s *session) answerJoin(now time.Duration, done *request, do joinRequest, in answered, out *output) {
	s.joining = slices.ContainsFunc(s.queue, func(r request) bool { _, ok := r.do.(joinRequest); return ok })
	early, missed, lost := s.early, s.missed, s.deferred
	s.early, s.missed, s.deferred = nil, false, nil

	if in.err != nil {
		s.explain(done.frame, in.err, out)
		if lost != nil {
			s.lostPeer(now, *lost, out)
		}
		return
	}
	s.peer, s.silent, s.pending = do.join, false, nil
	joined, _ := in.result.(sfu.Joined)
	answer, err := wire.Answer(joined.Answer)
	if err != nil {
		s.explain(done.frame, err, out)
		return
	}
	s.say(out, wire.Reply(done.frame, &wire.ServerFrame_Joined{Joined: &wire.Joined{
		PeerId: joined.PeerID, Answer: answer, Peers: peersOut(joined.Peers), Slots: slotsOut(joined.Slots),
	}}))
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

func (s *session) answerState(now time.Duration, done *request, in answered, out *output) {
	if done.conn != s.conn || s.conn == 0 {
		return // who asked is gone; whoever came after has asked for itself
	}
	s.hold = false
	s.sent = done.seq
	what := &wire.Snapshot{Seq: done.seq}
	switch current, ok := in.result.(state); {
	case in.err == nil && ok:
		what.Joined, what.Peers, what.Slots = true, peersOut(current.peers), slotsOut(current.slots)
	case errors.Is(in.err, sfu.ErrGone) || errors.Is(in.err, sfu.ErrClosed):
		// The event that says so is on its way.
	default:
		s.explain(done.frame, in.err, out)
		s.end(now, wire.Bye_INTERNAL_ERROR, wire.Bye_REJOIN, out)
		return
	}
	s.say(out, wire.Reply(done.frame, &wire.ServerFrame_Snapshot{Snapshot: what}))
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
		if len(s.early) < maxEarly || end {
			s.early = append(s.early, in.event)
		} else {
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
	if frame := eventOut(event); frame != nil {
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
	s.peer, s.pending = 0, nil
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
