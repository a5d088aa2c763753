package peer

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/red"
)

// Payload types, as Chromium numbers them.
const (
	payloadOpus = 111
	payloadRED  = 63
	payloadVP8  = 96
	payloadRTX  = 97
)

// Who names the sender of a remote track and the track, as far as the server has told by now. mid is the a=mid of its m-line. It
// is asked with each packet.
type Who func(track *webrtc.TrackRemote, mid string) (sender, name string)

// Media is the PeerConnections of one Session and what comes over them. All methods are safe from any goroutine.
type Media struct {
	connection *connection
	lost       chan struct{} // one place: a path is silent, for 5 s as pion has it
	readers    sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	lines  []*line
	closed bool
}

// line is one PeerConnection.
type line struct {
	pc  *webrtc.PeerConnection
	was bool // up at some time
	up  bool
}

// remote is a track that comes in.
type remote struct {
	pc    *webrtc.PeerConnection
	track *webrtc.TrackRemote
}

// Participant is who comes.
func (m *Media) Participant() caller.Participant { return m.connection.participant }

// Step tells that a step of setting up has ended. ICE and DTLS are told by Media itself, of the PeerConnection that gets there
// first.
func (m *Media) Step(s measure.Step) { m.connection.step(s) }

// Open makes a PeerConnection with pion's default interceptors, for Opus and VP8. loopback: the server is on this machine's
// loopback interface.
func (m *Media) Open(loopback bool, who Who) (*webrtc.PeerConnection, error) {
	engine := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	for _, codec := range []webrtc.RTPCodecParameters{
		{PayloadType: payloadOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}},
		}},
		{PayloadType: payloadRED, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: fmt.Sprintf("%d/%d", payloadOpus, payloadOpus),
		}},
		{PayloadType: payloadVP8, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback,
		}},
		{PayloadType: payloadRTX, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", payloadVP8),
		}},
	} {
		kind := webrtc.RTPCodecTypeVideo
		if strings.HasPrefix(codec.MimeType, "audio/") {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := engine.RegisterCodec(codec, kind); err != nil {
			return nil, err
		}
	}
	var settings webrtc.SettingEngine
	// As the Go SDK has them: clients are to be the same whatever server they call. pion repeats DTLS flights after a second
	// only, and its checks of a pair end with the seventh.
	settings.SetDTLSRetransmissionInterval(100 * time.Millisecond)
	settings.SetICEMaxBindingRequests(100)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(loopback)
	// pion would write to stderr whatever happens to a connection that is being closed.
	settings.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard}
	if edit := m.Participant().Network.Settings; edit != nil {
		edit(&settings)
	}
	chain := &interceptor.Registry{}
	requests := &requests{}
	chain.Add(requests)
	err := webrtc.RegisterDefaultInterceptorsWithOptions(engine, chain, webrtc.WithInterceptorLoggerFactory(settings.LoggerFactory))
	if err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("make a PeerConnection: %w", err)
	}
	l := &line{pc: pc}
	m.mu.Lock()
	m.lines = append(m.lines, l)
	m.mu.Unlock()
	pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) { m.follow(l, s) })
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			m.Step(measure.DTLS)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.closed {
			m.readers.Go(func() { m.read(pc, track, receiver, requests, who) })
		}
	})
	return pc, nil
}

// Publish gives the participant's tracks to a PeerConnection, in the m-lines that the server has offered or is yet to answer.
func (m *Media) Publish(pc *webrtc.PeerConnection) ([]*webrtc.RTPTransceiver, error) {
	var all []*webrtc.RTPTransceiver
	for _, t := range m.Participant().Tracks {
		direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		tr, err := pc.AddTransceiverFromTrack(t.Local, direction)
		if err != nil {
			return nil, fmt.Errorf("publish %s: %w", t.ID, err)
		}
		m.Hear(tr.Sender(), t.ID)
		all = append(all, tr)
	}
	return all, nil
}

// Hear takes the feedback that one of the participant's tracks gets. The interceptors live on what is read: reports and NACKs
// among it.
func (m *Media) Hear(sender *webrtc.RTPSender, trackID string) {
	m.readers.Go(func() {
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				switch p.(type) {
				case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
					m.connection.participant.On.KeyframeRequest(trackID)
				}
			}
		}
	})
}

// Describe sets a description and returns it with all candidates in it, for servers that are told no further ones.
func Describe(ctx context.Context, pc *webrtc.PeerConnection, d webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return "", err
	}
	select {
	case <-gathered:
		return pc.LocalDescription().SDP, nil
	case <-ctx.Done():
		return "", fmt.Errorf("gather candidates: %w", ctx.Err())
	}
}

// Answer takes an offer and returns the answer, with all candidates in it.
func Answer(ctx context.Context, pc *webrtc.PeerConnection, offer string) (string, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("take the offer: %w", err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("answer: %w", err)
	}
	return Describe(ctx, pc, answer)
}

// Offer returns an offer with all candidates in it; restart: of a new ICE session.
func Offer(ctx context.Context, pc *webrtc.PeerConnection, restart bool) (string, error) {
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	return Describe(ctx, pc, offer)
}

// follow notes how a path is.
func (m *Media) follow(l *line, s webrtc.ICEConnectionState) {
	m.mu.Lock()
	switch s {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		l.was, l.up = true, true
	case webrtc.ICEConnectionStateDisconnected, webrtc.ICEConnectionStateFailed, webrtc.ICEConnectionStateClosed:
		l.up = false
	}
	m.mu.Unlock()
	if s == webrtc.ICEConnectionStateDisconnected || s == webrtc.ICEConnectionStateFailed {
		select {
		case m.lost <- struct{}{}:
		default: // it is known
		}
	}
	if s == webrtc.ICEConnectionStateConnected {
		m.Step(measure.ICE)
	}
	m.tell()
}

// Reconnected counts a session that went on after it was broken.
func (m *Media) Reconnected() {
	m.connection.mu.Lock()
	defer m.connection.mu.Unlock()
	m.connection.reconnects++
}

// Restored returns once every path that there has been is there; false: ctx ended before.
func (m *Media) Restored(ctx context.Context) bool {
	for {
		m.mu.Lock()
		up := true
		for _, l := range m.lines {
			up = up && (l.up || !l.was)
		}
		m.mu.Unlock()
		if up {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tell says whether all paths that there have been are there now. Those of a session that is closed count no more, nor of one
// that is not the newest.
func (m *Media) tell() {
	m.connection.mu.Lock()
	newest := m.connection.media == m
	m.connection.mu.Unlock()
	m.mu.Lock()
	known, up := false, true
	for _, l := range m.lines {
		known = known || l.was
		up = up && (l.up || !l.was)
	}
	known = known && newest && !m.closed
	m.mu.Unlock()
	if known {
		m.connection.isUp(up)
	}
}

// read passes a track's packets on until it ends.
func (m *Media) read(pc *webrtc.PeerConnection, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver, requests *requests, who Who) {
	mid := ""
	for _, tr := range pc.GetTransceivers() {
		if tr.Receiver() == receiver {
			mid = tr.Mid()
		}
	}
	kind := measure.Audio
	if track.Kind() == webrtc.RTPCodecTypeVideo {
		kind = measure.Video
	}
	slot := m.connection.slot(kind, remote{pc, track})
	defer m.connection.forget(kind, slot)
	var copies red.Splitter
	for {
		p, attributes, err := track.ReadRTP()
		if err != nil {
			return
		}
		at := time.Now()
		from := caller.Source{Slot: slot, Kind: kind}
		_, from.Codec, _ = strings.Cut(track.Codec().MimeType, "/")
		from.Sender, from.Track = who(track, mid)
		came := measure.FirstTry
		if attributes.Get(webrtc.AttributeRtxSsrc) != nil || requests.had(p.SSRC, p.SequenceNumber) {
			came = measure.Resent
		}
		if kind == measure.Audio {
			own, filled, ok := copies.Take(p.SequenceNumber, p.Timestamp, p.Payload, track.PayloadType() == payloadRED)
			if !ok {
				continue
			}
			from.Codec, p.Payload = "opus", own
			for _, c := range filled {
				header := rtp.Header{Version: 2, PayloadType: payloadOpus, SequenceNumber: c.Sequence, Timestamp: c.Timestamp, SSRC: p.SSRC}
				m.connection.participant.On.Packet(at, from, &rtp.Packet{Header: header, Payload: c.Payload}, measure.Copied)
			}
		}
		m.connection.participant.On.Packet(at, from, p, came)
	}
}

func (r remote) requestKeyframe() error {
	// Browsers put it behind a report, by which Janus 1.1 knows the m-line: where nothing is sent back, a request that stands
	// alone it takes for one of the first m-line, sound or not, unless the sender's SSRC is of the right one.
	ssrc := uint32(r.track.SSRC())
	return r.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: ssrc, MediaSSRC: ssrc}})
}

// path is what carries media: of the first PeerConnection that has one.
func (m *Media) path() (protocol string, rtt time.Duration) {
	m.mu.Lock()
	lines := m.lines
	m.mu.Unlock()
	for _, l := range lines {
		transport := l.pc.SCTP().Transport().ICETransport()
		pair, err := transport.GetSelectedCandidatePair()
		if err != nil || pair == nil {
			continue
		}
		if stats, ok := transport.GetSelectedCandidatePairStats(); ok {
			rtt = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
		}
		return pair.Remote.Protocol.String(), rtt
	}
	return "", 0
}

// close ends every goroutine of the PeerConnections. Not from pion's own callbacks.
func (m *Media) close() {
	m.mu.Lock()
	m.closed = true
	lines := m.lines
	m.mu.Unlock()
	for _, l := range lines {
		// There is nothing to be done about one that does not close clean.
		_ = l.pc.GracefulClose()
	}
	m.readers.Wait()
}
