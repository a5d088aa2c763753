package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Receive slots of a Join that does not say, as the web SDK has them.
const (
	DefaultAudioSlots = 3
	DefaultVideoSlots = 9
)

// JoinOptions of Client.Join. The zero value of each field means its default.
type JoinOptions struct {
	// Name is shown to others; at most 128 bytes of UTF-8.
	Name string
	// Tracks to publish from the start.
	Tracks []LocalTrack
	// AudioSlots and VideoSlots to receive in; defaults DefaultAudioSlots and DefaultVideoSlots, negative for none, at most
	// what Welcome allows.
	AudioSlots, VideoSlots int
	// Device is what the server should know of this machine.
	Device Device
	// Saver says that each byte of sound counts; see Room.Save.
	Saver bool
}

// Subscription is all that a client says of what it wants to see.
type Subscription struct {
	// Wishes in order of preference. Tracks not named fill the free slots.
	Wishes []Wish
	// VideoPaused: no video in any slot for now.
	VideoPaused bool
	// LastN bounds the videos in the slots; 0: as many as there are slots.
	LastN int
}

// Wish says how a client wants a track of somebody else.
type Wish struct {
	ParticipantID string
	TrackID       string // empty: every track of the participant
	Hidden        bool   // not at all
	Priority      uint32 // higher first
	Width, Height uint32 // pixels on screen; 0 when unknown
}

// State is how a Room is.
type State uint8

// The states.
const (
	Connecting   State = iota // joined, media on its way
	Connected                 // signaling and media flow
	Reconnecting              // one of them is lost and being mended
	Closed                    // over
)

// String returns the state in words.
func (s State) String() string {
	return [...]string{"connecting", "connected", "reconnecting", "closed"}[min(s, Closed)]
}

// Room is a joined call: who is there, what flows in which slot, what we send. All methods are safe from any goroutine.
type Room struct {
	// Fixed after Join.
	client  *Client
	session *session
	name    string
	device  Device
	slots   []*Slot
	ctx     context.Context
	cancel  context.CancelFunc
	turn    chan struct{} // holds one token while nobody negotiates
	kick    chan struct{} // holds one token while tend has something to look at
	done    chan struct{} // closed when every goroutine of the Room has ended

	// Guarded by mu.
	mu           sync.Mutex
	id           string
	state        State
	media        *media
	joined       bool // the server knows us in the room
	entered      bool // it did once
	open         bool // a connection carries the session
	moved        bool // the network has changed; ICE does not know yet
	over         *EndError
	participants map[string]*Participant
	order        []string // of participants, as they came
	recent       []string // likewise, those learnt of last at the end
	size         int      // of the room, we counted
	saver        bool
	published    []*publication
	subscription Subscription
	mailbox      mailbox
}

// Join enters the token's room and returns when the server has answered; media follows, StateChanged tells. Errors:
// *ServerError, *EndError, ErrJoined, ErrTimeout, those of ctx and of pion. After an error Join may be tried again.
func (c *Client) Join(ctx context.Context, o JoinOptions) (*Room, error) {
	r := &Room{
		client: c, session: c.session, name: o.Name, device: o.Device, saver: o.Saver,
		turn: make(chan struct{}, 1), kick: make(chan struct{}, 1), done: make(chan struct{}),
		participants: map[string]*Participant{}, mailbox: newMailbox(), open: true,
	}
	for _, l := range o.Tracks {
		p, err := newPublication(l)
		if err != nil {
			return nil, err
		}
		r.published = append(r.published, p)
	}
	limits := c.Welcome().GetLimits()
	r.addSlots(Audio, o.AudioSlots, DefaultAudioSlots, limits.GetMaxAudioSlots())
	r.addSlots(Video, o.VideoSlots, DefaultVideoSlots, limits.GetMaxVideoSlots())
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.session.seat(r); err != nil {
		r.cancel()
		return nil, err
	}
	if err := r.enter(ctx); err != nil {
		c.session.unseat(r)
		r.cancel()
		close(r.done)
		return nil, fmt.Errorf("join: %w", err)
	}
	r.turn <- struct{}{}
	go r.tend()
	return r, nil
}

// seat gives the session its room.
func (s *session) seat(r *Room) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over != nil:
		return s.over
	case s.room != nil:
		return ErrJoined
	}
	s.room = r
	return nil
}

func (s *session) unseat(r *Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == r {
		s.room = nil
	}
}

func (r *Room) addSlots(kind Kind, wanted, standard int, limit uint32) {
	if wanted == 0 {
		wanted = standard
	}
	if limit > 0 {
		wanted = min(wanted, int(limit))
	}
	for i := range max(wanted, 0) {
		r.slots = append(r.slots, &Slot{room: r, kind: kind, index: i, packets: make(chan Packet, slotQueue)})
	}
}

// enter joins with a new PeerConnection. The caller has the turn, or is alone.
func (r *Room) enter(ctx context.Context) error {
	r.mu.Lock()
	saver := r.saver
	r.mu.Unlock()
	m, err := newMedia(r.client, saver, r.onICE, r.onTrack)
	if err != nil {
		return err
	}
	if m.bwe != nil {
		m.bwe.Wants(unsaid)
		m.bwe.OnEstimate(func() { r.shareUplink(m) })
	}
	if err = r.enterWith(ctx, m); err != nil {
		r.discard(m)
	}
	return err
}

func (r *Room) enterWith(ctx context.Context, m *media) error {
	r.mu.Lock()
	published := slices.Clone(r.published)
	for _, p := range published {
		p.unshare()
	}
	r.mu.Unlock()
	for _, p := range published {
		if err := m.send(p); err != nil {
			return err
		}
	}
	mids := map[*Slot]*webrtc.RTPTransceiver{}
	for _, s := range r.slots {
		tr, err := m.receive(s)
		if err != nil {
			return err
		}
		m.slots[tr.Receiver()], mids[s] = s, tr
	}
	offer, err := m.offer(false)
	if err != nil {
		return err
	}
	if m.saver {
		offer.Profile = wire.Profile_SAVER
	}
	join := &wire.Join{Name: r.name, Offer: offer, Tracks: r.describe(published), Device: r.device.wire()}
	answer, err := r.session.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Join{Join: join}}, func(f *wire.ServerFrame) {
		var tell []func()
		r.mu.Lock()
		for s, tr := range mids {
			s.mid, s.track, s.layer = tr.Mid(), nil, SlotLayer{Slot: s}
		}
		j := f.GetJoined()
		r.media, r.id, r.joined, r.entered, r.moved = m, j.GetPeerId(), m.saver == r.saver, true, false
		if !r.joined {
			r.nudge() // Save was called meanwhile: once more
		}
		r.setParticipants(j.GetPeers(), j.GetRosterSize())
		r.setSlots(j.GetSlots())
		for _, p := range published { // here, for what came before was of the peer that we were
			if told := p.allWanted(); told != nil {
				tell = append(tell, told)
			}
		}
		r.mu.Unlock()
		for _, told := range tell {
			told()
		}
	})
	if err != nil {
		return err
	}
	if answer.GetJoined() == nil {
		return errors.New("join was not answered by joined")
	}
	return m.answer(answer.GetJoined().GetAnswer())
}

// discard closes a PeerConnection that is of no use any more.
func (r *Room) discard(m *media) {
	r.mu.Lock()
	m.closed = true
	if r.media == m {
		r.media, r.joined = nil, false
		for _, s := range r.slots {
			s.track = nil
		}
	}
	r.mu.Unlock()
	m.close()
}

func (r *Room) describe(list []*publication) []*wire.Track {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*wire.Track
	for _, p := range list {
		kind := Audio
		if p.gates[0].Kind() == webrtc.RTPCodecTypeVideo {
			kind = Video
		}
		out = append(out, &wire.Track{
			TrackId: p.local.ID, Kind: kind, Source: p.local.Source, Mid: p.transceiver.Mid(), Muted: p.muted,
			BackupOf: p.local.BackupOf,
		})
	}
	return out
}

// ID is our own id in the room; a rebuilt Room has another one.
func (r *Room) ID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// State is how the room is now.
func (r *Room) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Participants are the others, in the order in which they came, or were learnt of: of a large room only those the server tells
// of, at most 160.
func (r *Room) Participants() []Participant {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Participant, 0, len(r.order))
	for _, id := range r.order {
		out = append(out, r.participants[id].clone())
	}
	return out
}

// Slots are the receive slots, audio first, then video.
func (r *Room) Slots() []*Slot { return slices.Clone(r.slots) }

// Events is one bounded channel for all readers, closed after Ended.
func (r *Room) Events() <-chan Event { return r.mailbox.events }

// Done is closed when the Room and all its goroutines have ended.
func (r *Room) Done() <-chan struct{} { return r.done }

// Connection is the PeerConnection in use, for statistics and tests; nil while there is none. A rebuilt Room has another.
func (r *Room) Connection() *webrtc.PeerConnection {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.media == nil {
		return nil
	}
	return r.media.pc
}

// Publish sends one more track, on the m-line of one that has ended or on a new one; the server takes 16 of one peer. Errors
// as Join.
func (r *Room) Publish(ctx context.Context, l LocalTrack) error {
	p, err := newPublication(l)
	if err != nil {
		return err
	}
	return r.inTurn(ctx, func(m *media) error {
		r.mu.Lock()
		twice := r.find(p.local.ID) != nil
		if !twice {
			r.published = append(r.published, p) // already: the server's word on its layers may come before the answer
		}
		r.mu.Unlock()
		if twice {
			return fmt.Errorf("publish: %q is published already", p.local.ID)
		}
		if err := m.send(p); err != nil {
			r.withdraw(p)
			return err
		}
		if err := r.negotiate(ctx, m, false, p); err != nil {
			r.withdraw(p)
			m.end(p)
			return fmt.Errorf("publish: %w", err)
		}
		return nil
	})
}

func (r *Room) withdraw(p *publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = slices.DeleteFunc(r.published, func(q *publication) bool { return q == p })
}

// Unpublish takes a track away from the others and stops sending it. ErrNoTrack when there is none with this id.
func (r *Room) Unpublish(ctx context.Context, id string) error {
	return r.inTurn(ctx, func(m *media) error {
		r.mu.Lock()
		p := r.find(id)
		r.mu.Unlock()
		if p == nil {
			return ErrNoTrack
		}
		r.withdraw(p)
		m.end(p)
		_, err := r.session.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Unpublish{
			Unpublish: &wire.Unpublish{TrackIds: []string{id}},
		}}, nil)
		if err != nil && !hasCode(err, wire.Error_NOT_FOUND) { // asked twice across a reconnect
			return fmt.Errorf("unpublish: %w", err)
		}
		return nil
	})
}

// Mute holds a track back, or lets it go again, and tells the others. It takes effect before the server knows, and stays in
// effect when telling it fails.
func (r *Room) Mute(ctx context.Context, id string, mute bool) error {
	r.mu.Lock()
	p := r.find(id)
	if p != nil {
		p.muted = mute
		for _, g := range p.gates {
			g.set(muted, mute)
		}
	}
	r.mu.Unlock()
	if p == nil {
		return ErrNoTrack
	}
	_, err := r.session.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Mute{
		Mute: &wire.Mute{TrackId: id, Muted: mute},
	}}, nil)
	if err != nil {
		return fmt.Errorf("mute: %w", err)
	}
	return nil
}

// Subscribe says what is wanted; it replaces what was said before and holds across reconnects.
func (r *Room) Subscribe(ctx context.Context, s Subscription) error {
	s.Wishes = slices.Clone(s.Wishes)
	r.mu.Lock()
	r.subscription = s
	r.mu.Unlock()
	return r.subscribe(ctx, s)
}

func (r *Room) subscribe(ctx context.Context, s Subscription) error {
	out := &wire.Subscribe{VideoPaused: s.VideoPaused, LastN: uint32(max(s.LastN, 0))}
	for _, w := range s.Wishes {
		out.Wishes = append(out.Wishes, &wire.Wish{
			PeerId: w.ParticipantID, TrackId: w.TrackID, Hidden: w.Hidden,
			Priority: w.Priority, Width: w.Width, Height: w.Height,
		})
	}
	if _, err := r.session.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Subscribe{Subscribe: out}}, nil); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// RestartICE asks for new credentials and paths, for instance after a change of networks; the call goes on meanwhile. The
// Room does so by itself when the connection breaks.
func (r *Room) RestartICE(ctx context.Context) error {
	return r.inTurn(ctx, func(m *media) error { return r.negotiate(ctx, m, true, nil) })
}

// Save says whether each byte of sound counts from now on: for networks of the second generation, or where users pay for each. Who
// saves is sent and asked for little besides sound itself: no feedback on arrivals, reports and checks every few seconds. The sound
// of others stays as they send it; our own is up to the application: 12 kbit/s in packets of 60 ms, nothing in silence (DTX). A
// change replaces the media connection: Rebuilt tells when that is done.
func (r *Room) Save(on bool) {
	r.mu.Lock()
	changes := r.saver != on
	r.saver = on
	r.mu.Unlock()
	if changes {
		r.lose()
	}
}

// Leave says goodbye, ends the Room and its Client, and returns when every goroutine has ended.
func (r *Room) Leave() error { return r.client.Close() }

func (r *Room) find(id string) *publication {
	i := slices.IndexFunc(r.published, func(p *publication) bool { return p.local.ID == id })
	if i < 0 {
		return nil
	}
	return r.published[i]
}

// inTurn runs work while nobody else negotiates.
func (r *Room) inTurn(ctx context.Context, work func(*media) error) error {
	select {
	case <-r.turn:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return r.ended()
	}
	defer func() { r.turn <- struct{}{} }()
	r.mu.Lock()
	m := r.media
	r.mu.Unlock()
	if r.ctx.Err() != nil {
		return r.ended()
	}
	if m == nil {
		return ErrRenewed
	}
	return work(m)
}

func (r *Room) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		return &EndError{Reason: wire.Bye_LEFT}
	}
	return r.over
}

// negotiate sends one offer and takes its answer: with a new track as Publish, without as Sdp.
func (r *Room) negotiate(ctx context.Context, m *media, restart bool, p *publication) error {
	offer, err := m.offer(restart)
	if err != nil {
		return err
	}
	frame := &wire.ClientFrame{Message: &wire.ClientFrame_Sdp{Sdp: offer}}
	if p != nil {
		frame.Message = &wire.ClientFrame_Publish{
			Publish: &wire.Publish{Tracks: r.describe([]*publication{p}), Offer: offer},
		}
	}
	answer, err := r.session.request(ctx, frame, nil)
	if err == nil {
		err = m.answer(answer.GetSdp())
	}
	if err != nil && m.rollback() != nil {
		r.lose() // what is left cannot be negotiated with
	}
	return err
}

// --- what pion tells; on its goroutines ---

func (r *Room) onICE(m *media, state webrtc.ICEConnectionState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.bwe != nil && isUp(state) && !isUp(m.ice) && m.wasUp {
		m.bwe.NewPath() // it may be another one
	}
	m.ice = state
	m.wasUp = m.wasUp || isUp(state)
	r.updateState()
	r.nudge()
}

func (r *Room) onTrack(m *media, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := m.slots[receiver]
	if s == nil || m.closed {
		return
	}
	s.track = track
	stream, _ := m.parity.of(uint32(track.SSRC()))
	m.readers.Go(func() { s.receive(track, stream) })
	if repair, ok := m.parity.repairOf(uint32(track.SSRC())); ok && s.kind == Video {
		m.readers.Go(func() { m.readParity(repair, stream, receiver.Transport()) })
	}
	// The interceptors live on what is read: sender reports among it.
	m.readers.Go(func() {
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	})
}

func (r *Room) updateState() {
	now := Reconnecting
	switch {
	case r.state == Closed:
		return
	case r.joined && r.open && r.media != nil && isUp(r.media.ice):
		now = Connected
	case !r.entered || r.state == Connecting && r.joined && r.open:
		now = Connecting
	}
	if now != r.state {
		r.state = now
		r.mailbox.put(StateChanged{now})
	}
}

func (r *Room) nudge() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}
