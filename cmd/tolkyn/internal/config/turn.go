package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The roles that one process can play.
const (
	RoleSFU       = "sfu"
	RoleSignaling = "signaling"
	RoleTURN      = "turn"
)

// TURN is the relay of media for clients whose network lets nothing else through (RFC 8656).
type TURN struct {
	// Address of TURN over UDP and TCP. The default is loopback, and ":3478" with lan.enabled. Empty to switch it off, UDP and TCP.
	Listen string `koanf:"listen"`
	// Address of TURN over TLS, with the certificate of http.certificate_file or acme.host. The default is port 5349 on the host of
	// listen where there is one of these. Empty to switch it off.
	TLSListen string `koanf:"tls_listen"`
	// The secret that credentials are made and checked with: coturn's static-auth-secret, in the same form. At least 16 characters.
	// Prefer secret_file. When both are empty it is derived from the secret in state_dir, which signaling and turn share then.
	Secret Secret `koanf:"secret"`
	// File that holds the secret in its first line. Secrets in further lines are accepted too: the one before, while it is changed.
	SecretFile string `koanf:"secret_file"`
	// What challenges name. Answers to strangers are shorter than what they send where it has 4 characters at most.
	Realm string `koanf:"realm"`
	// Name or address that clients are told for the relay. Empty: the one by which they have reached the page.
	Host string `koanf:"host"`
	// URLs that clients are told instead of those of the relay in this process: of servers elsewhere that hold the same secret, ours or
	// coturn. For example turn:turn.example.kz:3478?transport=udp
	URLs []string `koanf:"urls"`
	// How long the credentials of a session live, at most. They are renewed in time, and end with the session. From 1m to 1h.
	CredentialLifetime time.Duration `koanf:"credential_lifetime"`
	// IP addresses that relayed packets come from, as peers see them: one of IPv4 and one of IPv6 at most. Empty: media.advertise, or
	// found as that is.
	RelayAddresses []string `koanf:"relay_addresses"`
	// The first and the last port of relays.
	RelayPorts string `koanf:"relay_ports"`
	// Networks that clients may reach through the relay beside our own media, which needs no entry: the media addresses of SFUs in other
	// processes, for example 203.0.113.7/32. Reserved ranges count only where they are named exactly, or a part of them is.
	Allow []string `koanf:"allow"`
	// Also let clients bind the channels 0x5000 to 0x7FFF, which RFC 5766 had and RFC 8656 has no more. Browsers, pion and most others
	// stay below; coturn's own client and what is built on it choose among all.
	OldChannels bool `koanf:"old_channels"`
	// Users with passwords that do not end, for tests and for clients that are told of them elsewhere.
	Users []TURNUser `koanf:"users"`
	// Goroutines that move packets; 0: one a processor. One works while the load is low. From 0 to 256.
	Workers int `koanf:"workers" jsonschema:"minimum=0,maximum=256"`
	// Most allocations at once. This, and all limits that follow: 0 means no limit.
	Allocations int `koanf:"allocations" jsonschema:"minimum=0"`
	// Most allocations of one user of one tenant at once: a browser makes one for each address it has and each way to the relay.
	AllocationsPerUser int `koanf:"allocations_per_user" jsonschema:"minimum=0"`
	// Most allocations of one client address at once; a carrier's NAT is one.
	AllocationsPerIP int `koanf:"allocations_per_ip" jsonschema:"minimum=0"`
	// Bits a second relayed for one user, each way; what is over is dropped.
	BitsPerUser int `koanf:"bits_per_user" jsonschema:"minimum=0"`
	// The same for all users behind one client address.
	BitsPerIP int `koanf:"bits_per_ip" jsonschema:"minimum=0"`
	// Peers a second that one user may turn to, our own media not counted.
	PeersPerUser int `koanf:"peers_per_user" jsonschema:"minimum=0"`
	// The same for all users behind one client address.
	PeersPerIP int `koanf:"peers_per_ip" jsonschema:"minimum=0"`
	// Most TCP and TLS connections at once.
	Connections int `koanf:"connections" jsonschema:"minimum=0"`
	// Most TCP and TLS connections of one client address at once.
	ConnectionsPerIP int `koanf:"connections_per_ip" jsonschema:"minimum=0"`
	// How long a server that is asked to end still serves the allocations it has. New ones are refused meanwhile. 0: it ends at once.
	// At most 24h.
	Drain time.Duration `koanf:"drain"`
	// Another relay, IP address and port, that clients are sent to while this one drains. Empty: they are refused.
	Alternate string `koanf:"alternate"`
}

// TURNUser may allocate with a password that does not end.
type TURNUser struct {
	// Name of the user.
	Name string `koanf:"name"`
	// The password. Prefer password_file.
	Password Secret `koanf:"password"`
	// File that holds the password.
	PasswordFile string `koanf:"password_file"`
}

// minTURNSecret in characters. Who guesses the secret relays for free.
const minTURNSecret = 16

// Has says whether this process plays a role.
func (c Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Secrets are those of the configuration, the one that mints first; none where one is to be derived.
func (t TURN) Secrets() ([][]byte, error) {
	text := string(t.Secret)
	switch {
	case t.Secret != "" && t.SecretFile != "":
		return nil, errors.New("has both secret and secret_file, want one of them")
	case t.SecretFile != "":
		b, err := os.ReadFile(t.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		if text = string(b); strings.TrimSpace(text) == "" {
			return nil, errors.New("secret_file is empty")
		}
	}
	var secrets [][]byte
	for _, line := range strings.Fields(text) {
		if len(line) < minTURNSecret {
			return nil, fmt.Errorf("a secret has %d characters, want at least %d; 'openssl rand -hex 32' makes one", len(line), minTURNSecret)
		}
		secrets = append(secrets, []byte(line))
	}
	return secrets, nil
}

// Ports are the first and the last of RelayPorts.
func (t TURN) Ports() (ports [2]uint16, err error) {
	first, last, _ := strings.Cut(t.RelayPorts, "-")
	for i, text := range []string{first, last} {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil || n < 1024 {
			return ports, fmt.Errorf("got %q, want the first and the last port, from 1024 to 65535, for example 49152-65535", t.RelayPorts)
		}
		ports[i] = uint16(n)
	}
	if ports[1] < ports[0] {
		return ports, fmt.Errorf("got %q, whose last port is before the first", t.RelayPorts)
	}
	return ports, nil
}

// Allowed are the networks of Allow. Errors name the entry and the fix.
func (t TURN) Allowed() ([]netip.Prefix, error) {
	return HTTP{TrustedProxies: t.Allow}.Proxies() // the same words
}

// Passwords are those of Users by name.
func (t TURN) Passwords() (map[string]string, error) {
	passwords := map[string]string{}
	for _, u := range t.Users {
		password, err := oneOrFile("password", string(u.Password), u.PasswordFile)
		switch {
		case u.Name == "":
			return nil, errors.New("a user has no name")
		case passwords[u.Name] != "":
			return nil, fmt.Errorf("user %q stands there twice", u.Name)
		case err != nil:
			return nil, fmt.Errorf("user %q: %w", u.Name, err)
		case password == "":
			return nil, fmt.Errorf("user %q: the password is empty", u.Name)
		}
		passwords[u.Name] = password
	}
	return passwords, nil
}

// AlternateServer is Alternate; the zero AddrPort where there is none.
func (t TURN) AlternateServer() (netip.AddrPort, error) {
	if t.Alternate == "" {
		return netip.AddrPort{}, nil
	}
	return netip.ParseAddrPort(t.Alternate)
}

func (v *validator) roles(c *Config) {
	for i, role := range c.Roles {
		v.oneOf(fmt.Sprintf("roles[%d]", i), role, RoleSFU, RoleSignaling, RoleTURN)
	}
	switch {
	case len(c.Roles) == 0:
		v.problem("roles", "is empty: want some of sfu, signaling, turn")
	case c.Has(RoleSFU) != c.Has(RoleSignaling):
		v.problem("roles", "sfu and signaling work in one process only: name both, or turn alone")
	case c.Has(RoleSFU):
	case !c.Has(RoleTURN):
	case c.TURN.Listen == "" && c.TURN.TLSListen == "":
		v.problem("turn.listen", "is off and turn.tls_listen too: a relay alone needs one of them")
	case c.TURN.Secret == "" && c.TURN.SecretFile == "" && len(c.TURN.Users) == 0:
		v.problem("turn.secret_file", "a relay alone needs the secret of who makes the credentials (turn.secret_file there too), or turn.users")
	case len(c.TURN.Allow) == 0:
		v.problem("turn.allow", "is empty: a relay alone has no media of its own and would relay to nobody. Name the media addresses of your SFUs")
	}
}

func (v *validator) turn(c *Config) {
	t := c.TURN
	v.address("turn.listen", t.Listen, ":3478")
	v.address("turn.tls_listen", t.TLSListen, ":5349")
	if t.TLSListen != "" && c.HTTP.CertificateFile == "" && c.ACME.Host == "" {
		v.problem("turn.tls_listen", "needs http.certificate_file and http.key_file, or acme.host: clients trust no self-made certificate here")
	}
	if _, err := t.Secrets(); err != nil {
		v.problem("turn.secret_file", "%v", err)
	}
	if len(t.URLs) > 0 && t.Secret == "" && t.SecretFile == "" {
		v.problem("turn.urls", "needs the secret of those servers in turn.secret_file")
	}
	for i, url := range t.URLs {
		if !isTURN(url) {
			v.problem(fmt.Sprintf("turn.urls[%d]", i), "got %q, want for example turn:turn.example.kz:3478?transport=udp or turns:turn.example.kz:5349", url)
		}
	}
	if _, _, err := net.SplitHostPort(t.Host); err == nil || strings.ContainsAny(t.Host, "/?[]@ ") {
		v.problem("turn.host", "got %q, want a name or an IP address alone, without port", t.Host)
	}
	if strings.ContainsAny(t.Realm, "\"\\\x00") || t.Realm == "" || len(t.Realm) > 127 {
		v.problem("turn.realm", "got %q, want 1 to 127 characters without quotes, for example turn", t.Realm)
	}
	if l := t.CredentialLifetime; l < time.Minute || l > time.Hour {
		v.problem("turn.credential_lifetime", "got %v, want from 1m to 1h", l)
	}
	v.relayAddresses(t.RelayAddresses)
	if _, err := t.Ports(); err != nil {
		v.problem("turn.relay_ports", "%v", err)
	}
	if _, err := t.Allowed(); err != nil {
		v.problem("turn.allow", "%v", err)
	}
	if _, err := t.Passwords(); err != nil {
		v.problem("turn.users", "%v", err)
	}
	v.within("turn.workers", t.Workers, 0, 256)
	for key, value := range map[string]int{
		"allocations": t.Allocations, "allocations_per_user": t.AllocationsPerUser, "allocations_per_ip": t.AllocationsPerIP,
		"bits_per_user": t.BitsPerUser, "bits_per_ip": t.BitsPerIP, "peers_per_user": t.PeersPerUser, "peers_per_ip": t.PeersPerIP,
		"connections": t.Connections, "connections_per_ip": t.ConnectionsPerIP,
	} {
		v.within("turn."+key, value, 0, 1_000_000_000)
	}
	if t.Drain < 0 || t.Drain > 24*time.Hour {
		v.problem("turn.drain", "got %v, want from 0s to 24h", t.Drain)
	}
	if _, err := t.AlternateServer(); err != nil {
		v.problem("turn.alternate", "got %q, want an IP address and a port, for example 203.0.113.8:3478", t.Alternate)
	}
}

func (v *validator) relayAddresses(addresses []string) {
	families := map[bool]bool{}
	for i, text := range addresses {
		key := fmt.Sprintf("turn.relay_addresses[%d]", i)
		address, err := netip.ParseAddr(text)
		switch {
		case err != nil || address.IsUnspecified():
			v.problem(key, "got %q, want an IP address that peers see, for example 203.0.113.7", text)
		case families[address.Unmap().Is4()]:
			v.problem(key, "got %q, but there is one of its family already", text)
		default:
			families[address.Unmap().Is4()] = true
		}
	}
}

// isTURN says whether text is a TURN URL (RFC 7065).
func isTURN(text string) bool {
	rest, found := strings.CutPrefix(text, "turns:")
	if !found {
		rest, found = strings.CutPrefix(text, "turn:")
	}
	rest, query, some := strings.Cut(rest, "?")
	host := rest
	if h, port, err := net.SplitHostPort(rest); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = h
	}
	return found && host != "" && !strings.ContainsAny(host, "/@ ") && (!some || query == "transport=udp" || query == "transport=tcp")
}
