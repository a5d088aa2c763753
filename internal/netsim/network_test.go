package netsim

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// station is an open port of a host under test.
type station struct {
	t    *testing.T
	conn net.PacketConn
}

func listen(t *testing.T, h *Host, port uint16) station {
	t.Helper()
	conn, err := h.ListenUDP(port)
	require.NoError(t, err)
	return station{t, conn}
}

func (s station) addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (s station) send(word string, to netip.AddrPort) {
	s.t.Helper()
	n, err := s.conn.WriteTo([]byte(word), net.UDPAddrFromAddrPort(to))
	require.NoError(s.t, err)
	require.Equal(s.t, len(word), n)
}

// hear waits a second of simulated time; "" means that nothing came.
func (s station) hear() (string, netip.AddrPort) {
	s.t.Helper()
	require.NoError(s.t, s.conn.SetReadDeadline(time.Now().Add(time.Second)))
	p := make([]byte, 100)
	n, from, err := s.conn.ReadFrom(p)
	if err != nil {
		require.ErrorIs(s.t, err, os.ErrDeadlineExceeded)
		return "", netip.AddrPort{}
	}
	return string(p[:n]), from.(*net.UDPAddr).AddrPort()
}

func (s station) hears(word string) netip.AddrPort {
	s.t.Helper()
	got, from := s.hear()
	require.Equal(s.t, word, got)
	return from
}

// simulate runs a test with an empty network in a bubble.
func simulate(t *testing.T, run func(t *testing.T, n *Network)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		run(t, n)
	})
}

func TestNetworkDelaysEachDirectionByItself(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		a, b := n.Host(ip("10.0.0.1")), n.Host(ip("10.0.0.2"))
		n.SetLink(a, b, LinkConfig{Delay: 30 * ms})
		n.SetLink(b, a, LinkConfig{Delay: 70 * ms})
		x, y := listen(t, a, 1000), listen(t, b, 2000)
		begin := time.Now()
		x.send("there", y.addr())
		require.Equal(t, x.addr(), y.hears("there"))
		require.Equal(t, 30*ms, time.Since(begin))
		y.send("back", x.addr())
		x.hears("back")
		require.Equal(t, 100*ms, time.Since(begin))
		require.Equal(t, Stats{Sent: 2, Delivered: 2}, n.Stats())
	})
}

func TestNetworkKeepsOrderOfEqualTimes(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		n.SetDefault(LinkConfig{Delay: 10 * ms})
		x, y := listen(t, n.Host(ip("2001:db8::1")), 0), listen(t, n.Host(ip("2001:db8::2")), 0)
		for i := range 100 {
			x.send(string(rune('0'+i)), y.addr())
		}
		for i := range 100 {
			y.hears(string(rune('0' + i)))
		}
	})
}

func TestNetworkHostReachesItselfAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		n.SetDefault(LinkConfig{Delay: 10 * ms, Loss: 1})
		h := n.Host(ip("10.0.0.1"))
		require.Same(t, h, n.Host(ip("10.0.0.1")))
		x, y := listen(t, h, 0), listen(t, h, 0)
		begin := time.Now()
		x.send("hello", y.addr())
		y.hears("hello")
		require.Zero(t, time.Since(begin))
	})
}

func TestNetworkCounts(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		a, b := n.Host(ip("10.0.0.1")), n.Host(ip("10.0.0.2"))
		x, y := listen(t, a, 0), listen(t, b, 0)
		x.send("no host", netip.MustParseAddrPort("10.0.0.3:1"))
		x.send("no port", netip.MustParseAddrPort("10.0.0.2:1"))
		n.SetDefault(LinkConfig{Loss: 1})
		x.send("lost", y.addr())
		n.SetDefault(LinkConfig{Rate: 8000, Queue: 100})
		x.send(string(make([]byte, 100)), y.addr())
		x.send(string(make([]byte, 100)), y.addr())
		n.SetDefault(LinkConfig{Duplicate: 1})
		y.send("twice", x.addr())
		x.hears("twice")
		x.hears("twice")
		y.hears(string(make([]byte, 100)))
		require.Equal(t, Stats{Sent: 6, Delivered: 3, Duplicated: 1, Lost: 1, QueueFull: 1, Unreachable: 2}, n.Stats())
	})
}

func TestNetworkCut(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		a, b, c := n.Host(ip("10.0.0.1")), n.Host(ip("10.0.0.2")), n.Host(ip("10.0.0.3"))
		x, y, z := listen(t, a, 0), listen(t, b, 0), listen(t, c, 0)
		n.Cut(a, b, true)
		x.send("cut", y.addr())
		y.send("cut", x.addr())
		x.send("whole", z.addr())
		z.hears("whole")
		n.Cut(b, a, false)
		x.send("mended", y.addr())
		y.hears("mended")
		require.EqualValues(t, 2, n.Stats().Cut)
	})
}

func TestHostMove(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		n.SetDefault(LinkConfig{Delay: 50 * ms})
		a, b := n.Host(ip("10.0.0.1")), n.Host(ip("10.0.0.2"))
		x, y := listen(t, a, 1000), listen(t, b, 2000)
		before := x.addr()
		y.send("under way", before)
		a.Move(ip("10.9.0.1"))
		require.Equal(t, ip("10.9.0.1"), a.Addr())
		word, _ := x.hear()
		require.Empty(t, word, "the old address takes nothing, not even what was under way")
		x.send("from here", y.addr())
		from := y.hears("from here")
		require.Equal(t, netip.MustParseAddrPort("10.9.0.1:1000"), from)
		y.send("found", from)
		x.hears("found")
		require.Panics(t, func() { a.Move(ip("10.0.0.2")) })
	})
}

func TestNAT(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		server, stranger := n.Host(ip("10.0.0.1")), n.Host(ip("10.0.0.2"))
		nat := n.NAT(ip("203.0.113.1"))
		home, tablet := nat.Host(ip("192.168.1.10")), nat.Host(ip("192.168.1.11"))
		n.SetPath(home, server, LinkConfig{Delay: 40 * ms})
		s, other, phone := listen(t, server, 7882), listen(t, stranger, 0), listen(t, home, 5000)

		begin := time.Now()
		phone.send("hello", s.addr())
		public := s.hears("hello")
		require.Equal(t, nat.Public(), public.Addr())
		require.NotEqual(t, uint16(5000), public.Port())
		s.send("welcome", public)
		require.Equal(t, s.addr(), phone.hears("welcome"))
		require.Equal(t, 80*ms, time.Since(begin), "the link of the host behind the NAT holds")

		phone.send("again", s.addr())
		require.Equal(t, public, s.hears("again"), "one mapping for one port")

		other.send("filtered", public)
		other.send("private", phone.addr())
		word, _ := phone.hear()
		require.Empty(t, word)
		phone.send("may answer", other.addr())
		require.Equal(t, public, other.hears("may answer"), "the same mapping for another destination")
		other.send("answer", public)
		phone.hears("answer")

		beside := listen(t, tablet, 5000)
		beside.send("neighbour", phone.addr())
		require.Equal(t, beside.addr(), phone.hears("neighbour"), "no translation inside")
		beside.send("hello", s.addr())
		require.NotEqual(t, public, s.hears("hello"))
	})
}

func TestNATRebind(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		server, nat := n.Host(ip("10.0.0.1")), n.NAT(ip("203.0.113.1"))
		n.SetDefault(LinkConfig{Delay: 40 * ms})
		s, phone := listen(t, server, 7882), listen(t, nat.Host(ip("192.168.1.10")), 5000)
		phone.send("hello", s.addr())
		before := s.hears("hello")
		s.send("under way", before)
		nat.Rebind()
		word, _ := phone.hear()
		require.Empty(t, word)
		phone.send("here I am", s.addr())
		after := s.hears("here I am")
		require.Equal(t, before.Addr(), after.Addr())
		require.NotEqual(t, before.Port(), after.Port())
		s.send("found", after)
		phone.hears("found")
		s.send("to the old port", before)
		word, _ = phone.hear()
		require.Empty(t, word)
	})
}

func TestNATForgetsAHostThatMoves(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		nat := n.NAT(ip("203.0.113.1"))
		home := nat.Host(ip("192.168.1.10"))
		s, phone := listen(t, n.Host(ip("10.0.0.1")), 0), listen(t, home, 5000)
		phone.send("hello", s.addr())
		before := s.hears("hello")
		home.Move(ip("192.168.1.20"))
		phone.send("hello", s.addr())
		require.NotEqual(t, before, s.hears("hello"))
	})
}

func TestAddressesAreTakenOnce(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host(ip("10.0.0.1"))
		require.Panics(t, func() { n.NAT(ip("10.0.0.1")) })
		_, err := h.ListenUDP(4000)
		require.NoError(t, err)
		_, err = h.ListenUDP(4000)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = h.Socket(4000)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = h.Socket(firstPort)
		require.NoError(t, err)
		require.NotEqual(t, uint16(firstPort), listen(t, h, 0).addr().Port())
	})
}

func TestPacketConnDeadlineAndClose(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := listen(t, n.Host(ip("10.0.0.1")), 0)
		p := make([]byte, 4)
		require.NoError(t, x.conn.SetReadDeadline(time.Now().Add(-time.Second)))
		x.send("word", x.addr())
		_, _, err := x.conn.ReadFrom(p)
		require.True(t, os.IsTimeout(err), "an expired deadline goes first")
		require.NoError(t, x.conn.SetDeadline(time.Time{}))
		n1, _, err := x.conn.ReadFrom(p[:2])
		require.NoError(t, err)
		require.Equal(t, "wo", string(p[:n1]), "a short buffer cuts")

		ended := make(chan error)
		go func() {
			_, _, err := x.conn.ReadFrom(p)
			ended <- err
		}()
		synctest.Wait()
		require.NoError(t, x.conn.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
		_, err = x.conn.WriteTo(p, x.conn.LocalAddr())
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, x.conn.Close(), net.ErrClosed)
		listen(t, n.Host(ip("10.0.0.1")), x.addr().Port()) // the port is free again
	})
}

func TestPacketConnDropsBeyondItsQueue(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x, y := listen(t, n.Host(ip("10.0.0.1")), 0), listen(t, n.Host(ip("10.0.0.2")), 0)
		for range packetQueue + 5 {
			x.send("word", y.addr())
		}
		synctest.Wait()
		for range packetQueue {
			y.hears("word")
		}
		word, _ := y.hear()
		require.Empty(t, word)
	})
}

func TestNetworkClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDefault(LinkConfig{Delay: time.Hour})
		h := n.Host(ip("10.0.0.1"))
		x := listen(t, h, 0)
		x.send("under way", listen(t, n.Host(ip("10.0.0.2")), 0).addr())
		n.Close()
		n.Close()
		_, _, err := x.conn.ReadFrom(make([]byte, 4))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = h.Socket(0)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
