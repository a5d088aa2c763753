package oneport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/turn"
)

// patience is how long a client may take to say what it wants, its TLS handshake included.
const patience = 10 * time.Second

// ALPN names (RFC 7443, RFC 9113).
const (
	alpnTURN  = "stun.turn"
	alpnSTUN  = "stun.nat-discovery"
	alpnHTTP1 = "http/1.1"
	alpnHTTP2 = "h2"
)

// Config of a Mux. What is not served may be nil: such connections are closed.
type Config struct {
	// TLS has the certificates. The Mux adds the names of what it serves to NextProtos.
	TLS *tls.Config
	// TURN takes a client of the relay, over TLS (a *tls.Conn over a turn.Conn) or plain TCP, and owns the connection. first has been read off it. It
	// returns at once.
	TURN func(conn net.Conn, secure bool, first []byte)
	// Media takes an ICE-TCP connection whose first frame is a check for our ufrag, and owns it. The frame is yet
	// to be read. It returns at once.
	Media func(conn net.Conn, ufrag string)
}

// Mux accepts TCP connections and finds out what each is for. Its methods are safe from any goroutine.
type Mux struct {
	// Fixed after New.
	listener    net.Listener
	cfg         Config
	https, http *Feed

	places  places
	running sync.WaitGroup

	// Atomic.
	served  [kinds]atomic.Uint64
	strange atomic.Uint64
}

// Served is what a connection turned out to be for.
type Served uint8

// What is served on the one port.
const (
	ServedHTTPS Served = iota
	ServedHTTP
	ServedTLSRelay
	ServedTCPRelay
	ServedMedia
	kinds
)

// String is the value of a metric's label.
func (s Served) String() string {
	return [...]string{"https", "http", "turn_tls", "turn_tcp", "ice_tcp"}[s]
}

// Stats counts connections since the start.
type Stats struct {
	Served  [kinds]uint64 // by Served
	Strange uint64        // closed: nothing that is served here, a failed handshake, or too slow
	Lost    uint64        // closed to make room for others
	Waiting int           // of which it is not known yet what they are for
}

// New returns a Mux of the listener, which it owns from then on.
func New(listener net.Listener, cfg Config) *Mux {
	m := &Mux{listener: listener, cfg: cfg, https: NewFeed(listener), http: NewFeed(listener)}
	if cfg.TLS != nil {
		m.cfg.TLS = cfg.TLS.Clone()
		m.cfg.TLS.NextProtos = slices.Concat([]string{alpnHTTP2, alpnHTTP1, alpnTURN, alpnSTUN}, cfg.TLS.NextProtos)
	}
	return m
}

// HTTPS gives connections for an http.Server: *tls.Conn whose handshake is done, or what has a ConnectionState.
func (m *Mux) HTTPS() net.Listener { return m.https }

// HTTP gives connections that speak HTTP without TLS.
func (m *Mux) HTTP() net.Listener { return m.http }

// Stats returns the counters.
func (m *Mux) Stats() Stats {
	s := Stats{Strange: m.strange.Load()}
	for i := range s.Served {
		s.Served[i] = m.served[i].Load()
	}
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	s.Lost, s.Waiting = m.places.lost, m.places.all.Len()
	return s
}

// Serve accepts until Close, and then returns net.ErrClosed.
func (m *Mux) Serve() error {
	for {
		conn, err := m.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return net.ErrClosed
		case err != nil: // out of file descriptors: let some connections end
			time.Sleep(50 * time.Millisecond)
			continue
		}
		held := m.places.take(conn)
		if held == nil {
			_ = conn.Close()
			continue
		}
		m.running.Go(func() { m.sort(held) })
	}
}

// Close ends Serve and the connections that were given to nobody yet.
func (m *Mux) Close() error {
	err := m.listener.Close()
	m.places.close()
	_ = m.https.Close()
	_ = m.http.Close()
	m.running.Wait()
	return err
}

// sort finds out what a connection is for and gives it away.
func (m *Mux) sort(held *place) {
	conn := held.conn
	_ = conn.SetDeadline(time.Now().Add(patience)) // an error shows when it is read
	give := func(what Served, to func()) {
		if m.places.leave(held) { // else it is closed
			m.served[what].Add(1)
			_ = conn.SetDeadline(time.Time{})
			to()
		}
	}
	fail := func() {
		m.strange.Add(1)
		_ = conn.Close()
		m.places.leave(held)
	}
	first, opening := open(conn)
	plain := &begun{Conn: conn, read: first}
	switch {
	case opening == HTTP:
		give(ServedHTTP, func() { m.http.Give(plain) })
	case opening == STUN && m.cfg.TURN != nil:
		give(ServedTCPRelay, func() { m.cfg.TURN(conn, false, first) })
	case opening == Frame && m.cfg.Media != nil:
		frame, ufrag := firstCheck(plain)
		if ufrag == "" {
			fail()
			return
		}
		give(ServedMedia, func() { m.cfg.Media(&begun{Conn: conn, read: frame}, ufrag) })
	case opening == Hello && m.cfg.TLS != nil:
		under := &bounded{begun: *plain, left: maxHandshake}
		inner := tls.Server(turn.Wrap(under), m.cfg.TLS)
		if inner.HandshakeContext(context.Background()) != nil { // the deadline bounds it
			fail()
			return
		}
		under.opened.Store(true)
		m.sortSecure(inner, give, fail)
	default:
		fail()
	}
}

// sortSecure is sort for what came in TLS. Browsers name no protocol for TURN over TLS: what they then send first tells.
func (m *Mux) sortSecure(conn *tls.Conn, give func(Served, func()), fail func()) {
	switch conn.ConnectionState().NegotiatedProtocol {
	case alpnTURN, alpnSTUN:
		if m.cfg.TURN == nil {
			fail()
			return
		}
		give(ServedTLSRelay, func() { m.cfg.TURN(conn, true, nil) })
	case alpnHTTP2, alpnHTTP1:
		give(ServedHTTPS, func() { m.https.Give(conn) })
	case "":
		first, opening := open(conn)
		switch {
		case opening == STUN && m.cfg.TURN != nil:
			give(ServedTLSRelay, func() { m.cfg.TURN(conn, true, first) })
		case opening == HTTP:
			give(ServedHTTPS, func() { m.https.Give(&secure{begun: begun{Conn: conn, read: first}, tls: conn}) })
		default:
			fail()
		}
	default: // a challenge of ACME (RFC 8737): the handshake was all
		fail()
	}
}

// open reads as much as tells what a stream is.
func open(r io.Reader) ([]byte, Opening) {
	b := make([]byte, 0, enough)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if opening := Open(b); opening != More {
			return b, opening
		}
		if err != nil {
			return b, Strange
		}
	}
}

// firstCheck reads the first frame, of which Open has seen the head, of ICE-TCP, and says for whose ufrag it is; "" for none.
func firstCheck(r io.Reader) (frame []byte, ufrag string) {
	frame = make([]byte, 2, 2+256)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, ""
	}
	size := int(binary.BigEndian.Uint16(frame))
	if size >= 4<<8 {
		return nil, ""
	}
	frame = append(frame, make([]byte, size)...)
	if _, err := io.ReadFull(r, frame[2:]); err != nil {
		return nil, ""
	}
	return frame, string(Ufrag(frame[2:]))
}
