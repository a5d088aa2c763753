package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// process is a tolkyn that runs beside the test.
type process struct {
	*exec.Cmd
	url string // what it announced
	log *bytes.Buffer
}

// startServe runs `tolkyn serve` on ports that are free, and waits until it is ready.
func startServe(t *testing.T, args ...string) *process {
	t.Helper()
	binary, err := exec.LookPath("tolkyn") // testscript put this very test binary there under this name.
	require.NoError(t, err)
	args = append([]string{
		"serve", "--listen", "127.0.0.1:0", "--media", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--turn", "127.0.0.1:0",
		"--state", t.TempDir(),
	}, args...)
	p := &process{Cmd: exec.CommandContext(t.Context(), binary, args...), log: &bytes.Buffer{}}
	p.Stderr = p.log
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "%s", p.log)
	p.url = regexp.MustCompile(`(https?://|turns?:)\S+`).FindString(line)
	require.NotEmpty(t, p.url, line)
	return p
}

// get asks once, trusting any certificate: the self-made one is what is under test.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func TestServeEndsCleanlyOnASignal(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			p := startServe(t)
			response, body := get(t, p.url)
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.Contains(t, strings.ToLower(body), "<!doctype html>")
			require.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'")
			require.NoError(t, p.Process.Signal(s))
			require.NoError(t, p.Wait(), "%s", p.log)
			require.Contains(t, p.log.String(), "stopped")
		})
	}
}

func TestServeLocalGivesTokensToThisMachine(t *testing.T) {
	p := startServe(t)
	response, body := get(t, p.url+"/v1/dev-token?room=daily")
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Contains(t, body, `"room":"daily"`)
	response, _ = get(t, p.url+"/v1/invite/anything")
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
}

// TestServeSaysByeToEverybody opens a session by hand, as the protocol allows in JSON, and ends the server.
func TestServeSaysByeToEverybody(t *testing.T) {
	p := startServe(t)
	_, body := get(t, p.url+"/v1/dev-token")
	var pass struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &pass))

	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(p.url, "http")+"/v1/ws",
		&websocket.DialOptions{Subprotocols: []string{"tolkyn.json"}})
	require.NoError(t, err)
	hello := fmt.Sprintf(`{"id": "1", "hello": {"token": %q}}`, pass.Token)
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(hello)))
	_, frame, err := conn.Read(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(frame), `"welcome"`)

	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	_, frame, err = conn.Read(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(frame), `"bye"`)
	_, _, err = conn.Read(t.Context())
	require.Error(t, err)
	require.NoError(t, p.Wait(), "%s", p.log)
}

func TestServeLANTakesTheInvitation(t *testing.T) {
	p := startServe(t, "--lan", "--tls-listen", "127.0.0.1:0")
	page, invitation, ok := strings.Cut(p.url, invitationMark)
	require.True(t, ok, p.url)
	require.True(t, strings.HasPrefix(page, "https://127.0.0.1:"), page)
	response, body := get(t, strings.TrimSuffix(page, "/")+"/v1/invite/"+invitation)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Contains(t, body, `"room":"lobby"`)
	response, _ = get(t, strings.TrimSuffix(page, "/")+"/v1/invite/"+strings.Repeat("A", len(invitation)))
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
}

func TestServeProductionHasNoDoors(t *testing.T) {
	dir := t.TempDir()
	settings, err := makeKey("main", "HS256", dir)
	require.NoError(t, err)
	file := dir + "/tolkyn.yaml"
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	p := startServe(t, "--config", file)
	for _, path := range []string{"/v1/dev-token", "/v1/invite/x"} {
		response, _ := get(t, p.url+path)
		require.Equal(t, http.StatusNotFound, response.StatusCode)
	}
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	_, err = listenTCP("http.listen", "listen", taken.Addr().String())
	require.ErrorContains(t, err, "is in use by another program")
	require.ErrorContains(t, err, "--listen")
}

func TestHeadersThatTakeForeverAreCut(t *testing.T) {
	p := startServe(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.ReadAll(conn)
	require.NoError(t, err, "the server ends the connection before our deadline")
	require.NoError(t, conn.Close())
	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
}
