package control_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/internal/control"
)

// memory is a net.PacketConn in memory: pion's relay is measured without the kernel, as ours is.
type memory struct {
	net.PacketConn
	at      net.Addr
	in, out chan datagram
	closed  chan struct{}
}

type datagram struct {
	b  []byte
	of net.Addr
}

func newMemory(at *net.UDPAddr) *memory {
	return &memory{at: at, in: make(chan datagram), out: make(chan datagram, 1), closed: make(chan struct{})}
}

func (m *memory) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-m.in:
		return copy(b, d.b), d.of, nil
	case <-m.closed:
		return 0, nil, net.ErrClosed
	}
}

func (m *memory) WriteTo(b []byte, to net.Addr) (int, error) {
	m.out <- datagram{append([]byte(nil), b...), to}
	return len(b), nil
}

func (m *memory) LocalAddr() net.Addr              { return m.at }
func (m *memory) SetDeadline(time.Time) error      { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }
func (m *memory) Close() error                     { close(m.closed); return nil }

// ports gives pion its relay "sockets".
type ports struct{ next int }

func (p *ports) Validate() error { return nil }

func (p *ports) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	if strings.HasSuffix(c.Network, "6") {
		return nil, nil, net.ErrClosed // there is no IPv6
	}
	p.next++
	at := &net.UDPAddr{IP: net.IPv4(20, 0, 0, 1).To4(), Port: 10000 + p.next}
	return newMemory(at), at, nil
}

func (p *ports) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, net.ErrClosed
}

func (p *ports) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, net.ErrClosed }

// pion starts pion's relay, and returns a maker of clients that have greeted it.
func pion(t testing.TB) func(addr string) *client {
	conn := newMemory(&net.UDPAddr{IP: net.IPv4(20, 0, 0, 1).To4(), Port: 3478})
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "turn",
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			return r.Username, turn.GenerateAuthKey("alice", "turn", "word"), r.Username == "alice"
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: &ports{}}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	var make func(addr string) *client
	make = func(addr string) *client {
		at := netip.MustParseAddrPort(addr)
		k := &client{t: t, at: control.Client{Addr: at}, username: "alice", password: "word"}
		of := net.UDPAddrFromAddrPort(at)
		k.exchange = func(b []byte) *stun.Message {
			conn.in <- datagram{b, of}
			select {
			case d := <-conn.out:
				m := &stun.Message{Raw: d.b}
				require.NoError(t, m.Decode())
				return m
			case <-time.After(2 * time.Second):
				return nil
			}
		}
		k.other = func() *client { return make(netip.AddrPortFrom(at.Addr(), at.Port()+1).String()) }
		k.greet()
		return k
	}
	return make
}

// TestNineteenBesidePion tells how many of the points pion/turn has, which is why the control plane is ours (decision 0028).
func TestNineteenBesidePion(t *testing.T) {
	wrong := 0
	for _, point := range nineteen {
		if got := point.ask(pion(t)("9.0.0.1:5000")); got != point.want {
			t.Logf("pion/turn v5.1.0: %s: %d", point.name, got)
			wrong++
		}
	}
	t.Logf("%d of %d wrong", wrong, len(nineteen))
	require.Less(t, wrong, len(nineteen)/2, "pion's relay is not asked as it has to be")
}

// BenchmarkAllocations has the processor time of an allocation, with its first request that is refused and the second that is not,
// and what 4,000 of them hold: heap and stacks, no kernel. The client's reading of the two answers is in it on both sides.
func BenchmarkAllocations(b *testing.B) {
	for name, relay := range map[string]func() func(addr string) *client{
		"ours": func() func(string) *client {
			w := newWorld(b, lots)
			return func(addr string) *client { return w.client("alice", addr) }
		},
		"pion": func() func(string) *client { return pion(b) },
	} {
		b.Run(name, func(b *testing.B) {
			const n = 4000
			var spent time.Duration
			var held uint64
			for b.Loop() {
				make := relay()
				make("9.9.9.9:9").allocate() // what the first one costs beside
				greetings, requests := [n][]byte{}, [n][]byte{}
				clients := [n]*client{}
				for i := range n {
					k := make(fmt.Sprintf("9.0.%d.%d:5000", i>>8, i&255))
					requests[i] = k.build(stun.MethodAllocate, transport(17))
					k.nonce = ""
					greetings[i] = k.build(stun.MethodAllocate, transport(17))
					clients[i] = k
				}
				before := living()
				start := processor(b)
				for i, k := range clients {
					k.exchange(greetings[i])
					if code(k.exchange(requests[i])) != 0 {
						b.Fatal("refused")
					}
				}
				spent += processor(b) - start
				held += living() - before
				runtime.KeepAlive(clients)
				runtime.KeepAlive(requests)
				runtime.KeepAlive(greetings)
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*n), "ns/allocation")
			b.ReportMetric(float64(held)/float64(b.N*n), "B/allocation")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// lots opens ports without keeping a book of them.
func lots(cfg *control.Config) {
	port := uint16(0)
	cfg.Open = func(control.Open) (netip.AddrPort, bool) { port++; return netip.AddrPortFrom(relay4, port), true }
	cfg.Bound = nil
}

// processor is the time that this process has had.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// living is what the heap and the stacks hold.
func living() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestAllocationIsSmall: with a channel and its permission it costs less than a kilobyte, maps included.
func TestAllocationIsSmall(t *testing.T) {
	w := newWorld(t, lots)
	const n = 4000
	clients := [n]*client{}
	for i := range n {
		clients[i] = w.client("alice", fmt.Sprintf("9.0.%d.%d:5000", i>>8, i&255))
	}
	before := living()
	for _, k := range clients {
		require.Zero(t, k.allocateCode())
		require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(media)))
	}
	each := int(living()-before) / n
	t.Logf("%d bytes", each)
	require.Less(t, each, 1024)
	runtime.KeepAlive(clients)
}
