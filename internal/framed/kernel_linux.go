package framed

import (
	"time"

	"golang.org/x/sys/unix"
)

// Kernel is what a TCP socket was given to send and has not been heard of; the zero value is of a socket that was given nothing.
// One goroutine uses it.
type Kernel struct {
	total uint64 // bytes, ever
	marks []mark // of what is not acknowledged, oldest first
}

// mark is the end of one write.
type mark struct {
	end uint64
	at  time.Time
}

// Thin has the kernel repeat what is lost without doubling the time in between: a voice has too few packets under way for faster
// repair, and after three losses in a row it would be gone for seconds. An error is that of a kernel which cannot, or of a socket
// that is not TCP's, and does no harm.
func Thin(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1) }

// Gave notes that the socket took n bytes.
func (k *Kernel) Gave(n int, now time.Time) {
	k.total += uint64(n)
	k.marks = append(k.marks, mark{k.total, now})
}

// Full is how many bytes the socket holds, if it must not have more now; else 0. It must not while some have never left
// (SIOCOUTQNSD), and while the oldest one that has left is not acknowledged (SIOCOUTQ) though nothing is known to be lost: then
// it stands in a queue of the path, in which more would only be older.
func (k *Kernel) Full(fd int, now time.Time) int {
	held, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ) // an error is that of a closed socket, of which the next write tells
	unsent, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQNSD)
	n := 0
	for n < len(k.marks) && k.marks[n].end <= k.total-uint64(held) {
		n++
	}
	k.marks = k.marks[:copy(k.marks, k.marks[n:])]
	if unsent > 0 {
		return held
	}
	if len(k.marks) == 0 || now.Sub(k.marks[0].at) < standing {
		return 0
	}
	const recovery = 3 // TCP_CA_Recovery, and TCP_CA_Loss above it
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Ca_state >= recovery || now.Sub(k.marks[0].at) < standing+time.Duration(info.Min_rtt)*time.Microsecond {
		return 0
	}
	return held
}

func (w *Writer) thin() {
	_ = w.raw.Control(func(fd uintptr) { Thin(int(fd)) })
}

func (w *Writer) gave(n int) {
	if w.raw != nil {
		w.kernel.Gave(n, time.Now())
	}
}

func (w *Writer) full() (held int) {
	if w.raw == nil {
		return 0
	}
	// An error is that of a closed socket, of which the next write tells.
	_ = w.raw.Control(func(fd uintptr) { held = w.kernel.Full(int(fd), time.Now()) })
	return held
}
