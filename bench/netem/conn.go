package netem

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pion/transport/v4/deadline"
)

// inboxSize stands for a kernel's receive buffer, in datagrams: as many as fit into the usual 212,992 bytes at about 1,200
// bytes each, with room for a burst of small ones.
const inboxSize = 256

// Conn is a UDP socket on a Line: a net.PacketConn whose datagrams take the line's way in both directions. Datagrams over
// 1,472 bytes (1,452 over IPv6) do not pass: they are counted. Addresses given to WriteTo must not be changed afterwards.
// All methods are safe from any goroutine.
type Conn struct {
	// Fixed after Line.Conn.
	line     *Line
	local    net.Addr
	reopen   func() (net.PacketConn, error)
	inbox    chan datagram
	ended    chan struct{} // closed by end
	deadline *deadline.Deadline

	// Guarded by line.mu.
	leaving int  // datagrams under way to the server
	left    bool // closed by its user

	// Guarded by mu.
	mu          sync.Mutex
	under       net.PacketConn
	closed      error // what reading and writing return; nil: open
	read, write int   // sizes of the kernel's buffers that were asked for; 0: none was
}

type datagram struct {
	data []byte
	from net.Addr
}

func newConn(l *Line, under net.PacketConn, reopen func() (net.PacketConn, error)) *Conn {
	return &Conn{
		line: l, local: under.LocalAddr(), reopen: reopen, under: under, inbox: make(chan datagram, inboxSize),
		ended: make(chan struct{}), deadline: deadline.New(),
	}
}

// LocalAddr is where the socket was opened: the client's address inside its NAT. It stays when the NAT forgets the client.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// Mapped is where the server sees the client at present.
func (c *Conn) Mapped() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.under.LocalAddr()
}

// WriteTo sends a datagram; it never blocks, and fails only when the socket is closed.
func (c *Conn) WriteTo(p []byte, to net.Addr) (int, error) {
	if err := c.failure(); err != nil {
		return 0, c.failed("write", err)
	}
	c.line.send(c, Up, p, to)
	return len(p), nil
}

// listen takes what the server sends to one real socket, until that closes.
func (c *Conn) listen(under net.PacketConn) {
	buf := make([]byte, mtu+1) // one longer than any that passes
	for {
		size, from, err := under.ReadFrom(buf)
		if err != nil {
			c.mu.Lock()
			present := c.under == under
			c.mu.Unlock()
			if present { // a socket that a rebind has replaced ends without a word
				c.end(err)
			}
			return
		}
		c.line.send(c, Down, buf[:size], from)
	}
}

// land hands over what has arrived: up to the real socket, down to the reader. False: it was not taken.
func (c *Conn) land(d Direction, data []byte, addr net.Addr) bool {
	if d == Up {
		c.mu.Lock()
		under := c.under
		c.mu.Unlock()
		_, err := under.WriteTo(data, addr)
		return err == nil
	}
	if c.failure() != nil {
		return false
	}
	select {
	case c.inbox <- datagram{data, addr}:
		return true
	default:
		return false
	}
}

// ReadFrom cuts a datagram that is longer than p.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	passed := c.deadline.Done()
	select { // an expired deadline goes first, as in package net
	case <-passed:
		return 0, nil, c.failed("read", os.ErrDeadlineExceeded)
	case <-c.ended:
		return 0, nil, c.failed("read", c.failure())
	default:
	}
	select {
	case d := <-c.inbox:
		size := copy(p, d.data)
		c.line.put(d.data)
		return size, d.from, nil
	case <-passed:
		return 0, nil, c.failed("read", os.ErrDeadlineExceeded)
	case <-c.ended:
		return 0, nil, c.failed("read", c.failure())
	}
}

// rebind goes on with another real socket.
func (c *Conn) rebind() error {
	if c.failure() != nil {
		return nil
	}
	if c.reopen == nil {
		return fmt.Errorf("netem: rebind the socket at %v: it was given no way to open another", c.local)
	}
	fresh, err := c.reopen()
	if err != nil {
		return fmt.Errorf("netem: rebind the socket at %v: %w", c.local, err)
	}
	c.mu.Lock()
	if c.closed != nil {
		c.mu.Unlock()
		return fresh.Close()
	}
	old := c.under
	c.under = fresh
	c.size(c.read, c.write)
	c.line.readers.Go(func() { c.listen(fresh) }) // before closed can be set, so that Line.Close waits for it
	c.mu.Unlock()
	return old.Close()
}

// SetReadBuffer sets the size of the kernel's receive buffer, in bytes, also of sockets to come.
func (c *Conn) SetReadBuffer(bytes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = bytes
	return c.size(bytes, 0)
}

// SetWriteBuffer sets the size of the kernel's send buffer, in bytes, also of sockets to come.
func (c *Conn) SetWriteBuffer(bytes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = bytes
	return c.size(0, bytes)
}

// size has the present socket have buffers of these sizes; 0 leaves one as it is. A socket without buffers is content.
func (c *Conn) size(read, write int) error {
	sized, ok := c.under.(interface {
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	})
	if !ok {
		return nil
	}
	var err error
	if read > 0 {
		err = sized.SetReadBuffer(read)
	}
	if write > 0 {
		err = errors.Join(err, sized.SetWriteBuffer(write))
	}
	return err
}

// SetDeadline is SetReadDeadline: a write never blocks.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline is as in net.PacketConn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.Set(t)
	return nil
}

// SetWriteDeadline does nothing: a write never blocks.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// Close ends reading and writing at once. What was sent before still takes its way, as it would from a kernel.
func (c *Conn) Close() error {
	c.end(net.ErrClosed)
	if !c.line.leave(c) {
		return c.failed("close", net.ErrClosed)
	}
	return nil
}

// end stops reading and writing; the first reason counts.
func (c *Conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == nil {
		c.closed = why
		c.deadline.Set(time.Time{})
		close(c.ended)
	}
}

// release closes the real socket, and with it the goroutine that reads it.
func (c *Conn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.under.Close()
}

func (c *Conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.local, Err: err}
}
