package shard

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// pipeListener accepts in-memory connections, so that ICE-TCP runs in simulated time.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects from a port.
func (l *pipeListener) dial(port uint16) net.Conn {
	near, far := net.Pipe()
	l.conns <- pipeConn{near, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("10.0.9.1"), port))}
	return far
}

type pipeConn struct {
	net.Conn
	from net.Addr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.from }

// TestConnectionsMustProveThemselves: without an authenticated check within 5 s, or with broken framing, a connection
// ends.
func TestConnectionsMustProveThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := netsim.New(1)
		socket, err := network.Host(netip.MustParseAddr("10.0.0.1")).Socket(7882)
		require.NoError(t, err)
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		s := New(Config{Socket: socket, TCP: l, Gone: func(PeerID, Reason) {}})
		lives := func(c net.Conn) time.Duration {
			start := time.Now()
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			return time.Since(start)
		}
		silent := l.dial(1)
		require.Equal(t, tcpProof, lives(silent))

		talker := l.dial(2)
		hungUp := make(chan struct{})
		go func() {
			defer close(hungUp)
			for {
				if _, err := talker.Write([]byte{0, 4, 0x80, 111, 1, 2}); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		require.Equal(t, tcpProof, lives(talker), "unproved media is no proof")
		<-hungUp

		for port, frame := range map[uint16][]byte{3: {0, 0}, 4: {0x40, 0}} {
			broken := l.dial(port)
			_, err = broken.Write(frame)
			require.NoError(t, err)
			require.Zero(t, lives(broken))
		}
		st, ok := s.Stats()
		require.True(t, ok)
		require.InDelta(t, 50, st.Drops.UnknownSource, 1)
		require.NoError(t, s.Close())
		network.Close()
		synctest.Wait()
	})
}
