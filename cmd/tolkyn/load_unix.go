//go:build unix

package main

import (
	"syscall"
	"time"
)

// processCPU is the CPU time that this process has used.
func processCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0 // Cannot fail for RUSAGE_SELF; zero would only admit.
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
