package pionbwe_test

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/bwe/pionbwe"
)

// caller is a pion peer on the simulated network.
type caller struct {
	pc  *webrtc.PeerConnection
	mux ice.UDPMux
	bwe *pionbwe.Estimator
}

func newCaller(t *testing.T, h *netsim.Host) *caller {
	t.Helper()
	conn, err := h.ListenUDP(0)
	require.NoError(t, err)
	c := &caller{mux: webrtc.NewICEUDPMux(nil, conn)}
	var settings webrtc.SettingEngine
	settings.SetICEUDPMux(c.mux)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	require.NoError(t, engine.RegisterDefaultCodecs())
	factory, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) {
		c.bwe = pionbwe.New(pionbwe.Config{Config: bwe.Config{Start: 300 * bwe.Kbps, Min: 50 * bwe.Kbps, Max: 10 * bwe.Mbps}})
		return c.bwe, nil
	})
	require.NoError(t, err)
	registry.Add(factory)
	require.NoError(t, webrtc.RegisterDefaultInterceptors(engine, registry))
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	c.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	return c
}

func (c *caller) close(t *testing.T) {
	t.Helper()
	require.NoError(t, c.pc.GracefulClose())
	require.NoError(t, c.mux.Close())
}

func connect(t *testing.T, offerer, answerer *webrtc.PeerConnection) {
	t.Helper()
	offer, err := offerer.CreateOffer(nil)
	require.NoError(t, err)
	gathered := webrtc.GatheringCompletePromise(offerer)
	require.NoError(t, offerer.SetLocalDescription(offer))
	<-gathered
	require.NoError(t, answerer.SetRemoteDescription(*offerer.LocalDescription()))
	answer, err := answerer.CreateAnswer(nil)
	require.NoError(t, err)
	gathered = webrtc.GatheringCompletePromise(answerer)
	require.NoError(t, answerer.SetLocalDescription(answer))
	<-gathered
	require.NoError(t, offerer.SetRemoteDescription(*answerer.LocalDescription()))
}

// film writes 30 frames a second of a video that follows the target, and audio of 20 kbit/s.
type film struct {
	video, audio *webrtc.TrackLocalStaticRTP
	mu           sync.Mutex
	bitrate      int
	most         int
}

func newFilm(t *testing.T, c *caller, most int) *film {
	t.Helper()
	f := &film{bitrate: 150_000, most: most}
	var err error
	f.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "film")
	require.NoError(t, err)
	f.audio, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "film")
	require.NoError(t, err)
	for _, track := range []webrtc.TrackLocal{f.video, f.audio} {
		sender, err := c.pc.AddTrack(track)
		require.NoError(t, err)
		go func() {
			buf := make([]byte, 1500)
			for {
				if _, _, err := sender.Read(buf); err != nil {
					return
				}
			}
		}()
	}
	c.bwe.OnTargetBitrateChange(func(bitrate int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bitrate = bitrate
	})
	c.bwe.Wants(bwe.Bitrate(most + 50_000))
	return f
}

// play sends until the context of the test ends or stop is closed.
func (f *film) play(stop <-chan struct{}) {
	frames, sounds := time.NewTicker(time.Second/30), time.NewTicker(20*time.Millisecond)
	defer frames.Stop()
	defer sounds.Stop()
	var video, audio uint16
	payload := make([]byte, 1200)
	for {
		select {
		case <-stop:
			return
		case <-sounds.C:
			audio++
			_ = f.audio.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: audio, Timestamp: uint32(audio) * 960}, Payload: payload[:50]})
		case <-frames.C:
			f.mu.Lock()
			bytes := min(max(f.bitrate-25_000, 50_000), f.most) / 8 / 30
			f.mu.Unlock()
			for first := true; bytes > 0; first = false {
				n := min(bytes, 1100)
				video++
				payload[0] = 0
				if first {
					payload[0] = 0x10
				}
				_ = f.video.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: video, Timestamp: uint32(video) * 3000, Marker: n == bytes}, Payload: payload[:n]})
				bytes -= n
			}
		}
	}
}

// received counts what comes of one kind.
type received struct {
	mu             sync.Mutex
	bytes, packets map[webrtc.RTPCodecType]int
}

func receive(pc *webrtc.PeerConnection) *received {
	r := &received{bytes: map[webrtc.RTPCodecType]int{}, packets: map[webrtc.RTPCodecType]int{}}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		buf := make([]byte, 1500)
		for {
			n, _, err := track.Read(buf)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.bytes[track.Kind()] += n
			r.packets[track.Kind()]++
			r.mu.Unlock()
		}
	})
	return r
}

func (r *received) take() (video, audio int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	video, audio = r.bytes[webrtc.RTPCodecTypeVideo], r.packets[webrtc.RTPCodecTypeAudio]
	clear(r.bytes)
	clear(r.packets)
	return video, audio
}

// A call of two stock pion peers, one of which has this estimator: its target finds 2.5 Mbit/s, follows the link down to 0.6 and
// up again, and the sound is whole at all times.
func TestTargetFollowsTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(3)
		defer n.Close()
		alice, bob := n.Host(netip.MustParseAddr("10.0.0.1")), n.Host(netip.MustParseAddr("10.0.0.2"))
		link := netsim.LinkConfig{Delay: 50 * time.Millisecond, QueueTime: 300 * time.Millisecond}
		set := func(rate bwe.Bitrate) {
			link.Rate = int64(rate)
			n.SetLink(alice, bob, link)
		}
		n.SetLink(bob, alice, netsim.LinkConfig{Delay: 50 * time.Millisecond})
		set(2500 * bwe.Kbps)
		a, b := newCaller(t, alice), newCaller(t, bob)
		got := receive(b.pc)
		f := newFilm(t, a, 4_000_000)
		connect(t, a.pc, b.pc)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			f.play(stop)
		}()

		phase := func(name string, rate bwe.Bitrate, settle, length time.Duration) {
			set(rate)
			time.Sleep(settle)
			got.take()
			time.Sleep(length)
			video, audio := got.take()
			target, e := a.bwe.GetTargetBitrate(), a.bwe.Estimate()
			t.Logf("%s: %.2f Mbit/s came, %d of %d packets of sound, target %.2f, %+v", name,
				float64(video)*8/length.Seconds()/1e6, audio, int(length.Seconds()*50), float64(target)/1e6, e)
			require.GreaterOrEqual(t, float64(video)*8/length.Seconds(), 0.6*float64(rate), name)
			require.GreaterOrEqual(t, target, int(0.6*float64(rate)), name)
			require.LessOrEqual(t, target, int(1.15*float64(rate)), name)
			require.GreaterOrEqual(t, audio, int(0.98*length.Seconds()*50), name)
		}
		phase("found", 2500*bwe.Kbps, 6*time.Second, 15*time.Second)
		phase("drop", 600*bwe.Kbps, 3*time.Second, 15*time.Second)
		phase("back", 2500*bwe.Kbps, 8*time.Second, 15*time.Second)

		close(stop)
		<-stopped
		a.close(t)
		b.close(t)
	})
}
