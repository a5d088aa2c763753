package netem

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// maxFlying is how many datagrams may be under way on a line in one direction: 3 s of 30 Mbit/s in full packets.
const maxFlying = 8192

// LineConfig describes a line.
type LineConfig struct {
	// Seed of all dice. The same seed and the same datagrams at the same times have the same fates.
	Seed uint64
	// Links that the client has, 1 to MaxLinks. It begins on the first.
	Links []Path
	// Events that happen to the client.
	Events []Event
	// Log is told of each datagram that got its fate, in order for each link and direction; nil: nobody is. It holds up the
	// line as long as it takes, and must not call the line.
	Log func(Passage)
	// On is told of each event once it has happened, with what went wrong; nil: nobody is. It must not block, nor call
	// Restart or Close.
	On func(Event, error)
}

// Line is one client's access to the network: all its UDP sockets share the rate and the queue. It runs in real time, or in
// a testing/synctest bubble's when its sockets are of internal/netsim. All methods are safe from any goroutine.
type Line struct {
	// Fixed after NewLine.
	began    time.Time
	log      func(Passage)
	on       func(Event, error)
	calendar *calendar
	readers  sync.WaitGroup // of real sockets

	// Guarded by mu.
	mu      sync.Mutex
	links   []*access
	active  int
	conns   map[*Conn]bool // open, or with datagrams of theirs under way
	waiting arrivals[passenger]
	order   uint64
	free    [][]byte
	timer   *time.Timer
	armed   bool          // the timer runs, and ends
	due     time.Duration // then
	landing bool
	landed  sync.Cond // landing is over
	closed  bool
}

// access is one link of a line.
type access struct {
	ways   [2]*way
	flying [2]int
	noUDP  bool
}

// passenger is whose datagram it is. Up: addr is whither; down: whence.
type passenger struct {
	conn   *Conn
	access *access
	d      Direction
	addr   net.Addr
}

// NewLine returns a line without sockets. Traces and events begin now.
func NewLine(cfg LineConfig) (*Line, error) {
	if err := check(cfg.Links, cfg.Events); err != nil {
		return nil, err
	}
	l := &Line{began: time.Now(), log: cfg.Log, on: cfg.On, conns: make(map[*Conn]bool)}
	l.landed.L = &l.mu
	for i, path := range cfg.Links {
		l.links = append(l.links, &access{ways: newWays(i, path, cfg.Seed)})
	}
	l.calendar = newCalendar(cfg.Events, l.happen)
	l.calendar.start()
	return l, nil
}

// ListenUDP opens a UDP socket on the line, as net.ListenUDP does.
func (l *Line) ListenUDP(network string, local *net.UDPAddr) (*Conn, error) {
	under, err := listenUDP(network, local)
	if err != nil {
		return nil, fmt.Errorf("netem: %w", err)
	}
	again := net.UDPAddr{}
	if local != nil {
		again.IP, again.Zone = local.IP, local.Zone
	}
	conn, err := l.Conn(under, func() (net.PacketConn, error) { return listenUDP(network, &again) })
	if err != nil {
		_ = under.Close() // the other error says more
	}
	return conn, err
}

// lineBuffer holds what comes while this process waits for its turn on a busy machine: a second of 1,000 small datagrams.
// What the kernel drops before the model sees it would be nobody's loss.
const lineBuffer = 1 << 20

func listenUDP(network string, local *net.UDPAddr) (*net.UDPConn, error) {
	conn, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(lineBuffer) // where the system allows less, it takes as much as it allows
	return conn, nil
}

// Conn puts an open socket on the line, which owns it from now on. Reopen opens the one that takes its place when the NAT
// forgets the client, from another port; nil: the socket has to stay, and Rebind fails.
func (l *Line) Conn(under net.PacketConn, reopen func() (net.PacketConn, error)) (*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("netem: open a socket on a line: %w", net.ErrClosed)
	}
	c := newConn(l, under, reopen)
	l.conns[c] = true
	l.readers.Go(func() { c.listen(under) })
	return c, nil
}

// Set changes one direction of a link under way, and ends its trace. What waits keeps its time of arrival.
func (l *Line) Set(link int, d Direction, cfg netsim.LinkConfig) {
	l.Follow(link, d, netsim.Trace{Steps: []netsim.Step{{Link: cfg}}})
}

// Follow has one direction of a link be as the trace says, beginning now.
func (l *Line) Follow(link int, d Direction, trace netsim.Trace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[link].ways[d].set(netsim.LinkConfig{}, trace, l.now())
}

// CutUDP has a firewall on a link drop all that is sent from now on, or no longer.
func (l *Line) CutUDP(link int, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[link].noUDP = on
}

// Blackout has nothing pass on a link, either way, or ends that. What is under way arrives.
func (l *Line) Blackout(link int, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.links[link].ways {
		w.model.Interrupt(on)
	}
}

// Rebind has the NAT forget the client: each socket goes on from another port, and what is sent to the old one is lost.
// What is under way arrives.
func (l *Line) Rebind() error {
	l.mu.Lock()
	var open []*Conn
	for c := range l.conns {
		open = append(open, c)
	}
	l.mu.Unlock()
	var failed []error
	for _, c := range open {
		failed = append(failed, c.rebind())
	}
	return errors.Join(failed...)
}

// Move has the client leave its link for another: everything is sent over that one, from other ports. What is under way on
// the old one arrives.
func (l *Line) Move(link int) error {
	l.mu.Lock()
	l.active = link
	l.mu.Unlock()
	return l.Rebind()
}

// Restart begins traces and events anew, on the first link as it was in the beginning: for a client that joins now. Counts
// go on.
func (l *Line) Restart() {
	l.calendar.stop()
	l.mu.Lock()
	l.active = 0
	for _, link := range l.links {
		link.noUDP = false
		for _, w := range link.ways {
			w.restart(l.now())
		}
	}
	l.mu.Unlock()
	l.calendar.start()
}

// happen is one event of the calendar.
func (l *Line) happen(e Event) {
	var err error
	switch e.Kind {
	case EventSet:
		l.mu.Lock()
		l.links[e.Link].ways[Up].set(e.Path.Up, e.Path.UpTrace, l.now())
		l.links[e.Link].ways[Down].set(e.Path.Down, e.Path.DownTrace, l.now())
		l.mu.Unlock()
	case EventRebind:
		err = l.Rebind()
	case EventCutUDP, EventMendUDP:
		l.CutUDP(e.Link, e.Kind == EventCutUDP)
	case EventBlackout, eventLight:
		l.Blackout(e.Link, e.Kind == EventBlackout)
	case EventMove:
		err = l.Move(e.Link)
	}
	if l.on != nil && e.Kind != eventLight {
		l.on(e, err)
	}
}

// Accounts says, by link and direction, what was asked and what was done so far: Accounts()[0][netem.Up].
func (l *Line) Accounts() [][2]Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all [][2]Account
	for _, link := range l.links {
		all = append(all, [2]Account{Up: link.ways[Up].sum(), Down: link.ways[Down].sum()})
	}
	return all
}

// Close closes all sockets of the line and drops what is under way. It returns when its goroutines have ended. A second
// Close does nothing.
func (l *Line) Close() error {
	l.calendar.stop()
	l.mu.Lock()
	l.closed = true
	for l.landing {
		l.landed.Wait()
	}
	l.waiting = nil
	if l.timer != nil {
		l.timer.Stop()
	}
	var open []*Conn
	for c := range l.conns {
		open = append(open, c)
	}
	clear(l.conns)
	l.mu.Unlock()
	var failed []error
	for _, c := range open {
		c.end(net.ErrClosed)
		failed = append(failed, c.release())
	}
	l.readers.Wait()
	return errors.Join(failed...)
}

func (l *Line) now() time.Duration { return time.Since(l.began) }

// send puts a datagram on its way. It keeps addr and copies data.
func (l *Line) send(c *Conn, d Direction, data []byte, addr net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	link := l.links[l.active]
	w := link.ways[d]
	size := len(data) + headerSize(addr)
	switch {
	case size > mtu:
		w.account.Did.TooLong++
		return
	case link.noUDP:
		w.account.Did.Blocked++
		return
	}
	now := l.now()
	fate := w.send(now, size, false)
	if l.log != nil {
		l.log(Passage{Link: l.active, Direction: d, Size: size, Sent: now, Fate: fate})
	}
	for range fate.Copies {
		if link.flying[d] >= maxFlying {
			w.account.Did.Overflow++
			continue
		}
		link.flying[d]++
		l.order++
		if d == Up {
			c.leaving++
		}
		l.waiting.push(arrival[passenger]{
			sent: now, at: fate.At, order: l.order, way: w,
			data: append(l.buffer()[:0], data...), to: passenger{c, link, d, addr},
		})
	}
	l.arm(now)
}

// arm lets land run when the next datagram arrives.
func (l *Line) arm(now time.Duration) {
	// While land runs, it will see what is new. And never again for what the timer waits for already: under the race
	// detector, a timer in a bubble that is reset to this very moment crashes the runtime (Go 1.26.8).
	if len(l.waiting) == 0 || l.landing || l.armed && l.due <= l.waiting[0].at {
		return
	}
	l.armed, l.due = true, l.waiting[0].at
	wait := max(l.due-now, 0)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.land)
	} else {
		l.timer.Reset(wait)
	}
}

// land hands over what has arrived, one after the other: never two at a time, or they would overtake each other.
func (l *Line) land() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	if l.landing {
		return
	}
	l.landing = true
	for !l.closed && len(l.waiting) > 0 {
		now := l.now()
		if l.waiting[0].at > now {
			break
		}
		a := l.waiting.pop()
		c, size := a.to.conn, len(a.data)+headerSize(a.to.addr)
		l.mu.Unlock()
		taken := c.land(a.to.d, a.data, a.to.addr)
		l.mu.Lock()
		a.way.arrived(a.sent, a.at, now, size, taken)
		a.to.access.flying[a.to.d]--
		if a.to.d == Up {
			c.leaving--
			l.part(c)
		}
		if a.to.d == Up || !taken {
			l.recycle(a.data)
		}
	}
	l.landing = false
	l.landed.Broadcast()
	if !l.closed {
		l.arm(l.now())
	}
}

// leave is told that a socket was closed by its user: it stays until what it sent has left, a farewell for instance. False:
// it was told before.
func (l *Line) leave(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.left {
		return false
	}
	c.left = true
	l.part(c)
	return true
}

func (l *Line) part(c *Conn) {
	if c.left && c.leaving == 0 && l.conns[c] {
		delete(l.conns, c)
		_ = c.release() // it was open, and nobody waits for it any more
	}
}

func (l *Line) buffer() []byte {
	if last := len(l.free) - 1; last >= 0 {
		b := l.free[last]
		l.free = l.free[:last]
		return b
	}
	return make([]byte, 0, mtu)
}

// recycle takes back a buffer; as many as a burst needs are kept.
func (l *Line) recycle(b []byte) {
	if len(l.free) < 256 {
		l.free = append(l.free, b)
	}
}

func (l *Line) put(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recycle(b)
}

// headerSize is what IP and UDP add to a datagram.
func headerSize(addr net.Addr) int {
	if udp, ok := addr.(*net.UDPAddr); ok {
		if ip, _ := netip.AddrFromSlice(udp.IP); ip.Is6() && !ip.Is4In6() {
			return 48
		}
	}
	return 28
}
