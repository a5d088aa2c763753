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

// threadTime is how long the calling thread has run.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // Linux has this clock
	return time.Duration(t.Nano())
}
