package shard

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// What a packet costs on real sockets, from the publisher's datagram to the subscribers': read by the shard, and read by another loop
// that hands it over and whose socket the shard's answers leave through. Both in turns, in CPU time of this thread, so that a busy
// machine shows less in it. The kernel's part is in it, what publisher and subscribers do is not.
func BenchmarkCarriedOnSockets(b *testing.B) {
	for _, c := range []struct{ subscribers, size int }{{1, 1064}, {10, 1064}, {1, 84}, {10, 84}} {
		b.Run(fmt.Sprintf("1 to %d, %d bytes", c.subscribers, c.size), func(b *testing.B) { benchmarkSockets(b, c.subscribers, c.size) })
	}
}

// onSocket is a fan whose packets go through the kernel.
type onSocket struct {
	*fan
	socket, publisher udp.Socket // its own or the other loop's, and the client's
	batch             *udp.Batch // of the other loop
	spent             time.Duration
}

func newOnSocket(b *testing.B, subscribers, size int, sink netip.AddrPort, carried bool) *onSocket {
	listen := func() udp.Socket {
		s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
		require.NoError(b, err)
		b.Cleanup(func() { s.Close() })
		return s
	}
	o := &onSocket{socket: listen(), publisher: listen(), batch: udp.NewBatch()}
	by := func(_ *fan, from netip.AddrPort) *handover.Link {
		l := handover.New(handover.Config{Addr: from, To: sink, Port: o.socket, Carrier: nobody{}})
		l.Bind(0x4000)
		return l
	}
	if !carried {
		by = nil
	}
	o.fan = newFanBy(b, subscribers, size, nil, by)
	if !carried {
		o.shard.sock = o.socket
		now := o.shard.now()
		for id, p := range o.shard.peers {
			if id != 1 {
				o.shard.moveTo(now, p, path{addr: sink})
			}
		}
		o.shard.allow(now, o.shard.peers[1], path{addr: o.publisher.LocalAddr()})
	} else {
		empty := listen() // the shard looks at its own socket too
		o.shard.sock = empty
	}
	return o
}

// round is fan.round by way of the kernel.
func (o *onSocket) round(b *testing.B) {
	o.shoot(func(p []byte) {
		_, err := o.publisher.WriteTo(p, o.socket.LocalAddr())
		require.NoError(b, err)
	})
	start := threadTime(b)
	for came := 0; o.by != nil && came < 4; {
		n, err := o.socket.Read(o.batch)
		require.NoError(b, err)
		for i := range n {
			p, _ := o.batch.Datagram(i)
			o.shard.Deliver(o.by, p)
		}
		came += n
	}
	for o.shard.turn() {
	}
	o.spent += threadTime(b) - start
}

func benchmarkSockets(b *testing.B, subscribers, size int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sink, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{ReadBuffer: 4096})
	require.NoError(b, err)
	defer sink.Close()
	direct := newOnSocket(b, subscribers, size, sink.LocalAddr(), false)
	carried := newOnSocket(b, subscribers, size, sink.LocalAddr(), true)
	both := []*onSocket{direct, carried}
	for range 400 {
		for _, o := range both {
			o.round(b)
			o.spent = 0
		}
	}
	before := carried.shard.stats.PacketsOut
	b.ReportAllocs()
	for b.Loop() {
		for _, o := range both {
			o.round(b)
		}
	}
	packets := float64(carried.shard.stats.PacketsOut - before)
	require.Equal(b, direct.shard.stats.PacketsOut, carried.shard.stats.PacketsOut)
	b.ReportMetric(float64(direct.spent)/packets, "direct-cpu-ns/packet")
	b.ReportMetric(float64(carried.spent)/packets, "carried-cpu-ns/packet")
	b.ReportMetric(float64(carried.spent)/float64(direct.spent), "times")
}

// threadTime is the CPU time that this thread has used.
func threadTime(b *testing.B) time.Duration {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_THREAD, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
