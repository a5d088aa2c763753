package turn

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps in the kernel: a goroutine that sleeps in Go's scheduler is woken through another thread.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, which does no harm
}
