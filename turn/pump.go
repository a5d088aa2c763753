package turn

import (
	"net"
	"os"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
)

const (
	pumpRoom = 64 << 10 // bytes that wait for the lane; then nothing more is read
	pumpRead = 16 << 10
	// writeTimeout is how long nothing may leave, though something waits, before a connection is dead.
	writeTimeout = 5 * time.Second
)

// pump is a stream of a connection that we do not know how to take out of Go's poller: one goroutine reads it, one writes it.
type pump struct {
	// Fixed after newPump.
	conn   net.Conn
	called func() // tells the lane that it may read or write

	// Guarded by mu.
	mu       sync.Mutex
	changed  sync.Cond
	in, out  []byte
	readErr  error
	writeErr error
	closed   bool
}

func newPump(conn net.Conn, called func()) *pump {
	p := &pump{conn: conn, called: called}
	p.changed.L = &p.mu
	go p.read()
	go p.write()
	return p
}

func (p *pump) read() {
	b := make([]byte, pumpRead)
	for {
		n, err := p.conn.Read(b)
		p.mu.Lock()
		for len(p.in)+n > pumpRoom && !p.closed {
			p.changed.Wait()
		}
		p.in = append(p.in, b[:n]...)
		p.readErr = err
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return
		}
		p.called()
		if err != nil {
			return
		}
	}
}

func (p *pump) write() {
	var b []byte
	for {
		p.mu.Lock()
		for len(p.out) == 0 && !p.closed {
			p.changed.Wait()
		}
		if p.closed {
			p.mu.Unlock()
			return
		}
		b = append(b[:0], p.out...)
		p.mu.Unlock()
		_ = p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // the write says what is wrong
		_, err := p.conn.Write(b)
		p.mu.Lock()
		p.out = p.out[:0]
		p.writeErr = err
		p.mu.Unlock()
		p.called()
		if err != nil {
			return
		}
	}
}

func (p *pump) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(b, p.in)
	if n == 0 {
		if p.readErr != nil {
			return 0, p.readErr
		}
		return 0, errLater
	}
	p.in = p.in[:copy(p.in, p.in[n:])]
	p.changed.Broadcast()
	return n, nil
}

func (p *pump) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, os.ErrClosed
	}
	if p.writeErr != nil || len(p.out) > 0 {
		return 0, p.writeErr
	}
	p.out = append(p.out, b...)
	p.changed.Broadcast()
	return len(b), nil
}

func (p *pump) full(time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.out)
}

func (p *pump) told() {}

// watch: its goroutines tell.
func (p *pump) watch(udp.Group, udp.Key) error { return nil }

func (p *pump) Close() error {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	return p.conn.Close()
}
