//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
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
	s := &server{}
	s.cmd = exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0", "--media", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--log-format", "json")
	log, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	started := make(chan map[string]string, 1)
	go readLog(log, started)
	select {
	case at := <-started:
		if len(at) > 0 {
			s.base, s.admin = "http://"+at["http.listen"], "http://"+at["admin.listen"]
			return s, nil
		}
	case <-time.After(10 * time.Second):
	}
	s.stop()
	return nil, errors.New("server did not start")
}

// readLog looks for the line that says where the server listens, and passes warnings and errors on.
func readLog(log io.Reader, started chan<- map[string]string) {
	defer close(started)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Level     string            `json:"level"`
			Msg       string            `json:"msg"`
			Listening map[string]string `json:"listening"`
		}
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err == nil && line.Msg == "started":
			started <- line.Listening
		case err == nil && line.Level == "INFO":
		case err == nil:
			fmt.Fprintln(os.Stderr, lines.Text())
		}
	}
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
