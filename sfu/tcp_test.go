package sfu_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

// tcpPort is a listener whose connections are pipes, so that ICE-TCP runs in simulated time.
type tcpPort struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
	dialed   int
	open     atomic.Int64 // at the server's end
}

func newTCPPort() *tcpPort {
	return &tcpPort{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *tcpPort) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *tcpPort) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *tcpPort) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7882} }

// dial connects from an address, each time from another port.
func (p *tcpPort) dial(from netip.Addr) *tcpEnd {
	p.dialed++
	ours, theirs := net.Pipe()
	p.open.Add(1)
	p.accepted <- &serverEnd{Conn: theirs, port: p, remote: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(p.dialed)))}
	return &tcpEnd{Conn: ours}
}

// serverEnd is what the server accepts.
type serverEnd struct {
	net.Conn
	port   *tcpPort
	remote net.Addr
	once   sync.Once
}

func (c *serverEnd) RemoteAddr() net.Addr { return c.remote }

func (c *serverEnd) Close() error {
	c.once.Do(func() { c.port.open.Add(-1) })
	return c.Conn.Close()
}

// tcpEnd is the client's end: frames of RFC 4571 as datagrams.
type tcpEnd struct{ net.Conn }

func (c *tcpEnd) ReadFrom(b []byte) (int, net.Addr, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, nil, err
	}
	n, err := io.ReadFull(c, b[:binary.BigEndian.Uint16(size[:])])
	return n, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7882}, err
}

func (c *tcpEnd) WriteTo(b []byte, _ net.Addr) (int, error) {
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// slowEnd reads no faster than its rate, bit/s; 0: as fast as it can.
type slowEnd struct {
	*tcpEnd
	rate atomic.Int64
}

func (c *slowEnd) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.tcpEnd.ReadFrom(b)
	if rate := c.rate.Load(); rate > 0 {
		time.Sleep(time.Duration(n+42) * 8 * time.Second / time.Duration(rate))
	}
	return n, from, err
}

func newTCPWorld(t *testing.T) (*world, *tcpPort) {
	t.Helper()
	port := newTCPPort()
	return newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{TCP: []net.Listener{port}}), port
}

func TestMediaFlowsOnOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, port := newTCPWorld(t)
		defer w.close()
		anna := w.newByHand("anna", "demo")
		boris := w.byHandOver(port.dial(netip.MustParseAddr("10.0.2.1")), "boris", "demo")
		for n := range 60 * 50 { // a minute: longer than consent lasts without proof
			anna.send(anna.voice(n))
			if n%125 == 0 {
				anna.check(true)
				boris.check(true)
			}
			time.Sleep(20 * time.Millisecond)
		}
		require.GreaterOrEqual(t, boris.got("anna"), 60*50-5)
	})
}

func TestTCPConnectionsEndWithTheirPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, port := newTCPWorld(t)
		defer w.close()
		boris := w.byHandOver(port.dial(netip.MustParseAddr("10.0.2.1")), "boris", "demo")
		require.EqualValues(t, 1, port.open.Load())
		require.NoError(t, boris.peer.Leave(t.Context()))
		w.eventually(time.Second, "the server hangs up", func() bool { return port.open.Load() == 0 })
	})
}

func TestOnePeerHoldsFewTCPConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, port := newTCPWorld(t)
		defer w.close()
		boris := w.newByHand("boris", "demo")
		for range 40 {
			conn := port.dial(netip.MustParseAddr("10.0.2.1"))
			defer conn.Close()
			go io.Copy(io.Discard, conn)
			_, err := conn.WriteTo(boris.checkBytes(boris.toUfrag+":"+boris.ufrag, boris.toPwd, false), nil)
			require.NoError(t, err)
			time.Sleep(50 * time.Millisecond)
		}
		require.LessOrEqual(t, port.open.Load(), int64(8))
	})
}

func TestOneAddressHoldsFewUnprovedTCPConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, port := newTCPWorld(t)
		defer w.close()
		for range 200 {
			port.dial(netip.MustParseAddr("10.0.2.1"))
		}
		synctest.Wait()
		require.LessOrEqual(t, port.open.Load(), int64(64))
		w.byHandOver(port.dial(netip.MustParseAddr("10.0.2.2")), "boris", "demo")

		time.Sleep(5 * time.Second) // nothing was proved
		synctest.Wait()
		require.EqualValues(t, 1, port.open.Load())
		w.byHandOver(port.dial(netip.MustParseAddr("10.0.2.1")), "anna", "demo")
	})
}
