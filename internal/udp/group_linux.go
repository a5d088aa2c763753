package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// wakeKey is what the group's own eventfd is told by.
const wakeKey = -1

// rawGroup is the Linux form: one epoll of all.
type rawGroup struct {
	// Fixed after newRawGroup.
	epoll int
	event int // eventfd, readable after Wake
	one   [8]byte

	// Owned by the caller of Wait.
	events  []unix.EpollEvent
	count   [8]byte
	yielded time.Time // when Wait last let the scheduler run

	// Guarded by mu, held shared while a descriptor is in use.
	mu     sync.RWMutex
	closed bool

	// Atomic.
	closing atomic.Bool
	woken   atomic.Bool // event is readable
}

// maxEvents bounds what one Wait tells: with more ready, the next tells of the rest.
const maxEvents = 256

func newRawGroup() (Group, error) {
	g := &rawGroup{epoll: -1, event: -1, events: make([]unix.EpollEvent, maxEvents)}
	binary.NativeEndian.PutUint64(g.one[:], 1)
	var err error
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if g.event, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		_ = unix.Close(g.epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	if err := g.control(unix.EPOLL_CTL_ADD, g.event, wakeKey, unix.EPOLLIN); err != nil {
		_ = g.release()
		return nil, err
	}
	return g, nil
}

func (g *rawGroup) control(op, fd int, key Key, events uint32) error {
	err := unix.EpollCtl(g.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(key)})
	return os.NewSyscallError("epoll_ctl", err)
}

func (g *rawGroup) Listen(addr netip.AddrPort, cfg Config, key Key) (Port, error) {
	addr, err := listenable(addr)
	if err != nil {
		return nil, err
	}
	s := &rawSocket{fd: -1, event: -1, epoll: -1, inet6: addr.Addr().Is6(), sendmmsg: sendmmsg}
	s.own.socket = s
	if err := s.openPort(addr, cfg.withDefaults()); err != nil {
		_ = s.release()
		return nil, fmt.Errorf("listen on udp %v: %w", addr, err)
	}
	if err := g.control(unix.EPOLL_CTL_ADD, s.fd, key, unix.EPOLLIN); err != nil {
		_ = s.release()
		return nil, fmt.Errorf("listen on udp %v: %w", addr, err)
	}
	return groupedSocket{s}, nil
}

// groupedSocket is a rawSocket of a group: closing its descriptor takes it out of the epoll, and it has no wait of its own.
type groupedSocket struct{ *rawSocket }

// Close is Port.Close.
func (s groupedSocket) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return nil
	}
	return s.release()
}

func (g *rawGroup) Watch(fd int, key Key) error {
	return g.control(unix.EPOLL_CTL_ADD, fd, key, unix.EPOLLIN)
}

func (g *rawGroup) Unwatch(fd int) {
	_ = g.control(unix.EPOLL_CTL_DEL, fd, 0, 0) // an error is that of one which is not watched
}

func (g *rawGroup) Join(inner Group, key Key) error {
	in, ok := inner.(*rawGroup)
	if !ok {
		return errors.ErrUnsupported
	}
	return g.Watch(in.epoll, key)
}

func (g *rawGroup) Leave(inner Group) {
	if in, ok := inner.(*rawGroup); ok {
		g.Unwatch(in.epoll)
	}
}

// Wait sleeps as rawSocket.Wait does, and for the same reasons.
func (g *rawGroup) Wait(timeout time.Duration, ready []Key) ([]Key, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closing.Load() {
		return ready, ErrClosed
	}
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	if timeout != 0 {
		if now := time.Now(); now.Sub(g.yielded) >= yieldEvery {
			g.yielded = now
			runtime.Gosched()
		}
	}
	n, err := unix.EpollWait(g.epoll, g.events, ms)
	if err != nil && err != unix.EINTR {
		return ready, ErrClosed
	}
	for _, e := range g.events[:max(n, 0)] {
		if e.Fd == wakeKey {
			_, _ = unix.Read(g.event, g.count[:]) // empties it
			g.woken.Store(false)
			continue
		}
		ready = append(ready, Key(e.Fd))
	}
	if g.closing.Load() {
		return ready, ErrClosed
	}
	return ready, nil
}

func (g *rawGroup) Wake() {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed || g.woken.Swap(true) {
		return
	}
	_, _ = unix.Write(g.event, g.one[:]) // fails only when the count is full, and then it is readable
}

func (g *rawGroup) Close() error {
	if g.closing.Swap(true) {
		return nil
	}
	g.Wake()
	g.mu.Lock() // a Wait under way has ended
	g.closed = true
	g.mu.Unlock()
	return g.release()
}

func (g *rawGroup) release() error { return errors.Join(unix.Close(g.epoll), unix.Close(g.event)) }
