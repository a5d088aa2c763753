package sfu_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// relay is another loop in front of the SFU, on the server's host: what its clients send to our media addresses it hands over in
// memory. Between it and them each packet is behind a header like ChannelData's, whose channel names the port of ours; a client that
// has none yet gets a longer one, like a Data indication's. At the one port there is neither.
type relay struct {
	// Fixed.
	w    *world
	port udp.Socket
	kind relayKind
	wg   sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	next    netip.AddrPort // the next relayed address
	numbers map[netip.AddrPort]netip.AddrPort
	links   map[relayKey]*handover.Link
	came    map[*handover.Link]int // packets
	refused int                    // that the SFU did not take
	done    int                    // links it had no more use for
	unbound int                    // packets to clients without a channel
}

type relayKind struct {
	stream bool // clients come over something that loses nothing
	bare   bool // the one port
	binds  int  // packets after which a client has a channel
}

type relayKey struct {
	client netip.AddrPort
	port   uint16 // of ours
}

const (
	relayPort    = 3478
	firstChannel = 0x4000
	firstMedia   = 7882
)

func (w *world) newRelay(kind relayKind) *relay {
	port, err := w.host.Socket(relayPort)
	require.NoError(w.t, err)
	r := &relay{
		w: w, port: port, kind: kind, next: netip.AddrPortFrom(w.host.Addr(), 50000), numbers: map[netip.AddrPort]netip.AddrPort{},
		links: map[relayKey]*handover.Link{}, came: map[*handover.Link]int{},
	}
	r.wg.Go(r.serve)
	w.closers = append(w.closers, func() {
		r.hangUp()
		require.NoError(w.t, port.Close())
		r.wg.Wait()
	})
	return r
}

func (r *relay) serve() {
	for batch := udp.NewBatch(); ; {
		n, err := r.port.Read(batch)
		if err != nil {
			return
		}
		for i := range n {
			b, from := batch.Datagram(i)
			if r.kind.bare {
				r.hand(netip.AddrPort{}, from, b)
			} else if len(b) > handover.HeaderSize {
				to := binary.BigEndian.Uint16(b) - firstChannel + firstMedia
				r.hand(netip.AddrPortFrom(r.w.host.Addr(), to), from, b[handover.HeaderSize:])
			}
		}
		if n == 0 && r.port.Wait(-1) != nil {
			return
		}
	}
}

// hand gives the SFU what a client sent to an address of ours.
func (r *relay) hand(to, from netip.AddrPort, b []byte) {
	l := r.link(to, from)
	if !r.w.sfu.Deliver(to, l, b) {
		r.mu.Lock()
		r.refused++
		r.mu.Unlock()
	}
}

func (r *relay) link(to, from netip.AddrPort) *handover.Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := relayKey{from, to.Port()}
	l := r.links[key]
	if l == nil {
		number := from
		if !r.kind.bare {
			number = r.numberOf(from)
		}
		l = handover.New(handover.Config{Addr: number, To: from, Stream: r.kind.stream, Port: r.port, Bare: r.kind.bare, Carrier: r})
		r.links[key] = l
	}
	if r.came[l]++; r.came[l] == r.kind.binds+1 {
		l.Bind(firstChannel + to.Port() - firstMedia)
	}
	return l
}

// numberOf is a client's relayed address. Guarded by mu.
func (r *relay) numberOf(from netip.AddrPort) netip.AddrPort {
	number, ok := r.numbers[from]
	if !ok {
		number = r.next
		r.numbers[from] = number
		r.next = netip.AddrPortFrom(r.next.Addr(), r.next.Port()+1)
	}
	return number
}

// Send implements handover.Carrier.
func (r *relay) Send(l *handover.Link, b []byte, _ bool) bool {
	to := l.Client()
	if r.kind.bare {
		_, err := r.port.WriteTo(b, to)
		return err == nil
	}
	r.mu.Lock()
	port := uint16(0)
	for key, other := range r.links {
		if other == l {
			port = key.port
		}
	}
	bound := r.came[l] > r.kind.binds
	if !bound {
		r.unbound++
	}
	r.mu.Unlock()
	out := make([]byte, 0, len(b)+6)
	if bound {
		out = binary.BigEndian.AppendUint16(out, firstChannel+port-firstMedia)
	} else {
		out = binary.BigEndian.AppendUint16(out, 0x0017)
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(b)))
	if !bound {
		out = binary.BigEndian.AppendUint16(out, port)
	}
	_, err := r.port.WriteTo(append(out, b...), to)
	return err == nil
}

// Done implements handover.Carrier.
func (r *relay) Done(l *handover.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	for key, other := range r.links {
		if other == l {
			delete(r.links, key)
		}
	}
}

// hangUp ends all links, as when clients' connections break.
func (r *relay) hangUp() {
	r.mu.Lock()
	links := r.links
	r.links = map[relayKey]*handover.Link{}
	r.mu.Unlock()
	for _, l := range links {
		r.w.sfu.Closed(l)
	}
}

// counts returns what the relay's fields of these names are now.
func (r *relay) counts() (refused, done, unbound, links int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused, r.done, r.unbound, len(r.links)
}

// relaySocket is a client's socket at its relayed address.
type relaySocket struct {
	net.PacketConn
	r *relay
}

// dial opens a client's way through the relay.
func (r *relay) dial(host *netsim.Host) *relaySocket {
	conn, err := host.ListenUDP(0)
	require.NoError(r.w.t, err)
	return &relaySocket{conn, r}
}

func (s *relaySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.r.w.host.Addr(), relayPort))
	if s.r.kind.bare {
		return s.PacketConn.WriteTo(b, at)
	}
	out := binary.BigEndian.AppendUint16(nil, firstChannel+uint16(to.(*net.UDPAddr).Port)-firstMedia)
	out = binary.BigEndian.AppendUint16(out, uint16(len(b)))
	_, err := s.PacketConn.WriteTo(append(out, b...), at)
	return len(b), err
}

func (s *relaySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	at := net.UDPAddr{IP: s.r.w.host.Addr().AsSlice(), Port: relayPort}
	for in := make([]byte, 2048); ; {
		n, _, err := s.PacketConn.ReadFrom(in)
		switch {
		case err != nil:
			return 0, nil, err
		case s.r.kind.bare:
			return copy(b, in[:n]), &at, nil
		case n < 6 || int(binary.BigEndian.Uint16(in[2:])) != n-4 && int(binary.BigEndian.Uint16(in[2:])) != n-6:
			s.r.w.t.Errorf("a frame of %d bytes: % x", n, in[:min(n, 8)])
			continue
		}
		channel, body := binary.BigEndian.Uint16(in), in[4:n]
		if channel < firstChannel {
			channel, body = binary.BigEndian.Uint16(body)-firstMedia+firstChannel, body[2:]
		}
		at.Port = int(channel - firstChannel + firstMedia)
		return copy(b, body), &at, nil
	}
}

// LocalAddr is the relayed address: of the client itself nobody but the relay knows.
func (s *relaySocket) LocalAddr() net.Addr {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	own := s.PacketConn.LocalAddr().(*net.UDPAddr).AddrPort()
	if s.r.kind.bare {
		return net.UDPAddrFromAddrPort(own)
	}
	return net.UDPAddrFromAddrPort(s.r.numberOf(own))
}

// newClient makes a real pion client that has nothing but the relay.
func (r *relay) newClient(name string) *client {
	host := r.w.newHost()
	return r.w.newClientBy(name, host, r.dial(host))
}

// newClientBy makes a real pion client with one socket.
func (w *world) newClientBy(name string, host *netsim.Host, conn net.PacketConn) *client {
	mux := webrtc.NewICEUDPMux(nil, conn)
	w.closers = append(w.closers, func() {
		mux.Close()
		conn.Close()
	})
	return w.newClientOver(name, host, 3, 9, func(settings *webrtc.SettingEngine) {
		settings.SetICEUDPMux(mux)
		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	})
}

// roamer is a client's socket with two ways, of which it sends by one.
type roamer struct {
	ways [2]net.PacketConn
	in   chan roamed
	done chan struct{}
	once sync.Once
	by   atomic.Int32
}

type roamed struct {
	b    []byte
	from net.Addr
}

func newRoamer(ways ...net.PacketConn) *roamer {
	r := &roamer{ways: [2]net.PacketConn{ways[0], ways[1]}, in: make(chan roamed, 256), done: make(chan struct{})}
	for _, way := range ways {
		go func() {
			for b := make([]byte, 2048); ; {
				n, from, err := way.ReadFrom(b)
				if err != nil {
					return
				}
				select {
				case r.in <- roamed{append([]byte(nil), b[:n]...), from}:
				case <-r.done:
					return
				}
			}
		}()
	}
	return r
}

func (r *roamer) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-r.in:
		return copy(b, p.b), p.from, nil
	case <-r.done:
		return 0, nil, net.ErrClosed
	}
}

func (r *roamer) WriteTo(b []byte, to net.Addr) (int, error) {
	return r.ways[r.by.Load()].WriteTo(b, to)
}

func (r *roamer) Close() error {
	r.once.Do(func() { close(r.done) })
	for _, way := range r.ways {
		_ = way.Close()
	}
	return nil
}

func (r *roamer) LocalAddr() net.Addr              { return r.ways[0].LocalAddr() }
func (r *roamer) SetDeadline(time.Time) error      { return nil }
func (r *roamer) SetReadDeadline(time.Time) error  { return nil }
func (r *roamer) SetWriteDeadline(time.Time) error { return nil }

// shared is one socket that several clients have: each gets all that comes.
type shared struct {
	conn net.PacketConn

	// Guarded by mu.
	mu   sync.Mutex
	ends []*sharedEnd
}

type sharedEnd struct {
	*shared
	in   chan roamed
	done chan struct{}
	once sync.Once
}

func newShared(conn net.PacketConn) *shared {
	s := &shared{conn: conn}
	go func() {
		for b := make([]byte, 2048); ; {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			s.mu.Lock()
			for _, e := range s.ends {
				select {
				case e.in <- roamed{append([]byte(nil), b[:n]...), from}:
				default:
				}
			}
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *shared) end() *sharedEnd {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &sharedEnd{shared: s, in: make(chan roamed, 256), done: make(chan struct{})}
	s.ends = append(s.ends, e)
	return e
}

func (e *sharedEnd) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-e.in:
		return copy(b, p.b), p.from, nil
	case <-e.done:
		return 0, nil, net.ErrClosed
	}
}

func (e *sharedEnd) WriteTo(b []byte, to net.Addr) (int, error) { return e.conn.WriteTo(b, to) }

func (e *sharedEnd) Close() error {
	e.once.Do(func() { close(e.done) })
	_ = e.conn.Close() // of all ends: a test closes them together
	return nil
}

func (e *sharedEnd) LocalAddr() net.Addr              { return e.conn.LocalAddr() }
func (e *sharedEnd) SetDeadline(time.Time) error      { return nil }
func (e *sharedEnd) SetReadDeadline(time.Time) error  { return nil }
func (e *sharedEnd) SetWriteDeadline(time.Time) error { return nil }
