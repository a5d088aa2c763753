package tolkyn

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/server"
)

// keyID names the key of a server that was started here.
const keyID = "bench"

// running is a server that was started here.
type running struct {
	process *server.Tolkyn
	version string
	target  caller.Target
	client  *http.Client
	metrics string

	stopping sync.Once

	// Guarded by mu.
	mu   sync.Mutex
	busy float64 // seconds that its shard had worked
	at   time.Time
}

// Start runs a tolkyn binary on its defaults, but for addresses and a key that signs the callers' tokens.
func Start(ctx context.Context, binary string, place server.Place) (server.Server, error) {
	at := func(offset uint16) string {
		port := place.Port
		if port > 0 {
			port += offset
		}
		return netip.AddrPortFrom(place.Host, port).String()
	}
	secret := rand.Text() + rand.Text()
	config, err := json.Marshal(map[string]any{
		"http": map[string]any{"listen": at(0)}, "quic": map[string]any{"listen": at(1)},
		"media": map[string]any{"listen": at(2)}, "admin": map[string]any{"listen": at(3)},
		"signaling": map[string]any{"keys": []any{map[string]any{"id": keyID, "algorithm": "HS256", "secret": secret}}},
		// All callers come from one address, and a benchmark wants to see what is past the limits.
		"limits":    map[string]any{"hellos_per_second": 100_000, "hello_burst": 1_000_000, "cpu_percent": 100, "peers_per_room": 10_000},
		"state_dir": filepath.Join(place.Dir, "state"),
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(place.Dir, "tolkyn.yaml") // JSON is YAML
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w", binary, err)
	}
	r := &running{version: strings.TrimPrefix(strings.TrimSpace(string(version)), "tolkyn ")}
	if r.process, err = server.Start(binary, place.Start, "--config", path); err != nil {
		return nil, err
	}
	r.target = caller.Target{Kind: "tolkyn", URL: "http://" + r.process.Listening["http.listen"], Key: keyID, Secret: secret}
	r.metrics = "http://" + r.process.Listening["admin.listen"] + "/metrics"
	r.client = &http.Client{Transport: &http.Transport{DialContext: place.Dial}}
	if _, err := r.Figures(ctx); err != nil {
		r.Stop()
		return nil, fmt.Errorf("ask the server for its metrics: %w", err)
	}
	return r, nil
}

// Target implements server.Server.
func (r *running) Target() caller.Target { return r.target }

// Version implements server.Server.
func (r *running) Version() string { return r.version }

// PIDs implements server.Server.
func (r *running) PIDs() []int { return []int{r.process.PID()} }

// Figures implements server.Server.
func (r *running) Figures(ctx context.Context) (server.Figures, error) {
	page, err := server.Get(ctx, r.client, r.metrics)
	if err != nil {
		return server.Figures{}, err
	}
	read := func(name string) float64 {
		value, _ := server.ReadMetric(page, name) // what is not told is 0
		return value
	}
	f := server.Figures{
		Goroutines: int(read("go_goroutines")), Drops: int64(read(`tolkyn_udp_dropped_datagrams_total{reason="receive_buffer"}`)),
	}
	busy, now := read("tolkyn_sfu_shard_busy_seconds_total"), time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && now.After(r.at) {
		f.Full = (busy - r.busy) / now.Sub(r.at).Seconds()
	}
	r.busy, r.at = busy, now
	return f, nil
}

// Stop implements server.Server.
func (r *running) Stop() {
	r.stopping.Do(func() {
		r.process.Stop()
		r.client.CloseIdleConnections()
	})
}
