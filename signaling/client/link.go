package client

import (
	"bufio"
	"net"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/framed"
)

// link is an ICE-TCP connection to the server (RFC 6544).
type link struct {
	// Fixed.
	conn net.Conn
	out  *framed.Writer
	stop chan struct{}
	once sync.Once
	done chan struct{} // closed when it has ended by itself

	// Guarded by the detour's mu.
	asked    time.Time // the newest check
	answered time.Time // the newest answer
	trip     time.Duration
}

// newLink starts both goroutines of a connection.
func (d *detour) newLink(conn net.Conn) *link {
	l := &link{conn: conn, out: framed.NewWriter(conn, &d.late), stop: make(chan struct{}), done: make(chan struct{})}
	d.wg.Go(func() {
		if l.out.Run(l.stop) != nil {
			_ = conn.Close() // ends the reader
		}
	})
	d.wg.Go(func() {
		defer close(l.done)
		defer l.close()
		d.read(l)
	})
	return l
}

// read hands on what the server sends until the connection ends.
func (d *detour) read(l *link) {
	in := bufio.NewReaderSize(l.conn, 4096)
	for b := make([]byte, framed.MaxFrame); ; {
		n, err := framed.Read(in, b)
		if err != nil {
			d.kick()
			return
		}
		p := b[:n]
		if isSTUN(p) && p[0] == 1 && d.answered(p, l) {
			continue
		}
		if w := d.way.Load(); w != nil {
			w.socket.inject(p, w.server)
		}
	}
}

// close ends both goroutines; it does not wait.
func (l *link) close() {
	l.once.Do(func() {
		close(l.stop)
		_ = l.conn.Close() // nothing is to be done about it
	})
}

func (l *link) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// waits says whether an answer has been due for too long.
func (l *link) waits(now time.Time) bool {
	return l.answered.Before(l.asked) && now.Sub(l.asked) >= warmPatience
}
