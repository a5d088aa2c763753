package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/proto"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/server/peer"
)

const (
	// resumeWithin bounds the attempts to resume a session; then the participant comes anew.
	resumeWithin = 10 * time.Second
	resumeEvery  = 500 * time.Millisecond
	sayWithin    = 5 * time.Second
)

// session is a participant's stay. One goroutine, run, owns all that is not marked otherwise.
type session struct {
	// Fixed after open.
	dialer    *dialer
	media     *peer.Media
	publisher *line // nil: there is nothing to publish
	listener  *line
	ended     chan struct{}
	cancel    context.CancelFunc
	leaving   <-chan struct{} // closed by cancel
	mends     chan mending
	joined    chan error // one place: how coming in went

	running sync.WaitGroup
	ending  sync.Once
	names   atomic.Pointer[map[string]name] // by track sid

	socket     peer.Socket
	said       chan *livekit.SignalResponse // closed when the socket has ended
	reading    sync.WaitGroup
	sid        string
	in         bool
	others     map[string]*livekit.ParticipantInfo // by sid
	subscribed map[string]bool                     // by track sid
	dismissed  bool                                // final once ended is closed
}

// name says whose a track is.
type name struct{ sender, track string }

// mending is a wish to bring media back.
type mending struct {
	ctx  context.Context
	done chan bool
}

// line is one of the two PeerConnections.
type line struct {
	pc      *webrtc.PeerConnection
	waiting []webrtc.ICECandidateInit // until there is a description they belong to
}

func (d *dialer) open(ctx context.Context, m *peer.Media) (peer.Session, error) {
	s := &session{
		dialer: d, media: m, ended: make(chan struct{}), mends: make(chan mending), joined: make(chan error, 1),
		others: map[string]*livekit.ParticipantInfo{}, subscribed: map[string]bool{},
	}
	s.names.Store(&map[string]name{})
	var err error
	if s.socket, err = d.connect(ctx, m.Participant(), ""); err != nil {
		return nil, err
	}
	m.Step(measure.Connect)
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel, s.leaving = cancel, lasting.Done()
	s.listen()
	if err := s.enter(ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.running.Go(func() { s.run(lasting) })
	select {
	case err = <-s.joined:
	case <-s.ended:
		err = errors.New("the server ended the session before it had begun")
	case <-ctx.Done():
		err = fmt.Errorf("wait for the answer: %w", ctx.Err())
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	m.Step(measure.Join)
	return s, nil
}

// listen reads the socket, until it is closed, on a goroutine of its own.
func (s *session) listen() {
	said, socket := make(chan *livekit.SignalResponse, 64), s.socket
	s.said = said
	s.reading.Go(func() {
		defer close(said)
		for {
			// Not with a context: when that ends, so does the socket, and there is a goodbye to say.
			b, err := socket.Read(context.Background())
			if err != nil {
				return
			}
			m := &livekit.SignalResponse{}
			if err := proto.Unmarshal(b, m); err != nil {
				return
			}
			select {
			case said <- m:
			case <-s.leaving:
				return
			}
		}
	})
}

// enter hears that the server has let us in, and says what we publish.
func (s *session) enter(ctx context.Context) error {
	var join *livekit.JoinResponse
	select {
	case m := <-s.said:
		if leave := m.GetLeave(); leave != nil {
			return fmt.Errorf("%w: %v", peer.ErrRefused, leave.GetReason())
		}
		if join = m.GetJoin(); join == nil {
			return errors.New("the server did not say that we are in")
		}
	case <-ctx.Done():
		return fmt.Errorf("wait for the server's word: %w", ctx.Err())
	}
	s.media.Step(measure.Auth)
	s.sid = join.GetParticipant().GetSid()
	s.note(join.GetOtherParticipants())
	pc, err := s.media.Open(s.dialer.loopback, s.who)
	if err != nil {
		return err
	}
	s.listener = &line{pc: pc}
	if err := s.subscribe(); err != nil {
		return err
	}
	p := s.media.Participant()
	if len(p.Tracks) == 0 {
		s.enters(nil)
		return nil
	}
	if pc, err = s.media.Open(s.dialer.loopback, nobody); err != nil {
		return err
	}
	s.publisher = &line{pc: pc}
	if _, err := s.media.Publish(pc); err != nil {
		return err
	}
	for _, t := range p.Tracks {
		if err := s.say(&livekit.SignalRequest{Message: &livekit.SignalRequest_AddTrack{AddTrack: trackOf(t)}}); err != nil {
			return err
		}
	}
	return s.offer(ctx, false)
}

func trackOf(t caller.Track) *livekit.AddTrackRequest {
	// The server knows a track by the id in its a=msid.
	add := &livekit.AddTrackRequest{Cid: t.Local.ID(), Name: t.ID}
	switch {
	case t.Kind == measure.Audio:
		add.Type, add.Source = livekit.TrackType_AUDIO, livekit.TrackSource_MICROPHONE
	case t.ID == "screen":
		add.Type, add.Source = livekit.TrackType_VIDEO, livekit.TrackSource_SCREEN_SHARE
	default:
		add.Type, add.Source = livekit.TrackType_VIDEO, livekit.TrackSource_CAMERA
	}
	return add
}

// nobody: nothing comes in over the publisher's PeerConnection.
func nobody(*webrtc.TrackRemote, string) (string, string) { return "", "" }

// who implements peer.Who: the id of a track is its sid.
func (s *session) who(t *webrtc.TrackRemote, _ string) (sender, track string) {
	n := (*s.names.Load())[t.ID()]
	return n.sender, n.track
}

func (s *session) offer(ctx context.Context, restart bool) error {
	sdp, err := peer.Offer(ctx, s.publisher.pc, restart)
	if err != nil {
		return err
	}
	offer := &livekit.SessionDescription{Type: "offer", Sdp: sdp}
	return s.say(&livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{Offer: offer}})
}

func (s *session) say(r *livekit.SignalRequest) error {
	b, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sayWithin)
	defer cancel()
	return s.socket.Write(ctx, b)
}

// run takes what the server says, until the session ends.
func (s *session) run(ctx context.Context) {
	defer s.over()
	// The server ends connections that are silent for 15 s.
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case m, ok := <-s.said:
			if !ok {
				err = errLost
			} else {
				err = s.heed(ctx, m)
			}
		case <-ticker.C:
			ping := &livekit.Ping{Timestamp: time.Now().UnixMilli()}
			// Where this fails the reader notices.
			_ = s.say(&livekit.SignalRequest{Message: &livekit.SignalRequest_PingReq{PingReq: ping}})
		case m := <-s.mends:
			ok := s.resume(m.ctx)
			m.done <- ok
			if !ok {
				return
			}
		}
		if errors.Is(err, errLost) && ctx.Err() == nil && s.in {
			// Media goes on meanwhile.
			if !s.resume(ctx) {
				return
			}
			s.media.Reconnected()
			continue
		}
		if err != nil {
			s.enters(err)
			return
		}
	}
}

var (
	errLost   = errors.New("the connection has ended")
	errAnew   = errors.New("the server wants us to come anew")
	errLeft   = fmt.Errorf("%w: it sent us away", peer.ErrRefused)
	errResume = errors.New("the session is no more")
)

func (s *session) over() { s.ending.Do(func() { close(s.ended) }) }

// enters tells open how coming in went, once.
func (s *session) enters(err error) {
	if s.in {
		return
	}
	s.in = err == nil
	select {
	case s.joined <- err:
	default: // an error was told already
	}
}

// heed does what one message wants.
func (s *session) heed(ctx context.Context, r *livekit.SignalResponse) error {
	switch m := r.GetMessage().(type) {
	case *livekit.SignalResponse_Answer:
		if s.publisher == nil {
			return nil
		}
		d := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.Answer.GetSdp()}
		if err := s.publisher.pc.SetRemoteDescription(d); err != nil {
			return fmt.Errorf("take the answer: %w", err)
		}
		s.enters(nil)
		return s.publisher.described()
	case *livekit.SignalResponse_Offer:
		return s.answer(ctx, m.Offer)
	case *livekit.SignalResponse_Trickle:
		return s.trickle(m.Trickle)
	case *livekit.SignalResponse_Update:
		s.note(m.Update.GetParticipants())
		return s.subscribe()
	case *livekit.SignalResponse_Leave:
		switch m.Leave.GetAction() {
		case livekit.LeaveRequest_RESUME:
			return errLost
		case livekit.LeaveRequest_RECONNECT:
			return errAnew
		}
		s.dismissed = true
		return fmt.Errorf("%w: %v", errLeft, m.Leave.GetReason())
	}
	return nil
}

// answer takes the server's offer of what we subscribed to.
func (s *session) answer(ctx context.Context, offer *livekit.SessionDescription) error {
	ctx, cancel := context.WithTimeout(ctx, sayWithin)
	defer cancel()
	sdp, err := peer.Answer(ctx, s.listener.pc, offer.GetSdp())
	if err != nil {
		return err
	}
	if err := s.listener.described(); err != nil {
		return err
	}
	answer := &livekit.SessionDescription{Type: "answer", Sdp: sdp, Id: offer.GetId()}
	return s.say(&livekit.SignalRequest{Message: &livekit.SignalRequest_Answer{Answer: answer}})
}

// trickle adds one of the server's candidates.
func (s *session) trickle(t *livekit.TrickleRequest) error {
	l := s.listener
	if t.GetTarget() == livekit.SignalTarget_PUBLISHER {
		l = s.publisher
	}
	var c webrtc.ICECandidateInit
	if err := json.Unmarshal([]byte(t.GetCandidateInit()), &c); err != nil {
		return fmt.Errorf("read a candidate: %w", err)
	}
	if l == nil || c.Candidate == "" {
		return nil
	}
	l.waiting = append(l.waiting, c)
	if l.pc.RemoteDescription() == nil {
		return nil
	}
	return l.described()
}

// described adds the candidates that have waited for a description.
func (l *line) described() error {
	for _, c := range l.waiting {
		if err := l.pc.AddICECandidate(c); err != nil {
			return fmt.Errorf("add a candidate: %w", err)
		}
	}
	l.waiting = nil
	return nil
}

// note keeps who is there and what they publish.
func (s *session) note(infos []*livekit.ParticipantInfo) {
	for _, p := range infos {
		if p.GetSid() == s.sid {
			continue
		}
		if p.GetState() == livekit.ParticipantInfo_DISCONNECTED {
			delete(s.others, p.GetSid())
		} else {
			s.others[p.GetSid()] = p
		}
	}
	names := maps.Clone(*s.names.Load()) // what ends may still be under way
	for _, p := range s.others {
		for _, t := range p.GetTracks() {
			names[t.GetSid()] = name{p.GetIdentity(), t.GetName()}
		}
	}
	s.names.Store(&names)
}

// subscribe asks for what is there, as far as there is room.
func (s *session) subscribe() error {
	p := s.media.Participant()
	room := map[livekit.TrackType]int{livekit.TrackType_AUDIO: p.AudioSlots, livekit.TrackType_VIDEO: p.VideoSlots}
	there := map[string]livekit.TrackType{}
	for _, other := range s.others {
		for _, t := range other.GetTracks() {
			there[t.GetSid()] = t.GetType()
		}
	}
	for sid := range s.subscribed {
		if kind, ok := there[sid]; ok {
			room[kind]--
		} else {
			delete(s.subscribed, sid)
		}
	}
	var sids []string
	for sid, kind := range there {
		if !s.subscribed[sid] && room[kind] > 0 {
			room[kind]--
			s.subscribed[sid] = true
			sids = append(sids, sid)
		}
	}
	if len(sids) == 0 {
		return nil
	}
	return s.say(subscription(sids))
}

func subscription(sids []string) *livekit.SignalRequest {
	update := &livekit.UpdateSubscription{TrackSids: sids, Subscribe: true}
	return &livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{Subscription: update}}
}

// resume goes on with the session on another socket, and restarts ICE; false: the server knows it no more, or is not there.
func (s *session) resume(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, resumeWithin)
	defer cancel()
	for {
		err := s.tryResume(ctx)
		if err == nil {
			return true
		}
		if errors.Is(err, errResume) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(resumeEvery):
		}
	}
}

func (s *session) tryResume(ctx context.Context) error {
	s.socket.Close()
	for range s.said { // until its reader has ended
	}
	socket, err := s.dialer.connect(ctx, s.media.Participant(), s.sid)
	if err != nil {
		return err
	}
	s.socket = socket
	s.listen()
	select {
	case m, ok := <-s.said:
		if !ok {
			return errLost
		}
		if m.GetReconnect() == nil {
			return errResume
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	state := &livekit.SyncState{Subscription: &livekit.UpdateSubscription{Subscribe: true}}
	for sid := range s.subscribed {
		state.Subscription.TrackSids = append(state.Subscription.TrackSids, sid)
	}
	if d := s.listener.pc.CurrentLocalDescription(); d != nil {
		state.Answer = &livekit.SessionDescription{Type: "answer", Sdp: d.SDP}
	}
	if err := s.say(&livekit.SignalRequest{Message: &livekit.SignalRequest_SyncState{SyncState: state}}); err != nil {
		return err
	}
	if s.publisher == nil {
		return nil
	}
	return s.offer(ctx, true)
}

// Ended implements peer.Session.
func (s *session) Ended() <-chan struct{} { return s.ended }

// Dismissed implements peer.Session.
func (s *session) Dismissed() bool { return s.dismissed }

// Mend implements peer.Session.
func (s *session) Mend(ctx context.Context) bool {
	m := mending{ctx, make(chan bool, 1)}
	select {
	case s.mends <- m:
	case <-s.ended:
		return false
	case <-ctx.Done():
		return false
	}
	if !<-m.done {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, resumeWithin)
	defer cancel()
	return s.media.Restored(ctx)
}

// Close implements peer.Session.
func (s *session) Close() {
	s.cancel()
	s.running.Wait()
	// The room hears at once. An error means that it has ended already.
	_ = s.say(&livekit.SignalRequest{Message: &livekit.SignalRequest_Leave{
		Leave: &livekit.LeaveRequest{Reason: livekit.DisconnectReason_CLIENT_INITIATED},
	}})
	s.socket.Close()
	s.reading.Wait()
	s.over()
}
