package turn

import (
	"crypto/md5" //nolint:gosec // as RFC 8489 has it
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// bench is a server whose one lane the test drives by hand, a client with a bound channel and a peer, on loopback.
type bench struct {
	s      *Server
	l      *lane
	client udp.Socket
	peer   udp.Socket
	batch  *udp.Batch
	up     []byte // ChannelData to the peer
	send   []byte // a Send indication to it
	down   []byte // to the client
	relay  netip.AddrPort

	exchange func(t testing.TB, request []byte) []byte // and the answer to it
	proof    []stun.Setter
	late     time.Duration // the lane's clock is so much ahead
}

func (b *bench) turn() { b.l.turnAt(time.Now().Add(b.late)) }

const channel = 0x4001

var here = netip.MustParseAddr("127.0.0.1")

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	b := openBench(t, change)
	b.allocate(t)
	return b
}

// openBench has no client yet.
func openBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	cfg := Config{
		UDP: []netip.AddrPort{netip.AddrPortFrom(here, 0)}, Workers: 1, Users: map[string]string{"u": "p"},
		Allow: []netip.Prefix{netip.PrefixFrom(here, 32)}, RelayPorts: [2]uint16{10000, 10999},
	}
	change(&cfg)
	s, err := open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		s.lanes[0].end()
		for _, w := range s.workers {
			require.NoError(t, w.group.Close())
		}
	})
	b := &bench{s: s, l: s.lanes[0], batch: udp.NewBatch()}
	for _, socket := range []*udp.Socket{&b.client, &b.peer} {
		*socket, err = udp.Listen(netip.AddrPortFrom(here, 0), udp.Config{DisableGRO: true})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, (*socket).Close()) })
	}
	b.exchange = func(t testing.TB, request []byte) []byte {
		_, err := b.client.WriteTo(request, b.s.addrs[0])
		require.NoError(t, err)
		return b.receive(t, b.client)
	}
	return b
}

// request sends a request, with credentials once there are some, and returns the answer.
func (b *bench) request(t testing.TB, method stun.Method, setters ...stun.Setter) *stun.Message {
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, setters...)
	reply := &stun.Message{Raw: b.exchange(t, stun.MustBuild(append(all, b.proof...)...).Raw)}
	require.NoError(t, reply.Decode())
	return reply
}

// granted is request where success is the answer.
func (b *bench) granted(t testing.TB, method stun.Method, setters ...stun.Setter) *stun.Message {
	t.Helper()
	reply := b.request(t, method, setters...)
	require.Equal(t, stun.ClassSuccessResponse, reply.Type.Class, "%v", reply.Attributes)
	return reply
}

// login has the client greeted: it has credentials afterwards.
func (b *bench) login(t testing.TB) {
	var nonce stun.Nonce
	require.NoError(t, nonce.GetFrom(b.request(t, stun.MethodAllocate, overUDP)))
	key := md5.Sum([]byte("u:turn:p"))
	b.proof = []stun.Setter{stun.NewUsername("u"), stun.NewRealm("turn"), nonce, stun.MessageIntegrity(key[:])}
}

var overUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

func channelNumber(n uint16) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(n >> 8), byte(n), 0, 0}}
}

func peerAt(peer netip.AddrPort) stun.Setter {
	return setter(func(m *stun.Message) error {
		return stun.XORMappedAddress{IP: net.IP(peer.Addr().AsSlice()), Port: int(peer.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
	})
}

// allocate binds a channel to the peer, or to our own media where there is some.
func (b *bench) allocate(t testing.TB) {
	peer := b.peer.LocalAddr()
	if own := b.s.cfg.Own; len(own) > 0 {
		peer = own[0]
	}
	b.login(t)
	var relayed stun.XORMappedAddress
	require.NoError(t, relayed.GetFromAs(b.granted(t, stun.MethodAllocate, overUDP), stun.AttrXORRelayedAddress))
	b.relay = netip.MustParseAddrPort(relayed.String())
	b.granted(t, stun.MethodChannelBind, channelNumber(channel), peerAt(peer))

	b.down = make([]byte, 120)
	h := channelHeader(channel, len(b.down))
	b.up = append(h[:], b.down...)
	b.send = stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAt(peer),
		stun.RawAttribute{Type: stun.AttrData, Value: b.down}).Raw
}

type setter func(*stun.Message) error

func (s setter) AddTo(m *stun.Message) error { return s(m) }

// receive lets the lane work until the socket has a datagram.
func (b *bench) receive(t testing.TB, socket udp.Socket) []byte {
	for range 1000 {
		b.turn()
		n, err := socket.Read(b.batch)
		require.NoError(t, err)
		if n > 0 {
			data, _ := b.batch.Datagram(0)
			return slices.Clone(data)
		}
		time.Sleep(time.Millisecond)
	}
	require.FailNow(t, "nothing came")
	return nil
}

// round takes a packet each way.
func (b *bench) round(t testing.TB, up []byte) {
	if _, err := b.client.WriteTo(up, b.s.addrs[0]); err != nil {
		t.Fatal(err)
	}
	b.turn()
	if n, err := b.peer.Read(b.batch); n != 1 || err != nil {
		t.Fatal("the peer got", n, err)
	}
	if _, err := b.peer.WriteTo(b.down, b.relay); err != nil {
		t.Fatal(err)
	}
	b.turn()
	if n, err := b.client.Read(b.batch); n != 1 || err != nil {
		t.Fatal("the client got", n, err)
	}
}

// A packet costs no memory, either way and however it is wrapped.
func TestRelayingAllocatesNothing(t *testing.T) {
	b := newBench(t, func(*Config) {})
	for name, up := range map[string][]byte{"ChannelData": b.up, "Send": b.send} {
		b.round(t, up)
		require.Zero(t, testing.AllocsPerRun(200, func() { b.round(t, up) }), name)
	}
}

// sink takes what is handed over.
type sink struct{ packets int }

func (s *sink) Deliver(netip.AddrPort, *handover.Link, []byte) bool { s.packets++; return true }
func (s *sink) Closed(*handover.Link)                               {}

func TestHandingOverAllocatesNothing(t *testing.T) {
	var taken sink
	b := newBench(t, func(c *Config) {
		c.Own, c.Path, c.Allow = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5004")}, &taken, nil
	})
	for name, up := range map[string][]byte{"ChannelData": b.up, "Send": b.send} {
		round := func() {
			before := taken.packets
			if _, err := b.client.WriteTo(up, b.s.addrs[0]); err != nil {
				t.Fatal(err)
			}
			b.turn()
			if taken.packets != before+1 {
				t.Fatal("it was not handed over")
			}
		}
		round()
		require.Zero(t, testing.AllocsPerRun(200, round), name)
	}
}

// A fault in what one client brought ends that client's connection and nothing else.
func TestFaultStaysWithItsCause(t *testing.T) {
	b := newBench(t, func(*Config) {})
	near, far := net.Pipe()
	defer far.Close()
	b.l.things = append(b.l.things, nil)
	before := len(b.l.things)
	b.l.guard(&conn{lane: b.l, gone: true}, func() { panic("a test's") })
	require.Len(t, b.l.things, before)
	require.Equal(t, uint64(1), b.l.drops[faults])
	require.NoError(t, near.Close())
	b.round(t, b.up)
}

func BenchmarkRelay(b *testing.B) {
	r := newBench(b, func(*Config) {})
	for name, up := range map[string][]byte{"channel": r.up, "send": r.send} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.round(b, up)
			}
		})
	}
}
