package oneport

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// begun is a connection some bytes of which were read to find out what it is.
type begun struct {
	net.Conn
	read []byte
}

func (c *begun) Read(b []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(b, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// NetConn is what lies beneath, for what asks the kernel about its buffers.
func (c *begun) NetConn() net.Conn { return c.Conn }

// secure is begun inside TLS: package net/http takes the state from it.
type secure struct {
	begun
	tls *tls.Conn
}

// ConnectionState is that of the TLS connection.
func (c *secure) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// maxHandshake bounds what a client may send until its TLS handshake is done, in bytes: a ClientHello with keys against quantum
// computers has 2 KiB.
const maxHandshake = 16 << 10

var errTalkative = errors.New("more than a TLS handshake takes")

// bounded reads maxHandshake bytes at most until it is opened.
type bounded struct {
	begun
	left   int // owned by the handshake
	opened atomic.Bool
}

func (c *bounded) Read(b []byte) (int, error) {
	if c.opened.Load() {
		return c.begun.Read(b)
	}
	if c.left == 0 {
		return 0, errTalkative
	}
	n, err := c.begun.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}
