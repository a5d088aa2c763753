package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what processes have used so far.
type Usage struct {
	CPU    time.Duration // user and system, of all their threads
	Memory int64         // resident bytes
}

// UsageOf adds up processes; those that have ended count nothing.
func UsageOf(pids []int) Usage {
	var sum Usage
	for _, pid := range pids {
		cpu, err := CPU(pid)
		if err != nil {
			continue
		}
		sum.CPU += cpu
		if kb, err := ResidentKB(pid); err == nil {
			sum.Memory += int64(kb) << 10
		}
	}
	return sum
}

// KernelCPU is the time of the kernel's own packet threads. What the kernel does on behalf of a process is in that process's
// time already.
func KernelCPU() time.Duration {
	var sum time.Duration
	threads, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is right
	for _, f := range threads {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(b), "ksoftirqd/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			continue
		}
		if cpu, err := CPU(pid); err == nil {
			sum += cpu
		}
	}
	return sum
}

// Children are the processes below pid, itself included: a server may hand its work to others.
func Children(pid int) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	below := map[int][]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold anything; state and parent follow it (proc(5)).
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		child, err1 := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if len(fields) < 2 || err1 != nil {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			below[parent] = append(below[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, below[all[i]]...)
	}
	return all
}
