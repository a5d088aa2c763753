//go:build !linux

package turn

import "time"

var began = time.Now()

// threadTime is not known: the processor is taken for ours alone.
func threadTime() time.Duration { return time.Since(began) }

func pause(d time.Duration) { time.Sleep(d) }
