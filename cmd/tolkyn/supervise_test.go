package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// watched is a `tolkyn serve` with its supervisor, whose log is read line by line.
type watched struct {
	*exec.Cmd
	log *bufio.Scanner
}

// logLine is what these tests read of the log.
type logLine struct {
	Msg, Reason, Signal, Panic string
	PID                        int
	Listening                  map[string]string
}

func watch(t *testing.T, args ...string) *watched {
	t.Helper()
	binary, err := exec.LookPath("tolkyn")
	require.NoError(t, err)
	args = append([]string{
		"serve", "--listen", "127.0.0.1:0", "--media", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--turn", "127.0.0.1:0",
		"--state", t.TempDir(), "--supervisor",
	}, args...)
	w := &watched{Cmd: exec.CommandContext(t.Context(), binary, args...)}
	errs, err := w.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, w.Start())
	w.log = bufio.NewScanner(errs)
	return w
}

// next reads the log up to a line with this message.
func (w *watched) next(t *testing.T, msg string) logLine {
	t.Helper()
	for w.log.Scan() {
		var line logLine
		if json.Unmarshal(w.log.Bytes(), &line) == nil && line.Msg == msg {
			return line
		}
	}
	require.FailNow(t, "the log ended without this line", msg)
	return logLine{}
}

// end waits until the log and then the process have ended.
func (w *watched) end(t *testing.T) int {
	t.Helper()
	for w.log.Scan() {
	}
	var failed *exec.ExitError
	if err := w.Wait(); !errors.As(err, &failed) {
		require.NoError(t, err)
	}
	return w.ProcessState.ExitCode()
}

func sendTo(t *testing.T, pid int, s os.Signal) {
	t.Helper()
	process, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, process.Signal(s))
}

// isGone waits until nothing listens there any more: the process behind it has ended.
func isGone(t *testing.T, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return true
		}
		return conn.Close() != nil
	}, 10*time.Second, 10*time.Millisecond)
}

func TestKilledServerIsStartedAgain(t *testing.T) {
	w := watch(t)
	first := w.next(t, "started")
	require.NotEqual(t, w.Process.Pid, first.PID)
	_, metrics := get(t, "http://"+first.Listening["admin.listen"]+"/metrics")
	require.Contains(t, metrics, `tolkyn_supervisor_restarts_total{reason="signal"} 0`)

	killed := time.Now()
	sendTo(t, first.PID, os.Kill)
	crash := w.next(t, "the server crashed: starting it again")
	require.Equal(t, "signal", crash.Reason)
	require.Equal(t, "killed", crash.Signal)
	second := w.next(t, "started")
	t.Logf("back after %v", time.Since(killed))
	require.NotEqual(t, first.PID, second.PID)
	admin := "http://" + second.Listening["admin.listen"]
	response, _ := get(t, admin+"/livez")
	require.Equal(t, http.StatusOK, response.StatusCode)
	_, metrics = get(t, admin+"/metrics")
	require.Contains(t, metrics, `tolkyn_supervisor_restarts_total{reason="signal"} 1`)
	require.Contains(t, metrics, `tolkyn_supervisor_restarts_total{reason="panic"} 0`)

	// A crash of the Go runtime is told with what it said.
	sendTo(t, second.PID, syscall.SIGABRT)
	crash = w.next(t, "the server crashed: starting it again")
	require.Equal(t, "panic", crash.Reason)
	require.Contains(t, crash.Panic, "SIGABRT")
	third := w.next(t, "started")
	_, metrics = get(t, "http://"+third.Listening["admin.listen"]+"/metrics")
	require.Contains(t, metrics, `tolkyn_supervisor_restarts_total{reason="panic"} 1`)

	require.NoError(t, w.Process.Signal(syscall.SIGTERM))
	w.next(t, "stopped")
	require.Zero(t, w.end(t))
	isGone(t, third.Listening["http.listen"])
}

// TestSignalToAllProcesses: who tells every process of a name to stop tells the server twice, and means it once.
func TestSignalToAllProcesses(t *testing.T) {
	for name, to := range map[string]func(*watched, logLine) []int{
		"both":                 func(w *watched, l logLine) []int { return []int{w.Process.Pid, l.PID} },
		"the supervisor alone": func(w *watched, _ logLine) []int { return []int{w.Process.Pid} },
		"the server alone":     func(_ *watched, l logLine) []int { return []int{l.PID} },
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t)
			for i, pid := range to(w, w.next(t, "started")) {
				process, err := os.FindProcess(pid)
				if err == nil {
					err = process.Signal(syscall.SIGTERM)
				}
				if i > 0 && errors.Is(err, os.ErrProcessDone) {
					continue // the first has told it, and it was quick
				}
				require.NoError(t, err)
			}
			w.next(t, "stopped")
			require.Zero(t, w.end(t))
		})
	}
}

func TestServerEndsWithItsSupervisor(t *testing.T) {
	w := watch(t)
	started := w.next(t, "started")
	require.NoError(t, w.Process.Kill())
	require.Equal(t, -1, w.end(t), "the log ends when the server has ended too")
	isGone(t, started.Listening["http.listen"])
}

// TestWhatCannotStartIsTriedOnce: the error stands there once, and the exit code is that of the server.
func TestWhatCannotStartIsTriedOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	file := filepath.Join(t.TempDir(), "tolkyn.yaml")
	require.NoError(t, os.WriteFile(file, []byte("http: {lisen: x}\n"), 0o600))
	for name, test := range map[string]struct{ args, want string }{
		"configuration": {"--config=" + file, "did you mean http.listen?"},
		"address":       {"--listen=" + taken.Addr().String(), "is in use by another program"},
		"mode":          {"--listen=0.0.0.0:0", "tolkyn token key"},
	} {
		t.Run(name, func(t *testing.T) {
			binary, err := exec.LookPath("tolkyn")
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), binary, "serve", "--supervisor", "--listen=127.0.0.1:0", "--media=127.0.0.1:0",
				"--quic=127.0.0.1:0", "--admin=127.0.0.1:0", "--state="+t.TempDir(), test.args)
			text, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Equal(t, 1, cmd.ProcessState.ExitCode())
			require.Equal(t, 1, strings.Count(string(text), test.want), "%s", text)
			require.Equal(t, 1, strings.Count("\n"+string(text), "\ntolkyn: "), "%s", text)
		})
	}
}

func TestWantsSupervisor(t *testing.T) {
	for _, test := range []struct {
		name        string
		on          bool
		origin      string
		environment map[string]string
		pid, parent int
		want        bool
	}{
		{"at a terminal", true, "", nil, 77, 70, true},
		{"switched off", false, "--supervisor", nil, 77, 70, false},
		{"in a container", true, "", nil, 1, 0, false},
		{"in a container, asked for", true, "tolkyn.yaml:3", nil, 1, 0, true},
		{"a service of systemd", true, "", map[string]string{"INVOCATION_ID": "x", "SYSTEMD_EXEC_PID": "77"}, 77, 1, false},
		{"a service of an old systemd", true, "", map[string]string{"INVOCATION_ID": "x"}, 77, 1, false},
		{"a shell below a service", true, "", map[string]string{"INVOCATION_ID": "x", "SYSTEMD_EXEC_PID": "50"}, 77, 70, true},
		{"a shell below an old systemd", true, "", map[string]string{"INVOCATION_ID": "x"}, 77, 70, true},
		{"another manager", true, "", map[string]string{"NOTIFY_SOCKET": "/run/notify"}, 77, 70, false},
		{"a service, asked for", true, "--supervisor", map[string]string{"INVOCATION_ID": "x"}, 77, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			origins := config.Origins{}
			if test.origin != "" {
				origins["supervisor.enabled"] = test.origin
			}
			got := wantsSupervisor(config.Config{Supervisor: config.Supervisor{Enabled: test.on}}, origins,
				func(name string) string { return test.environment[name] }, test.pid, test.parent)
			require.Equal(t, test.want, got)
		})
	}
}
