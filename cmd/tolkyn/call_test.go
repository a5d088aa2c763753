package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/caller"
	"github.com/tolkyn/tolkyn/internal/clip"
)

// song makes a clip of seconds of quiet packets.
func song(t *testing.T, dir string, seconds int) string {
	t.Helper()
	path := filepath.Join(dir, "song.ogg")
	f, err := os.Create(path)
	require.NoError(t, err)
	w, err := clip.NewAudioWriter(f, 1)
	require.NoError(t, err)
	for i := range int64(50 * seconds) {
		require.NoError(t, w.Write(i*960, []byte{0xf8, 0xff, byte(i)}))
	}
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	return path
}

// startCall runs `tolkyn call` in room daily of a server.
func startCall(t *testing.T, server *process, args ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	binary, err := exec.LookPath("tolkyn")
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), binary, append([]string{"call", "--server", server.url, "--room", "daily"}, args...)...)
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, errs
	require.NoError(t, cmd.Start())
	return cmd, out, errs
}

// TestCallOverSockets plays to a recorder that Ctrl-C ends: its file is whole.
func TestCallOverSockets(t *testing.T) {
	dir := t.TempDir()
	server := startServe(t)
	recorder, told, errs := startCall(t, server, "--identity", "rec", "--record", filepath.Join(dir, "out"), "--json", "--quiet")
	player, summary, _ := startCall(t, server, "--identity", "../aru", "--play", song(t, dir, 6))
	require.NoError(t, player.Wait())
	require.NoError(t, recorder.Process.Signal(os.Interrupt))
	require.NoError(t, recorder.Wait(), "%s", errs)
	require.Empty(t, errs.String())

	require.Regexp(t, `daily as ../aru, \d+ s: connected, (quic|websocket), media udp`, summary.String(), "a line now and then where there is no terminal")
	require.NotContains(t, summary.String(), "\x1b")
	require.Regexp(t, `(?m)^sent +\.\./aru +microphone +300 packets .* 300 frames +6.0 s +.*song.ogg$`, summary.String())

	var report caller.Report
	require.NoError(t, json.Unmarshal(told.Bytes(), &report), "%s", told)
	require.Len(t, report.Received, 1)
	got := report.Received[0]
	require.Equal(t, filepath.Join(dir, "out", "_._aru-microphone.ogg"), got.File)
	f, err := os.Open(got.File)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	sound, err := clip.ReadAudio(f)
	require.NoError(t, err)
	require.InDelta(t, got.Seconds, float64(sound.Length())/48000, 0.001)
	require.LessOrEqual(t, len(sound.Packets), 300)
	require.NoError(t, server.Process.Signal(os.Interrupt))
	require.NoError(t, server.Wait())
}

func TestTheTableIsDrawnInPlace(t *testing.T) {
	var b strings.Builder
	show := showCall(&b, true)
	show(caller.Report{Room: "daily", Seconds: 1})
	require.NotContains(t, b.String(), "\x1b[J", "nothing to draw over yet")
	b.Reset()
	show(caller.Report{Room: "daily", Seconds: 2})
	require.True(t, strings.HasPrefix(b.String(), "\x1b[2A\x1b[J\x1b[?7l"), "%q", b.String())
	require.True(t, strings.HasSuffix(b.String(), "\n\x1b[?7h"))

	b.Reset()
	show = showCall(&b, false)
	for i := range 12 {
		show(caller.Report{Seconds: float64(i)})
	}
	require.Equal(t, 2, strings.Count(b.String(), "WHO"), "each fifth second")
}

// TestASecondSignalEndsACallAtOnce: the first one meets a server that does not answer the goodbye.
func TestASecondSignalEndsACallAtOnce(t *testing.T) {
	dir := t.TempDir()
	server := startServe(t, "--supervisor=false") // the very process that is to stop
	player, _, _ := startCall(t, server, "--identity", "aru", "--play", song(t, dir, 60))
	recorder, _, _ := startCall(t, server, "--identity", "rec", "--record", filepath.Join(dir, "out"))
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "out", "aru-microphone.ogg"))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, server.Process.Signal(syscall.SIGSTOP))
	ended := make(chan error, 1)
	go func() { ended <- recorder.Wait() }()
	for signals := 0; ; signals++ {
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "interrupt")
			require.Greater(t, signals, 1, "not by the first")
		case <-time.After(50 * time.Millisecond):
			_ = recorder.Process.Signal(os.Interrupt) // gone already: Wait says so
			continue
		}
		break
	}
	require.NoError(t, server.Process.Signal(syscall.SIGCONT))
	require.NoError(t, player.Process.Signal(os.Interrupt))
	require.NoError(t, player.Wait())
	require.NoError(t, server.Process.Signal(os.Interrupt))
	require.NoError(t, server.Wait())
}
