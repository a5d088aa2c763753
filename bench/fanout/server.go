//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a tolkyn process under test.
type server struct {
	cmd   *exec.Cmd
	base  string
	admin string
}

// startServer runs the binary on ports of its own and waits until it is ready.
func startServer(ctx context.Context, binary string) (*server, error) {
	const http, media, admin = "127.0.0.1:28080", "127.0.0.1:27882", "127.0.0.1:29090"
	s := &server{base: "http://" + http, admin: "http://" + admin}
	s.cmd = exec.CommandContext(ctx, binary, "serve", "--listen", http, "--media", media, "--admin", admin, "--log-level", "error")
	s.cmd.Stderr = os.Stderr
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		if _, err := get(ctx, s.admin+"/readyz"); err == nil {
			return s, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return nil, errors.New("server is not ready after 5 s")
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, res.Status, b)
	}
	return string(b), nil
}

// metric reads one unlabelled figure of the server.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	page, err := get(ctx, s.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(strings.NewReader(page))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("metric %s is missing", name)
}

// processCPU returns the time all threads of a process have run, user and system, from the scheduler's own clock: ticks of
// 10 ms would be too coarse.
func processCPU(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("read the CPU time of process %d: %d threads: %v", pid, len(files), err)
	}
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
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
		if cpu, err := processCPU(pid); err == nil {
			sum += cpu
		}
	}
	return sum
}

// residentKB is a process's resident set in kB.
func residentKB(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.Fields(v)[0])
		}
	}
	return 0, errors.New("no VmRSS")
}
