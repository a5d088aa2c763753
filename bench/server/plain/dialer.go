package plain

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/server/peer"
)

// Dialer dials into one server.
type Dialer struct{ url string }

// New returns a Dialer; url is http://host:port.
func New(url string) *Dialer { return &Dialer{url} }

// Dial implements caller.Dialer.
func (d *Dialer) Dial(ctx context.Context, p caller.Participant) (caller.Connection, error) {
	return peer.Dial(ctx, p, "websocket", d.open)
}

// session is a participant's stay.
type session struct {
	socket  peer.Socket
	ended   chan struct{}
	cancel  context.CancelFunc
	running sync.WaitGroup

	dismissed bool // final once ended is closed
}

func (d *Dialer) open(ctx context.Context, m *peer.Media) (peer.Session, error) {
	u, loopback, err := peer.WebSocketURL(d.url)
	if err != nil {
		return nil, err
	}
	p := m.Participant()
	s := &session{ended: make(chan struct{})}
	if s.socket, err = peer.OpenSocket(ctx, p.Network, u.String(), "", nil); err != nil {
		return nil, err
	}
	m.Step(measure.Connect)
	pc, err := m.Open(loopback, func(t *webrtc.TrackRemote, _ string) (string, string) { return t.StreamID(), t.ID() })
	if err == nil {
		err = s.enter(ctx, pc, m)
	}
	if err != nil {
		s.socket.Close()
		return nil, err
	}
	m.Step(measure.Join)
	// Offers follow as long as the session lasts, whatever becomes of ctx.
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.running.Go(func() {
		defer close(s.ended)
		var err error
		for err == nil {
			err = s.next(lasting, pc)
		}
		s.dismissed = errors.Is(err, peer.ErrRefused)
	})
	return s, nil
}

// enter joins and answers the first offer.
func (s *session) enter(ctx context.Context, pc *webrtc.PeerConnection, m *peer.Media) error {
	p := m.Participant()
	j := &join{Room: p.Room, Identity: p.Identity, Audio: p.AudioSlots, Video: p.VideoSlots}
	for _, t := range p.Tracks {
		j.Publish = append(j.Publish, t.Kind)
		// Not a transceiver that only sends: the server may use the same m-line for what it sends.
		sender, err := pc.AddTrack(t.Local)
		if err != nil {
			return fmt.Errorf("publish %s: %w", t.ID, err)
		}
		m.Hear(sender, t.ID)
	}
	if err := s.socket.WriteJSON(ctx, message{Join: j}); err != nil {
		return err
	}
	return s.next(ctx, pc)
}

// next answers one offer.
func (s *session) next(ctx context.Context, pc *webrtc.PeerConnection) error {
	var said message
	if err := s.socket.ReadJSON(ctx, &said); err != nil {
		return err
	}
	if said.Error != "" {
		return fmt.Errorf("%w: %s", peer.ErrRefused, said.Error)
	}
	answer, err := peer.Answer(ctx, pc, said.Offer)
	if err != nil {
		return err
	}
	return s.socket.WriteJSON(ctx, message{Answer: answer})
}

// Ended implements peer.Session.
func (s *session) Ended() <-chan struct{} { return s.ended }

// Dismissed implements peer.Session.
func (s *session) Dismissed() bool { return s.dismissed }

// Mend implements peer.Session: there is no other way than to come anew.
func (s *session) Mend(context.Context) bool { return false }

// Close implements peer.Session.
func (s *session) Close() {
	s.cancel()
	s.socket.Close()
	s.running.Wait()
}
