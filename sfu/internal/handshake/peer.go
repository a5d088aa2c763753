package handshake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// Hooks report from a peer. They are called from pion's goroutines (LocalCredentials, and Failed at times, from Answer),
// must not block and must not call the Peer. A nil hook is not called.
type Hooks struct {
	// Keys are ready: DTLS is connected and the client's certificate has proved genuine. Called once.
	Keys func(Keys)
	// Wrote is called after each datagram or frame that pion has written: it ends the peer's step at the gate.
	Wrote func()
	// Failed says that the session is over: ErrDTLS, ErrRemoteClosed or, from Answer, ErrBroken. Called at most once, never after
	// Close began. ICE that fails is not reported: the shard sees the silence, and a restart heals it.
	Failed func(error)
	// LocalCredentials are new: the client's checks name them from now on. Called before the Answer that carries them
	// returns, at the first answer and at each ICE restart.
	LocalCredentials func(ufrag, pwd string)
}

// The reasons Hooks.Failed gives.
var (
	ErrDTLS         = errors.New("DTLS handshake failed")
	ErrRemoteClosed = errors.New("client closed the connection")
)

// ErrClosed: the peer has been closed.
var ErrClosed = errors.New("handshake peer is closed")

// Peer is one client's PeerConnection. Deliver, DeliverBy and Detach are for the shard, Answer and Close for whoever serves the client;
// all are safe from any goroutine.
type Peer struct {
	// Fixed after NewPeer.
	engine *Engine
	hooks  Hooks
	mux    *mux
	keys   *keyCollector
	pc     *webrtc.PeerConnection

	// Guarded by mu.
	mu    sync.Mutex
	ufrag string
	id    answerID
	agreed
	slots map[string]slotPlace // by mid; a slot that is inactive for now keeps its place and its SSRCs
	ssrcs map[uint32]bool      // of every slot there ever was, two each

	// Guarded by ending.
	ending  sync.Mutex
	ended   bool // Close began or Failed was called
	keyed   bool // DTLS has brought keys
	done    chan struct{}
	closing sync.Once
}

// NewPeer opens a PeerConnection that writes to w. It sends nothing before Answer.
func (e *Engine) NewPeer(w Wire, hooks Hooks) (*Peer, error) {
	p := &Peer{engine: e, hooks: hooks, keys: &keyCollector{}, done: make(chan struct{}), ssrcs: map[uint32]bool{}}
	p.id.session = rand.Uint64() >> 2 // RFC 8829 §5.2.1
	wrote := hooks.Wrote
	if wrote == nil {
		wrote = func() {}
	}
	p.mux = newMux(w, wrote, e.cfg.HostAddrs)
	media, err := newMediaEngine()
	if err != nil {
		return nil, fmt.Errorf("open peer: %w", err)
	}
	settings, err := e.settings(p.mux, p.keys)
	if err != nil {
		return nil, fmt.Errorf("open peer: %w", err)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	p.pc, err = api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{e.certificate}})
	if err != nil {
		return nil, fmt.Errorf("open peer: %w", err)
	}
	p.pc.SCTP().Transport().OnStateChange(p.dtlsChanged)
	p.pc.OnConnectionStateChange(p.connectionChanged)
	return p, nil
}

// followNomination makes pion send to the pair that the client nominates. Left alone it stays on the pair that it ranks
// higher, which is not the one Chromium uses.
func followNomination(m *stun.Message, _, _ ice.Candidate, _ *ice.CandidatePair) bool {
	return m.Contains(stun.AttrUseCandidate)
}

// Deliver hands pion one STUN or DTLS datagram. It copies b and never blocks; what does not fit is dropped and counted.
func (p *Peer) Deliver(b []byte, from netip.AddrPort) { p.mux.deliver(b, from, nil) }

// DeliverBy is Deliver for what came by a transport: what pion writes to the address leaves by that one until a packet from there
// comes another way. At most 8 such addresses a peer; packets from further ones are dropped and counted.
func (p *Peer) DeliverBy(way Transport, b []byte, from netip.AddrPort) { p.mux.deliver(b, from, way) }

// Detach forgets a transport that has ended.
func (p *Peer) Detach(way Transport) { p.mux.detach(way) }

// Stats returns the peer's counters.
func (p *Peer) Stats() Stats {
	p.mux.mu.Lock()
	defer p.mux.mu.Unlock()
	return p.mux.stats
}

func (p *Peer) dtlsChanged(s webrtc.DTLSTransportState) {
	switch s {
	case webrtc.DTLSTransportStateConnected:
		keys, err := p.keys.export()
		if err != nil {
			p.fail(fmt.Errorf("%w: %w", ErrDTLS, err))
			return
		}
		p.ending.Lock()
		p.mux.done()
		p.keyed = true
		ended := p.ended
		p.ending.Unlock()
		if !ended && p.hooks.Keys != nil {
			p.hooks.Keys(keys)
		}
	case webrtc.DTLSTransportStateFailed:
		p.fail(ErrDTLS)
	}
}

func (p *Peer) connectionChanged(s webrtc.PeerConnectionState) {
	if s != webrtc.PeerConnectionStateClosed {
		return
	}
	p.ending.Lock()
	keyed := p.keyed
	p.ending.Unlock()
	if !keyed {
		// A handshake that fails ends pion's connection too, and pion may report the end first.
		p.fail(ErrDTLS)
		return
	}
	p.fail(ErrRemoteClosed)
}

func (p *Peer) fail(err error) {
	p.ending.Lock()
	ended := p.ended
	p.ended = true
	p.ending.Unlock()
	if !ended && p.hooks.Failed != nil {
		p.hooks.Failed(err)
	}
}

// Close ends the session and waits for all of pion's goroutines. Idempotent; a second caller waits as well. It must not
// be called from a hook.
func (p *Peer) Close() error {
	var err error
	p.closing.Do(func() {
		p.ending.Lock()
		p.ended = true
		p.ending.Unlock()
		err = p.pc.GracefulClose()
		_ = p.mux.Close()
		close(p.done)
	})
	<-p.done
	if err != nil {
		return fmt.Errorf("close peer: %w", err)
	}
	return nil
}

// gathered waits until pion has opened its inlets, a matter of goroutines and not of the network.
func (p *Peer) gathered(ctx context.Context) error {
	select {
	case <-webrtc.GatheringCompletePromise(p.pc):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
