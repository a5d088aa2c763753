package janus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/server/peer"
)

const (
	plugin = "janus.plugin.videoroom"
	// keepalive: Janus ends sessions that are silent for 60 s.
	keepalive = 25 * time.Second
	// settleWithin is how long Janus may take to answer once somebody is in the room.
	settleWithin = 10 * time.Second
	// publishersMost is how many may publish in a room that is created here: all who come.
	publishersMost = 10_000
)

// Dialer dials into one server.
type Dialer struct{ url string }

// New returns a Dialer; url is ws://host:port, or http:// for the same.
func New(url string) *Dialer { return &Dialer{url} }

// Dial implements caller.Dialer.
func (d *Dialer) Dial(ctx context.Context, p caller.Participant) (caller.Connection, error) {
	return peer.Dial(ctx, p, "websocket", d.open)
}

// session is a participant's stay.
type session struct {
	// Fixed after open.
	link       *link
	media      *peer.Media
	loopback   bool
	name       string // of the participant as a publisher
	publishing uint64 // handle
	receiving  uint64 // handle
	ended      chan struct{}
	cancel     context.CancelFunc

	running sync.WaitGroup
	ending  sync.Once
	offers  chan *reply   // that Janus makes by itself
	changed chan struct{} // one place: others have come
	streams atomic.Pointer[[]stream]

	// Owned by receive.
	subscriber *webrtc.PeerConnection // nil before there is something to subscribe to

	// Guarded by mu.
	mu     sync.Mutex
	others []publisher
}

func (d *Dialer) open(ctx context.Context, m *peer.Media) (peer.Session, error) {
	u, loopback, err := peer.WebSocketURL(d.url)
	if err != nil {
		return nil, err
	}
	socket, err := peer.OpenSocket(ctx, m.Participant().Network, u.String(), "janus-protocol", nil)
	if err != nil {
		return nil, err
	}
	m.Step(measure.Connect)
	s := &session{
		link: &link{socket: socket, waiting: map[string]chan *reply{}}, media: m, loopback: loopback, ended: make(chan struct{}),
		// Janus makes one offer at a time and waits for the answer; others are of m-lines that changed meanwhile.
		offers: make(chan *reply, 64), changed: make(chan struct{}, 1),
		// Not the identity alone: Janus may keep a ghost of an earlier session for a minute.
		name: m.Participant().Identity + "~" + rand.Text()[:6],
	}
	s.streams.Store(new([]stream))
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.running.Go(func() {
		s.link.read(lasting, s.hear)
		s.over()
	})
	if err := s.enter(ctx); err != nil {
		s.Close()
		return nil, err
	}
	m.Step(measure.Join)
	s.running.Go(func() { s.receive(lasting) })
	s.running.Go(func() { s.keepAlive(lasting) })
	return s, nil
}

// enter joins the room, which is created if need be, and publishes.
func (s *session) enter(ctx context.Context) error {
	created, err := s.link.ask(ctx, request{Janus: "create"})
	if err != nil {
		return fmt.Errorf("create a session: %w", err)
	}
	s.link.mu.Lock()
	s.link.session = created.Data.ID
	s.link.mu.Unlock()
	if s.publishing, err = s.attach(ctx); err != nil {
		return err
	}
	if s.receiving, err = s.attach(ctx); err != nil {
		return err
	}
	p := s.media.Participant()
	room := map[string]any{
		"request": "create", "room": p.Room, "publishers": publishersMost, "audiocodec": "opus", "videocodec": "vp8",
	}
	_, err = s.link.ask(ctx, request{Janus: "message", Handle: s.publishing, Body: room})
	var refused *refusal
	if err != nil && (!errors.As(err, &refused) || refused.code != codeRoomExists) {
		return fmt.Errorf("create room %s: %w", p.Room, err)
	}
	joined, err := s.join(ctx, p)
	if err != nil {
		return fmt.Errorf("join room %s: %w", p.Room, err)
	}
	s.note(joined.Plugin.Data)
	return nil
}

func (s *session) attach(ctx context.Context) (uint64, error) {
	attached, err := s.link.ask(ctx, request{Janus: "attach", Plugin: plugin})
	if err != nil {
		return 0, fmt.Errorf("attach to %s: %w", plugin, err)
	}
	return attached.Data.ID, nil
}

// join comes with an offer where there is something to publish, which saves a round trip.
func (s *session) join(ctx context.Context, p caller.Participant) (*reply, error) {
	body := map[string]any{"request": "join", "ptype": "publisher", "room": p.Room, "id": s.name, "display": p.Identity}
	if len(p.Tracks) == 0 {
		return s.link.ask(ctx, request{Janus: "message", Handle: s.publishing, Body: body})
	}
	pc, err := s.media.Open(s.loopback, nobody)
	if err != nil {
		return nil, err
	}
	lines, err := s.media.Publish(pc)
	if err != nil {
		return nil, err
	}
	offer, err := peer.Offer(ctx, pc, false)
	if err != nil {
		return nil, err
	}
	var names []map[string]string
	for i, tr := range lines {
		names = append(names, map[string]string{"mid": tr.Mid(), "description": p.Tracks[i].ID})
	}
	body["request"], body["descriptions"] = "joinandconfigure", names
	joined, err := s.link.ask(ctx, request{
		Janus: "message", Handle: s.publishing, Body: body, JSEP: &jsep{Type: "offer", SDP: offer},
	})
	if err != nil {
		return nil, err
	}
	if joined.JSEP == nil {
		return nil, errors.New("the server did not answer the offer")
	}
	err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: joined.JSEP.SDP})
	if err != nil {
		return nil, fmt.Errorf("take the answer: %w", err)
	}
	return joined, nil
}

// nobody: nothing comes in over the publisher's PeerConnection.
func nobody(*webrtc.TrackRemote, string) (string, string) { return "", "" }

// hear takes what Janus says unasked. It runs on the link's reader.
func (s *session) hear(r *reply) {
	switch {
	case r.Janus == "hangup" || r.Janus == "timeout" || r.Janus == "detached":
		s.over()
	case r.Janus != "event":
	case r.Sender == s.receiving:
		select {
		case s.offers <- r:
		default: // it does not wait for answers: the session is of no use
			s.over()
		}
	default:
		s.note(r.Plugin.Data)
	}
}

func (s *session) over() { s.ending.Do(func() { close(s.ended) }) }

// note keeps who publishes.
func (s *session) note(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, gone := range []any{e.Unpublished, e.Leaving} {
		s.others = slices.DeleteFunc(s.others, func(p publisher) bool { return p.ID == gone })
	}
	for _, p := range e.Publishers {
		i := slices.IndexFunc(s.others, func(known publisher) bool { return known.ID == p.ID })
		if i < 0 {
			s.others = append(s.others, p)
		} else {
			s.others[i] = p
		}
	}
	select {
	case s.changed <- struct{}{}:
	default: // it will see this, too
	}
}

// receive subscribes to others, and answers Janus's offers.
func (s *session) receive(ctx context.Context) {
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case offer := <-s.offers:
			err = s.take(ctx, offer)
		case <-s.changed:
		}
		if err == nil {
			err = s.subscribe(ctx)
		}
		if err != nil {
			s.over()
			return
		}
	}
}

// feed names a stream of a publisher.
type feed struct {
	Feed string `json:"feed"`
	MID  string `json:"mid"`
}

// missing are the streams to subscribe to, as far as there is room.
func (s *session) missing() []feed {
	p := s.media.Participant()
	room := map[string]int{"audio": p.AudioSlots, "video": p.VideoSlots}
	have := map[feed]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range *s.streams.Load() {
		there := slices.ContainsFunc(s.others, func(p publisher) bool { return p.ID == st.Feed })
		if st.Active && there {
			have[feed{st.Feed, st.FeedMID}] = true
			room[st.Type]--
		}
	}
	var list []feed
	for _, other := range s.others {
		for _, st := range other.Streams {
			f := feed{other.ID, st.MID}
			if !have[f] && !st.Disabled && room[st.Type] > 0 {
				room[st.Type]--
				list = append(list, f)
			}
		}
	}
	return list
}

// subscribe asks for what is missing. A publisher that is just leaving is no error: its leaving will be told.
func (s *session) subscribe(ctx context.Context) error {
	list := s.missing()
	if len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	body := map[string]any{"request": "update", "subscribe": list}
	if s.subscriber == nil {
		body = map[string]any{"request": "join", "ptype": "subscriber", "room": s.media.Participant().Room, "streams": list}
	}
	r, err := s.link.ask(ctx, request{Janus: "message", Handle: s.receiving, Body: body})
	if errors.Is(err, peer.ErrRefused) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.take(ctx, r)
}

// take notes which stream flows in which m-line and answers the offer, if there is one.
func (s *session) take(ctx context.Context, r *reply) error {
	if r.Plugin.Data.Streams != nil {
		s.streams.Store(&r.Plugin.Data.Streams)
	}
	if r.JSEP == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	if s.subscriber == nil {
		var err error
		if s.subscriber, err = s.media.Open(s.loopback, s.who); err != nil {
			return err
		}
	}
	answer, err := peer.Answer(ctx, s.subscriber, r.JSEP.SDP)
	if err != nil {
		return err
	}
	start := request{
		Janus: "message", Handle: s.receiving, Body: map[string]any{"request": "start"}, JSEP: &jsep{Type: "answer", SDP: answer},
	}
	if _, err := s.link.ask(ctx, start); err != nil && !errors.Is(err, peer.ErrRefused) {
		return err
	}
	return nil
}

// who implements peer.Who.
func (s *session) who(_ *webrtc.TrackRemote, mid string) (sender, name string) {
	for _, st := range *s.streams.Load() {
		if st.MID == mid {
			return st.Display, st.Description
		}
	}
	return "", ""
}

func (s *session) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(keepalive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ended:
			return
		case <-ticker.C:
		}
		asking, cancel := context.WithTimeout(ctx, settleWithin)
		err := s.link.socket.WriteJSON(asking, request{Janus: "keepalive", Transaction: "keepalive", Session: s.link.session})
		cancel()
		if err != nil {
			return // the reader notices
		}
	}
}

// Ended implements peer.Session.
func (s *session) Ended() <-chan struct{} { return s.ended }

// Dismissed implements peer.Session: Janus never says so.
func (s *session) Dismissed() bool { return false }

// Mend implements peer.Session: Janus knows ICE restarts, but its WebSocket would not live on.
func (s *session) Mend(context.Context) bool { return false }

// Close implements peer.Session.
func (s *session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// The room hears at once, and no earlier than with this.
	_, _ = s.link.ask(ctx, request{Janus: "destroy"})
	s.cancel()
	s.link.socket.Close()
	s.running.Wait()
}
