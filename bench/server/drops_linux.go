package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DropsOf adds up the datagrams that the UDP sockets of processes had no room for, as far as those sockets are still open. The
// kernel's word is taken, since most servers do not look.
func DropsOf(pids []int) int64 {
	var sum int64
	for _, pid := range pids {
		own := socketsOf(pid)
		for _, table := range []string{"udp", "udp6"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
			if err != nil {
				continue // it has ended
			}
			sum += dropsIn(string(b), own)
		}
	}
	return sum
}

// dropsIn reads a table of UDP sockets (proc_net_udp(5)): the tenth field is the inode, the last the drops.
func dropsIn(table string, own map[string]bool) int64 {
	var sum int64
	for line := range strings.SplitSeq(table, "\n") {
		f := strings.Fields(line)
		if len(f) < 13 || !own[f[9]] {
			continue
		}
		if n, err := strconv.ParseInt(f[len(f)-1], 10, 64); err == nil {
			sum += n
		}
	}
	return sum
}

// socketsOf are the inodes of a process's sockets.
func socketsOf(pid int) map[string]bool {
	own := map[string]bool{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is right
	for _, f := range files {
		// socket:[12345]
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	return own
}
