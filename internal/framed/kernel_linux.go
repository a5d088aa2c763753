package framed

import (
	"time"

	"golang.org/x/sys/unix"
)

// given is what the kernel was given and has not been heard of.
type given struct {
	total uint64 // bytes, ever
	marks []mark // of what is not acknowledged, oldest first
}

// mark is the end of one write.
type mark struct {
	end uint64
	at  time.Time
}

// thin has the kernel repeat what is lost without doubling the time in between: a voice has too few packets under way for faster
// repair, and after three losses in a row it would be gone for seconds.
func (w *Writer) thin() {
	// An error is that of a kernel which cannot, or of a socket that is not TCP's.
	_ = w.raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1) })
}

func (w *Writer) gave(n int) {
	if w.raw == nil {
		return
	}
	w.total += uint64(n)
	w.marks = append(w.marks, mark{w.total, time.Now()})
}

// full is how many bytes the kernel holds, if it must not have more now; else 0. It must not while some have never left
// (SIOCOUTQNSD), and while the oldest one that has left is not acknowledged (SIOCOUTQ) though nothing is known to be lost: then
// it stands in a queue of the path, in which more would only be older.
func (w *Writer) full() (held int) {
	if w.raw == nil {
		return 0
	}
	// An error is that of a closed socket, of which the next write tells.
	_ = w.raw.Control(func(fd uintptr) {
		held, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		unsent, _ := unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD)
		n := 0
		for n < len(w.marks) && w.marks[n].end <= w.total-uint64(held) {
			n++
		}
		w.marks = w.marks[:copy(w.marks, w.marks[n:])]
		if unsent > 0 {
			return
		}
		if len(w.marks) == 0 || time.Since(w.marks[0].at) < standing {
			held = 0
			return
		}
		const recovery = 3 // TCP_CA_Recovery, and TCP_CA_Loss above it
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.Ca_state >= recovery || time.Since(w.marks[0].at) < standing+time.Duration(info.Min_rtt)*time.Microsecond {
			held = 0
		}
	})
	return held
}
