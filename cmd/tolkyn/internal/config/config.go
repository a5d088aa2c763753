package config

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"
)

// Config is all that can be set.
type Config struct {
	// What this process does: sfu and signaling, turn, or all three. "turn" alone is a relay for SFUs in other processes.
	Roles []string `koanf:"roles" jsonschema:"enum=sfu,enum=signaling,enum=turn"`
	// What browsers reach: the page and the signaling sessions.
	HTTP HTTP `koanf:"http"`
	// Everything behind one number.
	OnePort OnePort `koanf:"one_port"`
	// A certificate from an authority.
	ACME ACME `koanf:"acme"`
	// Sessions over QUIC and WebTransport.
	QUIC QUIC `koanf:"quic"`
	// The media ports.
	Media Media `koanf:"media"`
	// The relay for clients whose network lets nothing else through.
	TURN TURN `koanf:"turn"`
	// Who may join, and from which pages.
	Signaling Signaling `koanf:"signaling"`
	// Probes and metrics for the operator; keep it off the public network.
	Admin Admin `koanf:"admin"`
	// The log, written to standard error.
	Log Log `koanf:"log"`
	// What one node takes on before it refuses new joins.
	Limits Limits `koanf:"limits"`
	// Calls between the devices of one local network, without keys or certificates of your own.
	LAN LAN `koanf:"lan"`
	// What starts the server again after a crash.
	Supervisor Supervisor `koanf:"supervisor"`
	// Directory that keeps the secret behind session tickets and the self-made certificates. Empty means tolkyn in
	// $XDG_STATE_HOME, or in ~/.local/state.
	StateDir string `koanf:"state_dir"`
}

// HTTP is what browsers reach.
type HTTP struct {
	// Address of plain HTTP and WebSocket. Browsers allow camera and microphone over plain HTTP on localhost only.
	// Empty to switch it off.
	Listen string `koanf:"listen"`
	// Address of HTTPS and secure WebSocket. Empty means off, and ":8443" with lan.enabled.
	TLSListen string `koanf:"tls_listen"`
	// The certificate chain in PEM, for tls_listen and quic.listen; read again when the file changes. When this is empty, one
	// is made for quic.listen, and with lan.enabled for tls_listen.
	CertificateFile string `koanf:"certificate_file"`
	// The private key of certificate_file in PEM.
	KeyFile string `koanf:"key_file"`
	// Reverse proxies whose X-Forwarded-For is believed: addresses or networks, for example 10.0.0.0/8. Without them all who
	// come through one share its limit of Hellos.
	TrustedProxies []string `koanf:"trusted_proxies"`
}

// QUIC is the faster way to the sessions, for clients whose network lets UDP through. All others use WebSocket.
type QUIC struct {
	// UDP address of QUIC and WebTransport. The default is loopback, and ":8443" with lan.enabled. Empty to switch it off.
	Listen string `koanf:"listen"`
}

// Media is where packets come in and go out.
type Media struct {
	// Address of the UDP media port. The default is loopback, and ":7882" with lan.enabled.
	Listen string `koanf:"listen"`
	// Also accept media over TCP (ICE-TCP, RFC 6544) on the same number, for networks that drop UDP.
	TCP bool `koanf:"tcp"`
	// IP addresses told to clients. Empty means the listening address, or with a wildcard address the one that this
	// machine's default route uses.
	Advertise []string `koanf:"advertise"`
	// Event loops that carry the media, a core and a port each: the ports after the first follow it, 7883, 7884, and so on.
	// From 1 to 64; 0 chooses by the cores that the process may use: one less than there are, from 8 on three quarters of
	// them, and one below 4.
	Shards int `koanf:"shards"`
	// Hold what each client is sent to what its path carries, by its feedback: estimate, share among its videos, pace.
	CongestionControl bool `koanf:"congestion_control"`
	// What a path is taken to carry, in bits a second, before anything is known of it. From min_bitrate to max_bitrate.
	StartBitrate int `koanf:"start_bitrate" jsonschema:"minimum=10000,maximum=1000000000"`
	// No estimate is below this. From 10000 to 1000000000.
	MinBitrate int `koanf:"min_bitrate" jsonschema:"minimum=10000,maximum=1000000000"`
	// No estimate is above this. From 100000 to 1000000000.
	MaxBitrate int `koanf:"max_bitrate" jsonschema:"minimum=100000,maximum=1000000000"`
}

// ShardsOf is how many event loops there are on so many cores.
func (m Media) ShardsOf(cores int) int {
	switch {
	case m.Shards > 0:
		return m.Shards
	case cores < 4:
		return 1
	default:
		return min(cores-max(1, cores/4), MaxShards)
	}
}

// MaxShards bounds Media.Shards.
const MaxShards = 64

// Signaling says who may join.
type Signaling struct {
	// Keys that join tokens are checked with. Without any key the server runs in development mode, which it accepts on
	// loopback and with lan.enabled only.
	Keys []Key `koanf:"keys"`
	// Origins of pages that may open a session besides the server's own page, for example https://call.example.kz
	Origins []string `koanf:"origins"`
	// How long a session without a connection can still be resumed. From 1s to 10m.
	Resume time.Duration `koanf:"resume"`
}

// Key checks tokens that name it in their "kid" header.
type Key struct {
	// Name of the key, as in the token's "kid" header. At most 64 characters.
	ID string `koanf:"id"`
	// EdDSA (the server holds only the public half) or HS256 (a shared secret).
	Algorithm string `koanf:"algorithm" jsonschema:"enum=EdDSA,enum=HS256"`
	// The shared secret of HS256, at least 32 characters. Prefer secret_file.
	Secret Secret `koanf:"secret"`
	// File that holds the shared secret of HS256.
	SecretFile string `koanf:"secret_file"`
	// The Ed25519 public key of EdDSA in PEM.
	PublicKey string `koanf:"public_key"`
	// File that holds the Ed25519 public key of EdDSA in PEM.
	PublicKeyFile string `koanf:"public_key_file"`
}

// Admin is the operator's listener.
type Admin struct {
	// Address of /livez, /readyz and /metrics. Empty to switch it off.
	Listen string `koanf:"listen"`
	// Serve /debug/pprof on the admin listener.
	Pprof bool `koanf:"pprof"`
}

// Log says what is written.
type Log struct {
	// The least important level that is written: debug, info, warn or error.
	Level string `koanf:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	// text, json, or auto: text on a terminal, JSON otherwise.
	Format string `koanf:"format" jsonschema:"enum=auto,enum=text,enum=json"`
}

// Limits protects running calls from new ones.
type Limits struct {
	// New joins are refused as BUSY above this share of the CPU time that the process may use, or of the one core that a media
	// shard may use, in percent. From 1 to 100.
	CPUPercent int `koanf:"cpu_percent" jsonschema:"minimum=1,maximum=100"`
	// New joins are refused as BUSY above this many media packets a second, in and out together. 0 means no limit.
	PacketsPerSecond int `koanf:"packets_per_second" jsonschema:"minimum=0"`
	// Media packets a second taken of one peer; what is over is dropped. A video track may have four fifths of it. From 100 to
	// 100000.
	PeerPacketsPerSecond int `koanf:"peer_packets_per_second" jsonschema:"minimum=100,maximum=100000"`
	// The same in bits. From 1000000 to 1000000000.
	PeerBitsPerSecond int `koanf:"peer_bits_per_second" jsonschema:"minimum=1000000,maximum=1000000000"`
	// Frames a second taken of one signaling session in the long run; twice as many at once. From 10 to 1000000.
	FramesPerSecond int `koanf:"frames_per_second" jsonschema:"minimum=10,maximum=1000000"`
	// Hellos a second taken of one IP address (of IPv6: a /64) in the long run, before a token is looked at; a carrier's NAT is
	// one address. Loopback has no limit. From 1 to 100000.
	HellosPerSecond int `koanf:"hellos_per_second" jsonschema:"minimum=1,maximum=100000"`
	// The same at once: as many as come back together after a restart. From 1 to 1000000.
	HelloBurst int `koanf:"hello_burst" jsonschema:"minimum=1,maximum=1000000"`
	// Most peers in one room. From 2 to 10000.
	PeersPerRoom int `koanf:"peers_per_room" jsonschema:"minimum=2,maximum=10000"`
	// Most audio slots that one peer may offer. From 1 to 16.
	AudioSlots int `koanf:"audio_slots" jsonschema:"minimum=1,maximum=16"`
	// Most video slots that one peer may offer. From 1 to 49.
	VideoSlots int `koanf:"video_slots" jsonschema:"minimum=1,maximum=49"`
}

// LAN opens the server to a local network.
type LAN struct {
	// Listen on all interfaces, with a self-made certificate, and let in whoever holds the printed invitation.
	Enabled bool `koanf:"enabled"`
}

// Supervisor runs the server as a child process.
type Supervisor struct {
	// Run the server as a child process and start it again after a crash. The default is true, except as process 1 of a
	// container and as a service of systemd, which start it again themselves.
	Enabled bool `koanf:"enabled"`
}

// Default returns the values that hold where nothing is set: a server on loopback for one's own machine.
func Default() Config {
	return Config{
		Roles: []string{RoleSFU, RoleSignaling, RoleTURN},
		HTTP:  HTTP{Listen: "127.0.0.1:8080"},
		ACME:  ACME{Directory: LetsEncrypt},
		QUIC:  QUIC{Listen: "127.0.0.1:8443"},
		Media: Media{
			Listen: "127.0.0.1:7882", TCP: true, Shards: 1,
			CongestionControl: true, StartBitrate: 1_000_000, MinBitrate: 30_000, MaxBitrate: 50_000_000,
		},
		TURN: TURN{
			Listen: "127.0.0.1:3478", Realm: "turn", CredentialLifetime: time.Hour, RelayPorts: "49152-65535",
			Allocations: 16_384, AllocationsPerUser: 16, AllocationsPerIP: 512, PeersPerUser: 5, PeersPerIP: 100,
			Connections: 16_384, ConnectionsPerIP: 512,
		},
		Signaling:  Signaling{Resume: time.Minute},
		Admin:      Admin{Listen: "127.0.0.1:9090"},
		Log:        Log{Level: "info", Format: "auto"},
		Supervisor: Supervisor{Enabled: true},
		Limits: Limits{
			CPUPercent:           85,
			PeerPacketsPerSecond: 2_500,
			PeerBitsPerSecond:    30_000_000,
			FramesPerSecond:      50,
			HellosPerSecond:      50,
			HelloBurst:           1000,
			PeersPerRoom:         1000,
			AudioSlots:           16,
			VideoSlots:           49,
		},
	}
}

// Proxies are the networks of TrustedProxies. Errors name the entry and the fix.
func (h HTTP) Proxies() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for i, text := range h.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); addressErr == nil {
			network, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d: got %q, want an IP address or a network, for example 10.0.0.0/8", i, text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// CPUBudget is how many cores' worth of time the process may spend before it refuses joins.
func (l Limits) CPUBudget() float64 {
	return float64(l.CPUPercent) / 100 * float64(runtime.GOMAXPROCS(0))
}
