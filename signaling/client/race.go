package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Transport is what carries a session.
type Transport uint8

// The transports.
const (
	NoTransport Transport = iota // none at the moment
	QUIC
	WebSocket
)

// String returns the name as metrics have it.
func (t Transport) String() string {
	return [...]string{"none", "quic", "websocket"}[min(t, WebSocket)]
}

const (
	// headStart of QUIC: it is there first by far, or not at all.
	headStart = 250 * time.Millisecond
	// answerWithin is how long a WebSocket that is ready waits for the answer on a QUIC connection whose handshake is
	// complete.
	answerWithin = time.Second
	// guessedPort of a server that has not said.
	guessedPort = 8443
	// maxAddresses of a server are tried over QUIC, one after the other.
	maxAddresses = 4
	// maxTransportsBytes bounds the answer of GET /v1/transports.
	maxTransportsBytes = 64 << 10
)

// The reasons why QUIC is not tried.
var (
	errNoQUIC  = errors.New("the server offers no QUIC")
	errAvoided = errors.New("QUIC failed on this network a while ago")
)

// road leads to one server, over whichever transport is there first.
//
// QUIC starts at once, WebSocket after headStart or when QUIC has failed. Two Hellos would open two sessions, so only one of
// the two may say for good what it has to say: the one whose handshake is complete first. QUIC's first frame is in its
// early data all the same and is answered after one round trip; as long as the handshake is not complete the server takes it
// back when the connection closes. Should QUIC fall silent after its handshake, WebSocket takes over.
type road struct {
	// Fixed after newRoad.
	url      *url.URL // of the WebSocket
	http     *http.Client
	memory   *Memory
	server   *known
	listen   ListenPacket // nil: no QUIC
	tls      *tls.Config
	trace    Trace
	system   bool // listen opens sockets of the system
	loopback bool // the server is on this machine and has no other encryption than QUIC's

	// Atomic.
	target atomic.Pointer[net.UDPAddr] // of the server, the last one tried
	opened [WebSocket + 1]atomic.Uint64
}

func newRoad(u *url.URL, transport *http.Transport, o Options) *road {
	r := &road{
		url: u, http: &http.Client{Transport: transport}, memory: o.Memory, listen: o.ListenPacket, trace: o.Trace,
		tls: &tls.Config{RootCAs: o.RootCAs}, loopback: u.Scheme == "ws" && onLoopback(u),
	}
	if r.memory == nil {
		r.memory = shared
	}
	if r.listen == nil && o.Dial == nil {
		r.listen, r.system = dialUDP, true
	}
	r.server = r.memory.of(serverKey(u))
	if _, told := r.memory.ways(r.server); !told && len(o.Transports) > 0 {
		r.memory.learn(r.server, o.Transports)
	}
	return r
}

// outcome of one transport's part in the race. It is final when the server has spoken, be it to refuse.
type outcome struct {
	conn   connection
	answer *wire.ServerFrame
	err    error
	final  bool
}

// open brings the first frame to the server and returns its answer. ctx bounds the opening alone.
func (r *road) open(ctx context.Context, first *wire.ClientFrame) (connection, *wire.ServerFrame, error) {
	won := r.race(ctx, first)
	if won.err != nil {
		return nil, nil, won.err
	}
	kind := won.conn.transport()
	r.opened[kind].Add(1)
	note(r.trace.Welcomed)
	// What comes over QUIC and names no QUIC is an incomplete configuration.
	if w := won.answer.GetWelcome(); w != nil && (len(w.GetTransports()) > 0 || kind == WebSocket) {
		r.memory.learn(r.server, w.GetTransports())
	}
	return won.conn, won.answer, nil
}

func (r *road) race(ctx context.Context, first *wire.ClientFrame) outcome {
	if r.listen == nil {
		return r.alone(ctx, first)
	}
	ctx, cancel := context.WithCancel(ctx)
	var runners sync.WaitGroup
	defer runners.Wait()
	defer cancel()
	quicCtx, stopQUIC := context.WithCancel(ctx)
	defer stopQUIC()
	var (
		quic, ws outcome
		network  netip.Prefix
		claim    claim
	)
	quicOver, wsOver := make(chan struct{}), make(chan struct{})
	runners.Go(func() {
		defer close(quicOver)
		quic, network = r.runQUIC(quicCtx, first, &claim)
	})
	runners.Go(func() {
		defer close(wsOver)
		ws = r.runWebSocket(ctx, first, &claim, quicOver, func() outcome {
			stopQUIC()
			<-quicOver
			return quic
		})
	})
	<-quicOver
	if quic.final {
		if quic.err == nil {
			r.memory.remember(r.server, network, QUIC)
		}
		return quic
	}
	<-wsOver
	switch {
	case ws.final:
		if ws.err == nil && !errors.Is(quic.err, errNoQUIC) && !errors.Is(quic.err, errAvoided) {
			r.memory.remember(r.server, network, WebSocket)
		}
		return ws
	case errors.Is(quic.err, errAvoided):
		r.memory.remember(r.server, network, QUIC) // no way works: try each again
		return ws
	}
	// Not wrapped: an attempt that was called off is no reason to give up.
	return outcome{err: fmt.Errorf("%w; over QUIC: %v", ws.err, quic.err)}
}

// claim is the right to say the first frame for good.
type claim struct {
	mu     sync.Mutex
	holder Transport
}

// take returns whether t has it.
func (c *claim) take(t Transport) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holder == NoTransport {
		c.holder = t
	}
	return c.holder == t
}

func (r *road) alone(ctx context.Context, first *wire.ClientFrame) outcome {
	ws, err := overWebSocket(ctx, r.url.String(), r.http)
	if err != nil {
		return outcome{err: err}
	}
	r.trace.opened(WebSocket)
	return ask(ctx, ws, first, ws.write(ctx, first))
}

// runWebSocket waits for its turn. takeOver ends QUIC's attempt and returns what has become of it.
func (r *road) runWebSocket(ctx context.Context, first *wire.ClientFrame, c *claim, quicOver <-chan struct{}, takeOver func() outcome) outcome {
	wait := time.NewTimer(headStart)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-quicOver:
		if takeOver().final {
			return outcome{err: context.Canceled}
		}
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return outcome{err: context.Cause(ctx)}
	}
	ws, err := overWebSocket(ctx, r.url.String(), r.http)
	if err != nil {
		return outcome{err: err}
	}
	r.trace.opened(WebSocket)
	if !c.take(WebSocket) {
		wait.Reset(answerWithin)
		select {
		case <-wait.C:
		case <-quicOver:
		case <-ctx.Done():
		}
	}
	if takeOver().final || ctx.Err() != nil {
		ws.close()
		return outcome{err: context.Canceled}
	}
	return ask(ctx, ws, first, ws.write(ctx, first))
}

// runQUIC tries one address after the other; the network is the one it goes out to.
func (r *road) runQUIC(ctx context.Context, first *wire.ClientFrame, c *claim) (outcome, netip.Prefix) {
	var network netip.Prefix
	t, err := r.wayIn(ctx)
	if err != nil {
		return outcome{err: err}, network
	}
	addresses, err := resolve(ctx, r.url.Hostname())
	if err != nil {
		return outcome{err: err}, network
	}
	config := trust(r.url.Hostname(), t.GetCertificateSha256(), r.tls)
	if !r.loopback { // on this machine a round trip is nothing, and servers come and go
		config.ClientSessionCache = r.server.tickets
	}
	for _, address := range addresses[:min(len(addresses), maxAddresses)] {
		server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, uint16(t.GetPort())))
		r.target.Store(server)
		var from net.PacketConn
		if from, err = r.listen(ctx, server); err != nil {
			continue
		}
		network = networkOf(from.LocalAddr())
		if r.memory.avoids(r.server, network) {
			// Nothing was sent from it.
			_ = from.Close()
			return outcome{err: errAvoided}, network
		}
		var conn *quicConn
		if conn, err = dialQUIC(ctx, from, server, r.listen, config, r.server.tokens); err != nil {
			continue
		}
		if err = conn.greet(ctx, first); err != nil {
			conn.close()
			continue
		}
		r.trace.opened(QUIC)
		if !c.take(QUIC) {
			conn.close()
			return outcome{err: errors.New("WebSocket was there first")}, network
		}
		return ask(ctx, conn, first, nil), network
	}
	return outcome{err: err}, network
}

// wayIn is where the server listens for QUIC: as it said, as a server on this machine says when asked, or as most do.
func (r *road) wayIn(ctx context.Context) (*wire.Transport, error) {
	if r.loopback {
		all, err := r.inquire(ctx)
		if err != nil {
			return nil, err
		}
		r.memory.learn(r.server, all)
	}
	ways, told := r.memory.ways(r.server)
	switch {
	case !told:
		return &wire.Transport{Kind: wire.Transport_QUIC, Port: guessedPort}, nil
	case len(ways) == 0:
		return nil, errNoQUIC
	}
	return ways[0], nil
}

// inquire asks GET /v1/transports.
func (r *road) inquire(ctx context.Context) ([]*wire.Transport, error) {
	u := url.URL{Scheme: "http", Host: r.url.Host, Path: "/v1/transports"}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errNoQUIC
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, maxTransportsBytes))
	if err != nil {
		return nil, err
	}
	var all wire.Transports
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("GET /v1/transports: %w", err)
	}
	return all.GetTransports(), nil
}

// ask waits for the answer to the first frame, which has been sent unless sending has failed.
func ask(ctx context.Context, conn connection, first *wire.ClientFrame, sent error) outcome {
	if sent != nil {
		conn.close()
		return outcome{err: sent}
	}
	for {
		f, err := conn.read(ctx)
		if err != nil {
			conn.close()
			return outcome{err: err}
		}
		if err := refusal(f); err != nil {
			conn.close()
			return outcome{err: err, final: true}
		}
		if f.GetId() == first.GetId() {
			return outcome{conn: conn, answer: f, final: true}
		}
	}
}

func refusal(f *wire.ServerFrame) error {
	if e := f.GetError(); e != nil {
		return fromWire(e)
	}
	b := f.GetBye()
	switch {
	case b == nil:
		return nil
	case b.GetAction() == wire.Bye_STOP:
		return &EndError{Reason: b.GetReason()}
	}
	return &ServerError{Code: wire.Error_RESUME_EXPIRED, Message: "bye: " + b.GetReason().String()}
}

// resolve returns the addresses behind a name, in the system's order.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// serverKey names a server in a Memory.
func serverKey(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = strconv.Itoa(map[string]int{"ws": 80, "wss": 443}[u.Scheme])
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}
