package plain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/measure"
)

const (
	// answerWithin is how long a participant may take to answer an offer, or to send its first message.
	answerWithin = 10 * time.Second
	// keyframesApart: at most two requests a second reach a publisher, however many subscribers ask.
	keyframesApart = 500 * time.Millisecond
)

// participant is one who is there. Its stay is on one goroutine, that negotiates; another reads its WebSocket.
type participant struct {
	// Fixed after stay has heard the first message.
	server *sfu
	ws     *websocket.Conn
	join   *join
	room   *room
	pc     *webrtc.PeerConnection
	end    context.CancelCauseFunc

	changed chan struct{} // one place: somebody came, went or publishes
	answers chan string   // one place

	running sync.WaitGroup

	// Owned by negotiate.
	sending map[*track]*webrtc.RTPSender

	// Guarded by the server's mu.
	published []*track
}

// stay returns once the participant has left, or was sent away with a word why.
func (p *participant) stay() {
	ctx, end := context.WithCancelCause(p.server.ctx)
	defer end(nil)
	p.end = end
	err := p.welcome(ctx)
	if err == nil {
		err = p.open(ctx)
	}
	if err != nil {
		p.dismiss(err)
		return
	}
	p.server.enter(p)
	p.running.Go(p.listen)
	for err == nil {
		if err = p.negotiate(ctx); err != nil {
			break
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	p.server.leave(p)
	end(err)
	p.dismiss(err)
	// There is nothing to be done about one that does not close clean.
	_ = p.pc.GracefulClose()
	p.running.Wait()
}

// welcome hears the first message.
func (p *participant) welcome(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var first message
	if err := p.hear(ctx, &first); err != nil {
		return err
	}
	p.join = first.Join
	return p.join.check()
}

// listen takes answers until the WebSocket is closed. It does not heed the participant's own end: then there is a word to say.
func (p *participant) listen() {
	for {
		var m message
		if err := p.hear(p.server.ctx, &m); err != nil {
			p.end(err)
			return
		}
		select {
		case p.answers <- m.Answer:
		default:
			p.end(errors.New("an answer without an offer"))
		}
	}
}

// errLost: the participant may come again.
var errLost = errors.New("lost touch")

// dismiss says why, where that is final, and hangs up.
func (p *participant) dismiss(why error) {
	ctx, cancel := context.WithTimeout(p.server.ctx, time.Second)
	defer cancel()
	if !errors.Is(why, errLost) {
		_ = p.say(ctx, message{Error: why.Error()}) // most have hung up
	}
	_ = p.ws.CloseNow()
}

func (p *participant) open(ctx context.Context) error {
	api, err := p.server.api()
	if err != nil {
		return err
	}
	if p.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return err
	}
	p.pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { p.publish(ctx, remote) })
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			p.server.askAll(p) // what they sent before was not for this one
		case webrtc.PeerConnectionStateFailed:
			p.end(fmt.Errorf("%w: the media path has failed", errLost))
		}
	})
	for _, kind := range p.join.Publish {
		of := webrtc.RTPCodecTypeAudio
		if kind == measure.Video {
			of = webrtc.RTPCodecTypeVideo
		}
		receives := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := p.pc.AddTransceiverFromKind(of, receives); err != nil {
			return errors.Join(err, p.pc.Close())
		}
	}
	return nil
}

// negotiate brings the PeerConnection to what the room is now: one offer, one answer.
func (p *participant) negotiate(ctx context.Context) error {
	fresh, gone := p.server.due(p)
	if p.pc.RemoteDescription() != nil && len(fresh) == 0 && len(gone) == 0 {
		return nil
	}
	for _, t := range gone {
		if err := p.pc.RemoveTrack(p.sending[t]); err != nil {
			return fmt.Errorf("take a track away: %w", err)
		}
		delete(p.sending, t)
	}
	for _, t := range fresh {
		sender, err := p.pc.AddTrack(t.local)
		if err != nil {
			return fmt.Errorf("add a track: %w", err)
		}
		p.sending[t] = sender
		p.running.Go(func() { heed(sender, t) })
	}
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("%w: an offer was not answered", errLost))
	defer cancel()
	select {
	case <-gathered:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := p.say(ctx, message{Offer: p.pc.LocalDescription().SDP}); err != nil {
		return err
	}
	select {
	case answer := <-p.answers:
		err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
		if err != nil {
			return fmt.Errorf("take the answer: %w", err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, t := range fresh {
		t.ask()
	}
	return nil
}

// heed passes a subscriber's wish for a keyframe on. The interceptors live on what is read: reports and NACKs among it.
func heed(sender *webrtc.RTPSender, t *track) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				t.ask()
			}
		}
	}
}

// publish forwards a track until it ends.
func (p *participant) publish(ctx context.Context, remote *webrtc.TrackRemote) {
	local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.ID(), p.join.Identity)
	if err != nil {
		p.end(err)
		return
	}
	t := &track{from: p, remote: remote, local: local}
	if !p.server.offer(t, func() { t.forward(ctx) }) {
		return
	}
	t.ask()
}

func (p *participant) hear(ctx context.Context, to *message) error {
	_, b, err := p.ws.Read(ctx)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func (p *participant) say(ctx context.Context, m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return p.ws.Write(ctx, websocket.MessageText, b)
}

// track is one that somebody publishes.
type track struct {
	from   *participant
	remote *webrtc.TrackRemote
	local  *webrtc.TrackLocalStaticRTP

	// Guarded by mu.
	mu      sync.Mutex
	asked   time.Time
	waiting *time.Timer
	over    bool
}

func (t *track) forward(ctx context.Context) {
	defer t.stop()
	for {
		packet, _, err := t.remote.ReadRTP()
		if err != nil || ctx.Err() != nil {
			return
		}
		// Their ids are those of one connection.
		packet.Extension, packet.Extensions = false, nil
		// A subscriber that is just leaving cannot be written to; that must not harm the others, and pion has written to them.
		_ = t.local.WriteRTP(packet)
	}
}

// ask requests a keyframe: now, or as soon as the last request is old enough.
func (t *track) ask() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.remote.Kind() != webrtc.RTPCodecTypeVideo || t.over || t.waiting != nil {
		return
	}
	wait := time.Until(t.asked.Add(keyframesApart))
	if wait <= 0 {
		t.send()
		return
	}
	t.waiting = time.AfterFunc(wait, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting = nil
		if !t.over {
			t.send()
		}
	})
}

func (t *track) send() {
	t.asked = time.Now()
	// An error means that its publisher is leaving.
	_ = t.from.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.remote.SSRC())}})
}

func (t *track) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.waiting != nil {
		t.waiting.Stop()
		t.waiting = nil
	}
}
