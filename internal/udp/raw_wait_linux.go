package udp

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const yieldEvery = 5 * time.Millisecond

// Wait sleeps in epoll_wait itself, not in Go's netpoller: a goroutine parked there is woken through two threads and the
// runtime's monitor, which for a thousand wakes a second cost a third of a shard's whole CPU time.
func (s *rawSocket) Wait(timeout time.Duration) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closing.Load() {
		return ErrClosed
	}
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	// The runtime's monitor takes the processor away from a goroutine that it finds in a system call and that has not been
	// scheduled for 10 ms, and is then busy at that every 20 µs. Half of that in time, this schedules the goroutine: onto
	// the same processor when no other waits, but it wakes a thread to look, so not every time.
	if now := time.Now(); now.Sub(s.yielded) >= yieldEvery {
		s.yielded = now
		runtime.Gosched()
	}
	n, err := unix.EpollWait(s.epoll, s.events[:], ms)
	if err != nil && err != unix.EINTR { // by a signal: look again after a Read
		return ErrClosed
	}
	for _, e := range s.events[:max(n, 0)] {
		if int(e.Fd) == s.event {
			_, _ = unix.Read(s.event, s.count[:]) // empties it
			// Only now: a Wake before this line belongs to the Wait that ends here.
			s.woken.Store(false)
		}
	}
	if s.closing.Load() {
		return ErrClosed
	}
	return nil
}

func (s *rawSocket) Wake() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || s.woken.Swap(true) {
		return
	}
	_, _ = unix.Write(s.event, s.one[:]) // fails only when the count is full, and then it is readable
}
