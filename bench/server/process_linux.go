package server

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
	"sync/atomic"
	"syscall"
	"time"
)

// startTimeout bounds the wait for a server's first line.
const startTimeout = 10 * time.Second

// Tolkyn is a running tolkyn process.
type Tolkyn struct {
	// Listening is where, by key of the configuration: "http.listen", "admin.listen", "quic.listen".
	Listening map[string]string

	cmd    *exec.Cmd
	logged chan struct{} // closed when its log has ended
	lines  atomic.Int64
}

// Build makes the tolkyn binary of the tree that the caller stands in.
func Build(ctx context.Context, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "./cmd/tolkyn")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build server: %w\n%s", err, msg)
	}
	return nil
}

// Start runs the binary's serve command with further arguments and waits until it is ready. start is cmd.Start, or starts
// the process somewhere else. What the server warns of goes to our standard error.
func Start(binary string, start func(*exec.Cmd) error, arguments ...string) (*Tolkyn, error) {
	// Without the supervisor: the process that is started is the one that is measured.
	arguments = append([]string{"serve", "--log-format", "json", "--supervisor=false"}, arguments...)
	t := &Tolkyn{cmd: exec.Command(binary, arguments...), logged: make(chan struct{})}
	log, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := start(t.cmd); err != nil {
		return nil, err
	}
	started := make(chan map[string]string, 1)
	go func() {
		defer close(t.logged)
		readLog(log, started, &t.lines)
	}()
	select {
	case t.Listening = <-started:
		if len(t.Listening) > 0 {
			return t, nil
		}
	case <-time.After(startTimeout):
	}
	t.Kill()
	return nil, errors.New("server did not start")
}

// readLog looks for the line that says where the server listens, and passes warnings and errors on.
func readLog(log io.Reader, started chan<- map[string]string, count *atomic.Int64) {
	defer close(started)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Level     string            `json:"level"`
			Msg       string            `json:"msg"`
			Listening map[string]string `json:"listening"`
		}
		count.Add(1)
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err == nil && line.Msg == "started":
			started <- line.Listening
		case err == nil && line.Level == "INFO":
		default:
			fmt.Fprintln(os.Stderr, lines.Text())
		}
	}
}

// Lines is how many lines its log has so far.
func (t *Tolkyn) Lines() int { return int(t.lines.Load()) }

// PID is the process's id.
func (t *Tolkyn) PID() int { return t.cmd.Process.Pid }

// Stop lets the server say goodbye and waits for its end. What it returned does not matter to a measurement.
func (t *Tolkyn) Stop() { t.end(syscall.SIGTERM) }

// Kill ends the server without a word.
func (t *Tolkyn) Kill() { t.end(syscall.SIGKILL) }

func (t *Tolkyn) end(signal syscall.Signal) {
	// An error means that it has ended already.
	_ = t.cmd.Process.Signal(signal)
	<-t.logged // all is read before Wait closes the pipe
	_ = t.cmd.Wait()
}

// Metric reads one figure from a page of metrics, fetched through client. A name with labels has them as the page does.
func Metric(ctx context.Context, client *http.Client, url, name string) (float64, error) {
	page, err := Get(ctx, client, url)
	if err != nil {
		return 0, err
	}
	value, ok := ReadMetric(page, name)
	if !ok {
		return 0, fmt.Errorf("metric %s is missing", name)
	}
	return value, nil
}

// ReadMetric reads one figure from a page of metrics; false: it is not there.
func ReadMetric(page, name string) (float64, bool) {
	for line := range strings.SplitSeq(page, "\n") {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			return value, err == nil
		}
	}
	return 0, false
}

// Get fetches a page; any status but 200 is an error.
func Get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
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

// CPU returns the time all threads of a process have run, user and system, from the scheduler's own clock: ticks of 10 ms
// would be too coarse. What threads had run that have ended is known in those ticks alone.
func CPU(pid int) (time.Duration, error) {
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
	if s, ok := statOf(pid); ok {
		sum = max(sum, s.cpu)
	}
	return sum, nil
}

// ResidentKB is a process's resident set in kB.
func ResidentKB(pid int) (int, error) {
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
