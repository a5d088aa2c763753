package voice

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/stun/v4"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
)

const (
	// wireOverhead is IPv4's and UDP's headers.
	wireOverhead = 28
	// consentEvery is how often Chromium checks that the other side is still there: 0.95 times a second.
	consentEvery = 1050 * time.Millisecond
	// connectWithin: links are clean until all are connected.
	connectWithin = 10 * time.Second
)

// client is one participant: it checks its path, agrees on keys, and hands what comes to its mouth and its ears.
type client struct {
	// Fixed after join.
	name           string
	random         *rand.Rand // of the goroutine that joins
	began          time.Time
	host           *netsim.Host
	conn           net.PacketConn
	server         net.Addr
	ufrag, pwd     string // its own
	toUfrag, toPwd string // the server's
	tunnel         *tunnel
	dtls           *dtls.Conn
	mouth          *mouth // nil: it only listens
	ears           []*ear // in the order of its slots

	// Guarded by mu, as its mouth and ears are: its reader and its clocks are goroutines.
	mu       sync.Mutex
	sealer   *srtp.Sealer
	opener   *srtp.Opener
	sent     traffic
	arrivals rtcp.TransportRecorder
	checked  chan struct{} // one place: a check was answered
	stopped  chan struct{}

	wg sync.WaitGroup
}

// traffic counts bytes on the wire, headers of UDP and IPv4 included.
type traffic struct {
	media, all int
	packets    int
}

func (t *traffic) count(b []byte) {
	n := len(b) + wireOverhead
	t.all += n
	t.packets++
	if packet.Classify(b) == packet.RTP {
		t.media += n
	}
}

func newClient(name string, host *netsim.Host, server netip.AddrPort, random *rand.Rand) (*client, error) {
	conn, err := host.ListenUDP(0)
	if err != nil {
		return nil, fmt.Errorf("open %s's socket: %w", name, err)
	}
	c := &client{
		name: name, random: random, began: time.Now(), host: host, conn: conn, server: net.UDPAddrFromAddrPort(server),
		checked: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	c.ufrag, c.pwd = c.hex(4), c.hex(16)
	c.tunnel = &tunnel{c: c, in: make(chan []byte, 64), done: make(chan struct{})}
	return c, nil
}

func (c *client) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.random.Uint32())
	}
	return hex.EncodeToString(b)
}

// join enters the server's room and returns once keys are agreed.
func (c *client) join(s Server, lines []mline, saver bool) error {
	cert, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return fmt.Errorf("make %s's certificate: %w", c.name, err)
	}
	print, err := fingerprint.Fingerprint(cert.Leaf, crypto.SHA256)
	if err != nil {
		return fmt.Errorf("make %s's fingerprint: %w", c.name, err)
	}
	c.wg.Go(c.read)
	join := Join{Name: c.name, Offer: offer(c, print, lines), Saver: saver}
	for i, line := range lines {
		if line.sends {
			join.Microphone = fmt.Sprint(i)
		}
	}
	text, err := s.Join(context.Background(), join)
	if err != nil {
		return fmt.Errorf("join %s: %w", c.name, err)
	}
	if err := c.take(text, lines); err != nil {
		return fmt.Errorf("read the answer to %s: %w", c.name, err)
	}
	if err := c.agree(cert); err != nil {
		return fmt.Errorf("connect %s: %w", c.name, err)
	}
	c.every(consentEvery, func() { c.send(c.check()) })
	return nil
}

// agree checks the path and agrees on keys.
func (c *client) agree(cert tls.Certificate) error {
	for answered := false; !answered; {
		c.mu.Lock()
		c.send(c.check())
		c.mu.Unlock()
		select {
		case <-c.checked:
			answered = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	conn, err := dtls.ClientWithOptions(c.tunnel, c.server,
		dtls.WithCertificates(cert), dtls.WithInsecureSkipVerify(true),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM), dtls.WithFlightInterval(100*time.Millisecond))
	if err != nil {
		return err
	}
	c.dtls = conn
	ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("there is no state after the handshake")
	}
	material, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, srtp.AEADAES128GCM.ExporterLen())
	if err != nil {
		return err
	}
	local, remote, err := srtp.KeysFromExporter(srtp.AEADAES128GCM, material, false)
	if err != nil {
		return err
	}
	sealer, err := srtp.NewSealer(local)
	if err != nil {
		return err
	}
	opener, err := srtp.NewOpener(remote)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.sealer, c.opener = sealer, opener
	c.mu.Unlock()
	return nil
}

func (c *client) close() {
	close(c.stopped)
	if c.dtls != nil {
		_ = c.dtls.Close() // the other side is gone with it
	}
	_ = c.tunnel.Close()
	_ = c.conn.Close()
	c.wg.Wait()
}

// every calls f under the lock until the client is closed.
func (c *client) every(d time.Duration, f func()) { c.after(func() time.Duration { return d }, f) }

// after calls f under the lock, each time as long after as wait says.
func (c *client) after(wait func() time.Duration, f func()) {
	c.wg.Go(func() {
		timer := time.NewTimer(wait())
		defer timer.Stop()
		for {
			select {
			case <-c.stopped:
				return
			case <-timer.C:
			}
			c.mu.Lock()
			f()
			next := wait()
			c.mu.Unlock()
			timer.Reset(next)
		}
	})
}

// send puts a datagram on the wire. Guarded by mu.
func (c *client) send(b []byte) {
	c.sent.count(b)
	_, _ = c.conn.WriteTo(b, c.server) // what a closed network does not take is lost
}

// sendRTP seals a packet, sends it, and returns it. Guarded by mu.
func (c *client) sendRTP(plain []byte, header int, e seq.Extended) []byte {
	b := append(make([]byte, 0, len(plain)+srtp.AEADAES128GCM.RTPOverhead()), plain...)
	b = b[:c.sealer.SealRTP(b[:cap(b)], header, len(plain), e)]
	c.send(b)
	return b
}

// sendRTCP seals a compound packet and sends it; it has room for that. Guarded by mu.
func (c *client) sendRTCP(b []byte) {
	if c.sealer != nil {
		c.send(b[:c.sealer.SealRTCP(b[:cap(b)], len(b))])
	}
}

// check is a connectivity check that nominates the path.
func (c *client) check() []byte {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.toUfrag+":"+c.ufrag),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x7e, 0, 0, 0xff}},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(c.toPwd), stun.Fingerprint)
	if err != nil {
		panic(fmt.Sprintf("voice: build a check: %v", err)) // of constant parts
	}
	return m.Raw
}

// read takes everything that arrives.
func (c *client) read() {
	b := make([]byte, 2048)
	for {
		n, from, err := c.conn.ReadFrom(b)
		if err != nil {
			return
		}
		p := append(make([]byte, 0, n), b[:n]...)
		switch packet.Classify(p) {
		case packet.STUN:
			c.readSTUN(p, from)
		case packet.DTLS:
			c.tunnel.deliver(p)
		case packet.RTP:
			c.mu.Lock()
			c.readRTP(p)
			c.mu.Unlock()
		case packet.RTCP:
			c.mu.Lock()
			c.readRTCP(p)
			c.mu.Unlock()
		}
	}
}

func (c *client) readSTUN(b []byte, from net.Addr) {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.BindingSuccess:
		select {
		case c.checked <- struct{}{}:
		default:
		}
	case stun.BindingRequest:
		to, ok := from.(*net.UDPAddr)
		if !ok {
			return
		}
		answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: to.IP, Port: to.Port},
			stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)
		if err == nil {
			c.mu.Lock()
			c.send(answer.Raw)
			c.mu.Unlock()
		}
	}
}

func (c *client) readRTP(b []byte) {
	h, ok := packet.ParseHeader(b)
	if !ok || c.opener == nil {
		return
	}
	size := len(b)
	n, _, v := c.opener.OpenRTP(b, &h)
	if v != srtp.OK {
		return // among them what came twice
	}
	if d, ok := h.Extension(b, transportID); ok && len(d) == 2 {
		c.arrivals.Handle(time.Since(c.began), uint16(d[0])<<8|uint16(d[1]))
	}
	for _, e := range c.ears {
		if e.ssrc == h.SSRC {
			e.take(b[:n], &h, size)
		}
	}
}

func (c *client) readRTCP(b []byte) {
	if c.opener == nil {
		return
	}
	n, v := c.opener.OpenRTCP(b)
	if v != srtp.OK {
		return
	}
	if c.mouth != nil {
		c.mouth.listen(b[:n])
	}
	for _, e := range c.ears {
		e.report(b[:n])
	}
}

// tunnel is what DTLS takes for its socket.
type tunnel struct {
	c    *client
	in   chan []byte
	done chan struct{}
	once sync.Once
}

func (t *tunnel) deliver(b []byte) {
	select {
	case t.in <- b:
	default:
	}
}

func (t *tunnel) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-t.in:
		return copy(b, p), t.c.server, nil
	case <-t.done:
		return 0, nil, net.ErrClosed
	}
}

func (t *tunnel) WriteTo(b []byte, _ net.Addr) (int, error) { return t.c.conn.WriteTo(b, t.c.server) }

func (t *tunnel) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

func (t *tunnel) LocalAddr() net.Addr              { return t.c.conn.LocalAddr() }
func (t *tunnel) SetDeadline(time.Time) error      { return nil }
func (t *tunnel) SetReadDeadline(time.Time) error  { return nil }
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }
