package light

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// session is a caller's signaling over WebSocket. One goroutine reads it from join to close.
type session struct {
	socket *websocket.Conn
	cancel context.CancelFunc
	ended  chan struct{} // closed when the reader is gone
	peerID string
	room   string
	names  *names

	// Atomic.
	sources atomic.Pointer[map[string]flow] // by the slot's mid; replaced as a whole
	bye     atomic.Pointer[string]          // why the server ended it
}

// flow is whose media a slot carries: a peer's id and the track's.
type flow struct{ peer, track string }

// names are the identities of all peers that a fleet has heard of: five hundred callers in a room each hear of all the others,
// and one book is enough. Safe from any goroutine.
type names struct {
	mu   sync.RWMutex
	byID map[string]string // by room and peer id
}

func (n *names) put(room, id, identity string) {
	if id == "" || identity == "" {
		return
	}
	n.mu.Lock()
	n.byID[room+"\x00"+id] = scenario.IdentityOf(room, identity)
	n.mu.Unlock()
}

// of returns the identity; the id itself while that is unknown.
func (n *names) of(room, id string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if name, ok := n.byID[room+"\x00"+id]; ok {
		return name
	}
	return id
}

// developmentToken asks the server for a token, which it gives away with --dev only.
func developmentToken(ctx context.Context, client *http.Client, base, room, identity string) (string, error) {
	page := base + "/v1/dev-token?room=" + url.QueryEscape(room) + "&identity=" + url.QueryEscape(identity)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("get a development token: %w", err)
	}
	defer res.Body.Close()
	var got struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Token == "" {
		return "", fmt.Errorf("get a development token: the server answered %s: %v", res.Status, err)
	}
	return got.Token, nil
}

// joinError is the server's refusal.
type joinError struct {
	code    wire.Error_Code
	message string
	after   time.Duration // when to try again; 0: not worth it
}

func (e *joinError) Error() string {
	return fmt.Sprintf("server: %s: %s", strings.ToLower(e.code.String()), e.message)
}

// join opens the session and returns the answer's SDP. Events are followed from then on.
func (d *device) join(ctx context.Context, env *environment, token, sdp string) (string, error) {
	socket, _, err := websocket.Dial(ctx, strings.Replace(env.base, "http", "ws", 1)+"/v1/ws",
		&websocket.DialOptions{Subprotocols: []string{"tolkyn"}, HTTPClient: env.client})
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	socket.SetReadLimit(wire.MaxServerFrame)
	d.done(measure.Connect)
	s := &session{socket: socket, room: d.plan.Room, names: env.names, ended: make(chan struct{})}
	d.session = s
	var alive context.Context
	alive, s.cancel = context.WithCancel(context.Background())
	answer, err := s.open(ctx, d, token, sdp)
	if err != nil {
		close(s.ended)
		return "", err
	}
	go s.follow(alive)
	return answer, nil
}

func (s *session) open(ctx context.Context, d *device, token, sdp string) (string, error) {
	hello := &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: "tolkyn-bench"}}}
	if err := s.write(ctx, hello); err != nil {
		return "", fmt.Errorf("say hello: %w", err)
	}
	if _, err := s.await(ctx, func(f *wire.ServerFrame) bool { return f.GetWelcome() != nil }); err != nil {
		return "", fmt.Errorf("say hello: %w", err)
	}
	d.done(measure.Auth)
	o, err := wire.Offer(sdp)
	if err != nil {
		return "", err
	}
	join := &wire.Join{Name: d.plan.Identity, Offer: o}
	for _, t := range d.published {
		join.Tracks = append(join.Tracks, t.describe())
	}
	if err := s.write(ctx, &wire.ClientFrame{Id: 2, Message: &wire.ClientFrame_Join{Join: join}}); err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	f, err := s.await(ctx, func(f *wire.ServerFrame) bool { return f.GetJoined() != nil })
	if err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	d.done(measure.Join)
	joined := f.GetJoined()
	s.peerID = joined.GetPeerId()
	s.names.put(s.room, s.peerID, d.plan.Identity)
	for _, p := range joined.GetPeers() {
		s.names.put(s.room, p.GetPeerId(), p.GetIdentity())
	}
	s.mapSlots(joined.GetSlots())
	return joined.GetAnswer().Inflate()
}

func (s *session) write(ctx context.Context, f *wire.ClientFrame) error {
	b, err := wire.Binary.EncodeClient(f)
	if err != nil {
		return err
	}
	return s.socket.Write(ctx, websocket.MessageBinary, b)
}

// await reads until a frame is wanted or refuses.
func (s *session) await(ctx context.Context, wanted func(*wire.ServerFrame) bool) (*wire.ServerFrame, error) {
	for {
		_, b, err := s.socket.Read(ctx)
		if err != nil {
			return nil, err
		}
		f, err := wire.Binary.DecodeServer(b)
		if err != nil {
			return nil, err
		}
		if e := f.GetError(); e != nil {
			return nil, &joinError{e.GetCode(), e.GetMessage(), time.Duration(e.GetRetryAfterMs()) * time.Millisecond}
		}
		if wanted(f) {
			return f, nil
		}
	}
}

// follow reads events until the session ends.
func (s *session) follow(alive context.Context) {
	defer close(s.ended)
	for {
		_, b, err := s.socket.Read(alive)
		if err != nil {
			if alive.Err() == nil {
				s.end("the session broke: " + err.Error())
			}
			return
		}
		f, err := wire.Binary.DecodeServer(b)
		if err != nil {
			continue // of a newer protocol, say; media tells whether the call goes on
		}
		switch m := f.Message.(type) {
		case *wire.ServerFrame_SlotMap:
			s.mapSlots(m.SlotMap)
		case *wire.ServerFrame_PeerUpdate:
			p := m.PeerUpdate.GetPeer()
			s.names.put(s.room, p.GetPeerId(), p.GetIdentity())
		case *wire.ServerFrame_Snapshot:
			for _, p := range m.Snapshot.GetPeers() {
				s.names.put(s.room, p.GetPeerId(), p.GetIdentity())
			}
			s.mapSlots(m.Snapshot.GetSlots())
		case *wire.ServerFrame_Bye:
			s.end("the server ended the session: " + strings.ToLower(m.Bye.GetReason().String()))
			return
		}
	}
}

func (s *session) end(why string) { s.bye.CompareAndSwap(nil, &why) }

// why is what ended it.
func (s *session) why() string {
	if why := s.bye.Load(); why != nil {
		return *why
	}
	return "the session ended"
}

func (s *session) mapSlots(m *wire.SlotMap) {
	if m == nil {
		return
	}
	all := make(map[string]flow, len(m.GetSlots()))
	for _, slot := range m.GetSlots() {
		if slot.GetPeerId() != "" {
			all[slot.GetMid()] = flow{slot.GetPeerId(), slot.GetTrackId()}
		}
	}
	s.sources.Store(&all)
}

// close ends the session: with a word, or as a client that lost its network.
func (s *session) close(polite bool) {
	if polite {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		// When it fails the server finds out by itself.
		_ = s.write(ctx, &wire.ClientFrame{Id: 3, Message: &wire.ClientFrame_Leave{Leave: &wire.Leave{}}})
		select {
		case <-s.ended: // the server has said Bye and closed
		case <-ctx.Done():
		}
		cancel()
	}
	s.cancel()
	_ = s.socket.CloseNow()
	<-s.ended
}
