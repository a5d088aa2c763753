package netem

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// turn bounds how many packets are read from one interface before others have theirs.
const turn = 64

// pump carries packets between the interfaces, on one thread that the scheduler prefers.
type pump struct {
	// Fixed after Open.
	began time.Time
	log   func(Passage)
	wake  int // eventfd, readable when the pump is to end
	ended chan error

	// Guarded by mu; the pump's thread holds it while it works.
	mu    sync.Mutex
	links []*link
	late  lateness

	// Owned by run.
	waiting arrivals[exit]
	order   uint64
	free    [][]byte
	poll    []unix.PollFd
}

// link is one link of a network.
type link struct {
	fds   [2]int  // by Side
	ways  [2]*way // by Direction
	nat   nat
	noUDP bool
}

// exit is where a packet leaves the pump.
type exit struct {
	link *link
	side Side
}

func newPump(cfg Config) *pump {
	p := &pump{began: time.Now(), log: cfg.Log, wake: -1, ended: make(chan error, 1)}
	for i, path := range cfg.Links {
		p.links = append(p.links, &link{nat: newNAT(i), fds: [2]int{-1, -1}, ways: newWays(i, path, cfg.Seed)})
	}
	return p
}

// attach gives a link one of its interfaces; before start. The pump closes it.
func (p *pump) attach(link int, side Side, fd int) { p.links[link].fds[side] = fd }

func (p *pump) start() error {
	var err error
	if p.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	p.poll = append(p.poll, unix.PollFd{Fd: int32(p.wake), Events: unix.POLLIN})
	for _, l := range p.links {
		for _, fd := range l.fds {
			p.poll = append(p.poll, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	go func() {
		runtime.LockOSThread() // for good: its priority goes with it
		prefer()
		p.ended <- p.run()
	}()
	return nil
}

// prefer has the scheduler run this thread as soon as it has something to do, and wake it on time. Where that is forbidden
// the network works, less punctually: Stats says how late.
func prefer() {
	fifo := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 10}
	if unix.SchedSetAttr(0, &fifo, 0) != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // the next best; see above
	}
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // 1 ns instead of 50 µs; real-time threads have none anyway
}

// stop ends the thread and returns what ended it before, if something did.
func (p *pump) stop() error {
	one := [8]byte{0: 1}
	if _, err := unix.Write(p.wake, one[:]); err != nil {
		return fmt.Errorf("netem: wake the pump: %w", err)
	}
	return <-p.ended
}

// release closes what the pump holds. Its thread has ended or was never started. Idempotent.
func (p *pump) release() {
	if p.wake >= 0 {
		unix.Close(p.wake)
		p.wake = -1
	}
	for _, l := range p.links {
		for side, fd := range l.fds {
			if fd >= 0 {
				unix.Close(fd)
				l.fds[side] = -1
			}
		}
	}
}

// run reads what is sent, gives it its fate and writes what has arrived, until stop.
func (p *pump) run() error {
	for {
		if err := p.sleep(); err != nil {
			return fmt.Errorf("netem: poll: %w", err)
		}
		if p.poll[0].Revents != 0 {
			return nil
		}
		p.mu.Lock()
		for i, l := range p.links {
			for side := range l.fds {
				if p.poll[1+2*i+side].Revents != 0 {
					if err := p.read(i, Side(side)); err != nil {
						p.mu.Unlock()
						return fmt.Errorf("netem: read from link%d of the %v: %w", i, Side(side), err)
					}
				}
			}
		}
		p.deliver()
		p.mu.Unlock()
	}
}

// sleep waits until something was sent or something arrives.
func (p *pump) sleep() error {
	var timeout *unix.Timespec
	if len(p.waiting) > 0 {
		ts := unix.NsecToTimespec(max(p.waiting[0].at-p.now(), 0).Nanoseconds())
		timeout = &ts
	}
	_, err := unix.Ppoll(p.poll, timeout, nil)
	if errors.Is(err, unix.EINTR) {
		for i := range p.poll {
			p.poll[i].Revents = 0
		}
		return nil
	}
	return err
}

func (p *pump) now() time.Duration { return time.Since(p.began) }

// read takes what waits at one interface, up to a turn.
func (p *pump) read(number int, from Side) error {
	l := p.links[number]
	d, to := Up, Server
	if from == Server {
		d, to = Down, Client
	}
	w := l.ways[d]
	for range turn {
		buf := p.buffer()
		size, err := unix.Read(l.fds[from], buf)
		if err != nil {
			p.free = append(p.free, buf)
			// EIO and EBADFD: the interface is switched off at the moment.
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EBADFD) {
				return nil
			}
			return err
		}
		data := buf[:size]
		h, ok := parse(data)
		switch {
		case !ok || !l.nat.translate(data, h, d):
			w.account.Did.Strayed++
			p.free = append(p.free, buf)
			continue
		case l.noUDP && h.protocol == protoUDP:
			w.account.Did.Blocked++
			p.free = append(p.free, buf)
			continue
		}
		now := p.now()
		fate := w.send(now, size, h.protocol == protoTCP)
		if p.log != nil {
			p.log(Passage{Link: number, Direction: d, Size: size, Sent: now, Fate: fate, Packet: data})
		}
		if fate.Verdict != netsim.Arrives {
			p.free = append(p.free, buf)
			continue
		}
		for copies := range fate.Copies {
			if copies > 0 {
				data = append(p.buffer()[:0], data...)
			}
			p.order++
			p.waiting.push(arrival[exit]{sent: now, at: fate.At, order: p.order, way: w, data: data, to: exit{l, to}})
		}
	}
	return nil
}

// deliver writes what has arrived by now, never before its time.
func (p *pump) deliver() {
	for len(p.waiting) > 0 {
		now := p.now()
		if p.waiting[0].at > now {
			return
		}
		a := p.waiting.pop()
		p.late.add(now - a.at)
		_, err := unix.Write(a.to.link.fds[a.to.side], a.data)
		a.way.arrived(a.sent, a.at, now, len(a.data), err == nil) // an error: the interface is switched off
		p.free = append(p.free, a.data[:cap(a.data)])
	}
}

// buffer is one byte longer than a packet may be, so that one which is too long would be seen.
func (p *pump) buffer() []byte {
	if last := len(p.free) - 1; last >= 0 {
		b := p.free[last]
		p.free = p.free[:last]
		return b
	}
	return make([]byte, mtu+1)
}

func (p *pump) set(link int, d Direction, cfg netsim.LinkConfig, trace netsim.Trace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[link].ways[d].set(cfg, trace, p.now())
}

func (p *pump) blackout(link int, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.links[link].ways {
		w.model.Interrupt(on)
	}
}

func (p *pump) cutUDP(link int, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[link].noUDP = on
}

func (p *pump) rebind(number int) netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.links[number].nat.rebind()
}

// restart has all links be as they were in the beginning; the NAT keeps what it has.
func (p *pump) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.noUDP = false
		for _, w := range l.ways {
			w.restart(p.now())
		}
	}
}

func (p *pump) stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Late: p.late.late()}
	for _, l := range p.links {
		s.Links = append(s.Links, [2]Counts{Up: l.ways[Up].account.Did.Counts, Down: l.ways[Down].account.Did.Counts})
	}
	return s
}

func (p *pump) accounts() [][2]Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all [][2]Account
	for _, l := range p.links {
		all = append(all, [2]Account{Up: l.ways[Up].sum(), Down: l.ways[Down].sum()})
	}
	return all
}
