//go:build !linux

package light

import "time"

// sleeper sleeps as the runtime does.
type sleeper struct{}

func (*sleeper) sleep(d time.Duration) { time.Sleep(d) }
