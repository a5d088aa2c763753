package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Receive slots of a Join that does not say, as the web SDK has them.
const (
	DefaultAudioSlots = 3
	DefaultVideoSlots = 9
)

// LocalTrack is what this client publishes.
type LocalTrack struct {
	// ID is unique within this client and at most 64 bytes; default the ID of Track.
	ID     string
	Source Source
	// Track is written to by its owner: a webrtc.TrackLocalStaticSample or TrackLocalStaticRTP of Opus, VP8, VP9, H.264 (constrained
	// baseline, packetization mode 1) or AV1. Required, unless there are Encodings.
	Track webrtc.TrackLocal
	// Encodings make a simulcast of a video, the smallest first: the same picture in several sizes and one codec. The server
	// takes three, or the first alone of a device of LowDevice.
	Encodings []Encoding
	// BackupOf is the ID of another track that shows the same picture in another codec, as CodecWanted asked for. The others
	// hear of that one alone.
	BackupOf string
	// Muted tracks are known to the others; nothing that is written goes out.
	Muted bool
	// OnKeyframeRequest is called, from a goroutine of the Room, when somebody needs a picture that can be decoded alone.
	// It must not block. Optional.
	OnKeyframeRequest func()
	// OnLayersWanted is called, from a goroutine of the Room, with all encodings of the track when somebody begins or ceases to
	// watch one, and when the Room has been rebuilt: then all are wanted until the server says otherwise. What is written to one
	// that is not wanted does not go out, so that it need not be encoded; when it is wanted again, a keyframe is asked for. It
	// must not block. Optional.
	OnLayersWanted func([]EncodingWanted)
}

// Encoding is one stream of a simulcast.
type Encoding struct {
	RID   string            // 1 to 16 letters, digits, - and _, unique in the track
	Track webrtc.TrackLocal // as LocalTrack.Track
	// OnKeyframeRequest is called when a picture of this encoding is needed; without it, LocalTrack's.
	OnKeyframeRequest func()
}

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
	published    []*publication
	subscription Subscription
	mailbox      mailbox
}

// publication is a LocalTrack on its m-line.
type publication struct {
	local LocalTrack
	codec string  // MIME type; empty: the track does not tell
	gates []*gate // one for each encoding

	// Owned by whoever has the turn.
	transceiver *webrtc.RTPTransceiver

	// Guarded by the Room's mu.
	muted   bool
	limited bool // the server has said what it wants of the track
}

func newPublication(l LocalTrack) (*publication, error) {
	streams := l.Encodings
	switch {
	case len(streams) == 0 && l.Track == nil:
		return nil, errors.New("client: LocalTrack.Track is required, or Encodings")
	case len(streams) == 0:
		streams = []Encoding{{Track: l.Track}}
	case l.Track != nil:
		return nil, errors.New("client: LocalTrack has Track and Encodings; set one of them")
	case len(streams) == 1:
		return nil, errors.New("client: LocalTrack.Encodings has one alone; set Track instead")
	}
	first := streams[0].Track
	p := &publication{local: l, muted: l.Muted}
	for _, e := range streams {
		if err := p.add(e, len(streams) > 1); err != nil {
			return nil, err
		}
	}
	p.codec = codecOf(first)
	if l.ID == "" {
		p.local.ID = first.ID()
	}
	for _, g := range p.gates {
		g.id, g.stream = p.local.ID, first.StreamID()
		g.set(muted, l.Muted)
	}
	return p, nil
}

// add checks an encoding and gives it a gate.
func (p *publication) add(e Encoding, simulcast bool) error {
	if !simulcast {
		p.gates = []*gate{{TrackLocal: e.Track}}
		return nil
	}
	switch {
	case !isRID(e.RID):
		return fmt.Errorf("client: Encoding.RID %q: use 1 to 16 letters, digits, - and _", e.RID)
	case e.Track == nil || e.Track.Kind() != webrtc.RTPCodecTypeVideo:
		return fmt.Errorf("client: Encoding.Track of RID %q has to be a video", e.RID)
	case slices.ContainsFunc(p.gates, func(g *gate) bool { return g.rid == e.RID }):
		return fmt.Errorf("client: two Encodings have the RID %q", e.RID)
	case len(p.gates) > 0 && !strings.EqualFold(codecOf(e.Track), codecOf(p.gates[0].TrackLocal)):
		return fmt.Errorf("client: Encoding.Track of RID %q has another codec than the first", e.RID)
	}
	p.gates = append(p.gates, &gate{TrackLocal: e.Track, rid: e.RID})
	return nil
}

// isRID follows RFC 8851 §10 with its erratum 7132; longer ones do not fit into a header extension of one byte.
func isRID(s string) bool {
	return s != "" && len(s) <= 16 && strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}) < 0
}

// addEncodings gives a sender the encodings beside the first.
func (p *publication) addEncodings(sender *webrtc.RTPSender) error {
	for _, g := range p.gates[1:] {
		if err := sender.AddEncoding(g); err != nil {
			return err
		}
	}
	return nil
}

// onKeyframeRequest is what to call when an encoding needs a picture; nil: nobody cares.
func (p *publication) onKeyframeRequest(encoding int) func() {
	if encoding < len(p.local.Encodings) && p.local.Encodings[encoding].OnKeyframeRequest != nil {
		return p.local.Encodings[encoding].OnKeyframeRequest
	}
	return p.local.OnKeyframeRequest
}

// follows says whether p may take the m-line of a track that has ended.
func (p *publication) follows(q *publication) bool {
	return p.gates[0].Kind() == q.gates[0].Kind() && strings.EqualFold(p.codec, q.codec) &&
		slices.EqualFunc(p.gates, q.gates, func(a, b *gate) bool { return a.rid == b.rid })
}

// Join enters the token's room and returns when the server has answered; media follows, StateChanged tells. Errors:
// *ServerError, *EndError, ErrJoined, ErrTimeout, those of ctx and of pion. After an error Join may be tried again.
func (c *Client) Join(ctx context.Context, o JoinOptions) (*Room, error) {
	r := &Room{
		client: c, session: c.session, name: o.Name, device: o.Device,
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
	m, err := newMedia(r.client, r.onICE, r.onTrack)
	if err != nil {
		return err
	}
	if err = r.enterWith(ctx, m); err != nil {
		r.discard(m)
	}
	return err
}

func (r *Room) enterWith(ctx context.Context, m *media) error {
	r.mu.Lock()
	published := slices.Clone(r.published)
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
	join := &wire.Join{Name: r.name, Offer: offer, Tracks: r.describe(published), Device: r.device.wire()}
	answer, err := r.session.request(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Join{Join: join}}, func(f *wire.ServerFrame) {
		var tell []func()
		r.mu.Lock()
		for s, tr := range mids {
			s.mid, s.track, s.layer = tr.Mid(), nil, SlotLayer{Slot: s}
		}
		j := f.GetJoined()
		r.media, r.id, r.joined, r.entered, r.moved = m, j.GetPeerId(), true, true, false
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

// --- what the server tells; on the session's goroutine ---

func (r *Room) handle(f *wire.ServerFrame) {
	if tell := r.take(f); tell != nil {
		tell()
	}
}

// take notes an event; what it returns is called when mu is free.
func (r *Room) take(f *wire.ServerFrame) (tell func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m := f.GetMessage().(type) {
	case *wire.ServerFrame_PeerUpdate:
		r.peerUpdate(m.PeerUpdate)
	case *wire.ServerFrame_TrackUpdate:
		r.trackUpdate(m.TrackUpdate)
	case *wire.ServerFrame_SlotMap:
		r.setSlots(m.SlotMap)
	case *wire.ServerFrame_Speakers:
		r.mailbox.put(SpeakersChanged{m.Speakers.GetSpeakers()})
	case *wire.ServerFrame_RosterUpdate:
		r.setSize(int(m.RosterUpdate.GetSize()))
	case *wire.ServerFrame_LayerState:
		r.layerState(m.LayerState)
	case *wire.ServerFrame_LayersWanted:
		if p := r.find(m.LayersWanted.GetTrackId()); p != nil {
			return p.layersWanted(m.LayersWanted)
		}
	case *wire.ServerFrame_CodecWanted:
		w := m.CodecWanted
		r.mailbox.put(CodecWanted{TrackID: w.GetTrackId(), Codec: codecNamed(w.GetCodec()), Wanted: w.GetWanted()})
	}
	return nil
}

// peerUpdate: in a small room everybody is known and each update counts; of a large one RosterUpdate tells the number.
func (r *Room) peerUpdate(u *wire.PeerUpdate) {
	if u.GetPeer().GetPeerId() == r.id {
		return
	}
	whole := r.whole()
	switch u.GetChange() {
	case wire.PeerUpdate_JOINED:
		r.addParticipant(u.GetPeer())
	case wire.PeerUpdate_LEFT:
		r.removeParticipant(u.GetPeer().GetPeerId())
	}
	if whole {
		r.size = len(r.order) + 1
	}
}

func (r *Room) snapshot(s *wire.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.GetJoined() {
		r.joined = false // the server has given our media session up
		r.updateState()
		r.nudge()
		return
	}
	r.setParticipants(s.GetPeers(), s.GetRosterSize())
	r.setSlots(s.GetSlots())
}

// sessionIs tells whether a connection carries the session.
func (r *Room) sessionIs(open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = open
	r.updateState()
	r.nudge()
}

// networkChanged lets tend restart ICE.
func (r *Room) networkChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved = true
	r.nudge()
}

// lose: the server knows us in the room no more; tend joins again.
func (r *Room) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined = false
	r.updateState()
	r.nudge()
}

func (r *Room) end(over *EndError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = over
	r.cancel()
}

// setParticipants takes who is there; of a large room that is a part of size.
func (r *Room) setParticipants(peers []*wire.Peer, size uint32) {
	r.size = max(int(size), len(peers)+1)
	there := map[string]bool{}
	for _, p := range peers {
		there[p.GetPeerId()] = true
	}
	for _, id := range slices.Clone(r.order) {
		if !there[id] {
			r.removeParticipant(id)
		}
	}
	for _, p := range peers {
		r.addParticipant(p)
	}
}

func (r *Room) addParticipant(peer *wire.Peer) {
	p := participantOf(peer)
	if p.ID == "" || p.ID == r.id {
		return
	}
	known := r.participants[p.ID]
	if known == nil {
		r.know(p)
		r.mailbox.put(ParticipantJoined{p.clone()})
		return
	}
	known.Identity, known.Name = p.Identity, p.Name
	for _, t := range slices.Clone(known.Tracks) {
		if p.find(t.ID) < 0 {
			r.tell(known.remove(t.ID))
		}
	}
	for _, t := range p.Tracks {
		r.tell(known.put(t))
	}
}

func (r *Room) removeParticipant(id string) {
	p := r.participants[id]
	if p == nil {
		return
	}
	r.forget(id)
	r.mailbox.put(ParticipantLeft{p.clone()})
}

func (r *Room) trackUpdate(u *wire.TrackUpdate) {
	p := r.participants[u.GetPeerId()]
	if p == nil {
		return
	}
	t := trackOf(u.GetTrack())
	switch u.GetChange() {
	case wire.TrackUpdate_UNPUBLISHED:
		r.tell(p.remove(t.ID))
		return
	case wire.TrackUpdate_MUTED, wire.TrackUpdate_UNMUTED:
		if known, ok := p.track(t.ID); ok {
			t = known
		}
		t.Muted = u.GetChange() == wire.TrackUpdate_MUTED
	}
	r.tell(p.put(t))
}

func (r *Room) setSlots(m *wire.SlotMap) {
	for _, peer := range m.GetPeers() {
		r.learn(peer)
	}
	byMID := map[string]shown{}
	for _, s := range m.GetSlots() {
		byMID[s.GetMid()] = shown{s.GetPeerId(), s.GetTrackId()}
	}
	changed := false
	for _, s := range r.slots {
		changed = changed || s.shown != byMID[s.mid]
		s.shown = byMID[s.mid]
		if s.shown.peerID == "" {
			s.layer = SlotLayer{Slot: s}
		}
	}
	if changed {
		r.mailbox.put(SlotsChanged{})
	}
}

func (r *Room) tell(e Event) {
	if e != nil {
		r.mailbox.put(e)
	}
}

// --- what pion tells; on its goroutines ---

func (r *Room) onICE(m *media, state webrtc.ICEConnectionState) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
	m.readers.Go(func() { s.receive(track) })
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
