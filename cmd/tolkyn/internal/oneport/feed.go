package oneport

import (
	"net"
	"sync"
)

// Feed is a net.Listener of connections that another one has accepted. All methods are safe from any goroutine.
type Feed struct {
	// Fixed after NewFeed.
	of     net.Listener
	conns  chan net.Conn
	closed chan struct{}

	once sync.Once // closes closed
}

// NewFeed returns a Feed of connections that come to a listener, whose address it says is its own.
func NewFeed(of net.Listener) *Feed {
	return &Feed{of: of, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Give hands a connection to who accepts next. When the feed is closed, so is the connection.
func (f *Feed) Give(conn net.Conn) {
	select {
	case f.conns <- conn:
	case <-f.closed:
		_ = conn.Close()
	}
}

// Accept implements net.Listener. Its error is net.ErrClosed.
func (f *Feed) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: f.Addr(), Err: net.ErrClosed}
	}
}

// Addr is that of the one port.
func (f *Feed) Addr() net.Addr { return f.of.Addr() }

// Close ends Accept. The one port stays open.
func (f *Feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}
