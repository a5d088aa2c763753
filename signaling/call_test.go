package signaling

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Sessions on a real SFU, in simulated time. Media is the SFU's own tests' business: here nobody sends any.

func inRoom(t *testing.T, play func(t *testing.T, join func(identity string) *member)) {
	synctest.Test(t, func(t *testing.T) {
		network := netsim.New(1)
		socket, err := network.Host(netip.MustParseAddr("10.0.0.1")).Socket(7882)
		require.NoError(t, err)
		forwarder, err := sfu.New(sfu.Config{Sockets: []udp.Socket{socket}, Advertise: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
		require.NoError(t, err)
		s := testServer(t, func(c *Config) { c.SFU = forwarder })
		pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		web := &http.Server{Handler: s, ReadHeaderTimeout: time.Second}
		served := make(chan error)
		go func() { served <- web.Serve(pipes) }()
		transport := &http.Transport{DialContext: pipes.dial}
		through := &http.Client{Transport: transport}

		play(t, func(identity string) *member {
			m := &member{identity: identity, connect: func() *client { return dialWith(t, anywhere, wire.Binary, through) }}
			m.client = m.connect()
			m.enter()
			return m
		})

		closing := make(chan error)
		go func() { closing <- s.Close(t.Context()) }()
		require.NoError(t, <-closing)
		require.NoError(t, forwarder.Close())
		network.Close()
		transport.CloseIdleConnections()
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

// member is a client in a room.
type member struct {
	*client

	identity string
	connect  func() *client
	welcome  *wire.Welcome
	seq      uint64 // last event heard
	joins    uint64
}

func (m *member) enter() {
	m.t.Helper()
	g := aru
	g.Identity = m.identity
	token, err := Mint(hsKey, g, time.Now(), 0)
	require.NoError(m.t, err)
	m.say(`{"id":"1","hello":{"token":"%s"}}`, token)
	m.welcome = m.hear().GetWelcome()
	require.NotNil(m.t, m.welcome)
}

// offer describes a client with a microphone and two receive slots.
func (m *member) offer() *wire.Sdp {
	m.t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	require.NoError(m.t, err)
	defer func() { require.NoError(m.t, pc.Close()) }()
	mic, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", "mic")
	require.NoError(m.t, err)
	_, err = pc.AddTransceiverFromTrack(mic, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	require.NoError(m.t, err)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		_, err = pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		require.NoError(m.t, err)
	}
	offer, err := pc.CreateOffer(nil)
	require.NoError(m.t, err)
	packed, err := wire.Offer(offer.SDP)
	require.NoError(m.t, err)
	return packed
}

func (m *member) send(f *wire.ClientFrame) {
	m.t.Helper()
	b, err := m.format.EncodeClient(f)
	require.NoError(m.t, err)
	m.raw(m.kind(), b)
}

func (m *member) join() *wire.Joined {
	m.t.Helper()
	m.joins++
	m.send(&wire.ClientFrame{Id: 1 + m.joins, Message: &wire.ClientFrame_Join{Join: &wire.Join{
		Name: m.identity, Offer: m.offer(),
		Tracks: []*wire.Track{{TrackId: "mic", Kind: wire.Track_AUDIO, Source: wire.Track_MICROPHONE, Mid: "0"}},
	}}})
	joined := m.hear()
	require.NotNil(m.t, joined.GetJoined(), joined)
	answer, err := joined.GetJoined().GetAnswer().Inflate()
	require.NoError(m.t, err)
	require.Contains(m.t, answer, "a=setup:passive") // the server is the DTLS server
	return joined.GetJoined()
}

// event returns the next event, and checks that it is the next one.
func (m *member) event() *wire.ServerFrame {
	m.t.Helper()
	f := m.hear()
	require.Equal(m.t, m.seq+1, f.GetSeq(), f)
	m.seq = f.GetSeq()
	return f
}

// until reads events up to one that fits.
func (m *member) until(fits func(*wire.ServerFrame) bool) *wire.ServerFrame {
	m.t.Helper()
	for {
		if f := m.event(); fits(f) {
			return f
		}
	}
}

// again comes back on a new connection.
func (m *member) again() *wire.ServerFrame {
	m.t.Helper()
	_ = m.ws.CloseNow()
	m.client = m.connect()
	m.send(&wire.ClientFrame{Id: 9, Message: &wire.ClientFrame_Resume{Resume: &wire.Resume{
		SessionId: m.welcome.GetSessionId(), ResumeToken: m.welcome.GetResumeToken(), LastSeq: m.seq,
	}}})
	return m.hear()
}

func TestTwoMeetAndOneLeaves(t *testing.T) {
	inRoom(t, func(t *testing.T, member func(string) *member) {
		a, b := member("aru"), member("bek")
		require.Empty(t, a.join().GetPeers())
		joined := b.join()
		require.Len(t, joined.GetPeers(), 1)
		require.Equal(t, "aru", joined.GetPeers()[0].GetIdentity())
		require.Equal(t, "mic", joined.GetPeers()[0].GetTracks()[0].GetTrackId())

		came := a.until(func(f *wire.ServerFrame) bool { return f.GetPeerUpdate() != nil }).GetPeerUpdate()
		require.Equal(t, wire.PeerUpdate_JOINED, came.GetChange())
		require.Equal(t, "bek", came.GetPeer().GetIdentity())
		require.Equal(t, joined.GetPeerId(), came.GetPeer().GetPeerId())

		b.say(`{"id":"3","mute":{"trackId":"mic","muted":true}}`)
		muted := a.until(func(f *wire.ServerFrame) bool { return f.GetTrackUpdate() != nil }).GetTrackUpdate()
		require.Equal(t, wire.TrackUpdate_MUTED, muted.GetChange())

		b.say(`{"id":"4","leave":{}}`)
		gone := a.until(func(f *wire.ServerFrame) bool { return f.GetPeerUpdate() != nil }).GetPeerUpdate()
		require.Equal(t, wire.PeerUpdate_LEFT, gone.GetChange())
		require.Equal(t, joined.GetPeerId(), gone.GetPeer().GetPeerId())
		leaveWire(a, b)
	})
}

func TestWhoComesBackHearsWhatWasMissed(t *testing.T) {
	inRoom(t, func(t *testing.T, member func(string) *member) {
		a, b := member("aru"), member("bek")
		a.join()
		_ = a.ws.CloseNow()
		b.join()
		synctest.Wait()
		require.EqualValues(t, 1, a.again().GetResumed().GetFromSeq())
		came := a.until(func(f *wire.ServerFrame) bool { return f.GetPeerUpdate() != nil }).GetPeerUpdate()
		require.Equal(t, "bek", came.GetPeer().GetIdentity())

		// Acknowledged events are no longer held: who has lost them all the same gets the whole state.
		a.send(&wire.ClientFrame{Ack: a.seq, Id: 3, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
		for a.hear().GetPong() == nil {
			continue // events
		}
		a.seq = 0
		whole := a.again().GetSnapshot()
		require.True(t, whole.GetJoined())
		require.Len(t, whole.GetPeers(), 1)
		require.Len(t, whole.GetSlots().GetSlots(), 2)
		leaveWire(a, b)
	})
}

func TestTheSecondDeviceTakesOver(t *testing.T) {
	inRoom(t, func(t *testing.T, member func(string) *member) {
		a, b := member("aru"), member("aru")
		a.join()
		b.join()
		for {
			f := a.hear()
			if f.GetBye() != nil {
				require.Equal(t, wire.Bye_REPLACED, f.GetBye().GetReason())
				require.Equal(t, wire.Bye_STOP, f.GetBye().GetAction())
				break
			}
		}
		require.Equal(t, wire.Bye_REPLACED, a.again().GetBye().GetReason())
		leaveWire(a, b)
	})
}

func TestJoiningAgainIsNotBeingReplaced(t *testing.T) {
	inRoom(t, func(t *testing.T, member func(string) *member) {
		a := member("aru")
		first := a.join()
		second := a.join()
		require.NotEqual(t, first.GetPeerId(), second.GetPeerId())
		require.Empty(t, second.GetPeers())
		a.ping()
		leaveWire(a)
	})
}

func TestSilenceEndsThePeerAndNotTheSession(t *testing.T) {
	inRoom(t, func(t *testing.T, member func(string) *member) {
		a := member("aru")
		a.join()
		start := time.Now()
		gone := a.until(func(f *wire.ServerFrame) bool { return f.GetSnapshot() != nil }).GetSnapshot()
		require.False(t, gone.GetJoined())
		require.Equal(t, a.seq, gone.GetSeq())
		require.InDelta(t, 15, time.Since(start).Seconds(), 2)
		a.join()
		leaveWire(a)
	})
}

// leaveWire closes the connections without a goodbye; the sessions stay behind for Close to end.
func leaveWire(members ...*member) {
	for _, m := range members {
		_ = m.ws.CloseNow()
	}
}
