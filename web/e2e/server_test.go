package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// binary is built once; TestMain removes it.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	endShared()
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir) // in the system's temporary directory anyway
	}
	os.Exit(code)
}

func buildServer(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "tolkyn"); binary.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", binary.dir, "github.com/tolkyn/tolkyn/cmd/tolkyn")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	require.NoError(t, binary.err)
	return filepath.Join(binary.dir, "tolkyn")
}

// server is `tolkyn serve` on free ports of loopback.
type server struct {
	url   string // of the page
	admin string
	log   *syncBuffer
}

// startServer runs the binary until the test ends, and then wants a clean exit. A failing test shows its log and
// metrics. more are further flags.
func startServer(t *testing.T, more ...string) *server {
	t.Helper()
	s := &server{log: &syncBuffer{}}
	cmd := exec.Command(buildServer(t), append([]string{
		"serve", "--listen", "127.0.0.1:0", "--media", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--turn", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--state", t.TempDir(), "--log-level", "debug", "--log-format", "text",
	}, more...)...)
	cmd.Stderr = s.log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ready, drained := make(chan string, 1), make(chan struct{})
	go func() { // ends with the process
		defer close(drained)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, url, ok := strings.Cut(lines.Text(), "open "); ok {
				ready <- url
			}
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("server:\n%s\n%s", s.log, s.metrics())
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // already gone: Wait says so
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		<-drained
		require.NoError(t, cmd.Wait(), "the server ends cleanly on SIGTERM:\n%s", s.log)
		kill.Stop()
	})
	select {
	case s.url = <-ready:
	case <-drained:
		require.FailNow(t, "the server ended", s.log.String())
	case <-time.After(patience):
		require.FailNow(t, "the server did not say that it is ready", s.log.String())
	}
	started := regexp.MustCompile(`msg=started .*admin\.listen=(\S+)`)
	require.Eventually(t, func() bool {
		told := started.FindStringSubmatch(s.log.String())
		if told != nil {
			s.admin = told[1]
		}
		return told != nil
	}, patience, patience/200, "the server logs its admin address:\n%s", s.log)
	return s
}

// metrics is what the server counts, without what Go counts.
func (s *server) metrics() string {
	answer, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	var ours []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "tolkyn_") {
			ours = append(ours, line)
		}
	}
	return strings.Join(ours, "\n")
}

// counted is a figure of the server's metrics; of a name without labels the sum of all it has.
func (s *server) counted(t *testing.T, name string) int {
	t.Helper()
	all, sum := s.metrics(), 0
	found := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`(?:\{.*\})? (\d+)$`).FindAllStringSubmatch(all, -1)
	require.NotEmpty(t, found, "%s is not among\n%s", name, all)
	for _, line := range found {
		n, err := strconv.Atoi(line[1])
		require.NoError(t, err)
		sum += n
	}
	return sum
}

// holds waits until the server holds so many sessions.
func (s *server) holds(t *testing.T, sessions int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.counted(t, "tolkyn_signaling_sessions") == sessions }, patience, patience/200,
		"the server holds %d sessions", sessions)
}

// syncBuffer is a buffer that a process writes while a test reads.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
