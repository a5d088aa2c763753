package framed

import "golang.org/x/sys/unix"

// unsent is how many bytes the kernel holds that have never left: SIOCOUTQNSD, without what waits for its acknowledgement.
func (w *Writer) unsent() int {
	if w.raw == nil {
		return 0
	}
	n := 0
	// An error is that of a closed socket, of which the next write tells.
	_ = w.raw.Control(func(fd uintptr) {
		n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD)
	})
	return n
}
