package client

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Payload types, as Chromium numbers them.
const (
	payloadOpus = 111
	payloadVP8  = 96
	payloadRTX  = 97
)

// media is one PeerConnection in the shape the server expects: first the m-lines that send, then the receive slots, later
// further ones that send. m-lines are never taken away; one whose track has ended waits for another.
type media struct {
	pc      *webrtc.PeerConnection
	api     *webrtc.API
	made    time.Time
	readers sync.WaitGroup

	// Owned by whoever has the turn.
	idle []*webrtc.RTPTransceiver // m-lines whose track has ended

	// Guarded by the Room's mu.
	slots  map[*webrtc.RTPReceiver]*Slot
	ice    webrtc.ICEConnectionState
	wasUp  bool
	closed bool
}

// newMedia makes the PeerConnection; onICE is called from pion's goroutines.
func newMedia(c *Client, onICE func(*media, webrtc.ICEConnectionState), onTrack func(*media, *webrtc.TrackRemote, *webrtc.RTPReceiver)) (*media, error) {
	engine := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	for _, codec := range []webrtc.RTPCodecParameters{
		{PayloadType: payloadOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		}},
		{PayloadType: payloadVP8, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback,
		}},
		{PayloadType: payloadRTX, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", payloadVP8),
		}},
	} {
		kind := webrtc.RTPCodecTypeVideo
		if codec.PayloadType == payloadOpus {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := engine.RegisterCodec(codec, kind); err != nil {
			return nil, err
		}
	}
	var settings webrtc.SettingEngine
	// pion repeats DTLS flights after a second only, and its checks of a pair end with the seventh.
	settings.SetDTLSRetransmissionInterval(100 * time.Millisecond)
	settings.SetICEMaxBindingRequests(100)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// pion gathers UDP alone by itself, and where UDP is dropped media goes over TCP.
	settings.SetNetworkTypes([]webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	})
	settings.SetIncludeLoopbackCandidate(c.nearby)
	if c.settings != nil {
		c.settings(&settings)
	}
	var options []webrtc.InterceptorOption
	if settings.LoggerFactory != nil {
		options = append(options, webrtc.WithInterceptorLoggerFactory(settings.LoggerFactory))
	}
	chain := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptorsWithOptions(engine, chain, options...); err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	m := &media{pc: pc, api: api, made: time.Now(), slots: map[*webrtc.RTPReceiver]*Slot{}, ice: webrtc.ICEConnectionStateNew}
	pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected {
			note(c.trace.ICE)
		}
		onICE(m, state)
	})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			note(c.trace.DTLS)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) { onTrack(m, track, receiver) })
	return m, nil
}

// send gives a track an m-line; the next offer tells the server.
func (m *media) send(p *publication) error {
	tr, err := m.line(p)
	if err != nil {
		return err
	}
	p.transceiver = tr
	sender := tr.Sender()
	// The interceptors live on what is read: reports and NACKs among it.
	m.readers.Go(func() {
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				p.gate.noteReport(time.Now(), sender.GetParameters().Encodings[0].SSRC, packet)
				if wantsKeyframe(packet) && p.local.OnKeyframeRequest != nil {
					p.local.OnKeyframeRequest()
				}
			}
		}
	})
	return nil
}

// line takes an m-line that waits, or opens one. It always has a sender of its own: another track under the SSRC of the one
// before would use numbers, and with them SRTP's nonces, a second time.
func (m *media) line(p *publication) (*webrtc.RTPTransceiver, error) {
	i := slices.IndexFunc(m.idle, func(tr *webrtc.RTPTransceiver) bool { return tr.Kind() == p.gate.Kind() })
	if i < 0 {
		return m.pc.AddTransceiverFromTrack(p.gate, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	}
	tr := m.idle[i]
	m.idle = slices.Delete(m.idle, i, i+1)
	sender, err := m.api.NewRTPSender(p.gate, tr.Sender().Transport())
	if err != nil {
		return nil, err
	}
	if err := m.pc.RemoveTrack(tr.Sender()); err != nil {
		return nil, err
	}
	return tr, tr.SetSender(sender, p.gate)
}

func wantsKeyframe(p rtcp.Packet) bool {
	switch p.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		return true
	}
	return false
}

// receive opens the m-line of a slot.
func (m *media) receive(s *Slot) (*webrtc.RTPTransceiver, error) {
	kind := webrtc.RTPCodecTypeAudio
	if s.kind == Video {
		kind = webrtc.RTPCodecTypeVideo
	}
	return m.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
}

// offer returns an offer, set as the local description. It leaves without candidates: the server advertises its own in the
// answer and learns ours from the checks.
func (m *media) offer(restart bool) (*wire.Sdp, error) {
	offer, err := m.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		return nil, err
	}
	if err := m.pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	return wire.Offer(offer.SDP)
}

// answer takes the server's answer.
func (m *media) answer(packed *wire.Sdp) error {
	text, err := packed.Inflate()
	if err != nil {
		return err
	}
	return m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text})
}

// rollback takes an offer back that was not answered.
func (m *media) rollback() error {
	if m.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		return nil
	}
	return m.pc.SetLocalDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeRollback})
}

// close ends every goroutine of the connection. Not from pion's own callbacks.
func (m *media) close() {
	// There is nothing to be done about a connection that does not close clean.
	_ = m.pc.GracefulClose()
	m.readers.Wait()
}

func isUp(state webrtc.ICEConnectionState) bool {
	return state == webrtc.ICEConnectionStateConnected || state == webrtc.ICEConnectionStateCompleted
}

func isBroken(state webrtc.ICEConnectionState) bool {
	return state == webrtc.ICEConnectionStateDisconnected || state == webrtc.ICEConnectionStateFailed
}
