package turn

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
)

// stream is a client's byte stream whose calls never block. A lane uses it.
type stream interface {
	// Read takes what is there. errLater: nothing is.
	Read(b []byte) (int, error)
	// Write gives as much as fits now, which may be nothing.
	Write(b []byte) (int, error)
	// full is how many bytes have not left, if it must not be given more now; else 0.
	full(now time.Time) int
	// told says that it may be read.
	told()
	// watch has the lane's group tell by key when it may be read.
	watch(g udp.Group, key udp.Key) error
	Close() error
}

// errLater is a net.Error that says come again, as crypto/tls understands it.
var errLater net.Error = later{}

type later struct{}

func (later) Error() string   { return "turn: nothing to read now" }
func (later) Timeout() bool   { return true }
func (later) Temporary() bool { return true }

// Conn is a connection that a server can take out of Go's poller when it serves it: its worker then reads a thousand of them
// without waking a goroutine for each. Everything else it does as the connection within.
type Conn struct {
	net.Conn // nil once it is loose

	// Owned by whoever reads and writes; after loosen by a lane.
	s   stream
	out []byte  // sealed by crypto/tls, not yet written
	in  records // that crypto/tls has been given
	dry bool    // the last read took all there was
}

// records counts whole records of TLS in the bytes of a connection (RFC 8446 §5.1). The zero value stands at its beginning.
type records struct {
	whole int // and not taken yet
	head  int // bytes of a header that have passed; recordHeader: all
	left  int // bytes of the record still to come
}

const recordHeader = 5

// pass notes the next bytes.
func (r *records) pass(b []byte) {
	for len(b) > 0 {
		if r.head < recordHeader {
			if r.head >= 3 { // behind type and version
				r.left = r.left<<8 | int(b[0])
			}
			r.head, b = r.head+1, b[1:]
		} else {
			n := min(r.left, len(b))
			r.left, b = r.left-n, b[n:]
		}
		if r.head == recordHeader && r.left == 0 {
			r.head = 0
			r.whole++
		}
	}
}

// Wrap returns conn as a connection that may lie below crypto/tls and stays cheap there: tls.Server(turn.Wrap(conn), …). A TCP
// connection within others is found by their methods NetConn, as tls.Conn has it; they must hold nothing back when the handshake
// is over.
func Wrap(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Listen returns a listener whose connections are wrapped: tls.NewListener(turn.Listen(l), …).
func Listen(l net.Listener) net.Listener { return wrapping{l} }

type wrapping struct{ net.Listener }

func (w wrapping) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Wrap(c), nil
}

// NetConn is the connection within.
func (c *Conn) NetConn() net.Conn { return c.Conn }

func (c *Conn) Read(b []byte) (n int, err error) {
	if c.s != nil {
		if c.dry {
			return 0, errLater
		}
		n, err = c.s.Read(b)
		c.dry = n < len(b)
	} else {
		n, err = c.Conn.Read(b)
	}
	c.in.pass(b[:n])
	return n, err
}

func (c *Conn) Write(b []byte) (int, error) {
	if c.s != nil {
		c.out = append(c.out, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// loosen takes the connection out of Go's poller; false where that cannot be.
func (c *Conn) loosen() bool {
	s, ok := loosen(c.Conn)
	if ok {
		c.s = s
	}
	return ok
}

// Close is that of the connection within. A lane closes what is loose itself.
func (c *Conn) Close() error {
	if c.s != nil {
		return nil
	}
	return c.Conn.Close()
}

// Deadlines of a loose connection are its lane's.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.unlessLoose(t, net.Conn.SetDeadline)
}

// SetReadDeadline is as SetDeadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.unlessLoose(t, net.Conn.SetReadDeadline)
}

// SetWriteDeadline is as SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.unlessLoose(t, net.Conn.SetWriteDeadline)
}

func (c *Conn) unlessLoose(t time.Time, set func(net.Conn, time.Time) error) error {
	if c.s != nil {
		return nil
	}
	return set(c.Conn, t)
}

// sealed is a stream inside TLS: what crypto/tls writes waits in the Conn below until the socket takes it.
type sealed struct {
	stream // of below
	below  *Conn
	tls    *tls.Conn
}

// Read opens a record at a time. crypto/tls is not asked in vain, which costs as much as a record: it takes 24 bytes of memory each
// time that it needs more of the socket, which are all that a packet costs here, and less than that where several come together.
func (s *sealed) Read(b []byte) (int, error) {
	if s.below.dry && s.below.in.whole == 0 {
		return 0, errLater
	}
	n, err := s.tls.Read(b)
	switch {
	case err != nil:
		s.below.in.whole = 0 // those of a handshake bring nothing
	case n < len(b) && s.below.in.whole > 0: // else there may be more of this one
		s.below.in.whole--
	}
	return n, err
}

// told says it to what is below crypto/tls, too.
func (s *sealed) told() {
	s.below.dry = false
	s.stream.told()
}

// Write takes all of b or, while what it took before has not gone, nothing. Each frame gets a record of its own: coturn's client
// and others take a record for a frame.
func (s *sealed) Write(b []byte) (int, error) {
	if err := s.flush(); err != nil || len(s.below.out) > 0 {
		return 0, err
	}
	taken := len(b)
	for len(b) > 0 {
		n := frameSize(b)
		if _, err := s.tls.Write(b[:n]); err != nil {
			return 0, err
		}
		b = b[n:]
	}
	return taken, s.flush()
}

// frameSize is that of the first of our own frames in b, padded.
func frameSize(b []byte) int {
	n := int(binary.BigEndian.Uint16(b[2:])) + 20
	if b[0] >= 0x40 {
		n -= 16
	}
	return min((n+3)&^3, len(b))
}

// flush writes what is sealed.
func (s *sealed) flush() error {
	if len(s.below.out) == 0 {
		return nil
	}
	n, err := s.stream.Write(s.below.out)
	s.below.out = s.below.out[:copy(s.below.out, s.below.out[n:])]
	return err
}

// full counts what is sealed too.
func (s *sealed) full(now time.Time) int {
	if err := s.flush(); err != nil || len(s.below.out) > 0 {
		return len(s.below.out)
	}
	return s.stream.full(now)
}

// Close says goodbye where that fits.
func (s *sealed) Close() error {
	_ = s.tls.CloseWrite()
	_ = s.flush()
	return s.stream.Close()
}

// streamOf returns the connection's stream: loose where it can be, else one of two goroutines.
func streamOf(conn net.Conn, called func()) stream {
	if t, ok := conn.(*tls.Conn); ok {
		if below, ok := t.NetConn().(*Conn); ok && below.loosen() {
			return &sealed{stream: below.s, below: below, tls: t}
		}
		return newPump(conn, called)
	}
	if s, ok := loosen(conn); ok {
		return s
	}
	return newPump(conn, called)
}

// socketOf finds the socket within what wraps it.
func socketOf(conn net.Conn) *net.TCPConn {
	for {
		switch c := conn.(type) {
		case *net.TCPConn:
			return c
		case *tls.Conn:
			return nil
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}
