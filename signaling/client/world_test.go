package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
)

var key = signaling.Key{ID: "hs", Secret: []byte("0123456789abcdef0123456789abcdef")}

// token of an identity in room r.
func token(identity string) client.TokenSource {
	return func(context.Context) (string, error) {
		g := signaling.Grants{Identity: identity, Tenant: "acme", Room: "r", Publish: true, Subscribe: true}
		return signaling.Mint(key, g, time.Now(), 0)
	}
}

// world is a whole server on a simulated network, inside a synctest bubble: a goroutine left behind fails the test.
type world struct {
	t       *testing.T
	net     *netsim.Network
	host    *netsim.Host
	sfu     *sfu.SFU
	server  *signaling.Server
	pipes   *pipes
	web     *http.Server
	served  chan error
	members []*member
	quic    *quicSide    // nil: WebSocket alone
	iceTCP  *pipes       // of the media port
	ports   atomic.Int32 // those used over it
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, net: netsim.New(1), pipes: newPipes(), iceTCP: newPipes(), served: make(chan error)}
	w.host = w.net.Host(netip.MustParseAddr("10.0.0.1"))
	w.startMedia()
	return w
}

func (w *world) startMedia() {
	socket, err := w.host.Socket(7882)
	require.NoError(w.t, err)
	w.sfu, err = sfu.New(sfu.Config{
		Sockets: []udp.Socket{socket}, Advertise: []netip.Addr{w.host.Addr()},
		TCP: []net.Listener{&pipeListener{pipes: w.iceTCP, closed: make(chan struct{}), at: net.TCPAddrFromAddrPort(socket.LocalAddr())}},
	})
	require.NoError(w.t, err)
}

func (w *world) startServer() {
	verifier, err := signaling.NewVerifier(key)
	require.NoError(w.t, err)
	config := signaling.Config{SFU: w.sfu, Verifier: verifier, Name: "test"}
	if w.quic != nil {
		config.Transports = w.quic.transports
	}
	w.server, err = signaling.New(config)
	require.NoError(w.t, err)
	if w.quic != nil {
		w.quic.start(w)
	}
	w.web = &http.Server{Handler: w.server, ReadHeaderTimeout: time.Second}
	listener := &pipeListener{pipes: w.pipes, closed: make(chan struct{})}
	go func(web *http.Server) { w.served <- web.Serve(listener) }(w.web)
}

// stopServer closes signaling as a restart does; media goes on.
func (w *world) stopServer() {
	closing := make(chan error)
	go func() { closing <- w.server.Close(context.Background()) }()
	require.NoError(w.t, <-closing)
	if w.quic != nil {
		w.quic.stop(w)
	}
	require.NoError(w.t, w.web.Close())
	require.ErrorIs(w.t, <-w.served, http.ErrServerClosed)
}

func (w *world) close() {
	for _, m := range w.members {
		m.leave()
	}
	w.stopServer()
	require.NoError(w.t, w.sfu.Close())
	w.net.Close()
	time.Sleep(time.Second) // what is still under way arrives nowhere
}

// member is one client with a microphone and a camera that really send.
type member struct {
	w          *world
	name       string
	host       *netsim.Host
	way        *way
	wire       strand
	client     *client.Client
	room       *client.Room
	mic, cam   *webrtc.TrackLocalStaticRTP
	wantsKey   atomic.Bool
	stopping   chan struct{}
	stop       sync.Once
	wg         sync.WaitGroup
	mu         sync.Mutex
	events     []client.Event
	got        map[string]int // packets by the name's first letter and kind
	eventsDone bool
}

// dial connects without joining.
func (w *world) dial(name string) *member {
	return w.dialWith(name, "ws://server.example", client.Options{})
}

func (w *world) dialWith(name, url string, o client.Options) *member {
	m, err := w.tryWith(name, url, o)
	require.NoError(w.t, err)
	return m
}

func (w *world) tryWith(name, url string, o client.Options) (*member, error) {
	m := &member{
		w: w, name: name, way: &way{pipes: w.pipes}, stopping: make(chan struct{}), got: map[string]int{},
		host: w.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, byte(len(w.members) + 1)})),
	}
	w.net.SetPath(w.host, m.host, netsim.LinkConfig{Delay: 20 * time.Millisecond})
	if o.Dial == nil {
		o.Dial = m.way.dial
	}
	m.wire.w, m.wire.delay = w, 20*time.Millisecond
	o.Dial = m.wire.beside(o.Dial)
	o.ListenMedia = func() (net.PacketConn, error) { return m.host.ListenUDP(0) }
	o.Settings = func(s *webrtc.SettingEngine) { s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4}) }
	var err error
	if m.client, err = client.Dial(w.t.Context(), url, token(name), o); err != nil {
		return nil, err
	}
	w.members = append(w.members, m)
	return m, nil
}

// join enters the room, sends from two tracks and reads every slot and event.
func (m *member) join() *member {
	t := m.w.t
	var err error
	m.mic, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", m.name)
	require.NoError(t, err)
	m.cam, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "cam", m.name)
	require.NoError(t, err)
	m.room, err = m.client.Join(t.Context(), client.JoinOptions{Name: m.name, Tracks: []client.LocalTrack{
		{Source: client.Microphone, Track: m.mic},
		{Source: client.Camera, Track: m.cam, OnKeyframeRequest: func() { m.wantsKey.Store(true) }},
	}})
	require.NoError(t, err)
	m.wg.Go(func() { m.talk(m.mic) })
	m.wg.Go(func() { m.film(m.cam) })
	for _, s := range m.room.Slots() {
		m.wg.Go(func() { m.listen(s) })
	}
	m.wg.Go(func() {
		for e := range m.room.Events() {
			m.mu.Lock()
			m.events = append(m.events, e)
			m.mu.Unlock()
		}
		m.mu.Lock()
		m.eventsDone = true
		m.mu.Unlock()
	})
	return m
}

func (m *member) leave() {
	require.NoError(m.w.t, m.client.Close())
	m.stop.Do(func() {
		close(m.stopping)
		m.wg.Wait()
	})
}

func (m *member) talk(track *webrtc.TrackLocalStaticRTP) {
	p := rtp.Packet{Header: rtp.Header{Version: 2}}
	for m.pause(20 * time.Millisecond) {
		p.Payload = make([]byte, 80)
		p.Payload[0], p.Payload[15] = 0x78, m.name[0] // CELT fullband, 20 ms
		_ = track.WriteRTP(&p)                        // nobody connected yet
		p.SequenceNumber++
		p.Timestamp += 960
	}
}

func (m *member) film(track *webrtc.TrackLocalStaticRTP) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true}}
	for picture := uint16(0); m.pause(time.Second / 30); picture++ {
		p.Payload = vp8Frame(m.wantsKey.Swap(false) || picture == 0, picture)
		p.Payload[17] = m.name[0]
		_ = track.WriteRTP(&p)
		p.SequenceNumber++
		p.Timestamp += 3000
	}
}

// vp8Frame makes a frame of one packet that every part of the server reads as VP8 (RFC 7741).
func vp8Frame(keyframe bool, picture uint16) []byte {
	b := make([]byte, 600)
	b[0], b[1], b[4] = 0x90, 0xe0, byte(picture)
	binary.BigEndian.PutUint16(b[2:], picture|0x8000)
	b[6] = 1
	if keyframe {
		copy(b[6:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01})
	}
	return b
}

func (m *member) listen(s *client.Slot) {
	mark := 15
	if s.Kind() == client.Video {
		mark = 17
	}
	for {
		p, err := s.ReadRTP(context.Background())
		if err != nil {
			return
		}
		if len(p.Payload) > mark {
			m.mu.Lock()
			m.got[string(p.Payload[mark])+s.Kind().String()]++
			m.mu.Unlock()
		}
	}
}

func (m *member) pause(d time.Duration) bool {
	select {
	case <-m.stopping:
		return false
	case <-time.After(d):
		return true
	}
}

func (m *member) count(from *member, kind client.Kind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got[from.name[:1]+kind.String()]
}

// hears waits until new audio and video of the others come in.
func (m *member) hears(limit time.Duration, others ...*member) {
	m.w.t.Helper()
	for _, o := range others {
		for _, kind := range []client.Kind{client.Audio, client.Video} {
			before := m.count(o, kind)
			m.w.eventually(limit, m.name+" gets "+o.name+"'s "+kind.String(), func() bool { return m.count(o, kind) > before+2 })
		}
	}
}

// all returns the events of one type so far.
func all[E client.Event](m *member) (out []E) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) eventually(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > limit {
			w.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// way is one client's road to the server, which can be cut.
type way struct {
	pipes *pipes

	silent atomic.Bool // whatever is sent is lost, and nobody is told

	mu    sync.Mutex
	dark  bool
	conns []net.Conn
}

// tunnel is one connection on the way.
type tunnel struct {
	net.Conn

	way *way
}

// Write implements net.Conn.
func (c tunnel) Write(b []byte) (int, error) {
	if c.way.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c tunnel) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.way.silent.Load() {
			return n, err
		}
	}
}

func (y *way) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	y.mu.Lock()
	dark := y.dark
	y.mu.Unlock()
	if dark {
		return nil, errors.New("no route")
	}
	c, err := y.pipes.dial(ctx)
	if err != nil {
		return nil, err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.conns = append(y.conns, c)
	return tunnel{c, y}, nil
}

// cut breaks what is open and, while dark, refuses more.
func (y *way) cut(dark bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.dark = dark
	for _, c := range y.conns {
		_ = c.Close()
	}
	y.conns = nil
}

func (y *way) mend() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.dark = false
}

// pipes makes connections in memory: a bubble's clock stands still while a goroutine waits on a real socket. It may be
// closed and listened on again, as a port is.
type pipes struct{ conns chan net.Conn }

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn)} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeListener struct {
	pipes  *pipes
	closed chan struct{}
	once   sync.Once
	at     net.Addr
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.pipes.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr {
	if l.at != nil {
		return l.at
	}
	return &net.UnixAddr{Name: "pipe"}
}
