package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// firefoxPrefs let pages use fake devices and play sound without being asked, use loopback and plain host candidates,
// and keep Firefox from calling home.
const firefoxPrefs = `
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.autoplay.block-webaudio", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("dom.min_background_timeout_value", 4);
user_pref("network.webtransport.enabled", true);
user_pref("media.webrtc.codec.video.av1.enabled", true);
user_pref("privacy.resistFingerprinting", false);
user_pref("privacy.reduceTimerPrecision", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.safebrowsing.downloads.remote.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("toolkit.telemetry.enabled", false);
`

// firefox is one Firefox process with a fresh profile, spoken to by WebDriver BiDi (W3C) over a WebSocket.
//
// Its start costs as much processor time as a whole call in it, so that all tests share one: each page has a user context
// (container) of its own, that is storage and connections.
type firefox struct {
	// Fixed after start.
	conn *websocket.Conn
	done chan struct{} // closed when read ends

	// Guarded by mu.
	mu      sync.Mutex
	nextID  int
	answers map[int]chan bidiMessage
	lines   map[string][]string // console, by browsing context
}

// bidiMessage is an answer or an event.
type bidiMessage struct {
	ID      int             `json:"id"`
	Type    string          `json:"type"`
	Method  string          `json:"method"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Result  json.RawMessage `json:"result"`
	Params  json.RawMessage `json:"params"`
}

// whereabouts of a Firefox: this machine's, or in a namespace.
type whereabouts struct {
	program string
	prefs   string                                                               // further ones
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // reaches it; nil: as anything here
}

var sharedFirefox shared[*firefox]

// startFirefox returns the Firefox of all tests.
func startFirefox(t *testing.T) *firefox {
	t.Helper()
	return sharedFirefox.get(t, func(t testing.TB) *firefox {
		return startFirefoxAt(t, whereabouts{program: findProgram(t, "firefox-esr", "firefox-esr", "firefox")}, testAuthority(t))
	})
}

// startFirefoxAt starts a headless Firefox, which trusts these authorities besides its own. It ends with the test.
func startFirefoxAt(t testing.TB, at whereabouts, trusted ...*authority) *firefox {
	t.Helper()
	profile := t.TempDir()
	sound := startSound(t)
	require.NoError(t, os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs+at.prefs), 0o600))
	for _, a := range trusted {
		a.trustIn(t, profile)
	}
	cmd := exec.Command(at.program, "--headless", "--no-remote", "--new-instance", "--profile", profile,
		"--remote-debugging-port", "0", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+profile, "PULSE_SERVER="+sound, "MOZ_CRASHREPORTER_DISABLE=1")
	output, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address := make(chan string, 1)
	drained := make(chan struct{})
	go func() { // ends with the process
		defer close(drained)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			if _, url, ok := strings.Cut(scanner.Text(), "WebDriver BiDi listening on "); ok {
				address <- url
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f := &firefox{done: make(chan struct{}), answers: map[int]chan bidiMessage{}, lines: map[string][]string{}}
	t.Cleanup(func() { f.end(cmd, drained) })
	select {
	case url := <-address:
		through := &http.Client{Transport: &http.Transport{DialContext: at.dial}}
		f.conn, _, err = websocket.Dial(ctx, url+"/session", &websocket.DialOptions{HTTPClient: through})
		require.NoError(t, err, "connect to Firefox")
	case <-ctx.Done():
		require.FailNow(t, "Firefox did not say where it listens")
	}
	f.conn.SetReadLimit(64 << 20) // a screenshot is one message
	go f.read()
	_, err = f.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{}})
	require.NoError(t, err)
	_, err = f.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}})
	require.NoError(t, err)
	_, err = f.call(ctx, "script.addPreloadScript", map[string]any{"functionDeclaration": "() => {" + pageScript + "}"})
	require.NoError(t, err)
	return f
}

// startSound starts a sound server with nothing behind it and returns its address: without an output device an
// AudioContext of Firefox never runs. It ends with the test.
func startSound(t testing.TB) string {
	t.Helper()
	path := findProgram(t, "pulseaudio", "pulseaudio")
	dir, err := os.MkdirTemp("", "sound") // a socket's path is at most 108 bytes, too short for t.TempDir
	require.NoError(t, err)
	socket := filepath.Join(dir, "native")
	cmd := exec.Command(path, "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
		"-L", "module-native-protocol-unix auth-anonymous=1 socket="+socket, "-L", "module-null-sink rate=48000")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()        // killed: its exit code says nothing
		_ = os.RemoveAll(dir) // in the system's temporary directory anyway
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, patience, 50*time.Millisecond, "the sound server listens")
	return "unix:" + socket
}

// end asks Firefox to close, and kills it when it does not within 10 s.
func (f *firefox) end(cmd *exec.Cmd, drained <-chan struct{}) {
	if f.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _ = f.call(ctx, "browser.close", map[string]any{}) // the connection may break before the answer
		_ = f.conn.CloseNow()
		<-f.done
	}
	kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	if f.conn == nil {
		_ = cmd.Process.Kill()
	}
	<-drained
	_ = cmd.Wait() // its exit code says nothing about the test
	kill.Stop()
}

// read hands answers to who waits for them and keeps console entries. It ends with the connection.
func (f *firefox) read() {
	defer close(f.done)
	for {
		_, data, err := f.conn.Read(context.Background())
		if err != nil {
			return
		}
		var m bidiMessage
		if json.Unmarshal(data, &m) != nil {
			continue
		}
		f.mu.Lock()
		if m.Type == "event" {
			f.keep(m)
		} else if answer := f.answers[m.ID]; answer != nil {
			delete(f.answers, m.ID)
			answer <- m
		}
		f.mu.Unlock()
	}
}

// keep is called with mu held.
func (f *firefox) keep(m bidiMessage) {
	var entry struct {
		Level  string
		Text   string
		Source struct{ Context string }
	}
	if m.Method == "log.entryAdded" && json.Unmarshal(m.Params, &entry) == nil {
		f.lines[entry.Source.Context] = append(f.lines[entry.Source.Context], entry.Level+": "+entry.Text)
	}
}

// call sends one command and waits for its answer.
func (f *firefox) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	answer := make(chan bidiMessage, 1)
	f.mu.Lock()
	f.nextID++
	id := f.nextID
	f.answers[id] = answer
	f.mu.Unlock()
	data, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	if err := f.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-answer:
		if m.Type == "error" {
			return nil, fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		}
		return m.Result, nil
	case <-f.done:
		return nil, fmt.Errorf("%s: Firefox is gone", method)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// firefoxTab is one browsing context.
type firefoxTab struct {
	browser *firefox
	id      string
}

func (f *firefox) tab(t *testing.T) tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var created struct{ UserContext, Context string }
	result, err := f.call(ctx, "browser.createUserContext", map[string]any{})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(result, &created))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := f.call(ctx, "browser.removeUserContext", map[string]any{"userContext": created.UserContext}); err != nil {
			t.Logf("close the page: %v", err)
		}
	})
	result, err = f.call(ctx, "browsingContext.create", map[string]any{"type": "window", "userContext": created.UserContext})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(result, &created))
	return &firefoxTab{browser: f, id: created.Context}
}

func (p *firefoxTab) open(ctx context.Context, url string) error {
	_, err := p.browser.call(ctx, "browsingContext.navigate", map[string]any{"context": p.id, "url": url, "wait": "complete"})
	return err
}

func (p *firefoxTab) evaluate(ctx context.Context, expression string) ([]byte, error) {
	result, err := p.browser.call(ctx, "script.evaluate", map[string]any{
		"expression": stringify(expression), "target": map[string]any{"context": p.id},
		"awaitPromise": true, "userActivation": true,
	})
	if err != nil {
		return nil, err
	}
	var done struct {
		Type             string
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	if err := json.Unmarshal(result, &done); err != nil {
		return nil, err
	}
	if done.Type != "success" {
		return nil, errors.New(done.ExceptionDetails.Text)
	}
	return []byte(done.Result.Value), nil
}

func (p *firefoxTab) resize(ctx context.Context, width, height int) error {
	_, err := p.browser.call(ctx, "browsingContext.setViewport",
		map[string]any{"context": p.id, "viewport": map[string]int{"width": width, "height": height}})
	return err
}

func (p *firefoxTab) screenshot(ctx context.Context) ([]byte, error) {
	result, err := p.browser.call(ctx, "browsingContext.captureScreenshot", map[string]any{"context": p.id})
	if err != nil {
		return nil, err
	}
	var picture struct{ Data string }
	if err := json.Unmarshal(result, &picture); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(picture.Data)
}

func (p *firefoxTab) console() []string {
	p.browser.mu.Lock()
	defer p.browser.mu.Unlock()
	return append([]string(nil), p.browser.lines[p.id]...)
}

func (p *firefoxTab) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.browser.call(ctx, "browsingContext.close", map[string]any{"context": p.id})
	return err
}
