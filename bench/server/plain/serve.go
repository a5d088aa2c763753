package plain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// mostMessage bounds a message: an answer with 200 m-lines has about 300 kB.
const mostMessage = 1 << 20

// Listening is the line that Serve writes when it is ready.
type Listening struct {
	Listening string `json:"listening"` // host:port of HTTP
	Version   string `json:"version"`
}

// status is what GET /status answers.
type status struct {
	Goroutines int `json:"goroutines"`
}

// Serve runs the server on a TCP address until ctx ends: WebSockets at /, figures at /status. Media has ports of its own on the
// same host. Once it is ready it writes a line of JSON to out, Listening.
func Serve(ctx context.Context, listen string, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &sfu{host: address.Addr().Unmap(), rooms: map[string]*room{}, ctx: ctx}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(status{runtime.NumGoroutine()}) // whoever asked has gone
	})
	mux.HandleFunc("GET /{$}", s.welcome)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	if err := json.NewEncoder(out).Encode(Listening{address.String(), version()}); err != nil {
		cancel()
		_ = web.Close()
		<-served
		return fmt.Errorf("say where it listens: %w", err)
	}
	select {
	case err = <-served: // it never ends well by itself
	case <-ctx.Done():
		err = web.Close()
		<-served
	}
	cancel()
	s.present.Wait()
	return err
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/pion/webrtc/v4" {
				return "pion/webrtc " + d.Version
			}
		}
	}
	return "pion/webrtc"
}

// sfu is the server.
type sfu struct {
	// Fixed after Serve.
	host netip.Addr
	ctx  context.Context

	present sync.WaitGroup // peers

	// Guarded by mu.
	mu    sync.Mutex
	rooms map[string]*room
}

// welcome takes a participant from its first word to its leaving.
func (s *sfu) welcome(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has been answered
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(mostMessage)
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	s.present.Add(1)
	s.mu.Unlock()
	defer s.present.Done()
	p := &participant{server: s, ws: ws, changed: make(chan struct{}, 1), answers: make(chan string, 1), sending: map[*track]*webrtc.RTPSender{}}
	p.stay()
}

// api is what a PeerConnection is made with: pion's defaults, on one address.
func (s *sfu) api() (*webrtc.API, error) {
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(s.host.IsLoopback())
	settings.SetIPFilter(func(ip net.IP) bool {
		addr, ok := netip.AddrFromSlice(ip)
		return ok && (s.host.IsUnspecified() || addr.Unmap() == s.host)
	})
	// pion would write to stderr whatever happens to a connection that is being closed.
	settings.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard}
	chain := &interceptor.Registry{}
	err := webrtc.RegisterDefaultInterceptorsWithOptions(engine, chain, webrtc.WithInterceptorLoggerFactory(settings.LoggerFactory))
	if err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings)), nil
}
