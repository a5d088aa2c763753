package signaling

import (
	"errors"
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// What the client says, and what it is told about it.

func (s *session) receive(now time.Duration, in received, out *output) {
	if in.conn != s.conn || s.conn == 0 {
		return // a displaced connection speaks
	}
	id := in.frame.GetId()
	if !s.within(s.frameLimit, &s.frames, now, id, "frames", out) {
		return
	}
	s.log.forget(min(in.frame.GetAck(), s.sent))
	s.answers.handled(min(in.frame.GetAck(), s.sent))

	switch m := in.frame.GetMessage().(type) {
	case *wire.ClientFrame_Ping:
		s.say(out, wire.Reply(id, &wire.ServerFrame_Pong{Pong: &wire.Pong{
			ClientTimeMs: m.Ping.GetClientTimeMs(), ServerTimeMs: s.wall(now),
		}}))
	case *wire.ClientFrame_Hello, *wire.ClientFrame_Resume:
		s.sayError(id, &wire.Error{
			Code: wire.Error_PROTOCOL, Message: "hello, resume: only the first frame of a connection may be one",
		}, out)
	case nil:
		s.sayError(id, &wire.Error{
			Code: wire.Error_PROTOCOL, Message: "message: none that this server knows; it speaks version 1",
		}, out)
	default:
		if !s.repeat(in.frame, out) {
			s.change(now, in.frame, out)
		}
	}
}

// change takes a request that makes a difference, for the first time.
func (s *session) change(now time.Duration, frame *wire.ClientFrame, out *output) {
	id := frame.GetId()
	switch m := frame.GetMessage().(type) {
	case *wire.ClientFrame_Join:
		s.join(now, id, m.Join, out)
	case *wire.ClientFrame_Leave:
		s.leave(now, id, out)
	case *wire.ClientFrame_Publish:
		s.publish(now, id, m.Publish, out)
	case *wire.ClientFrame_Unpublish:
		s.unpublish(now, id, m.Unpublish, out)
	case *wire.ClientFrame_Subscribe:
		s.subscribe(id, m.Subscribe, out)
	case *wire.ClientFrame_Sdp:
		s.renegotiate(now, id, m.Sdp, out)
	case *wire.ClientFrame_Mute:
		s.mute(now, id, m.Mute, out)
	case *wire.ClientFrame_Roster:
		s.roster(id, m.Roster, out)
	}
}

// repeat tells whether a request with this id has been here before, and sees to its answer: a client that has resumed asks
// again what it has no answer to, and what was done must not be done twice.
func (s *session) repeat(frame *wire.ClientFrame, out *output) bool {
	id := frame.GetId()
	if id == 0 {
		return false
	}
	if s.isUnderWay(id) {
		return true // its answer will come
	}
	if len(s.held) >= maxAnswers {
		s.refuseFor(id, time.Second, "requests: too many answers are waiting for the room's state", out)
		return true
	}
	a := s.answers.find(id)
	switch {
	case a != nil && a.conn != 0:
		// This connection brings the answer; it and the second asking have passed each other.
	case a != nil && a.join != 0:
		s.enqueue(request{frame: id, conn: s.conn, do: stateRequest{join: a.join, joined: a.frame.GetJoined()}}, out)
	case a != nil:
		a.conn, a.after = s.conn, s.sent
		if a.frame == nil {
			s.sayInTurn(out, okTo(id))
			return true
		}
		s.sayInTurn(out, a.frame)
	case id <= s.answers.gone && frame.GetRoster() == nil: // which changes nothing, and may be asked for however often
		s.refuse(id, wire.Error_PROTOCOL, fmt.Sprintf("id: %d is too old, its answer is no longer kept; ask again with a new id", id), out)
	default:
		return false
	}
	return true
}

// garbled ends the session: after bytes that are no frame, nothing says that the next ones are what they seem.
func (s *session) garbled(now time.Duration, in garbled, out *output) {
	if in.conn != s.conn || s.conn == 0 {
		return
	}
	s.fail(now, 0, frameError(in.err), out)
}

func (s *session) join(now time.Duration, id uint64, m *wire.Join, out *output) {
	if len(m.GetName()) > 0 {
		if err := checkName(m.GetName()); err != nil {
			s.refuse(id, wire.Error_PROTOCOL, fmt.Sprintf("join.name: %v", err), out)
			return
		}
	}
	if !s.grants.Publish && len(m.GetTracks()) > 0 {
		s.refuse(id, wire.Error_FORBIDDEN, "join.tracks: the token does not allow to publish", out)
		return
	}
	tracks, ok := s.tracks(id, "join.tracks", m.GetTracks(), out)
	if !ok {
		return
	}
	offer, ok := s.offer(now, id, "join.offer", m.GetOffer(), out)
	if !ok {
		return
	}
	s.enqueue(request{frame: id, do: joinRequest{req: sfu.JoinRequest{
		Tenant: s.grants.Tenant, Room: s.grants.Room, Identity: s.grants.Identity, Name: m.GetName(),
		Publish: s.grants.Publish, Subscribe: s.grants.Subscribe,
		Offer: offer, Tracks: tracks, Device: deviceOf(m.GetDevice()), Profile: profileOf(m.GetOffer()),
	}}}, out)
}

func (s *session) leave(now time.Duration, id uint64, out *output) {
	if s.peer == 0 && !s.joining {
		s.ok(id, out)
		s.end(now, wire.Bye_LEFT, wire.Bye_STOP, out)
		return
	}
	s.enqueue(request{frame: id, do: leaveRequest{}}, out)
}

func (s *session) publish(now time.Duration, id uint64, m *wire.Publish, out *output) {
	if !s.inRoom(id, "publish", out) {
		return
	}
	if !s.grants.Publish {
		s.refuse(id, wire.Error_FORBIDDEN, "publish: the token does not allow it", out)
		return
	}
	tracks, ok := s.tracks(id, "publish.tracks", m.GetTracks(), out)
	if !ok {
		return
	}
	if m.GetOffer() == nil {
		if len(s.pending)+len(tracks) > maxTracks {
			s.refuse(id, wire.Error_TOO_LARGE, fmt.Sprintf("publish.tracks: more than %d wait for an offer", maxTracks), out)
			return
		}
		s.pending = append(s.pending, tracks...)
		s.ok(id, out)
		return
	}
	offer, ok := s.offer(now, id, "publish.offer", m.GetOffer(), out)
	if !ok {
		return
	}
	s.negotiate(id, offer, tracks, profileOf(m.GetOffer()), out)
}

func (s *session) renegotiate(now time.Duration, id uint64, m *wire.Sdp, out *output) {
	if !s.inRoom(id, "sdp", out) {
		return
	}
	offer, ok := s.offer(now, id, "sdp", m, out)
	if !ok {
		return
	}
	s.negotiate(id, offer, nil, profileOf(m), out)
}

// negotiate takes along the tracks that were published ahead of their offer.
func (s *session) negotiate(id uint64, offer string, tracks []sfu.Track, profile sfu.Profile, out *output) {
	if s.enqueue(request{frame: id, do: negotiateRequest{offer: offer, tracks: append(s.pending, tracks...), profile: profile}}, out) {
		s.pending = nil
	}
}

func (s *session) unpublish(now time.Duration, id uint64, m *wire.Unpublish, out *output) {
	if !s.inRoom(id, "unpublish", out) || !s.mayTell(now, id, "unpublish", out) {
		return
	}
	if len(m.GetTrackIds()) > maxTracks {
		s.refuse(id, wire.Error_TOO_LARGE, fmt.Sprintf("unpublish.track_ids: more than %d", maxTracks), out)
		return
	}
	s.enqueue(request{frame: id, do: unpublishRequest{ids: m.GetTrackIds()}}, out)
}

func (s *session) subscribe(id uint64, m *wire.Subscribe, out *output) {
	if !s.inRoom(id, "subscribe", out) {
		return
	}
	if !s.grants.Subscribe {
		s.refuse(id, wire.Error_FORBIDDEN, "subscribe: the token does not allow it", out)
		return
	}
	if len(m.GetWishes()) > maxWishes {
		s.refuse(id, wire.Error_TOO_LARGE, fmt.Sprintf("subscribe.wishes: more than %d", maxWishes), out)
		return
	}
	wishes := make([]sfu.Wish, len(m.GetWishes()))
	for i, w := range m.GetWishes() {
		wishes[i] = sfu.Wish{
			PeerID: w.GetPeerId(), TrackID: w.GetTrackId(), Hidden: w.GetHidden(),
			Priority: w.GetPriority(), Width: w.GetWidth(), Height: w.GetHeight(),
		}
	}
	s.enqueue(request{frame: id, do: subscribeRequest{sfu.Subscription{
		Wishes: wishes, VideoPaused: m.GetVideoPaused(), LastN: int(min(m.GetLastN(), maxWishes)),
	}}}, out)
}

func (s *session) roster(id uint64, m *wire.Roster, out *output) {
	if !s.inRoom(id, "roster", out) {
		return
	}
	s.enqueue(request{frame: id, do: rosterRequest{after: m.GetAfter(), limit: int(min(m.GetLimit(), maxWishes))}}, out)
}

func (s *session) mute(now time.Duration, id uint64, m *wire.Mute, out *output) {
	if !s.inRoom(id, "mute", out) || !s.mayTell(now, id, "mute", out) {
		return
	}
	s.enqueue(request{frame: id, do: muteRequest{id: m.GetTrackId(), muted: m.GetMuted()}}, out)
}

// inRoom refuses what makes sense in a room only.
func (s *session) inRoom(id uint64, what string, out *output) bool {
	if s.peer == 0 && !s.joining {
		s.refuse(id, wire.Error_PROTOCOL, what+": join first", out)
		return false
	}
	return true
}

// mayTell bounds what everybody else has to hear: one client's frames become a thousand in a large room, and fill the
// outboxes of those who read slowly.
func (s *session) mayTell(now time.Duration, id uint64, what string, out *output) bool {
	return s.within(newsLimit, &s.news, now, id, what, out)
}

// tracks checks what a client says about its tracks.
func (s *session) tracks(id uint64, field string, in []*wire.Track, out *output) ([]sfu.Track, bool) {
	if len(in) > maxTracks {
		s.refuse(id, wire.Error_TOO_LARGE, fmt.Sprintf("%s: more than %d", field, maxTracks), out)
		return nil, false
	}
	tracks := make([]sfu.Track, len(in))
	for i, t := range in {
		track, err := trackOf(t)
		if err != nil {
			s.refuse(id, wire.Error_PROTOCOL, fmt.Sprintf("%s[%d].%v", field, i, err), out)
			return nil, false
		}
		tracks[i] = track
	}
	return tracks, true
}

// offer unpacks an offer, within the rate at which a client may ask for answers.
func (s *session) offer(now time.Duration, id uint64, field string, m *wire.Sdp, out *output) (string, bool) {
	if m.GetType() != wire.Sdp_OFFER {
		s.refuse(id, wire.Error_PROTOCOL, field+".type: want OFFER, the client always offers", out)
		return "", false
	}
	if !s.within(offerLimit, &s.offers, now, id, field, out) {
		return "", false
	}
	text, err := m.Inflate()
	switch {
	case errors.Is(err, wire.ErrSDPTooLarge):
		s.refuse(id, wire.Error_TOO_LARGE, fmt.Sprintf("%s.deflate: %v", field, err), out)
		return "", false
	case err != nil:
		s.refuse(id, wire.Error_BAD_SDP, fmt.Sprintf("%s.deflate: %v; send raw DEFLATE (RFC 1951)", field, err), out)
		return "", false
	}
	return text, true
}

// say hands the attached connection one frame; answers to a connection that is gone are lost with it.
func (s *session) say(out *output, frame *wire.ServerFrame) {
	if s.conn != 0 {
		out.frames = append(out.frames, frame)
	}
}

// sayInTurn says an answer, but nothing before a Resume has its own.
func (s *session) sayInTurn(out *output, frame *wire.ServerFrame) {
	if s.greeting {
		s.held = append(s.held, frame)
		return
	}
	s.say(out, frame)
}

// reply answers a request that makes a difference, and keeps the answer for when the client asks again. With id 0 it cannot.
func (s *session) reply(frame *wire.ServerFrame, out *output) {
	s.sayInTurn(out, frame)
	s.keep(answer{id: frame.GetId(), frame: frame})
}

// keep remembers an answer that was just said, if to anybody.
func (s *session) keep(a answer) {
	if a.id != 0 && s.bye == nil {
		a.conn, a.after = s.conn, s.sent
		s.answers.keep(a)
	}
}

// ok answers a request that returns nothing else; with id 0 the client wants no answer.
func (s *session) ok(id uint64, out *output) {
	if id != 0 {
		s.sayInTurn(out, okTo(id))
		s.keep(answer{id: id})
	}
}

func okTo(id uint64) *wire.ServerFrame {
	return wire.Reply(id, &wire.ServerFrame_Ok{Ok: &wire.Ok{}})
}

// refuse is the answer to a request that will not be done.
func (s *session) refuse(id uint64, code wire.Error_Code, message string, out *output) {
	s.replyError(id, &wire.Error{Code: code, Message: message}, out)
}

// refuseFor refuses for a while. It is no answer that is kept: the client may ask again with the same id.
func (s *session) refuseFor(id uint64, wait time.Duration, message string, out *output) {
	s.sayError(id, &wire.Error{Code: wire.Error_RATE, Message: message, RetryAfterMs: milliseconds(wait)}, out)
}

// fail refuses and ends the session: it cannot go on after this.
func (s *session) fail(now time.Duration, id uint64, e *wire.Error, out *output) {
	e.Fatal = true
	s.sayError(id, e, out)
	s.end(now, wire.Bye_PROTOCOL_ERROR, wire.Bye_STOP, out)
}

// explain answers with what the SFU says, in the words of the wire.
func (s *session) explain(id uint64, err error, out *output) {
	s.replyError(id, wireError(err), out)
}

func (s *session) replyError(id uint64, e *wire.Error, out *output) {
	out.errors = append(out.errors, e.GetCode())
	s.reply(wire.Reply(id, &wire.ServerFrame_Error{Error: e}), out)
}

// sayError says an error that is no answer to keep.
func (s *session) sayError(id uint64, e *wire.Error, out *output) {
	out.errors = append(out.errors, e.GetCode())
	s.say(out, wire.Reply(id, &wire.ServerFrame_Error{Error: e}))
}

func (s *session) wall(now time.Duration) int64 { return s.epoch.Add(now).UnixMilli() }

func milliseconds(d time.Duration) uint32 { return uint32(max(d, 0) / time.Millisecond) }
