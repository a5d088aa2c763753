package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// flagKeys says which key of the configuration each flag of serve sets.
func flagKeys() map[string]string {
	return map[string]string{
		"listen":     "http.listen",
		"tls-listen": "http.tls_listen",
		"one-port":   "one_port.listen",
		"quic":       "quic.listen",
		"roles":      "roles",
		"media":      "media.listen",
		"turn":       "turn.listen",
		"turn-tls":   "turn.tls_listen",
		"advertise":  "media.advertise",
		"shards":     "media.shards",
		"admin":      "admin.listen",
		"pprof":      "admin.pprof",
		"lan":        "lan.enabled",
		"state":      "state_dir",
		"supervisor": "supervisor.enabled",
		"log-level":  "log.level",
		"log-format": "log.format",
	}
}

// addSettingFlags gives a command the flags that flagKeys names.
func addSettingFlags(cmd *cobra.Command) {
	d := config.Default()
	f := cmd.Flags()
	f.Bool("lan", false, "let the devices of the local network in: all interfaces, HTTPS with a self-made certificate")
	f.StringSlice("roles", d.Roles, "what this process does: sfu and signaling, turn, or all three")
	f.String("turn", d.TURN.Listen, "address of the relay (TURN), UDP and TCP (with --lan :3478); empty for none")
	f.String("turn-tls", "", "address of the relay over TLS (with a certificate port 5349); empty for none")
	f.StringSlice("advertise", nil, "IP addresses at which clients reach this machine, instead of the one found")
	f.String("listen", d.HTTP.Listen, "address of HTTP and WebSocket")
	f.String("tls-listen", d.HTTP.TLSListen, "address of HTTPS and secure WebSocket (with --lan :8443)")
	f.String("one-port", d.OnePort.Listen, "address, :443 as a rule, behind which all is for clients in networks that let nothing else out")
	f.String("quic", d.QUIC.Listen, "UDP address of QUIC and WebTransport (with --lan :8443); empty for none")
	f.String("media", d.Media.Listen, "address of the media port, UDP and TCP (with --lan :7882)")
	f.Int("shards", d.Media.Shards, "event loops for media, a core and a port each; 0: by the cores of this machine")
	f.String("admin", d.Admin.Listen, "address of /livez, /readyz and /metrics; empty for none")
	f.Bool("pprof", false, "serve /debug/pprof on the admin address")
	f.String("state", "", "directory that keeps the secret and self-made certificates (default tolkyn in $XDG_STATE_HOME or ~/.local/state)")
	f.Bool("supervisor", d.Supervisor.Enabled, "start the server again after a crash; off by itself as process 1 and under systemd")
	f.String("log-level", d.Log.Level, "debug, info, warn or error")
	f.String("log-format", d.Log.Format, "auto, text or json")
}

// loadSettings reads file, environment and the command's flags.
func loadSettings(cmd *cobra.Command) (config.Config, config.Origins, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return config.Config{}, nil, err
	}
	if file == "" {
		file = os.Getenv("TOLKYN_CONFIG")
	}
	return config.Load(config.Sources{
		File:        file,
		Environment: os.Environ(),
		Flags:       cmd.Flags(),
		FlagKeys:    flagKeys(),
	})
}
