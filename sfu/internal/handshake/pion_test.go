package handshake

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/srtp"
)

var (
	serverAddr = netip.MustParseAddrPort("127.0.0.1:7882")
	clientAddr = netip.MustParseAddrPort("127.0.0.1:40000")
)

// hall joins one server peer with one pion client: what either writes is at the other at once. It stands where the shard
// stands: media never reaches the peer.
type hall struct {
	t      testing.TB
	engine *Engine
	peer   *Peer
	client *webrtc.PeerConnection
	socket *clientSocket

	keys   chan Keys
	failed chan error

	mu          sync.Mutex
	credentials [][2]string
	media       [][]byte // RTP and RTCP from the client
	viaTCP      bool     // the client's datagrams come as frames of a TCP connection
	tcpFrames   int      // that the peer sent
	udpSent     int      // that the peer sent
	wrote       int
	cut         bool // nothing passes
}

type hallConfig struct {
	profiles       []srtp.Profile // what the server offers
	clientProfiles []dtls.SRTPProtectionProfile
	viaTCP         bool
	config         Config
}

func newHall(t testing.TB, cfg hallConfig) *hall {
	t.Helper()
	h := &hall{t: t, keys: make(chan Keys, 4), failed: make(chan error, 4), viaTCP: cfg.viaTCP}
	cfg.config.HostAddrs = append(cfg.config.HostAddrs, serverAddr)
	cfg.config.Profiles = cfg.profiles
	var err error
	h.engine, err = NewEngine(cfg.config)
	require.NoError(t, err)
	h.peer, err = h.engine.NewPeer(h, Hooks{
		Keys:   func(k Keys) { h.keys <- k },
		Failed: func(err error) { h.failed <- err },
		Wrote:  func() { h.mu.Lock(); h.wrote++; h.mu.Unlock() },
		LocalCredentials: func(ufrag, pwd string) {
			h.mu.Lock()
			h.credentials = append(h.credentials, [2]string{ufrag, pwd})
			h.mu.Unlock()
		},
	})
	require.NoError(t, err)

	h.socket = &clientSocket{hall: h, in: make(chan []byte, 1024), closed: make(chan struct{})}
	var s webrtc.SettingEngine
	s.SetICEUDPMux(ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: h.socket}))
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if cfg.clientProfiles != nil {
		s.SetSRTPProtectionProfiles(cfg.clientProfiles...)
	}
	m := &webrtc.MediaEngine{}
	require.NoError(t, m.RegisterDefaultCodecs())
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		for _, uri := range []string{uriMID, uriTransportSeq, uriRID, uriRepairedRID} {
			require.NoError(t, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind))
		}
		m.RegisterFeedback(webrtc.RTCPFeedback{Type: "transport-cc"}, kind)
	}
	require.NoError(t, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uriAudioLevel}, webrtc.RTPCodecTypeAudio))
	h.client, err = webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(m)).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	return h
}

func (h *hall) close() {
	require.NoError(h.t, h.peer.Close())
	require.NoError(h.t, h.client.GracefulClose())
	require.NoError(h.t, h.socket.Close())
}

// WriteTo implements Wire.
func (h *hall) WriteTo(p []byte, to netip.AddrPort) (int, error) {
	h.mu.Lock()
	h.udpSent++
	h.mu.Unlock()
	return h.toClient(p, to)
}

// hallStream is the hall as a TCP connection.
type hallStream struct{ hall *hall }

func (s hallStream) Stream() bool { return true }

func (s hallStream) Send(p []byte) bool {
	s.hall.mu.Lock()
	s.hall.tcpFrames++
	s.hall.mu.Unlock()
	_, err := s.hall.toClient(p, clientAddr)
	return err == nil
}

func (h *hall) toClient(p []byte, to netip.AddrPort) (int, error) {
	if to != clientAddr || h.isCut() {
		return len(p), nil
	}
	select {
	case h.socket.in <- append([]byte(nil), p...):
	default:
	}
	return len(p), nil
}

func (h *hall) isCut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cut
}

func (h *hall) fromClient(p []byte) {
	h.mu.Lock()
	peer, cut := h.peer, h.cut
	h.mu.Unlock()
	if cut {
		return
	}
	switch packet.Classify(p) {
	case packet.STUN, packet.DTLS:
		if h.viaTCP {
			peer.DeliverBy(hallStream{h}, p, clientAddr)
		} else {
			peer.Deliver(p, clientAddr)
		}
	default:
		h.mu.Lock()
		h.media = append(h.media, append([]byte(nil), p...))
		h.mu.Unlock()
	}
}

// clientSocket is the client's end.
type clientSocket struct {
	hall   *hall
	in     chan []byte
	once   sync.Once
	closed chan struct{}
}

func (s *clientSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-s.in:
		return copy(b, p), net.UDPAddrFromAddrPort(serverAddr), nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *clientSocket) WriteTo(p []byte, _ net.Addr) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
		s.hall.fromClient(p)
		return len(p), nil
	}
}

func (s *clientSocket) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

func (s *clientSocket) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(clientAddr) }
func (s *clientSocket) SetDeadline(time.Time) error      { return nil }
func (s *clientSocket) SetReadDeadline(time.Time) error  { return nil }
func (s *clientSocket) SetWriteDeadline(time.Time) error { return nil }

// transceivers adds sending m-lines and slots to the client, VP8 alone for video as the web SDK does.
func (h *hall) transceivers(sendAudio, sendVideo, audioSlots, videoSlots int) (tracks []*webrtc.TrackLocalStaticRTP) {
	vp8 := []webrtc.RTPCodecParameters{
		{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: []webrtc.RTCPFeedback{
			{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"},
		}}},
		{PayloadType: 97, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96"}},
	}
	for range sendAudio {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "mic", "me")
		require.NoError(h.t, err)
		_, err = h.client.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(h.t, err)
		tracks = append(tracks, track)
	}
	for range sendVideo {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "cam", "me")
		require.NoError(h.t, err)
		tr, err := h.client.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(h.t, err)
		require.NoError(h.t, tr.SetCodecPreferences(vp8))
		tracks = append(tracks, track)
	}
	receive := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for range audioSlots {
		_, err := h.client.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, receive)
		require.NoError(h.t, err)
	}
	for range videoSlots {
		tr, err := h.client.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, receive)
		require.NoError(h.t, err)
		require.NoError(h.t, tr.SetCodecPreferences(vp8))
	}
	return tracks
}

func (h *hall) negotiate(options *webrtc.OfferOptions) *Answer {
	h.t.Helper()
	return h.negotiateAs(options, Policy{})
}

func (h *hall) negotiateAs(options *webrtc.OfferOptions, policy Policy) *Answer {
	h.t.Helper()
	offer, err := h.client.CreateOffer(options)
	require.NoError(h.t, err)
	gathered := webrtc.GatheringCompletePromise(h.client)
	require.NoError(h.t, h.client.SetLocalDescription(offer))
	<-gathered
	answer, err := h.peer.Answer(context.Background(), h.client.LocalDescription().SDP, policy, nil)
	require.NoError(h.t, err)
	require.NoError(h.t, h.client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}))
	return answer
}

// send seals one RTP packet for a slot and sends it to the client.
func (h *hall) send(s *srtp.Sealer, to Slot, sequence uint16, payload string) {
	b := make([]byte, 1500)
	n := packet.PutHeader(b, packet.Header{Sequence: sequence, Timestamp: 1000, SSRC: to.SSRC, PayloadType: to.Payloads[0].PayloadType, Marker: true})
	size := n + copy(b[n:], payload)
	size = s.SealRTP(b, n, size, 1<<16+extended(sequence))
	_, err := h.toClient(b[:size], clientAddr)
	require.NoError(h.t, err)
}

func TestCallConnectsAndKeysAgree(t *testing.T) {
	tests := []struct {
		name    string
		server  []srtp.Profile
		client  []dtls.SRTPProtectionProfile
		viaTCP  bool
		profile srtp.Profile
	}{
		{"GCM-128 first", nil, nil, false, srtp.AEADAES128GCM},
		{"over TCP", nil, nil, true, srtp.AEADAES128GCM},
		{"GCM-256", []srtp.Profile{srtp.AEADAES256GCM}, nil, false, srtp.AEADAES256GCM},
		{"CM-SHA1-80", nil, []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80}, false, srtp.AES128CMHMACSHA180},
		{
			"ours decides the order", nil,
			[]dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AEAD_AES_128_GCM},
			false, srtp.AEADAES128GCM,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, hallConfig{profiles: test.server, clientProfiles: test.client, viaTCP: test.viaTCP})
				defer h.close()
				tracks := h.transceivers(1, 1, 3, 9)
				heard := make(chan string, 16)
				h.client.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
					p, _, err := track.ReadRTP()
					if err == nil {
						heard <- track.StreamID() + "/" + track.ID() + "/" + string(p.Payload)
					}
				})
				answer := h.negotiate(nil)
				keys := <-h.keys
				require.Equal(t, test.profile, keys.Local.Profile)

				require.Len(t, answer.Published, 2)
				require.Len(t, answer.Slots, 12)
				sealer, err := srtp.NewSealer(keys.Local)
				require.NoError(t, err)
				for _, want := range []struct {
					slot int
					name string
				}{{1, "slot1/audio1/"}, {4, "slot1/video1/"}, {11, "slot8/video8/"}} {
					h.send(sealer, answer.Slots[want.slot], 7, "salem")
					require.Equal(t, want.name+"salem", <-heard)
				}

				require.NoError(t, tracks[0].WriteRTP(testRTP("dombra")))
				synctest.Wait()
				opener, err := srtp.NewOpener(keys.Remote)
				require.NoError(t, err)
				require.Equal(t, []string{"dombra"}, h.opened(opener, answer.Published[0].Encodings[0].SSRC))

				h.mu.Lock()
				defer h.mu.Unlock()
				require.Len(t, h.credentials, 1)
				require.Equal(t, [2]string{answer.LocalUfrag, answer.LocalPwd}, h.credentials[0])
				require.Positive(t, h.wrote)
				require.Equal(t, test.viaTCP, h.tcpFrames > 0)
				require.Empty(t, h.keys, "keys are reported once")
				require.Zero(t, h.peer.Stats().Leaked)
				require.Zero(t, h.peer.Stats().Overflow)
			})
		})
	}
}

// opened returns the payloads of the SSRC's RTP packets that the client has sent.
func (h *hall) opened(o *srtp.Opener, ssrc uint32) (payloads []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.media {
		header, ok := packet.ParseHeader(b)
		if !ok || packet.Classify(b) != packet.RTP || header.SSRC != ssrc {
			continue
		}
		size, _, v := o.OpenRTP(b, &header)
		require.Equal(h.t, srtp.OK, v)
		payload, ok := header.Payload(b[:size])
		require.True(h.t, ok)
		payloads = append(payloads, string(payload))
	}
	return payloads
}

// Each codec from a pion client and to one, the server changing the codec in a slot as it likes.
func TestEveryCodec(t *testing.T) {
	for _, c := range []struct {
		codec codec.Codec
		sent  webrtc.RTPCodecCapability
	}{
		{codec.VP8, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}},
		{codec.VP9, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9, ClockRate: 90000, SDPFmtpLine: "profile-id=0"}},
		{codec.H264, webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		}},
		{codec.AV1, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeAV1, ClockRate: 90000}},
	} {
		t.Run(c.codec.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t, hallConfig{})
				defer h.close()
				track, err := webrtc.NewTrackLocalStaticRTP(c.sent, "cam", "me")
				require.NoError(t, err)
				sending, err := h.client.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
				require.NoError(t, err)
				_, err = h.client.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
				require.NoError(t, err)
				heard := make(chan string, 16)
				h.client.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
					for {
						p, _, err := track.ReadRTP()
						if err != nil {
							return
						}
						heard <- track.ID() + "/" + track.Codec().MimeType + "/" + string(p.Payload)
					}
				})
				answer := h.negotiateAs(nil, Policy{Codecs: []codec.Codec{c.codec}})
				keys := <-h.keys

				p := answer.Published[0]
				require.Equal(t, c.codec, p.Codec)
				require.NotZero(t, p.RTXPayloadType)
				synctest.Wait() // until the client has its keys
				require.NoError(t, track.WriteRTP(testRTP("kobyz")))
				synctest.Wait()
				opener, err := srtp.NewOpener(keys.Remote)
				require.NoError(t, err)
				require.Equal(t, []string{"kobyz"}, h.opened(opener, p.Encodings[0].SSRC))
				h.mu.Lock()
				header, ok := packet.ParseHeader(h.media[0])
				h.mu.Unlock()
				require.True(t, ok)
				require.Equal(t, p.PayloadType, header.PayloadType)
				require.Equal(t, c.sent.MimeType, sending.Sender().GetParameters().Codecs[0].MimeType)

				slot := answer.Slots[0]
				require.Len(t, slot.Payloads, 4)
				sealer, err := srtp.NewSealer(keys.Local)
				require.NoError(t, err)
				i := slices.IndexFunc(slot.Payloads, func(p Payload) bool { return p.Codec == c.codec })
				slot.Payloads = slot.Payloads[i:]
				h.send(sealer, slot, 1, "sybyzgy")
				require.Equal(t, "video0/"+c.sent.MimeType+"/sybyzgy", <-heard)
			})
		})
	}
}

// A simulcast of three from a pion client: each stream arrives under its own SSRC with its RID, and so does a re-offer's.
func TestSimulcastOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, hallConfig{})
		defer h.close()
		var tracks []*webrtc.TrackLocalStaticRTP
		for _, rid := range []string{"q", "h", "f"} {
			track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "cam", "me",
				webrtc.WithRTPStreamID(rid))
			require.NoError(t, err)
			tracks = append(tracks, track)
		}
		transceiver, err := h.client.AddTransceiverFromTrack(tracks[0], webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		require.NoError(t, err)
		require.NoError(t, transceiver.Sender().AddEncoding(tracks[1]))
		require.NoError(t, transceiver.Sender().AddEncoding(tracks[2]))
		first := h.negotiate(nil)
		keys := <-h.keys
		require.Equal(t, []Encoding{{RID: "q"}, {RID: "h"}, {RID: "f"}}, first.Published[0].Encodings)
		h.transceivers(0, 0, 1, 1)
		second := h.negotiate(nil)
		require.Equal(t, first.Published, second.Published)
		require.Contains(t, second.SDP, "a=simulcast:recv q;h;f")

		opener, err := srtp.NewOpener(keys.Remote)
		require.NoError(t, err)
		ext := first.Published[0].Ext
		synctest.Wait()
		for i, rid := range []string{"q", "h", "f"} {
			out := testRTP(rid)
			for _, x := range transceiver.Sender().GetParameters().HeaderExtensions {
				switch x.URI {
				case uriMID:
					require.NoError(t, out.SetExtension(uint8(x.ID), []byte(transceiver.Mid())))
				case uriRID:
					require.NoError(t, out.SetExtension(uint8(x.ID), []byte(rid)))
				}
			}
			require.NoError(t, tracks[i].WriteRTP(out))
			synctest.Wait()
			h.mu.Lock()
			sealed := h.media[len(h.media)-1]
			h.mu.Unlock()
			header, ok := packet.ParseHeader(sealed)
			require.True(t, ok)
			require.Equal(t, []string{rid}, h.opened(opener, header.SSRC))
			var p rtp.Packet
			require.NoError(t, p.Unmarshal(sealed[:header.Size]))
			require.Equal(t, rid, string(p.GetExtension(ext.RID)))
			require.Equal(t, first.Published[0].MID, string(p.GetExtension(ext.MID)))
		}
	})
}
