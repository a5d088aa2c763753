package turn

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/framed"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// socket is a stream that is a descriptor of our own, told of by the lane's epoll.
type socket struct {
	fd      int
	drained bool // the last read took all there was: asking again costs a system call for nothing
	kernel  framed.Kernel
	group   udp.Group
}

// loosen takes conn's socket out of Go's poller and closes conn.
func loosen(conn net.Conn) (stream, bool) {
	tcp := socketOf(conn)
	if tcp == nil {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, false
	}
	fd := -1
	if failed := raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); failed != nil || err != nil {
		return nil, false
	}
	_ = tcp.Close() // the copy keeps the connection
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	framed.Thin(fd)
	return &socket{fd: fd}, true
}

func (s *socket) Read(b []byte) (int, error) {
	if s.drained {
		return 0, errLater
	}
	n, err := unix.Read(s.fd, b)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, errLater
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	s.drained = n < len(b)
	return n, nil
}

func (s *socket) Write(b []byte) (int, error) {
	n, err := unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	s.kernel.Gave(n, time.Now())
	return n, nil
}

func (s *socket) full(now time.Time) int { return s.kernel.Full(s.fd, now) }

func (s *socket) told() { s.drained = false }

func (s *socket) watch(g udp.Group, key udp.Key) error {
	s.group = g
	return g.Watch(s.fd, key)
}

func (s *socket) Close() error {
	if s.group != nil {
		s.group.Unwatch(s.fd)
	}
	return os.NewSyscallError("close", unix.Close(s.fd))
}
