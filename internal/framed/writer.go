package framed

import (
	"encoding/binary"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// MaxFrame bounds a frame, in bytes without its length: what fits a datagram on any path is far less.
	MaxFrame = 2000
	// Stale is the age above which a frame is late for any ear.
	Stale = 100 * time.Millisecond
	// Queue is how many frames wait at most: 100 ms of 20 Mbit/s.
	Queue = 256
	// writeTimeout is how long nothing may leave, though something waits, before the connection is dead.
	writeTimeout = 5 * time.Second
	// lookAgain is how often a full kernel is asked whether it has sent what it holds: it tells of room for more, never of that.
	lookAgain = 5 * time.Millisecond
	// standing is how much longer than the path's shortest round trip an acknowledgement may take before it is taken for our own
	// bytes that stand in a queue. It may be others' queue as well, or that of the way back, a second long on thin links: then less
	// would not be fresher.
	standing = 1500 * time.Millisecond
	// batch bounds what is given to the kernel at once, and with it what cannot be taken back when the path then stands still.
	// With lookAgain it still lets 6 Mbit/s through a path whose congestion window is always full.
	batch = 4 << 10
)

// Writer sends frames over a connection. Send is safe from any goroutine; Run is one.
type Writer struct {
	// Fixed after NewWriter.
	conn net.Conn
	raw  syscall.RawConn // nil: a connection that is no socket, whose writes wait until they are read
	out  chan frame
	late *atomic.Uint64

	kernel Kernel // owned by Run
}

type frame struct {
	b      []byte // with its length
	at     time.Time
	always bool
}

// NewWriter returns a Writer to the connection, which stays the caller's to close: a socket, or something around one that names it
// by a method NetConn. Frames dropped for their age are counted in late, which several Writers may share.
func NewWriter(conn net.Conn, late *atomic.Uint64) *Writer {
	w := &Writer{conn: conn, out: make(chan frame, Queue), late: late}
	under := conn
	for {
		wrapper, ok := under.(interface{ NetConn() net.Conn }) // as tls.Conn has it
		if !ok {
			break
		}
		under = wrapper.NetConn()
	}
	if socket, ok := under.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			w.raw = raw
			w.thin()
		}
	}
	return w
}

// Send queues a copy of b; false when the queue is full, or when b is not of 1 to MaxFrame bytes: the other end would take the
// stream for broken. With always it is sent whatever its age.
func (w *Writer) Send(b []byte, always bool) bool {
	if len(b) == 0 || len(b) > MaxFrame {
		return false
	}
	f := frame{b: make([]byte, 2+len(b)), at: time.Now(), always: always}
	binary.BigEndian.PutUint16(f.b, uint16(len(b)))
	copy(f.b[2:], b)
	select {
	case w.out <- f:
		return true
	default:
		return false
	}
}

// Run sends until stop is closed, and then returns nil, or until the connection fails.
func (w *Writer) Run(stop <-chan struct{}) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	var held []frame // in order; bounded by Queue, as what waits in out is
	var b []byte
	var before int // was held by the kernel
	var since time.Time
	for {
		if len(held) == 0 {
			select {
			case f := <-w.out:
				held = append(held, f)
			case <-stop:
				return nil
			}
		}
		if n := w.full(); n > 0 {
			if n != before {
				before, since = n, time.Now()
			} else if time.Since(since) >= writeTimeout {
				return os.ErrDeadlineExceeded
			}
			wait.Reset(lookAgain)
			select {
			case <-wait.C:
			case <-stop:
				return nil
			}
			held = w.fresh(held)
			continue
		}
		before = 0
		b, held = w.gather(b[:0], held)
		if len(b) == 0 {
			continue
		}
		_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // the write says what is wrong
		if _, err := w.conn.Write(b); err != nil {
			return err
		}
		w.gave(len(b))
	}
}

// fresh takes what waits in the queue and drops what is too old.
func (w *Writer) fresh(held []frame) []frame {
	for len(held) < Queue {
		select {
		case f := <-w.out:
			held = append(held, f)
			continue
		default:
		}
		break
	}
	return slices.DeleteFunc(held, func(f frame) bool {
		late := !f.always && time.Since(f.at) >= Stale
		if late {
			w.late.Add(1)
		}
		return late
	})
}

// gather appends to b what is given to the kernel now, and returns what is left.
func (w *Writer) gather(b []byte, held []frame) ([]byte, []frame) {
	held = w.fresh(held)
	n := 0
	for n < len(held) && (n == 0 || len(b)+len(held[n].b) <= batch) {
		b = append(b, held[n].b...)
		n++
	}
	return b, slices.Delete(held, 0, n)
}
