package client_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// strand is one client's way to the ICE-TCP port of the server.
type strand struct {
	w     *world
	delay time.Duration // each way

	dialled, opened atomic.Int32
	sent            atomic.Int64 // bytes, of the client

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// beside dials the media port over it and everything else as before.
func (y *strand) beside(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasSuffix(address, ":7882") {
			return dial(ctx, network, address)
		}
		y.dialled.Add(1)
		time.Sleep(2 * y.delay)
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.cut {
			return nil, errors.New("no route")
		}
		near, far := net.Pipe()
		from := netip.AddrPortFrom(netip.MustParseAddr("10.0.9.1"), uint16(20000+y.w.ports.Add(1)))
		select {
		case y.w.iceTCP.conns <- addressed{far, net.TCPAddrFromAddrPort(from)}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		y.opened.Add(1)
		y.conns = append(y.conns, near)
		return counted{newDelayed(near, y.delay), y}, nil
	}
}

// sever ends what is open and refuses more.
func (y *strand) sever(cut bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.cut = cut
	for _, c := range y.conns {
		_ = c.Close()
	}
	y.conns = nil
}

// cutOff takes both ways of a member's media away, or gives them back.
func (m *member) cutOff(on bool) {
	m.w.net.Cut(m.w.host, m.host, on)
	m.wire.sever(on)
}

type addressed struct {
	net.Conn

	from net.Addr
}

// RemoteAddr implements net.Conn.
func (c addressed) RemoteAddr() net.Addr { return c.from }

type counted struct {
	net.Conn

	wire *strand
}

// Write implements net.Conn.
func (c counted) Write(b []byte) (int, error) {
	c.wire.sent.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// gap is the longest time in which m heard nothing of another, within d.
func gap(m, of *member, d time.Duration) time.Duration {
	var longest time.Duration
	last, count := time.Now(), m.count(of, client.Audio)
	for end := last.Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if n := m.count(of, client.Audio); n != count {
			last, count = time.Now(), n
		}
		longest = max(longest, time.Since(last))
	}
	return longest
}

// both is the gap in each direction.
func both(a, b *member, d time.Duration) (down, up time.Duration) {
	other := make(chan time.Duration)
	go func() { other <- gap(b, a, d) }()
	down = gap(a, b, d)
	return down, <-other
}

func TestUDPDiesInMidCall(t *testing.T) {
	for _, c := range []struct {
		trip time.Duration
		loss float64
	}{{10 * ms, 0}, {rtt, 0.3}, {300 * ms, 0}} {
		inWorld(t, func(t *testing.T, w *world) {
			a, b := w.dial("aru"), w.dial("bek")
			a.wire.delay = c.trip / 2
			w.net.SetPath(w.host, a.host, netsim.LinkConfig{Delay: c.trip / 2, Loss: c.loss})
			a.join()
			b.join()
			time.Sleep(5 * time.Second)
			require.EqualValues(t, 1, a.wire.opened.Load())
			require.Equal(t, "udp", a.room.Stats().Path.Protocol)
			w.net.Cut(w.host, a.host, true)
			down, up := both(a, b, 3*time.Second)
			t.Logf("round trip %v, loss %v: silent for %v down, %v up", c.trip, c.loss, down, up)
			require.Less(t, down, 600*ms+c.trip+c.trip/2)
			require.Less(t, up, 600*ms+c.trip)
			require.Equal(t, "tcp", a.room.Stats().Path.Protocol)
			require.Equal(t, client.Connected, a.room.State())
			down, up = both(a, b, 8*time.Second)
			require.Less(t, max(down, up), 200*ms)

			w.net.Cut(w.host, a.host, false)
			down, up = both(a, b, 20*time.Second)
			t.Logf("back: silent for %v down, %v up", down, up)
			require.Less(t, max(down, up), 400*ms)
			if c.loss == 0 {
				require.Equal(t, "udp", a.room.Stats().Path.Protocol)
			}
			require.EqualValues(t, 1, a.wire.opened.Load())
			require.Empty(t, all[client.Rebuilt](a))
			require.Empty(t, all[client.Failed](a))
		})
	}
}

// joinToListen joins without a track of one's own.
func (m *member) joinToListen() *member {
	var err error
	m.room, err = m.client.Join(m.w.t.Context(), client.JoinOptions{Name: m.name})
	require.NoError(m.w.t, err)
	for _, s := range m.room.Slots() {
		m.wg.Go(func() { m.listen(s) })
	}
	m.wg.Go(func() {
		for range m.room.Events() { // they are of no interest
		}
	})
	return m
}

// A NAT gives us another mapping: who talks is followed with the next packet, and who only listens says where he is.
func TestTheRouterForgetsMedia(t *testing.T) {
	for _, talks := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			nat := w.net.NAT(netip.MustParseAddr("203.0.113.1"))
			home := nat.Host(netip.MustParseAddr("192.168.77.2"))
			w.net.SetPath(w.host, home, netsim.LinkConfig{Delay: rtt / 2})
			a, b := w.dial("aru"), w.dial("bek").join()
			a.host = home
			if talks {
				a.join()
			} else {
				a.joinToListen()
			}
			time.Sleep(5 * time.Second)
			for range 3 {
				nat.Rebind()
				silent := gap(a, b, 3*time.Second)
				t.Logf("talks: %v, silent for %v", talks, silent)
				require.Less(t, silent, 350*ms+2*rtt)
				require.Equal(t, "udp", a.room.Stats().Path.Protocol)
			}
			require.Empty(t, all[client.Rebuilt](a))
		})
	}
}

// Packets still come, ours no longer arrive: a firewall's, or a NAT's, that has lost half its mind.
func TestOnlyTheUplinkDies(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		time.Sleep(5 * time.Second)
		w.net.SetLink(a.host, w.host, netsim.LinkConfig{Delay: 20 * ms, Loss: 1})
		down, up := both(a, b, 15*time.Second)
		t.Logf("silent for %v down, %v up", down, up)
		require.Less(t, down, 200*ms)
		require.Less(t, up, 8*time.Second)
		require.Equal(t, "tcp", a.room.Stats().Path.Protocol)
		require.Empty(t, all[client.Rebuilt](a))
	})
}

// What TCP carries is lost with it; UDP may work by then.
func TestTCPDiesToo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		time.Sleep(5 * time.Second)
		w.net.Cut(w.host, a.host, true)
		time.Sleep(3 * time.Second)
		require.Equal(t, "tcp", a.room.Stats().Path.Protocol)
		w.net.Cut(w.host, a.host, false)
		a.wire.sever(true)
		down, up := both(a, b, 5*time.Second)
		t.Logf("to UDP: silent for %v down, %v up", down, up)
		require.Less(t, max(down, up), time.Second)
		require.Equal(t, "udp", a.room.Stats().Path.Protocol)

		// It is opened again, and there when it is needed.
		a.wire.sever(false)
		time.Sleep(15 * time.Second)
		require.EqualValues(t, 2, a.wire.opened.Load())
		w.net.Cut(w.host, a.host, true)
		down, up = both(a, b, 5*time.Second)
		require.Less(t, max(down, up), 700*ms)

		// And where it is not there, it is opened when UDP falls silent.
		w.net.Cut(w.host, a.host, false)
		time.Sleep(35 * time.Second)
		require.Equal(t, "udp", a.room.Stats().Path.Protocol)
		a.wire.sever(false)
		w.net.Cut(w.host, a.host, true)
		down, up = both(a, b, 5*time.Second)
		t.Logf("cold: silent for %v down, %v up", down, up)
		require.Less(t, max(down, up), 800*ms)
		require.Empty(t, all[client.Rebuilt](a))
	})
}

// Where the server is away altogether, which all its clients notice at once, none of them dials it again and again.
func TestNeitherPathIsThere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru").join()
		time.Sleep(5 * time.Second)
		a.cutOff(true)
		time.Sleep(10 * time.Second)
		dialled := a.wire.dialled.Load() - 1
		t.Logf("dialled %d times in 10 s", dialled)
		require.Positive(t, dialled)
		require.LessOrEqual(t, dialled, int32(5))
		a.cutOff(false)
	})
}

// A connection that stands by is a check each 15 s, and a room in which nobody says anything is not taken for a dead path.
func TestStandingByIsCheap(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru").joinToListen()
		time.Sleep(10 * time.Second)
		before := a.wire.sent.Load()
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, a.wire.opened.Load())
		require.Equal(t, "udp", a.room.Stats().Path.Protocol)
		require.LessOrEqual(t, a.wire.sent.Load()-before, int64(4*150))
	})
}
