//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/internal/capture"
)

//go:embed page.js
var pageScript string

const (
	// warm is how long all layers must have flowed before a recording begins: browsers climb slowly.
	warm = 3 * time.Second
	// within is how long they may take to get there.
	within = 30 * time.Second
	// length of a recording, from the first keyframe of all encodings; within it two more are asked for.
	length = 3 * time.Second
)

// session is one browser's connection, recorded.
type session struct {
	// Fixed after start.
	mode     mode
	pc       *webrtc.PeerConnection
	recorder *recorder
	failed   chan error // what the page could not do
	stats    chan stats // the newest only

	// Fixed once the offer is answered, which comes before the first packet.
	offer, answer description
}

// stats is what the page tells once a second.
type stats struct {
	State    string     `json:"state"`
	Estimate float64    `json:"estimate"` // bit/s that the browser thinks it may send; 0: not told
	Streams  []outbound `json:"streams"`
}

// outbound is an RTCOutboundRtpStreamStats (W3C webrtc-stats).
type outbound struct {
	RID             string  `json:"rid"`
	SSRC            uint32  `json:"ssrc"`
	FrameWidth      int     `json:"frameWidth"`
	FrameHeight     int     `json:"frameHeight"`
	FramesPerSecond float64 `json:"framesPerSecond"`
	ScalabilityMode string  `json:"scalabilityMode"`
	Encoder         string  `json:"encoderImplementation"`
	Target          float64 `json:"targetBitrate"`
	Limited         string  `json:"qualityLimitationReason"`
}

// record makes one capture.
func record(ctx context.Context, m mode, version string) (*capture.Capture, stats, error) {
	s := &session{mode: m, failed: make(chan error, 1), stats: make(chan stats, 1)}
	if err := s.connect(); err != nil {
		return nil, stats{}, err
	}
	defer s.pc.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, stats{}, err
	}
	server := &http.Server{Handler: s.handler()}
	go server.Serve(listener) // ends with Close
	defer server.Close()

	inner, cancel := context.WithCancel(ctx)
	browsing := make(chan error, 1)
	go func() {
		err := browse(inner, m.Browser, "http://"+listener.Addr().String()+"/")
		browsing <- err
		if err != nil {
			s.fail(err)
		}
	}()
	last, packets, err := s.run(inner)
	cancel()
	err = errors.Join(err, <-browsing)
	if err != nil {
		return nil, last, err
	}
	c, err := s.trim(packets, version)
	return c, last, err
}

// connect makes the PeerConnection.
func (s *session) connect() error {
	m := &webrtc.MediaEngine{}
	for _, c := range formats(s.mode) {
		kind := webrtc.RTPCodecTypeVideo
		if s.mode.Audio {
			kind = webrtc.RTPCodecTypeAudio
		}
		if err := m.RegisterCodec(c, kind); err != nil {
			return err
		}
	}
	for _, uri := range capture.ExtensionURIs() {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return err
			}
		}
	}
	s.recorder = &recorder{rids: map[uint32]string{}, repairs: map[uint32]string{}}
	chain := &interceptor.Registry{}
	chain.Add(s.recorder)
	// Receiver reports let the browser leave the RID out, transport-wide feedback lets it climb.
	if err := errors.Join(webrtc.ConfigureRTCPReports(chain), webrtc.ConfigureTWCCSender(m, chain)); err != nil {
		return err
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	s.pc = pc
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		go func() { // ends with the connection
			b := make([]byte, 1500)
			for {
				if _, _, err := receiver.ReadSimulcast(b, track.RID()); err != nil {
					return
				}
			}
		}()
		b := make([]byte, 1500)
		for {
			if _, _, err := track.Read(b); err != nil {
				return
			}
		}
	})
	return nil
}

// formats are those of a mode, as they go into the answer.
func formats(m mode) []webrtc.RTPCodecParameters {
	if m.Audio {
		opus := webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "transport-cc"}},
		}
		all := []webrtc.RTPCodecParameters{{RTPCodecCapability: opus, PayloadType: 111}}
		if m.RED {
			red := webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}
			all = append(all, webrtc.RTPCodecParameters{RTPCodecCapability: red, PayloadType: 63})
		}
		return all
	}
	format := map[string]string{
		"VP9":  "profile-id=0",
		"H264": "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		"AV1":  "profile=0",
	}[m.Codec]
	video := webrtc.RTPCodecCapability{
		MimeType: "video/" + m.Codec, ClockRate: 90000, SDPFmtpLine: format,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "transport-cc"}},
	}
	rtx := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96"}
	return []webrtc.RTPCodecParameters{{RTPCodecCapability: video, PayloadType: 96}, {RTPCodecCapability: rtx, PayloadType: 97}}
}

// handler serves the page and takes what it tells.
func (s *session) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>capture</title><body><script>%s</script>", pageScript)
	})
	mux.HandleFunc("GET /mode", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(s.mode) // a browser that is gone needs no answer
	})
	mux.HandleFunc("POST /offer", func(w http.ResponseWriter, r *http.Request) {
		answer, err := s.negotiate(r)
		if err != nil {
			s.fail(fmt.Errorf("answer the offer: %w", err))
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, answer)
	})
	mux.HandleFunc("POST /stats", func(w http.ResponseWriter, r *http.Request) {
		var now stats
		if err := json.NewDecoder(r.Body).Decode(&now); err != nil {
			s.fail(fmt.Errorf("read the page's stats: %w", err))
			return
		}
		select {
		case <-s.stats:
		default:
		}
		s.stats <- now // one page, one post at a time: there is room
	})
	mux.HandleFunc("POST /failed", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // what there is of it
		s.fail(fmt.Errorf("in the page: %s", text))
	})
	return mux
}

// fail keeps the first failure.
func (s *session) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

func (s *session) negotiate(r *http.Request) (string, error) {
	offer, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)}); err != nil {
		return "", err
	}
	answer, err := s.pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	text := s.pc.LocalDescription().SDP
	if s.mode.DTX {
		// The receiver asks for it (RFC 7587 §6.1).
		text = strings.ReplaceAll(text, "useinbandfec=1", "useinbandfec=1;usedtx=1")
	}
	s.offer, s.answer = parse(string(offer)), parse(text)
	if !s.mode.Audio {
		text = startFast(text, s.answer.payload)
	}
	s.recorder.name(s.answer.extensions["rid"], s.answer.extensions["repaired-rid"])
	return text, nil
}

// startFast lets Chromium begin at 2 Mbit/s: it enters an upper layer by the rate that it has been seen to send, which the
// lower ones alone never reach. Firefox does not know the word.
func startFast(answer string, payload uint8) string {
	const wish = "x-google-start-bitrate=2000" // kbit/s
	fmtp := fmt.Sprintf("a=fmtp:%d ", payload)
	if strings.Contains(answer, fmtp) {
		return strings.Replace(answer, fmtp, fmtp+wish+";", 1)
	}
	rtpmap := fmt.Sprintf("a=rtpmap:%d ", payload)
	return strings.Replace(answer, rtpmap, fmtp+wish+"\r\n"+rtpmap, 1)
}

// run waits until all layers flow, and records.
func (s *session) run(ctx context.Context) (last stats, packets []arrival, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var since time.Time // when all was there
	for {
		select {
		case err := <-s.failed:
			return last, nil, err
		case <-ctx.Done():
			text, _ := json.Marshal(last)
			return last, nil, fmt.Errorf("%w: layers are missing: %s", ctx.Err(), text)
		case last = <-s.stats:
		}
		if !s.complete(last) {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) >= warm {
			break
		}
	}
	from := time.Now()
	for range 3 {
		if err := s.wish(); err != nil {
			return last, nil, err
		}
		select {
		case err := <-s.failed:
			return last, nil, err
		case <-time.After(length / 3):
		}
	}
	time.Sleep(length / 6) // for keyframes that came late
	return last, s.recorder.since(from), nil
}

// complete says whether the browser sends all that it was asked for.
func (s *session) complete(now stats) bool {
	if now.State != "connected" || len(now.Streams) < max(1, len(s.mode.Encodings)) {
		return false
	}
	top := 0
	for _, o := range now.Streams {
		if o.FramesPerSecond < 20 && !s.mode.Audio {
			return false
		}
		top = max(top, o.FrameHeight)
	}
	return top == s.mode.top()
}

// wish asks for a keyframe of every encoding.
func (s *session) wish() error {
	if s.mode.Audio {
		return nil
	}
	var all []rtcp.Packet
	for _, t := range s.pc.GetTransceivers() {
		for _, track := range t.Receiver().Tracks() {
			all = append(all, &rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())})
		}
	}
	return s.pc.WriteRTCP(all)
}

// description is what a capture tells of an offer or an answer with one m-line.
type description struct {
	payload, rtx, red uint8
	codec, format     string
	extensions        map[string]uint8
	repairs           map[uint32]uint32 // RTX SSRC by that of the media
}

func parse(text string) description {
	d := description{extensions: map[string]uint8{}, repairs: map[uint32]uint32{}}
	formats := map[uint8]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "a=")), ":")
		head, rest, _ := strings.Cut(value, " ")
		number, _ := strconv.ParseUint(head, 10, 8) // of those below it always is one
		switch name {
		case "rtpmap":
			codec, _, _ := strings.Cut(rest, "/")
			switch {
			case codec == "rtx" && d.rtx == 0:
				d.rtx = uint8(number)
			case codec == "red":
				d.red = uint8(number)
			case d.payload == 0:
				d.payload, d.codec = uint8(number), codec
			}
		case "fmtp":
			formats[uint8(number)] = rest
		case "extmap":
			for short, uri := range capture.ExtensionURIs() {
				if uri == rest {
					d.extensions[short] = uint8(number)
				}
			}
		case "ssrc-group":
			if f := strings.Fields(value); len(f) == 3 && f[0] == "FID" {
				media, _ := strconv.ParseUint(f[1], 10, 32)
				rtx, _ := strconv.ParseUint(f[2], 10, 32)
				d.repairs[uint32(media)] = uint32(rtx)
			}
		}
	}
	d.format = formats[d.payload]
	return d
}
