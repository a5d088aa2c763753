package janus

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/server"
)

// startWithin bounds the wait for the server: it makes an RSA key first.
const startWithin = 20 * time.Second

// running is a server that was started here.
type running struct {
	child   *server.Child
	url     string
	version string
}

// ErrNotInstalled says what to do.
var ErrNotInstalled = errors.New("janus is not installed: apt-get install --no-install-recommends janus")

// Start runs Janus with its VideoRoom plugin and WebSockets alone, otherwise on its defaults. Media has ports of the kernel's choice.
func Start(ctx context.Context, place server.Place) (server.Server, error) {
	if place.Host.IsLoopback() {
		return nil, fmt.Errorf("janus on %v: its ICE library takes no loopback address; let callers and server have namespaces (veth)",
			place.Host)
	}
	binary, err := exec.LookPath("janus")
	if err != nil {
		return nil, ErrNotInstalled
	}
	port, err := place.FirstPort(1)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(place.Dir, "janus")
	if err := configure(dir, place.Host, port); err != nil {
		return nil, err
	}
	at := netip.AddrPortFrom(place.Host, port).String()
	cmd := exec.Command(binary, "--config", filepath.Join(dir, "janus.jcfg"), "--configs-folder", dir, "--disable-colors")
	r := &running{url: "ws://" + at, version: versionOf(binary)}
	r.child, err = server.StartChild(cmd, place.Start, func(line string) {
		// What it calls errors are refusals, most of them, and whoever was refused is told.
		if strings.Contains(line, "[FATAL]") {
			fmt.Fprintln(os.Stderr, "janus:", line)
		}
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := r.child.Await(ctx, place.Dial, at); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// configure writes Janus's files.
func configure(dir string, host netip.Addr, port uint16) error {
	modules, err := modulesOf("libjanus_videoroom.so")
	if err != nil {
		return err
	}
	// Folders with one module each: Janus loads all that it finds.
	for _, module := range []string{"plugins/libjanus_videoroom.so", "transports/libjanus_websockets.so"} {
		to := filepath.Join(dir, module)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join(modules, module), to); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"janus.jcfg": fmt.Sprintf(`general: {
	plugins_folder = %q
	transports_folder = %q
	loggers_folder = %q
	debug_level = 2
}
nat: {
	ice_enforce_list = "%v"
}
`, filepath.Join(dir, "plugins"), filepath.Join(dir, "transports"), dir, host),
		"janus.plugin.videoroom.jcfg": `general: {
	string_ids = true
}
`,
		"janus.transport.websockets.jcfg": fmt.Sprintf(`general: {
	ws = true
	ws_ip = "%v"
	ws_port = %d
	wss = false
}
`, host, port),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// modulesOf finds the folder that Janus's plugins and transports are in.
func modulesOf(plugin string) (string, error) {
	for _, pattern := range []string{"/usr/lib/*/janus", "/usr/lib/janus", "/opt/janus/lib/janus", "/usr/local/lib/janus"} {
		found, _ := filepath.Glob(filepath.Join(pattern, "plugins", plugin)) // the patterns are right
		if len(found) > 0 {
			return filepath.Dir(filepath.Dir(found[0])), nil
		}
	}
	return "", fmt.Errorf("%w: %s is nowhere", ErrNotInstalled, plugin)
}

var versionPattern = regexp.MustCompile(`Janus version: \d+ \(([^)]+)\)`)

func versionOf(binary string) string {
	// It does not know the option, says so, and its version.
	said, _ := exec.Command(binary, "--version").CombinedOutput()
	if m := versionPattern.FindSubmatch(said); m != nil {
		return "Janus " + string(m[1])
	}
	return "Janus"
}

// Target implements server.Server.
func (r *running) Target() caller.Target { return caller.Target{Kind: "janus", URL: r.url} }

// Version implements server.Server.
func (r *running) Version() string { return r.version }

// PIDs implements server.Server.
func (r *running) PIDs() []int { return []int{r.child.PID()} }

// Figures implements server.Server. Janus is written in C: it has no goroutines, and sends each packet by itself.
func (r *running) Figures(context.Context) (server.Figures, error) {
	return server.Figures{Drops: server.DropsOf(r.PIDs())}, nil
}

// Stop implements server.Server.
func (r *running) Stop() { r.child.Stop() }
