package signaling

import (
	"github.com/coder/websocket"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Early data (0-RTT) is what a client that was here before sends along with its first packet. Whoever records these packets
// can send them again: until the handshake is complete, nothing says that the client is there. So an early Hello opens a
// session that counts for nothing yet, and an early Resume takes over only what nobody uses; what else there is waits.

// mayComeEarly: nothing is done twice when these are.
func mayComeEarly(frame *wire.ClientFrame) bool {
	switch frame.GetMessage().(type) {
	case *wire.ClientFrame_Hello, *wire.ClientFrame_Resume, *wire.ClientFrame_Ping:
		return true
	}
	return false
}

// early tells that the client may still be a recording.
func (c *conn) early() bool {
	proved := c.port.proved()
	return proved != nil && !isClosed(proved)
}

func (c *conn) countEarly() {
	if c.early() {
		c.server.counters.early.Add(1)
	}
}

// proven waits until the client has shown that it is there; false when it never has.
func (c *conn) proven() bool {
	proved := c.port.proved()
	if proved == nil || isClosed(proved) {
		return true
	}
	select {
	case <-proved:
		return true
	case <-c.port.over():
		return false
	}
}

// settle makes good what an early greeting has opened, or undoes it: counted is called once the client is proved to be
// there, and says why there is no room for its session.
func (c *conn) settle(counted func() *wire.Error, undo func()) {
	c.proof = make(chan struct{})
	go func() {
		defer close(c.proof)
		if !c.proven() {
			undo()
			return
		}
		if full := counted(); full != nil {
			c.reject(0, full, websocket.StatusTryAgainLater)
			undo()
			return
		}
		c.seated.Store(true)
	}()
}

// lost is what the session hears at the end of the connection. A recording of a Resume must not keep a session alive: it
// has been without a connection since before.
func (c *conn) lost() lost {
	if c.early() {
		return lost{conn: c.id, since: c.before}
	}
	return lost{conn: c.id}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
