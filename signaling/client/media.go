package client

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/stats"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/sfu/bwe/pionbwe"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// What is seldomer where each byte counts: pion checks its path every 2 s, and reports every second, for each stream. Reports are what
// the server repairs by, so that they come oftener than its own.
const (
	saverKeepalive = 5 * time.Second
	saverSilence   = 12 * time.Second // two checks that are not answered
	saverFailed    = 30 * time.Second
	saverReports   = 2500 * time.Millisecond
)

// media is one PeerConnection in the shape the server expects: first the m-lines that send, then the receive slots, later
// further ones that send. m-lines are never taken away; one whose track has ended waits for another.
type media struct {
	pc      *webrtc.PeerConnection
	api     *webrtc.API
	made    time.Time
	saver   bool // the server is asked to send and want little
	names   *names
	missing *missing
	parity  *parity
	protect *protect           // nil: voices leave as they come
	bwe     *pionbwe.Estimator // of our uplink; nil: what is sent leaves at once
	detour  *detour
	mux     ice.UDPMux // nil: pion opens a socket on each address
	readers sync.WaitGroup
	relayed atomic.Bool // the way in use goes through a relay

	// Owned by whoever has the turn.
	sent []*publication // those on this connection
	idle []*publication // those that have ended, whose m-lines wait for another

	// Guarded by the Room's mu.
	slots   map[*webrtc.RTPReceiver]*Slot
	sharing sharing
	ice     webrtc.ICEConnectionState
	wasUp   bool
	closed  bool
}

// newMedia makes the PeerConnection; onICE is called from pion's goroutines.
func newMedia(c *Client, saver bool, onICE func(*media, webrtc.ICEConnectionState), onTrack func(*media, *webrtc.TrackRemote, *webrtc.RTPReceiver)) (*media, error) {
	engine := &webrtc.MediaEngine{}
	if err := registerCodecs(engine); err != nil {
		return nil, err
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
	settings.DisableActiveTCP(c.relayOnly) // pion would dial the server's ICE-TCP address whatever its policy is
	if saver {
		settings.SetICETimeouts(saverSilence, saverFailed, saverKeepalive)
	}
	detour := newDetour(c.dial, &c.volume)
	mux, err := detour.beneath(&settings, c.listenMedia)
	if err != nil {
		return nil, err
	}
	if c.settings != nil {
		c.settings(&settings)
	}
	chain, named := &interceptor.Registry{}, &names{bySSRC: map[uint32]*name{}}
	chain.Add(named) // first of all, so that nothing passes it by
	holes := newMissing()
	chain.Add(holes)
	repairs := newParity(!c.noFEC)
	chain.Add(repairs)
	var protects *protect
	if saver {
		protects = newProtect()
	}
	estimator, err := control(engine, chain, c, saver, named, repairs, protects, settings.LoggerFactory)
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(c.ice())
	if err != nil {
		return nil, err
	}
	holes.rtt = func() time.Duration { return pathOf(pc).RTT }
	holes.overTCP = func() bool { return detour.over.Load() != nil }
	repairs.rtt = holes.rtt
	if protects != nil {
		protects.overTCP = holes.overTCP
	}
	m := &media{pc: pc, api: api, names: named, missing: holes, protect: protects, parity: repairs, bwe: estimator, detour: detour, mux: mux, made: time.Now(), saver: saver, slots: map[*webrtc.RTPReceiver]*Slot{}, ice: webrtc.ICEConnectionStateNew}
	// What comes on ICE's goroutines may not ask pion for the pair: while it closes it waits for them and holds the lock of that.
	var overUDP atomic.Bool
	pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		m.relayed.Store(pair.Local.Typ == webrtc.ICECandidateTypeRelay)
		overUDP.Store(pair.Remote.Protocol == webrtc.ICEProtocolUDP && !m.relayed.Load())
		detour.begin(overUDP.Load())
	})
	pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected {
			note(c.trace.ICE)
			detour.begin(overUDP.Load())
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

// control puts into the chain what repairs, reports and paces.
func control(engine *webrtc.MediaEngine, chain *interceptor.Registry, c *Client, saver bool, named *names, repairs *parity, protects *protect, logs logging.LoggerFactory) (*pionbwe.Estimator, error) {
	var estimator *pionbwe.Estimator
	if !c.unpaced {
		estimator = pionbwe.New(pionbwe.Config{Config: c.bandwidth, Priority: named.priority})
		paced, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) { return estimator, nil })
		if err != nil {
			return nil, err
		}
		chain.Add(paced) // before what sends again, so that it passes too
	}
	generate := []nack.GeneratorOption{nack.GeneratorStreamsFilter(func(info *interceptor.StreamInfo) bool {
		_, isRepair := repairs.of(info.SSRC)
		return !isRepair && takesNACK(info) // for sound there is missing
	})}
	var respond []nack.ResponderOption
	var receive []report.ReceiverOption
	var send []report.SenderOption
	var count []stats.Option
	if saver {
		receive, send = append(receive, report.ReceiverInterval(saverReports)), append(send, report.SenderInterval(2*saverReports))
	}
	if logs != nil {
		generate, respond = append(generate, nack.WithGeneratorLoggerFactory(logs)), append(respond, nack.WithResponderLoggerFactory(logs))
		receive, send = append(receive, report.WithReceiverLoggerFactory(logs)), append(send, report.WithSenderLoggerFactory(logs))
		count = append(count, stats.WithLoggerFactory(logs))
	}
	if err := webrtc.ConfigureNackWithOptions(engine, chain, generate, respond...); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureRTCPReportsWithOptions(chain, receive, send...); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(engine); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureStatsInterceptorWithOptions(chain, count...); err != nil {
		return nil, err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		engine.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, kind)
		if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}, kind); err != nil {
			return nil, err
		}
	}
	chain.Add(newArrivals())
	if protects != nil {
		chain.Add(protects) // the last one: what is kept to be sent again has its copies, as it left
	}
	return estimator, nil
}

// send gives a track an m-line; the next offer tells the server.
func (m *media) send(p *publication) error {
	for _, g := range p.gates {
		g.names = m.names
		g.set(refused, false) // the next answer says so again
	}
	tr, err := m.line(p)
	if err != nil {
		return err
	}
	p.transceiver = tr
	for _, g := range p.gates {
		g.transceiver = tr
	}
	m.sent = append(m.sent, p)
	if offered := preferences(p.codec); offered != nil {
		if err := tr.SetCodecPreferences(offered); err != nil {
			return err
		}
	}
	sender := tr.Sender()
	for i, g := range p.gates {
		read := sender.ReadRTCP
		if g.rid != "" {
			read = func() ([]rtcp.Packet, interceptor.Attributes, error) { return sender.ReadSimulcastRTCP(g.rid) }
		}
		ssrc := uint32(sender.GetParameters().Encodings[i].SSRC)
		// The interceptors live on what is read: reports and NACKs among it.
		m.readers.Go(func() {
			for {
				packets, _, err := read()
				if err != nil {
					return
				}
				for _, packet := range packets {
					if g.noteReport(time.Now(), ssrc, packet) {
						m.names.reported(ssrc)
					}
					if asked := p.onKeyframeRequest(i); asked != nil && wantsKeyframe(packet, ssrc) {
						asked()
					}
				}
			}
		})
	}
	return nil
}

// line takes an m-line that waits, or opens one. The server keeps to the codec and the RIDs that an m-line began with, so that
// only a track of the same kind may follow. It always has a sender of its own: another track under the SSRC of the one
// before would use numbers, and with them SRTP's nonces, a second time.
func (m *media) line(p *publication) (*webrtc.RTPTransceiver, error) {
	i := slices.IndexFunc(m.idle, p.follows)
	if i < 0 {
		tr, err := m.pc.AddTransceiverFromTrack(p.gates[0], webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return nil, err
		}
		return tr, p.addEncodings(tr.Sender())
	}
	tr := m.idle[i].transceiver
	m.idle = slices.Delete(m.idle, i, i+1)
	sender, err := m.api.NewRTPSender(p.gates[0], tr.Sender().Transport())
	if err != nil {
		return nil, err
	}
	if err := p.addEncodings(sender); err != nil {
		return nil, err
	}
	if err := m.pc.RemoveTrack(tr.Sender()); err != nil {
		return nil, err
	}
	return tr, tr.SetSender(sender, p.gates[0])
}

// end lets the m-line of a track wait for another.
func (m *media) end(p *publication) {
	for _, g := range p.gates {
		g.set(ended, true)
	}
	m.sent = slices.DeleteFunc(m.sent, func(q *publication) bool { return q == p })
	m.idle = append(m.idle, p)
}

// wantsKeyframe says whether the packet asks for a picture of this SSRC (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
func wantsKeyframe(p rtcp.Packet, ssrc uint32) bool {
	switch p := p.(type) {
	case *rtcp.PictureLossIndication:
		return p.MediaSSRC == ssrc
	case *rtcp.FullIntraRequest:
		return slices.ContainsFunc(p.FIR, func(e rtcp.FIREntry) bool { return e.SSRC == ssrc })
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
	return wire.Offer(m.parity.offer(offer.SDP))
}

// answer takes the server's answer.
func (m *media) answer(packed *wire.Sdp) error {
	text, err := packed.Inflate()
	if err != nil {
		return err
	}
	simulcasts := taken(text)
	for _, p := range m.sent {
		p.admit(simulcasts)
	}
	m.missing.answered.Store(answersNACK(text))
	m.parity.answered(text)
	if m.protect != nil {
		m.protect.answered.Store(takesRED(text))
	}
	if local := m.pc.PendingLocalDescription(); local != nil {
		m.detour.aim(local.SDP, text)
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
	m.parity.close()
	_ = m.pc.GracefulClose()
	m.detour.close()
	if m.mux != nil {
		_ = m.mux.Close()
	}
	m.readers.Wait()
}

func isUp(state webrtc.ICEConnectionState) bool {
	return state == webrtc.ICEConnectionStateConnected || state == webrtc.ICEConnectionStateCompleted
}

func isBroken(state webrtc.ICEConnectionState) bool {
	return state == webrtc.ICEConnectionStateDisconnected || state == webrtc.ICEConnectionStateFailed
}
