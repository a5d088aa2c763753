package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/framed"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/frame"
)

const (
	// queueFrames is how many frames wait for a slow reader at most: 100 ms of 20 Mbit/s.
	queueFrames = framed.Queue
	// chunk bounds what is given to the kernel between two looks at what it holds, in bytes, and with it what cannot be taken back.
	chunk = 4 << 10
	// lookEvery is how often the kernel is asked what it holds, while it takes all and while it does not.
	lookEvery = 5 * time.Millisecond
	// readBudget is how many bytes of one connection are handled before the others' turn.
	readBudget = 64 << 10
)

// conn is a client's connection. Its lane owns it, but for what others queue.
type conn struct {
	// Fixed after lane.adopt.
	lane   *lane
	key    udp.Key
	client control.Client
	s      stream

	// Owned by the lane.
	frames  frame.Reader
	born    time.Time
	heard   time.Time // last frame
	proven  bool      // it has had an allocation
	listed  bool      // in lane.writing
	stalled bool      // in lane.stalled
	gone    bool
	held    outbox // taken from queue, in order
	looked  time.Time
	given   int // bytes since looked
	stuck   int // bytes that the stream held when it was last found full; 0: it was not,
	since   time.Time
	pumped  bool

	queue  outbox // guarded by mu
	mu     sync.Mutex
	called atomic.Bool // in lane.called
}

// outbox is frames that wait, in one piece of memory. The zero value is empty.
type outbox struct {
	bytes []byte
	parts []waiting
	from  int // parts before it are gone,
	at    int // and bytes
}

type waiting struct {
	size   int
	since  time.Time
	always bool
}

func (o *outbox) len() int { return len(o.parts) - o.from }

// add appends header and b, padded to 4 bytes.
func (o *outbox) add(header, b []byte, now time.Time, always bool) {
	before := len(o.bytes)
	o.bytes = append(append(o.bytes, header...), b...)
	for (len(o.bytes)-before)%4 != 0 {
		o.bytes = append(o.bytes, 0)
	}
	o.parts = append(o.parts, waiting{len(o.bytes) - before, now, always})
}

// move appends what from holds, which is empty then.
func (o *outbox) move(from *outbox) {
	if o.len() == 0 {
		o.reset()
		*o, *from = *from, *o
		return
	}
	o.bytes = append(o.bytes, from.bytes[from.at:]...)
	o.parts = append(o.parts, from.parts[from.from:]...)
	from.reset()
}

func (o *outbox) reset() { o.bytes, o.parts, o.from, o.at = o.bytes[:0], o.parts[:0], 0, 0 }

// head is the first frames of up to limit bytes together, but at least one.
func (o *outbox) head(limit int) (b []byte, count int) {
	size := 0
	for _, p := range o.parts[o.from:] {
		if count > 0 && size+p.size > limit {
			break
		}
		size += p.size
		count++
	}
	return o.bytes[o.at : o.at+size], count
}

// drop forgets the first frames.
func (o *outbox) drop(count int) {
	for range count {
		o.at += o.parts[o.from].size
		o.from++
	}
	if o.from == len(o.parts) {
		o.reset()
	}
}

// fresh drops what is late for any ear, and returns how many that were.
func (o *outbox) fresh(now time.Time) (late int) {
	bytes, parts := o.bytes[:0], o.parts[:0]
	at := o.at
	for _, p := range o.parts[o.from:] {
		if p.always || now.Sub(p.since) < framed.Stale {
			bytes = append(bytes, o.bytes[at:at+p.size]...)
			parts = append(parts, p)
		} else {
			late++
		}
		at += p.size
	}
	o.bytes, o.parts, o.from, o.at = bytes, parts, 0, 0
	return late
}

// send queues a frame from any goroutine, the lane's or another; false when too many wait.
func (c *conn) send(header, b []byte, now time.Time, always bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.len() >= queueFrames {
		return false
	}
	c.queue.add(header, b, now, always)
	return true
}

// flush gives the kernel what waits, as long as it holds nothing that has not left. done: nothing waits any more; else it is to
// be called again after lookEvery.
func (c *conn) flush(now time.Time) (done bool, err error) {
	c.mu.Lock()
	behind := c.held.len() >= queueFrames // what is refused for a full queue has it flushed no more: that is for us to do
	if !behind {
		c.held.move(&c.queue)
	}
	c.mu.Unlock()
	for c.held.len() > 0 {
		if c.given >= chunk || now.Sub(c.looked) >= lookEvery {
			if full := c.s.full(now); full > 0 {
				return c.wait(full, now, behind)
			}
			c.looked, c.given = now, 0
		}
		b, count := c.held.head(chunk)
		n, err := c.s.Write(b)
		if err != nil {
			return true, err
		}
		if n < len(b) {
			c.held.cut(n)
			return c.wait(n, now, behind)
		}
		c.given += n
		c.since = time.Time{}
		c.held.drop(count)
	}
	return !behind, nil
}

// wait is what flush does when the stream must not be given more: it holds full bytes, or took as many and no more. behind: frames
// are left in queue.
func (c *conn) wait(full int, now time.Time, behind bool) (done bool, err error) {
	c.lane.dropped(late, c.held.fresh(now))
	if full != c.stuck || c.since.IsZero() {
		c.stuck, c.since = full, now
	} else if now.Sub(c.since) >= writeTimeout {
		return true, os.ErrDeadlineExceeded
	}
	return c.held.len() == 0 && !behind, nil
}

// cut forgets n bytes that left, which end in the middle of a frame: what is left of that always leaves.
func (o *outbox) cut(n int) {
	for n > 0 && n >= o.parts[o.from].size {
		n -= o.parts[o.from].size
		o.drop(1)
	}
	if n > 0 {
		p := &o.parts[o.from]
		p.size -= n
		p.always = true
		o.at += n
	}
}

// read takes the frames that are there. more: its budget is spent and there may be more.
func (c *conn) read(now time.Time) (more bool, err error) {
	c.s.told()
	b := c.lane.scratch
	for budget := readBudget; budget > 0; {
		n, err := c.s.Read(b)
		if errors.Is(err, errLater) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		budget -= n
		if err := c.feed(b[:n], now); err != nil {
			return false, err
		}
	}
	return true, nil
}

// feed handles the frames in b.
func (c *conn) feed(b []byte, now time.Time) error {
	for len(b) > 0 {
		f, rest, err := c.frames.Next(b)
		if err != nil {
			return err
		}
		b = rest
		if len(f) == 0 {
			continue
		}
		c.heard = now
		c.lane.handled++
		c.lane.frame(c, f)
	}
	return nil
}

func channelHeader(channel uint16, size int) (h [4]byte) {
	binary.BigEndian.PutUint16(h[:], channel)
	binary.BigEndian.PutUint16(h[2:], uint16(size))
	return h
}

func addrPortOf(a interface{ String() string }) netip.AddrPort {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
