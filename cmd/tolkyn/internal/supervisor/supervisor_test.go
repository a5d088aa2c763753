package supervisor

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// acting names what the test binary does as a child, once for each start, separated by spaces: the last goes on for ever.
const acting = "TEST_SUPERVISED_ACTS"

func TestMain(m *testing.M) {
	acts := strings.Fields(os.Getenv(acting))
	if len(acts) == 0 {
		os.Exit(m.Run())
	}
	c, err := Join()
	if err != nil || c == nil {
		_, _ = os.Stderr.WriteString("not joined\n")
		os.Exit(99)
	}
	act(c, acts[min(int(c.Restarts.Total()), len(acts)-1)])
}

// act is the child.
func act(c *Child, what string) {
	when, how, _ := strings.Cut(what, "-")
	if when == "late" {
		if err := c.Ready(); err != nil {
			os.Exit(98)
		}
	}
	_, _ = os.Stdout.WriteString("out " + how + "\n")
	switch how {
	case "panic":
		var nothing map[string]int
		func() { nothing["here"] = 1 }()
	case "kill":
		self, err := os.FindProcess(os.Getpid())
		if err != nil || self.Kill() != nil {
			os.Exit(97)
		}
		select {}
	case "restarts": // Says what it was told.
		text, err := json.Marshal(c.Restarts)
		if err != nil {
			os.Exit(97)
		}
		_, _ = os.Stdout.Write(append(text, '\n'))
	default:
		code, err := strconv.Atoi(how)
		if err != nil {
			os.Exit(96)
		}
		os.Exit(code)
	}
}

// supervised is what came of a run.
type supervised struct {
	code             int
	err              error
	out, errors, log string
}

func supervise(t *testing.T, path, acts string) supervised {
	t.Helper()
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	require.NoError(t, err)
	errors, err := os.Create(filepath.Join(dir, "errors"))
	require.NoError(t, err)
	var log bytes.Buffer
	var s supervised
	s.code, s.err = Run(Config{
		Path: path, Args: os.Args[:1], Env: append(os.Environ(), acting+"="+acts), Stdout: out, Stderr: errors,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, out.Close())
	require.NoError(t, errors.Close())
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(text)
	}
	s.out, s.errors, s.log = read("out"), read("errors"), log.String()
	return s
}

func TestEndings(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, test := range []struct {
		acts string
		code int
		out  string
		log  string // part of it; empty: nothing is logged
	}{
		{"early-0", 0, "out 0\n", ""},
		{"early-3", 3, "out 3\n", ""},
		{"early-panic", 2, "out panic\n", ""},
		{"early-kill", 128 + 9, "out kill\n", ""},
		{"late-0", 0, "out 0\n", ""},
		{"late-3 late-0", 0, "out 3\nout 0\n", "reason=exit"},
		{"late-kill late-restarts", 0, "out kill\nout restarts\n" + `{"panics":0,"signals":1,"exits":0}` + "\n", "signal=killed"},
		{"late-panic late-restarts", 0, "out panic\nout restarts\n" + `{"panics":1,"signals":0,"exits":0}` + "\n", "reason=panic"},
		{
			"late-panic late-kill late-restarts", 0,
			"out panic\nout kill\nout restarts\n" + `{"panics":1,"signals":1,"exits":0}` + "\n", "wait=500ms restarts=2",
		},
		// Once it has served, what hinders a start may pass: a port that is taken for a moment.
		{"late-kill early-1 late-restarts", 0, "out kill\nout 1\nout restarts\n" + `{"panics":0,"signals":1,"exits":1}` + "\n", "exit_code=1"},
	} {
		t.Run(test.acts, func(t *testing.T) {
			s := supervise(t, self, test.acts)
			require.NoError(t, s.err)
			require.Equal(t, test.code, s.code, s.errors)
			require.Equal(t, test.out, s.out)
			if test.log == "" {
				require.Empty(t, s.log)
				return
			}
			require.Contains(t, s.log, test.log)
		})
	}
}

// TestPanicIsToldInOneLine, and stands whole on standard error.
func TestPanicIsToldInOneLine(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	s := supervise(t, self, "late-panic late-0")
	require.NoError(t, s.err)
	require.Equal(t, 1, strings.Count(s.log, "\n"), s.log)
	require.Contains(t, s.log, "panic: assignment to entry in nil map; at ")
	require.Contains(t, s.log, "supervisor.act")
	require.Contains(t, s.log, "supervisor_test.go:")
	require.Contains(t, s.errors, "goroutine 1 [running]:")
}

func TestProgramThatIsNotThere(t *testing.T) {
	s := supervise(t, filepath.Join(t.TempDir(), "absent"), "early-0")
	require.ErrorContains(t, s.err, "no such file")
	require.Equal(t, 1, s.code)
}

func TestNobodyIsAChildByItself(t *testing.T) {
	c, err := Join()
	require.NoError(t, err)
	require.Nil(t, c)
	t.Setenv(variable, "yes")
	_, err = Join()
	require.ErrorContains(t, err, "unset it")
	require.Empty(t, os.Getenv(variable))
}

func TestHistory(t *testing.T) {
	var h history
	var waits []time.Duration
	for range 8 {
		waits = append(waits, h.Handle(Signal, time.Second))
	}
	require.Equal(t, []time.Duration{
		0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second,
	}, waits)
	require.Zero(t, h.Handle(Panic, settled), "the loop is behind it")
	require.Equal(t, 500*time.Millisecond, h.Handle(Exit, settled-1))
	require.Equal(t, Restarts{Panics: 1, Signals: 8, Exits: 1}, h.restarts)
	for range 1000 {
		require.LessOrEqual(t, h.Handle(Exit, 0), maxWait)
	}
}

func TestSummary(t *testing.T) {
	for _, test := range []struct{ name, crash, want string }{
		{
			"a nil pointer",
			"panic: runtime error: invalid memory address or nil pointer dereference\n" +
				"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4]\n\n" +
				"goroutine 7 [running]:\npanic({0x1, 0x2})\n\t/go/panic.go:9 +0x1\nruntime.panicmem(...)\n\t/go/mem.go:1 +0x1\n" +
				"example.f(0x0)\n\t/src/f.go:3 +0x18\nmain.main()\n\t/src/main.go:1 +0x2\n\ngoroutine 8 [select]:\n",
			"panic: runtime error: invalid memory address or nil pointer dereference; " +
				"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4]; at example.f(0x0) /src/f.go:3",
		},
		{"no stack", "fatal error: out of memory\n", "fatal error: out of memory"},
		{"cut off", "panic: x\n\ngoroutine 1 [running]:\nmain.main()", "panic: x"},
		{"long", "panic: " + strings.Repeat("é", 300), "panic: " + strings.Repeat("é", 96) + "…"},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, summary(test.crash)) })
	}
}
