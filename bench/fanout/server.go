//go:build linux

package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/server"
)

// subject is a tolkyn process under test.
type subject struct {
	*server.Tolkyn
	base  string
	admin string
}

// startServer runs the binary on ports of its own and waits until it is ready.
func startServer(binary string) (*subject, error) {
	t, err := server.Start(binary, (*exec.Cmd).Start,
		"--listen", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--media", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &subject{Tolkyn: t, base: "http://" + t.Listening["http.listen"], admin: "http://" + t.Listening["admin.listen"]}, nil
}

// metric reads one unlabelled figure of the server.
func (s *subject) metric(ctx context.Context, name string) (float64, error) {
	return server.Metric(ctx, http.DefaultClient, s.admin+"/metrics", name)
}

// softirqCPU returns the time of the kernel's own packet threads.
func softirqCPU() time.Duration {
	var sum time.Duration
	procs, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range procs {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(b), "ksoftirqd/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			continue
		}
		if cpu, err := server.CPU(pid); err == nil {
			sum += cpu
		}
	}
	return sum
}
