package light

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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

	published []*published // what its caller sends

	// Guarded by mu.
	mu            sync.Mutex
	watched       []string // peers who send pictures, in the order in which we heard of them
	width, height int      // of every picture on our screen; 0: we do not say

	// Atomic.
	bytes   atomic.Int64                    // of frames that came since Joined, without WebSocket's own
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
	s := &session{
		socket: socket, room: d.plan.Room, names: env.names, ended: make(chan struct{}), published: d.published,
	}
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
		if t.layer == 0 {
			join.Tracks = append(join.Tracks, t.describe())
		}
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
		s.meet(p)
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
		s.bytes.Add(int64(len(b)))
		f, err := wire.Binary.DecodeServer(b)
		if err != nil {
			continue // of a newer protocol, say; media tells whether the call goes on
		}
		switch m := f.Message.(type) {
		case *wire.ServerFrame_SlotMap:
			s.mapSlots(m.SlotMap)
		case *wire.ServerFrame_PeerUpdate:
			p := m.PeerUpdate.GetPeer()
			if m.PeerUpdate.GetChange() == wire.PeerUpdate_LEFT {
				s.miss(p.GetPeerId())
			} else if s.meet(p) {
				s.wish(alive)
			}
		case *wire.ServerFrame_Snapshot:
			for _, p := range m.Snapshot.GetPeers() {
				s.meet(p)
			}
			s.mapSlots(m.Snapshot.GetSlots())
			s.wish(alive)
		case *wire.ServerFrame_TrackUpdate:
			u := m.TrackUpdate
			if u.GetChange() == wire.TrackUpdate_PUBLISHED && s.meet(&wire.Peer{PeerId: u.GetPeerId(), Tracks: []*wire.Track{u.GetTrack()}}) {
				s.wish(alive)
			}
		case *wire.ServerFrame_LayersWanted:
			s.heed(m.LayersWanted)
		case *wire.ServerFrame_Bye:
			s.end("the server ended the session: " + strings.ToLower(m.Bye.GetReason().String()))
			return
		}
	}
}

// meet notes a peer, and says whether it is one more who sends pictures.
func (s *session) meet(p *wire.Peer) bool {
	s.names.put(s.room, p.GetPeerId(), p.GetIdentity())
	if !slices.ContainsFunc(p.GetTracks(), func(t *wire.Track) bool { return t.GetKind() == wire.Track_VIDEO }) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.GetPeerId() == s.peerID || slices.Contains(s.watched, p.GetPeerId()) {
		return false
	}
	s.watched = append(s.watched, p.GetPeerId())
	return true
}

func (s *session) miss(peerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = slices.DeleteFunc(s.watched, func(id string) bool { return id == peerID })
}

// look makes every picture so large, in pixels.
func (s *session) look(ctx context.Context, width, height int) {
	s.mu.Lock()
	s.width, s.height = width, height
	s.mu.Unlock()
	s.wish(ctx)
}

// maxWishes is how many a server takes (docs/protocol.md, Subscribe).
const maxWishes = 512

// wish says how large each picture is on our screen, if we do.
func (s *session) wish(ctx context.Context) {
	s.mu.Lock()
	all := &wire.Subscribe{}
	for _, id := range s.watched[:min(len(s.watched), maxWishes)] {
		all.Wishes = append(all.Wishes, &wire.Wish{PeerId: id, Width: uint32(s.width), Height: uint32(s.height)})
	}
	says := s.width > 0
	s.mu.Unlock()
	if !says {
		return
	}
	// To cancel a write breaks the session, and the goodbye is still to come.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// An error is a broken session, of which its reader tells.
	_ = s.write(ctx, &wire.ClientFrame{Message: &wire.ClientFrame_Subscribe{Subscribe: all}})
}

// heed stops sending what nobody watches, and begins again.
func (s *session) heed(m *wire.LayersWanted) {
	for _, t := range s.published {
		for _, e := range m.GetEncodings() {
			if t.id == m.GetTrackId() && t.rid == e.GetRid() {
				t.unwanted.Store(!e.GetWanted())
			}
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
	for _, p := range m.GetPeers() {
		s.meet(p)
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
