//go:build !linux

package turn

import "time"

func pause(d time.Duration) { time.Sleep(d) }
