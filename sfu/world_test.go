package sfu_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// world is one server and its clients on a simulated network. It lives inside a synctest bubble, so that a minute of a
// call takes milliseconds and a goroutine left behind fails the test by name.
type world struct {
	t    *testing.T
	net  *netsim.Network
	host *netsim.Host
	link netsim.LinkConfig
	sfu  *sfu.SFU

	mute    bool // clients made by hand never tell what has come
	plain   bool // clients made by hand offer no transport-wide feedback
	red     bool // they offer RED for voices
	clients int
	closers []func()
}

// newWorld starts a server; clients reach it over link, each way.
func newWorld(t *testing.T, seed uint64, link netsim.LinkConfig) *world {
	t.Helper()
	return newWorldOf(t, seed, link, sfu.Config{})
}

// newWorldOf is newWorld with a server that differs from the default: with as many shards as cfg.Sockets has places.
func newWorldOf(t *testing.T, seed uint64, link netsim.LinkConfig, cfg sfu.Config) *world {
	t.Helper()
	w := &world{t: t, net: netsim.New(seed), link: link}
	w.host = w.net.Host(netip.MustParseAddr("10.0.0.1"))
	if cfg.Sockets == nil {
		cfg.Sockets = make([]udp.Socket, 1)
	}
	var err error
	for i := range cfg.Sockets {
		cfg.Sockets[i], err = w.host.Socket(7882 + uint16(i))
		require.NoError(t, err)
	}
	cfg.Advertise = []netip.Addr{w.host.Addr()}
	w.sfu, err = sfu.New(cfg)
	require.NoError(t, err)
	return w
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
	require.NoError(w.t, w.sfu.Close())
	w.net.Close()
}

// client is a real pion client with the m-lines of the web SDK.
type client struct {
	w        *world
	name     string
	host     *netsim.Host
	pc       *webrtc.PeerConnection
	audio    *webrtc.TrackLocalStaticRTP
	video    *webrtc.TrackLocalStaticRTP
	peer     *sfu.Peer
	joined   sfu.Joined
	camera   *camera
	tracks   []sfu.Track // published besides microphone and camera
	stopping chan struct{}
	wg       sync.WaitGroup

	// Guarded by mu.
	mu        sync.Mutex
	events    []sfu.Event
	slots     map[string]string    // mid → peer id, from the newest map
	heard     map[string]*received // by mid
	connected time.Time
	plis      int
}

// received is what came in on one slot.
type received struct {
	packets   []rtp.Packet // without payloads beyond the first 16 bytes
	at        []time.Time
	keyframes int
	seen      [1 << 16]bool // numbers of the last half of their range
}

// repeats says whether a packet has come before, as a receiver's buffer sees it.
func (r *received) repeats(number uint16) bool {
	r.seen[number+1<<15] = false
	before := r.seen[number]
	r.seen[number] = true
	return before
}

// newClient makes a client at an address of its own, with 3 audio and 9 video slots.
func (w *world) newClient(name string) *client {
	w.clients++
	host := w.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, byte(w.clients)}))
	w.net.SetPath(w.host, host, w.link)
	return w.newClientAt(name, host, 3, 9)
}

func (w *world) newClientAt(name string, host *netsim.Host, audioSlots, videoSlots int) *client {
	w.t.Helper()
	conn, err := host.ListenUDP(0)
	require.NoError(w.t, err)
	mux := webrtc.NewICEUDPMux(nil, conn)
	w.closers = append(w.closers, func() {
		mux.Close()
		conn.Close()
	})
	return w.newClientOver(name, host, audioSlots, videoSlots, func(settings *webrtc.SettingEngine) {
		settings.SetICEUDPMux(mux)
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	})
}

// newClientOver makes a client whose network the caller sets.
func (w *world) newClientOver(name string, host *netsim.Host, audioSlots, videoSlots int, network func(*webrtc.SettingEngine)) *client {
	t := w.t
	c := &client{
		w: w, name: name, host: host, stopping: make(chan struct{}),
		slots: map[string]string{}, heard: map[string]*received{},
	}
	media := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "transport-cc"}, {Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	require.NoError(t, media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}, PayloadType: 111}, webrtc.RTPCodecTypeAudio))
	require.NoError(t, media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback,
	}, PayloadType: 96}, webrtc.RTPCodecTypeVideo))
	require.NoError(t, media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96",
	}, PayloadType: 97}, webrtc.RTPCodecTypeVideo))
	for _, uri := range []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI} {
		require.NoError(t, media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo))
	}
	chain := &interceptor.Registry{}
	require.NoError(t, webrtc.RegisterDefaultInterceptors(media, chain))
	var settings webrtc.SettingEngine
	network(&settings)
	// As Chromium does: pion repeats DTLS flights after a second only, and its checks of a pair end with the seventh.
	settings.SetDTLSRetransmissionInterval(50 * time.Millisecond)
	settings.SetICEMaxBindingRequests(100)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	var err error
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	c.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)

	c.audio, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", name)
	require.NoError(t, err)
	c.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "cam", name)
	require.NoError(t, err)
	for _, track := range []webrtc.TrackLocal{c.audio, c.video} {
		tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(t, err)
		c.wg.Go(func() { c.readFeedback(tr.Sender()) })
	}
	for i := range audioSlots + videoSlots {
		kind := webrtc.RTPCodecTypeAudio
		if i >= audioSlots {
			kind = webrtc.RTPCodecTypeVideo
		}
		_, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		require.NoError(t, err)
	}
	c.pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) { c.receive(track, receiver) })
	c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s == webrtc.PeerConnectionStateConnected && c.connected.IsZero() {
			c.connected = time.Now()
		}
	})
	w.closers = append(w.closers, func() {
		c.stop()
		require.NoError(t, c.pc.Close())
		c.wg.Wait()
	})
	return c
}

func (c *client) stop() {
	select {
	case <-c.stopping:
	default:
		close(c.stopping)
	}
}

// join enters a room and returns once the answer is set.
func (c *client) join(room string) *client {
	c.w.t.Helper()
	require.NoError(c.w.t, c.tryJoin(room))
	return c
}

func (c *client) tryJoin(room string) error {
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	// Half a round trip up and half down: Join itself takes no simulated time.
	time.Sleep(c.w.link.Delay)
	c.peer, c.joined, err = c.w.sfu.Join(context.Background(), sfu.JoinRequest{
		Room: room, Identity: c.name, Name: c.name, Publish: true, Subscribe: true, Offer: offer.SDP,
		Tracks: append([]sfu.Track{
			{ID: "mic", Kind: sfu.Audio, Source: sfu.Microphone, MID: "0"},
			{ID: "cam", Kind: sfu.Video, Source: sfu.Camera, MID: "1"},
		}, c.tracks...),
		Events: c.event,
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	if len(c.slots) == 0 { // an event may have been faster with a newer map
		c.setSlots(c.joined.Slots)
	}
	c.mu.Unlock()
	time.Sleep(c.w.link.Delay)
	return c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.joined.Answer})
}

func (c *client) event(e sfu.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
	if m, ok := e.(sfu.SlotsChanged); ok {
		c.setSlots(m.Slots)
	}
}

func (c *client) setSlots(slots []sfu.SlotInfo) {
	for _, s := range slots {
		c.slots[s.MID] = s.PeerID
	}
}

// leave ends the session as a client does that closes its page.
func (c *client) leave() {
	require.NoError(c.w.t, c.peer.Leave(context.Background()))
}

// readFeedback watches for keyframe requests to the camera.
func (c *client) readFeedback(sender *webrtc.RTPSender) { c.watch(sender, nil) }

// watch reads a sender's feedback; nil stands for the camera of talk.
func (c *client) watch(sender *webrtc.RTPSender, shows *camera) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if isPLI(p) {
				c.mu.Lock()
				c.plis++
				cam := c.camera
				if shows != nil {
					cam = shows
				}
				c.mu.Unlock()
				if cam != nil {
					cam.keyframe.Store(true)
				}
			}
		}
	}
}

func isPLI(p rtcp.Packet) bool {
	_, ok := p.(*rtcp.PictureLossIndication)
	return ok
}

// receive reads one slot until it ends.
func (c *client) receive(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	mid := ""
	for _, tr := range c.pc.GetTransceivers() {
		if tr.Receiver() == receiver {
			mid = tr.Mid()
		}
	}
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		c.mu.Lock()
		r := c.heard[mid]
		if r == nil {
			r = &received{}
			c.heard[mid] = r
		}
		if r.repeats(p.SequenceNumber) { // a probe's padding: what was sent lately, once more
			c.mu.Unlock()
			continue
		}
		if track.Kind() == webrtc.RTPCodecTypeVideo && isKeyframe(p.Payload) {
			r.keyframes++
		}
		kept := *p
		kept.Payload = append([]byte(nil), p.Payload[:min(len(p.Payload), 16)]...)
		r.packets, r.at = append(r.packets, kept), append(r.at, time.Now())
		c.mu.Unlock()
	}
}

// slotOf returns the mids of the slots that show a peer now.
func (c *client) slotOf(peerID string, video bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for mid, id := range c.slots {
		if id == peerID && c.isVideo(mid) == video {
			return mid
		}
	}
	return ""
}

func (c *client) isVideo(mid string) bool {
	for _, tr := range c.pc.GetTransceivers() {
		if tr.Mid() == mid {
			return tr.Kind() == webrtc.RTPCodecTypeVideo
		}
	}
	return false
}

// got returns how many packets of a peer's kind came in through the slot that shows it now.
func (c *client) got(from *client, video bool) int {
	return len(c.packets(from, video))
}

// packets returns what came in from a peer through the slot that shows it now; the publisher writes its name's first
// byte at the end of each payload's first 16 bytes.
func (c *client) packets(from *client, video bool) []rtp.Packet {
	mid := c.slotOf(from.peer.ID(), video)
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.heard[mid]
	if r == nil {
		return nil
	}
	var out []rtp.Packet
	for _, p := range r.packets {
		if len(p.Payload) == 16 && p.Payload[15] == from.name[0] {
			out = append(out, p)
		}
	}
	return out
}

// eventually waits, in simulated time, until ok holds.
func (w *world) eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			st, _ := w.sfu.Stats()
			w.t.Fatalf("not within %v: %s; server: %+v", limit, what, st)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

// hears waits until c gets media of each other client.
func (c *client) hears(limit time.Duration, others ...*client) time.Duration {
	c.w.t.Helper()
	return c.w.eventually(limit, fmt.Sprintf("%s gets audio and video of the others", c.name), func() bool {
		for _, o := range others {
			if c.got(o, false) == 0 || c.got(o, true) == 0 {
				return false
			}
		}
		return true
	})
}

// viewerAddr is where a client made by newClientAt lives.
var viewerAddr = netip.MustParseAddr("10.0.2.1")

// asked is how many keyframes the server has asked of the client.
func (c *client) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plis
}

func (c *client) isConnected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.connected.IsZero()
}

// lastEvent returns the newest event of a kind. Whoever is told at this moment has been told before.
func lastEvent[E sfu.Event](c *client) (e E, ok bool) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ev := range c.events {
		if v, is := ev.(E); is {
			e, ok = v, true
		}
	}
	return e, ok
}
