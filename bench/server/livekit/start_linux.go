package livekit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/server"
)

const (
	// Version is the one that was measured.
	Version = "v1.13.5"
	// Install is the command that installs it.
	Install = "go install github.com/livekit/livekit-server/cmd/server@" + Version

	startWithin = 20 * time.Second
	keyID       = "bench"
)

// ErrNotInstalled says what to do.
var ErrNotInstalled = errors.New("LiveKit's server is not installed: " + Install)

// Options are what is changed of the server's defaults.
type Options struct {
	// Batch has sends to the one media port gathered for up to 2 ms, 128 at a time (rtc.batch_io), which is off by default and was
	// the cheaper setting in our measurements.
	Batch bool
}

// Find looks for the server: a path, or the name of a program in PATH; then what `go install` made of it.
func Find(binary string) (string, error) {
	candidates := []string{binary}
	for _, dir := range []string{os.Getenv("GOBIN"), filepath.Join(os.Getenv("GOPATH"), "bin"), filepath.Join(os.Getenv("HOME"), "go", "bin")} {
		if filepath.IsAbs(dir) {
			candidates = append(candidates, filepath.Join(dir, "server"))
		}
	}
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err == nil && strings.Contains(versionOf(path), "livekit-server") {
			return path, nil
		}
	}
	return "", ErrNotInstalled
}

// versionOf is the program's own word, "livekit-server version 1.13.5".
func versionOf(path string) string {
	said, err := exec.Command(path, "--version").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(said))
}

// running is a server that was started here.
type running struct {
	child   *server.Child
	version string
	target  caller.Target
	metrics string
	client  *http.Client
}

// Start runs a LiveKit server on one node without Redis: a key of its own, one UDP port for all media and one TCP port beside it,
// otherwise on its defaults. binary is what Find takes.
func Start(ctx context.Context, binary string, place server.Place, o Options) (server.Server, error) {
	path, err := Find(binary)
	if err != nil {
		return nil, err
	}
	first, err := place.FirstPort(4)
	if err != nil {
		return nil, err
	}
	secret := rand.Text() + rand.Text()
	file := filepath.Join(place.Dir, "livekit.yaml")
	if err := configure(file, place.Host, first, secret, o); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--config", file)
	at := netip.AddrPortFrom(place.Host, first).String()
	r := &running{
		version: versionOf(path), target: caller.Target{Kind: "livekit", URL: "ws://" + at, Key: keyID, Secret: secret},
		metrics: "http://" + netip.AddrPortFrom(place.Host, first+3).String() + "/metrics",
		client:  &http.Client{Transport: &http.Transport{DialContext: place.Dial}},
	}
	if r.child, err = server.StartChild(cmd, place.Start, func(string) {}); err != nil {
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

func configure(file string, host netip.Addr, first uint16, secret string, o Options) error {
	rtc := map[string]any{
		"udp_port": first + 1, "tcp_port": first + 2, "node_ip": host.String(), "use_external_ip": false,
		"enable_loopback_candidate": host.IsLoopback(),
		"ips":                       map[string]any{"includes": []string{netip.PrefixFrom(host, host.BitLen()).String()}},
		// Nobody is there: without an entry it would ask servers on the internet for its address.
		"stun_servers": []string{netip.AddrPortFrom(host, 9).String()},
	}
	if o.Batch {
		rtc["batch_io"] = map[string]any{"batch_size": 128, "max_flush_interval": "2ms"}
	}
	config, err := json.Marshal(map[string]any{ // JSON is YAML
		"port": first, "bind_addresses": []string{host.String()}, "rtc": rtc,
		"keys": map[string]string{keyID: secret}, "prometheus": map[string]any{"port": first + 3},
		"logging": map[string]any{"level": "error"},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, config, 0o600)
}

// Target implements server.Server.
func (r *running) Target() caller.Target { return r.target }

// Version implements server.Server.
func (r *running) Version() string { return r.version }

// PIDs implements server.Server.
func (r *running) PIDs() []int { return []int{r.child.PID()} }

// Figures implements server.Server.
func (r *running) Figures(ctx context.Context) (server.Figures, error) {
	page, err := server.Get(ctx, r.client, r.metrics)
	if err != nil {
		return server.Figures{}, fmt.Errorf("ask the server for its metrics: %w", err)
	}
	goroutines, _ := server.ReadMetric(page, "go_goroutines") // what is not told is 0
	return server.Figures{Goroutines: int(goroutines), Drops: server.DropsOf(r.PIDs())}, nil
}

// Stop implements server.Server.
func (r *running) Stop() {
	r.child.Stop()
	r.client.CloseIdleConnections()
}
