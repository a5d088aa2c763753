package turn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/turn/internal/control"
)

// streamBench is a bench whose client comes by a connection. What is for the client is read as it is on the wire: no opening of TLS on
// its side is in any figure.
type streamBench struct {
	*bench
	conn net.Conn // the client writes to
	wire net.Conn // below it
	room []byte
}

func newStreamBench(t testing.TB, way Way, change func(*Config)) *streamBench {
	t.Helper()
	b := &streamBench{bench: openBench(t, change), room: make([]byte, 64<<10)}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	b.wire, err = net.Dial("tcp4", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.wire.Close() })
	require.NoError(t, b.wire.SetDeadline(time.Now().Add(time.Hour)))
	theirs, err := listener.Accept()
	require.NoError(t, err)
	client := control.Client{Addr: addrPortOf(theirs.RemoteAddr()), Local: addrPortOf(theirs.LocalAddr()), Way: way, Conn: 1}
	b.conn = b.wire
	if way == TLS {
		b.conn = tls.Client(b.wire, &tls.Config{InsecureSkipVerify: true})
		server := tls.Server(Wrap(theirs), &tls.Config{Certificates: []tls.Certificate{anyCertificate(t)}})
		shaken := make(chan error, 1)
		go func() { shaken <- server.Handshake() }()
		require.NoError(t, b.conn.(*tls.Conn).Handshake())
		require.NoError(t, <-shaken)
		theirs = server
	}
	require.True(t, b.s.quotas.connect(client.Addr.Addr()))
	b.l.adopt(theirs, client, time.Now(), nil)
	b.exchange = func(t testing.TB, request []byte) []byte {
		_, err := b.conn.Write(request)
		require.NoError(t, err)
		answer := make(chan []byte, 1)
		go func() { // the server works meanwhile
			head := make([]byte, 20)
			_, err := io.ReadFull(b.conn, head)
			if err == nil {
				head = append(head, make([]byte, binary.BigEndian.Uint16(head[2:]))...)
				_, err = io.ReadFull(b.conn, head[20:])
			}
			if err != nil {
				head = nil
			}
			answer <- head
		}()
		for {
			select {
			case m := <-answer:
				require.NotEmpty(t, m)
				return m
			default:
				b.turn()
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	b.allocate(t)
	return b
}

func anyCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// until lets the lane work until something has come about, without allocating.
func (b *streamBench) until(t testing.TB, what string, is func() bool) {
	for range 100_000 {
		b.turn()
		if is() {
			return
		}
	}
	t.Fatal("not " + what)
}

// toPeer takes a packet of the client's to the peer, so many times, each in a record of its own. The server finds all of them.
func (b *streamBench) toPeer(t testing.TB, packet []byte, count int) {
	for range count {
		if _, err := b.conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	came := 0
	b.until(t, "to the peer", func() bool {
		n, err := b.peer.Read(b.batch)
		if err != nil {
			t.Fatal(err)
		}
		came += n
		return came >= count
	})
}

// toClient takes a packet of the peer's to the client.
func (b *streamBench) toClient(t testing.TB) {
	if _, err := b.peer.WriteTo(b.down, b.relay); err != nil {
		t.Fatal(err)
	}
	before := b.l.ways
	b.until(t, "from the peer", func() bool { return b.l.ways != before && len(b.l.stalled) == 0 })
	b.readWire(t)
}

// readWire takes one frame, or one record of TLS, off the connection.
func (b *streamBench) readWire(t testing.TB) {
	if n, err := b.wire.Read(b.room); err != nil || n < len(b.down) {
		t.Fatal("the client got", n, err)
	}
}

// padded is a frame as a stream has it.
func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// A packet that comes or leaves by a connection costs no memory; of TLS those that are read together cost what one does.
func TestStreamsAllocateNothing(t *testing.T) {
	for _, way := range []Way{TCP, TLS} {
		b := newStreamBench(t, way, func(*Config) {})
		for name, up := range map[string][]byte{"ChannelData": padded(b.up), "Send": padded(b.send)} {
			for range 100 { // queues take their room
				b.toPeer(t, up, 20)
				b.toClient(t)
			}
			require.LessOrEqual(t, testing.AllocsPerRun(500, func() { b.toPeer(t, up, 1) }), forMore[way], "%d %s", way, name)
			require.LessOrEqual(t, testing.AllocsPerRun(100, func() { b.toPeer(t, up, 20) }), 5*forMore[way], "%d %s", way, name)
			require.LessOrEqual(t, testing.AllocsPerRun(500, func() { b.toClient(t) }), toSeal[way], "%d %s", way, name)
		}
	}
}

// answering answers through the link, as the SFU does over streams.
type answering struct{ down []byte }

func (a *answering) Deliver(_ netip.AddrPort, l *handover.Link, _ []byte) bool {
	return l.Send(a.down, false)
}
func (a *answering) Closed(*handover.Link) {}

func TestHandingOverStreamsAllocatesNothing(t *testing.T) {
	for _, way := range []Way{TCP, TLS} {
		path := &answering{down: make([]byte, 120)}
		b := newStreamBench(t, way, func(c *Config) {
			c.Own, c.Path, c.Allow = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5004")}, path, nil
		})
		for name, up := range map[string][]byte{"ChannelData": padded(b.up), "Send": padded(b.send)} {
			round := func() {
				if _, err := b.conn.Write(up); err != nil {
					t.Fatal(err)
				}
				before := b.l.ways
				b.until(t, "handed over", func() bool { return b.l.ways != before })
				b.turn() // the answer was queued in the one before
				b.readWire(t)
			}
			for range 100 {
				round()
			}
			require.LessOrEqual(t, testing.AllocsPerRun(500, round), forMore[way], "%d %s", way, name)
		}
	}
}

// BenchmarkStreams has a packet of 120 B each way, and ten together to the peer: a worker that is busy reads several at once.
func BenchmarkStreams(b *testing.B) {
	for _, way := range []Way{TCP, TLS} {
		name := [...]string{TCP: "TCP", TLS: "TLS"}[way]
		r := newStreamBench(b, way, func(*Config) {})
		up := padded(r.up)
		b.Run(name+"/to the peer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.toPeer(b, up, 1)
			}
		})
		b.Run(name+"/ten to the peer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.toPeer(b, up, 10)
			}
		})
		b.Run(name+"/to the client", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.toClient(b)
			}
		})
	}
}
