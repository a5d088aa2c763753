package udp

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// Inbox is the receiving half of the forms of Socket that do not own a descriptor: whoever has a datagram calls Put, the
// socket's owner calls Read and Wait. It blocks on channels only, so that a testing/synctest bubble can see it idle.
// One goroutine calls Read and Wait; the rest is safe from any goroutine.
type Inbox struct {
	// Fixed after NewInbox.
	changed chan struct{} // holds a token when Put or Wake came since the last look
	ended   chan struct{} // closed by Close

	// Owned by the caller of Wait.
	timer *time.Timer

	// Guarded by mu.
	mu     sync.Mutex
	ring   []parcel
	head   int
	count  int
	woken  bool
	closed bool

	// Atomic.
	counters counters
}

type parcel struct {
	data []byte // kept and used again
	from netip.AddrPort
	ecn  packet.ECN
}

// NewInbox returns an inbox that holds at most the given number of datagrams.
func NewInbox(packets int) *Inbox {
	return &Inbox{
		changed: make(chan struct{}, 1),
		ended:   make(chan struct{}),
		ring:    make([]parcel, max(packets, 1)),
	}
}

// Put copies a datagram in that tells nothing of ECN.
func (in *Inbox) Put(data []byte, from netip.AddrPort) { in.PutMarked(data, from, packet.NotECT) }

// PutMarked copies a datagram in, with its ECN bits. When the inbox is full it counts an Overflow, when the datagram exceeds
// MaxDatagram a Truncated.
func (in *Inbox) PutMarked(data []byte, from netip.AddrPort, ecn packet.ECN) {
	if len(data) > MaxDatagram {
		in.counters.truncated.Add(1)
		return
	}
	in.mu.Lock()
	if in.closed || in.count == len(in.ring) {
		in.mu.Unlock()
		in.counters.overflow.Add(1)
		return
	}
	p := &in.ring[(in.head+in.count)%len(in.ring)]
	p.data, p.from, p.ecn = append(p.data[:0], data...), from, ecn
	in.count++
	in.mu.Unlock()
	in.signal()
}

// Read is Socket.Read.
func (in *Inbox) Read(b *Batch) (int, error) {
	b.Reset()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return 0, ErrClosed
	}
	bytes := 0
	b.read = time.Now()
	for in.count > 0 {
		p := &in.ring[in.head]
		if !b.Put(p.data, p.from) {
			break
		}
		b.mark(p.ecn)
		bytes += len(p.data)
		in.head = (in.head + 1) % len(in.ring)
		in.count--
	}
	in.counters.received(b.Len(), bytes)
	return b.Len(), nil
}

// Wait is Socket.Wait.
func (in *Inbox) Wait(timeout time.Duration) error {
	var expired <-chan time.Time
	for {
		ready, err := in.look()
		if ready || err != nil || timeout == 0 {
			return err
		}
		if timeout > 0 && expired == nil {
			expired = in.arm(timeout)
			defer in.timer.Stop()
		}
		select {
		case <-in.changed:
		case <-expired:
			return nil
		case <-in.ended:
			return ErrClosed
		}
	}
}

// look reports whether Wait is over, and takes the wake if there was one.
func (in *Inbox) look() (bool, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false, ErrClosed
	}
	ready := in.woken || in.count > 0
	in.woken = false
	return ready, nil
}

func (in *Inbox) arm(timeout time.Duration) <-chan time.Time {
	if in.timer == nil {
		in.timer = time.NewTimer(timeout)
	} else {
		in.timer.Reset(timeout)
	}
	return in.timer.C
}

// Wake is Socket.Wake.
func (in *Inbox) Wake() {
	in.mu.Lock()
	in.woken = true
	in.mu.Unlock()
	in.signal()
}

func (in *Inbox) signal() {
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// Len is how many datagrams wait.
func (in *Inbox) Len() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.count
}

// Stats returns the counters of the receiving half.
func (in *Inbox) Stats() Stats { return in.counters.stats() }

// Close ends a Wait. A second Close does nothing.
func (in *Inbox) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.closed {
		in.closed = true
		close(in.ended)
	}
}
