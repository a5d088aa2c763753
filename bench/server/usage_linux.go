package server

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			continue
		}
		if s, ok := statOf(child); ok {
			below[s.parent] = append(below[s.parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, below[all[i]]...)
	}
	return all
}

// Running says whether none of these processes has ended, waited for or not.
func Running(pids []int) bool {
	for _, pid := range pids {
		if s, ok := statOf(pid); !ok || s.state == "Z" || s.state == "X" {
			return false
		}
	}
	return true
}

// stat is what /proc/PID/stat says.
type stat struct {
	state  string
	parent int
	cpu    time.Duration // user and system, of threads that have ended too; in ticks of 10 ms each
}

// statOf reads it; false: there is no such process.
func statOf(pid int) (stat, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	// The name in parentheses may hold anything; state, parent and, as fields 14 and 15 of all, the times follow it (proc(5)).
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return stat{}, false
	}
	parent, err1 := strconv.Atoi(f[1])
	user, err2 := strconv.ParseInt(f[11], 10, 64)
	system, err3 := strconv.ParseInt(f[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs on Linux
	return stat{f[0], parent, time.Duration(user+system) * tick}, err1 == nil && err2 == nil && err3 == nil
}

// Quota is how many cores a process may use at most: what its control group allows (cgroup v1 and v2), or all.
func Quota(pid int, all float64) float64 {
	quota := all
	for _, dir := range cpuGroups(pid) {
		quota = min(quota,
			readQuota(filepath.Join(dir, "cpu.max"), "", all),
			readQuota(filepath.Join(dir, "cpu.cfs_quota_us"), filepath.Join(dir, "cpu.cfs_period_us"), all))
	}
	return quota
}

// cpuGroups are the folders of the control groups that a process gets its share of the cores from (cgroup v1 and v2).
func cpuGroups(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		// hierarchy:controllers:path (cgroups(7))
		part := strings.SplitN(line, ":", 3)
		if len(part) != 3 {
			continue
		}
		switch {
		case part[1] == "":
			dirs = append(dirs, filepath.Join("/sys/fs/cgroup", part[2]))
		case slices.Contains(strings.Split(part[1], ","), "cpu"):
			dirs = append(dirs, filepath.Join("/sys/fs/cgroup/cpu", part[2]))
		}
	}
	return dirs
}

// readQuota reads "QUOTA PERIOD" from one file, or from two; in words or below zero there is no limit.
func readQuota(file, period string, all float64) float64 {
	b, err := os.ReadFile(file)
	if err == nil && period != "" {
		var second []byte
		second, err = os.ReadFile(period)
		b = append(append(b, ' '), second...)
	}
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 2 {
		return all
	}
	quota, err1 := strconv.ParseFloat(fields[0], 64)
	every, err2 := strconv.ParseFloat(fields[1], 64)
	if err1 != nil || err2 != nil || quota <= 0 || every <= 0 {
		return all
	}
	return quota / every
}

// Throttling is how often the kernel has stopped a control group because its quota was used up, so far.
type Throttling struct {
	Periods   int64 // in which the group wanted to run, of 100 ms each if nobody set another length
	Throttled int64 // of these: it was stopped until the next one
}

// ThrottlingOf reads it of a process's control groups (cpu.stat, the same words in cgroup v1 and v2). Zero where there is no
// quota: the kernel counts then nothing.
func ThrottlingOf(pid int) Throttling {
	var sum Throttling
	for _, dir := range cpuGroups(pid) {
		b, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			name, value, _ := strings.Cut(line, " ")
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case err != nil:
			case name == "nr_periods":
				sum.Periods += n
			case name == "nr_throttled":
				sum.Throttled += n
			}
		}
	}
	return sum
}
