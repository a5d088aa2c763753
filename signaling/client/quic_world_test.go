package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	ms  = time.Millisecond
	rtt = 100 * ms // of signaling in these tests; media has a network of its own
)

// quicSide is the server's QUIC.
type quicSide struct {
	certificate tls.Certificate
	secret      signaling.Secret
	socket      net.PacketConn
	served      chan error
}

func newQUICSide(t *testing.T) *quicSide {
	return &quicSide{certificate: selfMade(t), secret: signaling.NewSecret()}
}

func selfMade(t *testing.T) tls.Certificate {
	t.Helper()
	certificate, err := makeCertificate()
	require.NoError(t, err)
	return certificate
}

// makeCertificate returns one that no authority has signed.
func makeCertificate() (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

// transports is what the server says of itself.
func (q *quicSide) transports() []*wire.Transport {
	hash := sha256.Sum256(q.certificate.Certificate[0])
	return []*wire.Transport{{Kind: wire.Transport_QUIC, Port: 8443, CertificateSha256: [][]byte{hash[:]}}}
}

func (q *quicSide) start(w *world) {
	var err error
	q.socket, err = w.host.ListenUDP(8443)
	require.NoError(w.t, err)
	q.served = make(chan error, 1)
	server, certificate := w.server, q.certificate
	go func() {
		q.served <- server.ServeQUIC(q.socket, signaling.QUICConfig{
			Certificate: func() *tls.Certificate { return &certificate }, Secret: q.secret,
		})
	}()
}

func (q *quicSide) stop(w *world) {
	require.NoError(w.t, <-q.served)
	require.NoError(w.t, q.socket.Close())
}

// inQUICWorld plays with a server that has QUIC as well.
func inQUICWorld(t *testing.T, play func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.quic = newQUICSide(t)
		w.startServer()
		play(t, w)
		w.close()
	})
}

// phone has networks for signaling, of which it uses one. The way of its media is another.
type phone struct {
	w        *world
	networks []*netsim.Host
	memory   *client.Memory
	way      *slowWay
	at       atomic.Int32
	opened   atomic.Int32 // sockets
}

// newPhone has two networks of rtt each, and a WebSocket that is as far.
func newPhone(w *world) *phone {
	p := &phone{w: w, memory: client.NewMemory(), way: &slowWay{way: way{pipes: w.pipes}, rtt: rtt}}
	for i := range 2 {
		h := w.net.Host(netip.AddrFrom4([4]byte{192, 168, byte(2*len(w.members) + i), 2}))
		w.net.SetPath(w.host, h, netsim.LinkConfig{Delay: rtt / 2})
		p.networks = append(p.networks, h)
	}
	return p
}

func (p *phone) options() client.Options {
	return client.Options{
		Memory: p.memory, Transports: p.w.quic.transports(), Dial: p.way.dial,
		ListenPacket: func(context.Context, *net.UDPAddr) (net.PacketConn, error) {
			p.opened.Add(1)
			return p.networks[p.at.Load()].ListenUDP(0)
		},
	}
}

// darken cuts one network off, or lights it up again.
func (p *phone) darken(network int, dark bool) { p.w.net.Cut(p.w.host, p.networks[network], dark) }

func (p *phone) dial(name string) *member { return p.w.dialWith(name, "ws://10.0.0.1", p.options()) }

// timed dials and says how long it took.
func (p *phone) timed(name string) (*member, time.Duration) {
	start := time.Now()
	m := p.dial(name)
	return m, time.Since(start)
}

// slowWay is a way whose every byte takes half a round trip, and whose connections take one to open.
type slowWay struct {
	way

	rtt    time.Duration
	dialed atomic.Int32
}

func (y *slowWay) dial(ctx context.Context, network, address string) (net.Conn, error) {
	y.dialed.Add(1)
	select {
	case <-time.After(y.rtt):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := y.way.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newDelayed(c, y.rtt/2), nil
}

// flight is what is under way.
type flight struct {
	at   time.Time
	data []byte
}

// newDelayed puts a pipe with a delay before c. Both its goroutines end with c.
func newDelayed(c net.Conn, delay time.Duration) net.Conn {
	near, far := net.Pipe()
	go carry(far, c, delay)
	go carry(c, far, delay)
	return near
}

// carry copies what one connection brings to the other, later, and closes both at the end.
func carry(from, to net.Conn, delay time.Duration) {
	queue := make(chan flight, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range queue {
			time.Sleep(time.Until(f.at))
			if _, err := to.Write(f.data); err != nil {
				break
			}
		}
		_ = to.Close()
		for range queue { // whoever writes must not wait
		}
	}()
	for {
		b := make([]byte, 4096)
		n, err := from.Read(b)
		if err != nil {
			break
		}
		queue <- flight{time.Now().Add(delay), b[:n]}
	}
	_ = from.Close()
	close(queue)
	<-done
}
