package light

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// yieldEvery is how often a sleeper lets the scheduler run, see udp's Wait: a goroutine not scheduled for 10 ms that is found in
// a system call has its processor taken away, and the runtime's monitor is then busy at that every 20 µs.
const yieldEvery = 5 * time.Millisecond

// sleeper sleeps in the kernel itself. A goroutine that the runtime wakes goes through its timers, its monitor and often a
// second thread: of 500 wakes a second that was a fifth of a loop's whole CPU time.
type sleeper struct{ yielded time.Time }

func (s *sleeper) sleep(d time.Duration) {
	if now := time.Now(); now.Sub(s.yielded) >= yieldEvery {
		s.yielded = now
		runtime.Gosched()
	}
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, and the wheel finds nothing due
}
