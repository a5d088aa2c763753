//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tolkyn/tolkyn/bench/server"
)

// settings of the relay: what a fleet has that relays to peers of an operator's choice, here to loopback, and without limits on
// one user, for all clients of the load are one.
const settings = `roles: [turn]
http: {certificate_file: %q, key_file: %q}
admin: {listen: "127.0.0.1:0"}
turn:
  listen: "127.0.0.1:%d"
  tls_listen: "127.0.0.1:%d"
  realm: %s
  allow: ["127.0.0.0/8"]
  old_channels: true
  users: [{name: %s, password: %s}]
  allocations: 0
  allocations_per_user: 0
  allocations_per_ip: 0
  bits_per_user: 0
  bits_per_ip: 0
  peers_per_user: 0
  peers_per_ip: 0
  connections_per_ip: 0
`

// startTolkyn runs the relay alone.
func startTolkyn(binary, dir string, p pair) (*subject, error) {
	file := filepath.Join(dir, "tolkyn.yaml")
	text := fmt.Sprintf(settings, p.certificate, p.key, freePort(), freePort(), realm, user, password)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t, err := server.Start(binary, (*exec.Cmd).Start, "--config", file, "--state", filepath.Join(dir, "state"))
	if err != nil {
		return nil, err
	}
	s := &subject{pid: t.PID(), stop: t.Stop, lines: t.Lines}
	for key, port := range map[string]*uint16{"turn.listen": &s.port, "turn.tls_listen": &s.tlsPort} {
		at, err := netip.ParseAddrPort(t.Listening[key])
		if err != nil {
			t.Stop()
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		*port = at.Port()
	}
	return s, nil
}
