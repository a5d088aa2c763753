package udp

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (s *rawSocket) Wait(timeout time.Duration) error {
	if timeout == 0 {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.closed {
			return ErrClosed
		}
		s.look()
		return nil
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := s.poll.SetReadDeadline(deadline); err != nil {
		return ErrClosed
	}
	err := s.pollConn.Read(s.ready)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return ErrClosed
}

// look reports whether Wait is over, and takes the wake if there was one.
func (s *rawSocket) look() bool {
	n, err := unix.EpollWait(s.epoll, s.events[:], 0)
	if err != nil {
		return err == unix.EINTR // by a signal: look again after a Read
	}
	for _, e := range s.events[:max(n, 0)] {
		if int(e.Fd) == s.event {
			_, _ = unix.Read(s.event, s.count[:]) // empties it
			// Only now: a Wake before this line belongs to the Wait that ends here.
			s.woken.Store(false)
		}
	}
	return n > 0
}

func (s *rawSocket) Wake() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || s.woken.Swap(true) {
		return
	}
	_, _ = unix.Write(s.event, s.one[:]) // fails only when the count is full, and then it is readable
}
