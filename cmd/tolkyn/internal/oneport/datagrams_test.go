package oneport_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/oneport"
	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// house is an SFU that notes what it is told. Everybody whose ufrag begins with "o" lives there.
type house struct {
	mu     sync.Mutex
	came   map[*handover.Link][]string // first bytes
	closed map[*handover.Link]bool
	proves bool
}

func newHouse() *house {
	return &house{came: map[*handover.Link][]string{}, closed: map[*handover.Link]bool{}}
}

func (h *house) Home(ufrag []byte) (int, bool) { return 0, strings.HasPrefix(string(ufrag), "o") }

func (h *house) Deliver(to netip.AddrPort, l *handover.Link, b []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if to.IsValid() {
		return false
	}
	h.came[l] = append(h.came[l], string(b[:1]))
	if h.proves {
		l.Prove()
	}
	return true
}

func (h *house) Closed(l *handover.Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed[l] = true
}

func client(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n >> 16)}), uint16(n))
}

func TestWhoIsKnown(t *testing.T) {
	h, port := newHouse(), listen(t)
	d := oneport.NewDatagrams(h, nil)
	for _, b := range [][]byte{{20, 1}, {128, 1}, message(t, stun.BindingSuccess), {0xc0}, message(t, stun.BindingRequest, stun.NewUsername("foreign:b"))} {
		require.True(t, d.Take(b, client(1), port), "nobody's, and not TURN's")
	}
	require.EqualValues(t, 5, d.Stats().Stray)
	require.Empty(t, h.came, "who has not shown that he means us has no link")

	for _, b := range [][]byte{check(t), {20, 1}, {128, 1}, message(t, stun.BindingSuccess), check(t)} {
		require.True(t, d.Take(b, client(1), port))
	}
	require.True(t, d.Take(check(t), client(2), port))
	require.Equal(t, 2, d.Stats().Links)
	require.Len(t, h.came, 2, "one link for each address")
	for l, came := range h.came {
		if l.Addr() == client(1) {
			require.Equal(t, []string{"\x00", "\x14", "\x80", "\x01", "\x00"}, came)
		}
		via, to, _, header, ok := l.Datagrams()
		require.True(t, ok)
		require.Equal(t, []any{udp.Port(port), l.Addr(), 0}, []any{via, to, header}, "answers leave by the one port as they are")
	}
	for _, b := range [][]byte{message(t, stun.BindingRequest), message(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))} {
		require.False(t, d.Take(b, client(1), port), "TURN's")
	}

	d.Sweep() // both were heard of
	require.True(t, d.Take([]byte{128, 1}, client(1), port))
	d.Sweep()
	require.Equal(t, 1, d.Stats().Links, "the other fell silent")
	require.Len(t, h.closed, 1)
	for l := range h.came {
		if !h.closed[l] {
			l.Close()
		}
	}
	require.Zero(t, d.Stats().Links, "the SFU has no more use for it")
	require.Len(t, h.closed, 1)
	require.True(t, d.Take(check(t), client(1), port))
	d.Close()
	require.Zero(t, d.Stats().Links)
	require.Len(t, h.closed, 2)
	require.True(t, d.Take(check(t), client(1), port))
	require.Zero(t, d.Stats().Links, "none after Close")
}

// TestLiarsEndLiars: a flood of checks from addresses that are not the sender's takes a bounded number of links, and none of who
// has proved to be there.
func TestLiarsEndLiars(t *testing.T) {
	h, port, b := newHouse(), listen(t), check(t)
	d := oneport.NewDatagrams(h, nil)
	h.proves = true
	for n := range 100 {
		d.Take(b, client(n), port)
	}
	h.proves = false
	for n := range 20_000 {
		d.Take(b, client(100+n), port)
	}
	stats := d.Stats()
	require.Equal(t, 100+4096, stats.Links)
	require.EqualValues(t, 20_000-4096, stats.Crowded)
	for l := range h.closed {
		require.False(t, l.Proved())
	}
}

func TestTakingCostsNoMemory(t *testing.T) {
	h, port := newHouse(), listen(t)
	d := oneport.NewDatagrams(quiet{h}, oneport.NewPackets(client(9)))
	d.Take(check(t), client(1), port)
	media, short := make([]byte, 1100), make([]byte, 40)
	media[0], short[0] = 128, 64
	require.Zero(t, testing.AllocsPerRun(1000, func() { d.Take(media, client(1), port) }))
	for range 2000 {
		d.Take(short, client(2), port) // none reads: all places are taken
	}
	require.Positive(t, d.Stats().Late)
	require.Zero(t, testing.AllocsPerRun(1000, func() { d.Take(short, client(2), port) }))
}

// quiet keeps nothing.
type quiet struct{ *house }

func (quiet) Deliver(netip.AddrPort, *handover.Link, []byte) bool { return true }

// TestManyAtOnce: workers take, shards end links, and the sweep runs, all at once; for the race detector.
func TestManyAtOnce(t *testing.T) {
	h, port, b := newHouse(), listen(t), check(t)
	d := oneport.NewDatagrams(h, nil)
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for n := range 3000 {
				d.Take(b, client(n%700), port)
				d.Take([]byte{128}, client((n+worker)%700), port)
			}
		})
	}
	for range 50 {
		d.Sweep()
		h.mu.Lock()
		var some []*handover.Link
		for l := range h.came {
			if some = append(some, l); len(some) == 5 {
				break
			}
		}
		h.mu.Unlock()
		for _, l := range some {
			l.Close()
		}
	}
	running.Wait()
	require.LessOrEqual(t, d.Stats().Links, 700)
	d.Close()
	require.Zero(t, d.Stats().Links)
}

func listen(t *testing.T) udp.Socket {
	t.Helper()
	socket, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	return socket
}

// TestQUIC: a connection of quic-go's, both ways, through a socket that another reads.
func TestQUIC(t *testing.T) {
	socket := listen(t)
	packets := oneport.NewPackets(socket.LocalAddr())
	d := oneport.NewDatagrams(newHouse(), packets)
	var running sync.WaitGroup
	var ended atomic.Bool
	running.Go(func() {
		batch := udp.NewBatch()
		for !ended.Load() && socket.Wait(-1) == nil {
			n, _ := socket.Read(batch)
			for i := range n {
				b, from := batch.Datagram(i)
				d.Take(b, from, socket)
			}
		}
	})
	certificate, roots := certificate(t)
	transport := &quic.Transport{Conn: packets}
	listener, err := transport.Listen(&tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"echo"}}, nil)
	require.NoError(t, err)
	running.Go(func() {
		for {
			c, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			_, _ = io.Copy(s, s)
			_ = s.Close()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c, err := quic.DialAddr(ctx, socket.LocalAddr().String(), &tls.Config{RootCAs: roots, ServerName: "call.test", NextProtos: []string{"echo"}}, nil)
	require.NoError(t, err)
	s, err := c.OpenStreamSync(ctx)
	require.NoError(t, err)
	text := strings.Repeat("all behind one number ", 10_000)
	go func() {
		_, _ = io.WriteString(s, text)
		_ = s.Close()
	}()
	got, err := io.ReadAll(s)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
	require.NoError(t, c.CloseWithError(0, ""))
	require.NoError(t, listener.Close())
	require.NoError(t, transport.Close())
	require.NoError(t, packets.SetReadDeadline(time.Now()))
	_, _, err = packets.ReadFrom(nil)
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout())
	require.NoError(t, packets.SetReadDeadline(time.Time{}))
	require.NoError(t, packets.Close())
	_, _, err = packets.ReadFrom(nil)
	require.ErrorIs(t, err, net.ErrClosed)
	ended.Store(true)
	require.NoError(t, socket.Close())
	running.Wait()
}

// BenchmarkTake is what finding whom a media packet is for costs, beside reading and delivering it.
func BenchmarkTake(b *testing.B) {
	d := oneport.NewDatagrams(quiet{newHouse()}, nil)
	socket, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	require.NoError(b, err)
	defer func() { _ = socket.Close() }()
	for n := range 1000 {
		d.Take(check(b), client(n), socket)
	}
	media, n := make([]byte, 1100), 0
	media[0] = 128
	b.ReportAllocs()
	for b.Loop() {
		n = (n + 7) % 1000
		d.Take(media, client(n), socket)
	}
}
