package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
)

// shortCall is over in seconds; what is asked of it holds on the busiest machine.
const shortCall = `
name: short
duration: %s
rooms:
  - name: call
    callers:
      - {name: person, count: 2, publish: [{media: microphone}]}
pass: [failed == 0, wrong == 0]
`

// scenarioFile writes shortCall to a file.
func scenarioFile(t *testing.T, duration string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "short.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, shortCall, duration), 0o600))
	return path
}

// benchCommand is tolkyn bench with both its outputs kept.
func benchCommand(t *testing.T, args ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	binary, err := exec.LookPath("tolkyn")
	require.NoError(t, err)
	cmd, out, errs = exec.CommandContext(t.Context(), binary, append([]string{"bench"}, args...)...), &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, errs
	return cmd, out, errs
}

// exitCode is what a command ended with.
func exitCodeOf(t *testing.T, err error) int {
	t.Helper()
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		require.NoError(t, err)
		return 0
	}
	return failed.ExitCode()
}

func readBack(t *testing.T, path string) report.Report {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	r, err := report.ReadJSON(file)
	require.NoError(t, err)
	return r
}

// A terminal's Ctrl-C goes to the whole group of processes; the report is of the call until then, whole.
func TestBenchWritesAReportOnCtrlC(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	cmd, out, errs := benchCommand(t, "--scenario", scenarioFile(t, "1h"), "--json", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = nil
	view, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	until(t, io.TeeReader(view, errs), regexp.MustCompile(`in the call: 2 of 2 callers, [1-9]`))
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	_, err = io.Copy(errs, view)
	require.NoError(t, err)
	require.Zero(t, exitCodeOf(t, cmd.Wait()), "%s\n%s", errs, out)

	r := readBack(t, path)
	require.True(t, r.Partial)
	require.True(t, r.Passed, "%+v", r.Conditions)
	require.Len(t, r.Callers, 2)
	require.Len(t, r.Streams, 2)
	for _, s := range r.Streams {
		require.Positive(t, s.Packets, s.Name())
	}
	for _, c := range r.Callers {
		require.Empty(t, c.Error)
	}
	require.NotContains(t, errs.String(), "tolkyn:")
	require.Contains(t, out.String(), "Again: tolkyn bench --scenario ")
}

// until reads up to a line that matches.
func until(t *testing.T, from io.Reader, line *regexp.Regexp) {
	t.Helper()
	var read []byte
	for b := make([]byte, 1); !line.Match(read); {
		if _, err := from.Read(b); err != nil {
			require.NoError(t, err, "%s", read)
		}
		if read = append(read, b[0]); b[0] == '\n' {
			read = read[:0]
		}
	}
}

func TestBenchExitsWith2AndListsWhatDidNotHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	cmd, out, errs := benchCommand(t, "-q", "--scenario", scenarioFile(t, "2s"), "--json", path, "--pass", "failed == 0", "--pass", "rtt_p50 < 0ms")
	err := cmd.Run()
	require.Equal(t, 2, exitCodeOf(t, err), "%s\n%s", errs, out)
	require.Empty(t, errs.String())
	require.Contains(t, out.String(), "FAILED")
	require.Regexp(t, `✓ failed == 0 `, out)
	require.Regexp(t, `✗ .*rtt_p50 < 0ms `, out)
	r := readBack(t, path)
	require.False(t, r.Passed)
	require.False(t, r.Partial)

	// The report is shown again, and stands beside itself.
	cmd, again, errs := benchCommand(t, "report", path, "--html", filepath.Join(t.TempDir(), "report.html"))
	require.NoError(t, cmd.Run(), "%s", errs)
	require.Equal(t, out.String(), again.String())
	cmd, beside, errs := benchCommand(t, "report", path, path)
	require.NoError(t, cmd.Run(), "%s", errs)
	require.Contains(t, beside.String(), "1 pair")
}

// Each is one line that says what is wrong, and no report.
func TestBenchRefusesInOneLine(t *testing.T) {
	config := filepath.Join(t.TempDir(), "tolkyn.yaml")
	require.NoError(t, os.WriteFile(config, []byte("signaling:\n  keys: [{id: main, algorithm: HS256, secret: "+strings.Repeat("k", 32)+"}]\n"), 0o600))
	server := startServe(t, "--config", config)
	call := scenarioFile(t, "5s")
	refused := map[string]struct {
		args []string
		want string
	}{
		"another secret":  {[]string{"--server", server.url, "--key", "main", "--secret", strings.Repeat("x", 32)}, "token refused"},
		"another key":     {[]string{"--server", server.url, "--key", "other", "--secret", strings.Repeat("k", 32)}, "no key of this server signed it"},
		"no token at all": {[]string{"--server", server.url}, "the server gives no token"},
	}
	t.Run("together", func(t *testing.T) { // there is no media that could wait
		for name, c := range refused {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cmd, out, errs := benchCommand(t, append(c.args, "-q", "--scenario", call)...)
				err := cmd.Run()
				require.Equal(t, 1, exitCodeOf(t, err), "%s\n%s", errs, out)
				require.Empty(t, out.String())
				require.Regexp(t, `^tolkyn: nobody could come into the call at http://.*; the first, call/person-1: [^\n]*`+c.want+`[^\n]*\n$`, errs)
			})
		}
	})
	require.NoError(t, server.Process.Signal(syscall.SIGTERM))
	require.NoError(t, server.Wait(), "%s", server.log)
}

// Namespaces are root's. This runs as nobody, through a file that is open already: the folder of the binary may be closed to others.
func TestBenchSaysThatAGroundNeedsRoot(t *testing.T) {
	cmd, out, errs := benchCommand(t, "-q", "--ground", "tun", "--scenario", "one-to-one")
	if os.Geteuid() == 0 {
		binary, err := os.Open(cmd.Path)
		require.NoError(t, err)
		defer binary.Close()
		const nobody = 65534
		cmd.Path, cmd.ExtraFiles = "/proc/self/fd/3", []*os.File{binary}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	err := cmd.Run()
	require.Equal(t, 1, exitCodeOf(t, err), "%s\n%s", errs, out)
	require.Regexp(t, `^tolkyn: lay the ground "tun": [^\n]*operation not permitted: run as root[^\n]*\n$`, errs)
}

func TestBenchComparesInTurn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "compare.json")
	cmd, out, errs := benchCommand(t, "compare", "tolkyn", "plain", "-q", "--rounds", "1", "--ground", "loopback", "--scenario", scenarioFile(t, "1s"), "--json", path)
	require.NoError(t, cmd.Run(), "%s\n%s", errs, out)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), `"pairs": 1`)
}
