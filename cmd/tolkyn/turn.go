package main

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/wire"
	"github.com/tolkyn/tolkyn/turn"
	"github.com/tolkyn/tolkyn/turn/credential"
)

// turnALPN is what clients of TURN over TLS may ask for (RFC 7443). Browsers ask for nothing.
const turnALPN = "stun.turn"

// relay is the TURN server, and what clients are told of relays.
type relay struct {
	// Fixed after openRelay.
	server  *turn.Server      // nil: the relays are elsewhere
	bound   map[string]string // by key of the configuration: where it listens
	secret  []byte            // makes credentials
	life    time.Duration     // of them
	urls    []string          // of servers elsewhere; empty: of ours
	host    string            // that clients are told; empty: the one that they know
	address netip.Addr        // the same where they have named none
	plain   uint16            // port of UDP and TCP; 0: there is none
	tls     uint16            // port of TLS; 0: there is none
	told    bool              // clients are told of it
	drain   time.Duration
	instead netip.AddrPort // who draws new clients meanwhile
}

// openRelay starts the relay that the configuration asks for, and knows what clients are told; nil when there is none. m is nil
// where there is no media in this process, one without the one port.
func openRelay(c config.Config, origins config.Origins, m *media, one *onePort, s *state, shown certificates, log *slog.Logger) (*relay, error) {
	t := c.TURN
	r := &relay{life: t.CredentialLifetime, urls: t.URLs, host: t.Host, told: true, drain: t.Drain, bound: map[string]string{}}
	if one == nil && (!c.Has(config.RoleTURN) || t.Listen == "" && t.TLSListen == "") && len(t.URLs) == 0 {
		return nil, nil
	}
	cfg, err := relayConfig(t, m)
	if err != nil {
		return nil, err
	}
	if len(cfg.Secrets) == 0 {
		if cfg.Secrets, err = s.turnSecret(); err != nil {
			return nil, err
		}
	}
	r.secret, cfg.Logger = cfg.Secrets[0], log
	if r.instead, err = t.AlternateServer(); err != nil {
		return nil, fmt.Errorf("turn.alternate: %w", err)
	}
	switch {
	case one != nil:
		one.relays(&cfg, m.advertise)
		r.plain = one.at.Port()
		if shown.trusted() {
			r.tls = r.plain
		}
	case !c.Has(config.RoleTURN):
		return r, nil
	default:
		if err := r.listen(&cfg, c, origins, shown, log); err != nil {
			return nil, err
		}
		if r.plain == 0 && r.tls == 0 {
			return r.elsewhere(), nil
		}
	}
	if m != nil && len(m.advertise) > 0 {
		r.address = m.advertise[0]
	} else if len(cfg.RelayAddresses) > 0 {
		r.address = cfg.RelayAddresses[0]
	}
	if r.server, err = turn.New(cfg); err != nil {
		for _, l := range append(cfg.TCP, cfg.TLS...) {
			_ = l.Close()
		}
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	if one != nil {
		one.relay = r.server
	}
	return r, nil
}

// elsewhere is what is left where no listener could be had: the servers that the configuration names, or nil.
func (r *relay) elsewhere() *relay {
	if len(r.urls) == 0 {
		return nil
	}
	return r
}

// relayConfig is all but listeners.
func relayConfig(t config.TURN, m *media) (turn.Config, error) {
	cfg := turn.Config{Realm: t.Realm, Workers: t.Workers, OldChannels: t.OldChannels, Limits: turn.Limits{
		Allocations: limitOf(t.Allocations), AllocationsPerUser: limitOf(t.AllocationsPerUser), AllocationsPerIP: limitOf(t.AllocationsPerIP),
		BitsPerUser: limitOf(t.BitsPerUser), BitsPerIP: limitOf(t.BitsPerIP),
		PeersPerUser: limitOf(t.PeersPerUser), PeersPerIP: limitOf(t.PeersPerIP),
		Connections: limitOf(t.Connections), ConnectionsPerIP: limitOf(t.ConnectionsPerIP),
	}}
	var err error
	if cfg.Secrets, err = t.Secrets(); err != nil {
		return cfg, fmt.Errorf("turn.secret_file: %w", err)
	}
	if cfg.Users, err = t.Passwords(); err != nil {
		return cfg, fmt.Errorf("turn.users: %w", err)
	}
	if cfg.Allow, err = t.Allowed(); err != nil {
		return cfg, fmt.Errorf("turn.allow: %w", err)
	}
	if cfg.RelayPorts, err = t.Ports(); err != nil {
		return cfg, fmt.Errorf("turn.relay_ports: %w", err)
	}
	listening := netip.IPv4Unspecified()
	if t.Listen != "" {
		at, err := addrPort(t.Listen)
		if err != nil {
			return cfg, fmt.Errorf("turn.listen: %w", err)
		}
		listening = at.Addr()
	}
	switch {
	case m == nil || len(t.RelayAddresses) > 0:
		if cfg.RelayAddresses, err = advertised(t.RelayAddresses, listening); err != nil {
			return cfg, fmt.Errorf("turn.relay_addresses: %w", err)
		}
	default:
		cfg.RelayAddresses = m.advertise
	}
	cfg.RelayAddresses = oneOfEach(cfg.RelayAddresses)
	if m != nil {
		cfg.Path = m.sfu
		for _, socket := range m.sockets {
			for _, a := range m.advertise {
				cfg.Own = append(cfg.Own, netip.AddrPortFrom(a, socket.LocalAddr().Port()))
			}
		}
	}
	return cfg, nil
}

// limitOf is a limit of the configuration, where 0 is none, as package turn has it.
func limitOf(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// oneOfEach family.
func oneOfEach(all []netip.Addr) (few []netip.Addr) {
	var seen [2]bool
	for _, a := range all {
		family := 0
		if a.Unmap().Is6() {
			family = 1
		}
		if !seen[family] {
			seen[family] = true
			few = append(few, a)
		}
	}
	return few
}

// listen opens the listeners. A default that another program has already, a coturn perhaps, is done without: a relay on loopback is
// there to be tried.
func (r *relay) listen(cfg *turn.Config, c config.Config, origins config.Origins, shown certificates, log *slog.Logger) error {
	t := c.TURN
	if t.Listen != "" {
		tcp, at, err := listenBoth("turn.listen", "turn", t.Listen)
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && origins.Of("turn.listen") == "":
			log.Info("no relay: its port is in use by another program; turn.listen names another", "turn.listen", t.Listen)
			return nil
		case err != nil:
			return err
		}
		cfg.TCP, cfg.UDP, r.plain = []net.Listener{turn.Listen(tcp)}, []netip.AddrPort{at}, at.Port()
		r.bound["turn.listen"] = at.String()
	}
	address := t.TLSListen
	if origins.Of("turn.tls_listen") == "" && shown.trusted() && t.Listen != "" {
		host, _, err := net.SplitHostPort(t.Listen)
		if err != nil {
			return fmt.Errorf("turn.listen: %w", err)
		}
		address = net.JoinHostPort(host, "5349")
	}
	if address == "" {
		r.told = r.isTold(c, log)
		return nil
	}
	secure, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && origins.Of("turn.tls_listen") == "":
		log.Warn("no relay over TLS: its port is in use by another program; turn.tls_listen names another", "turn.tls_listen", address)
	case err != nil:
		for _, l := range cfg.TCP {
			_ = l.Close()
		}
		return explainListen("turn.tls_listen", "turn-tls", "tcp", address, err)
	default:
		settings := shown.https()
		settings.NextProtos = append([]string{turnALPN}, settings.NextProtos...)
		cfg.TLS = []net.Listener{tls.NewListener(turn.Listen(secure), settings)}
		r.tls = uint16(secure.Addr().(*net.TCPAddr).Port)
		r.bound["turn.tls_listen"] = secure.Addr().String()
	}
	r.told = r.isTold(c, log)
	return nil
}

// isTold says whether clients are told of our own relay.
func (r *relay) isTold(c config.Config, log *slog.Logger) bool {
	if r.host != "" || !c.Has(config.RoleSFU) || !isLoopback(cmp.Or(c.TURN.Listen, c.TURN.TLSListen)) || isLoopback(c.Media.Listen) {
		return true
	}
	log.Info("the relay can be reached from this machine alone, so clients are not told of it; turn.listen opens it, for example :3478")
	return false
}

// listenBoth opens one number for TCP and sees that it is free for UDP, which package turn binds. When any number will do, one that is
// free for TCP may be taken for UDP: then it tries another.
func listenBoth(key, flag, address string) (net.Listener, netip.AddrPort, error) {
	asked, err := addrPort(address)
	if err != nil {
		return nil, asked, fmt.Errorf("%s: %w", key, err)
	}
	for try := 1; ; try++ {
		tcp, err := net.Listen("tcp", asked.String())
		if err != nil {
			return nil, asked, errors.Join(explainListen(key, flag, "tcp", address, err), err)
		}
		at := netip.AddrPortFrom(asked.Addr(), uint16(tcp.Addr().(*net.TCPAddr).Port))
		udp, err := net.ListenPacket("udp", at.String())
		if err == nil {
			_ = udp.Close()
			return tcp, at, nil
		}
		_ = tcp.Close()
		if asked.Port() != 0 || try == 10 {
			return nil, asked, errors.Join(explainListen(key, flag, "udp", at.String(), err), err)
		}
	}
}

// turnSecret is derived from the secret of the state directory: servers that share that one take each other's credentials.
func (s *state) turnSecret() ([][]byte, error) {
	secret, err := s.secret()
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret[:], nil, "tolkyn turn", 32)
	if err != nil {
		return nil, fmt.Errorf("derive turn.secret: %w", err)
	}
	return [][]byte{[]byte(hex.EncodeToString(key))}, nil
}

// servers are what a session is told: RFC 7065 URLs and credentials that are its alone. Safe from any goroutine.
func (r *relay) servers(g signaling.Grants, session, host string) ([]*wire.IceServer, time.Duration) {
	urls := r.urlsFor(host)
	if len(urls) == 0 {
		return nil, 0
	}
	c := credential.Mint(r.secret, r.subject(g, session), time.Now(), r.life)
	if c.Username == "" {
		return nil, 0
	}
	return []*wire.IceServer{{
		Urls: urls, Username: c.Username, Credential: c.Password, ExpiresMs: c.Expires.UnixMilli(),
	}}, r.life
}

// revoke takes the credentials of a session back. Safe from any goroutine.
func (r *relay) revoke(g signaling.Grants, session string) {
	if r.server != nil {
		r.server.Revoke(r.subject(g, session))
	}
}

// subject is whom credentials name. Usernames of TURN are read by everybody on the way: the identity is not in them, but what only
// who holds the secret can tell it from. The log has the identity of a session.
func (r *relay) subject(g signaling.Grants, session string) credential.Subject {
	mac := hmac.New(sha256.New, r.secret)
	_, _ = fmt.Fprintf(mac, "tolkyn turn user %q %q", g.Tenant, g.Identity) // a hash takes everything
	return credential.Subject{Tenant: g.Tenant, User: base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:9]), Call: session}
}

// urlsFor a client that has reached us by a host; empty: it did not say.
func (r *relay) urlsFor(host string) []string {
	switch {
	case len(r.urls) > 0:
		return r.urls
	case r.server == nil || !r.told:
		return nil
	}
	return r.ownURLs(host)
}

// ownURLs are those of the relay in this process.
func (r *relay) ownURLs(host string) []string {
	host = cmp.Or(r.host, host)
	if r.host == "" && (host == "" || host == "localhost") && r.address.IsValid() {
		host = r.address.String() // "localhost" may be ::1 first, where nobody listens
	}
	at := func(scheme string, port uint16, transport string) string {
		return scheme + ":" + net.JoinHostPort(host, strconv.Itoa(int(port))) + "?transport=" + transport
	}
	var urls []string
	if r.plain != 0 {
		urls = append(urls, at("turn", r.plain, "udp"), at("turn", r.plain, "tcp"))
	}
	if r.tls != 0 {
		urls = append(urls, at("turns", r.tls, "tcp"))
	}
	return urls
}

// stop refuses new allocations, and waits until those there are have ended, or for as long as the configuration says.
func (r *relay) stop(ctx context.Context, log *slog.Logger) {
	if r == nil || r.server == nil {
		return
	}
	r.server.Drain(r.instead)
	if r.drain == 0 || r.allocations() == 0 {
		return
	}
	log.Info("the relay drains", "allocations", r.allocations(), "limit", r.drain)
	ctx, cancel := context.WithTimeout(ctx, r.drain)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for r.allocations() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			log.Warn("allocations are cut off that did not end in time", "allocations", r.allocations())
			return
		}
	}
}

func (r *relay) allocations() (n int) {
	for _, way := range r.server.Stats().Ways {
		n += way.Allocations
	}
	return n
}

// close ends it.
func (r *relay) close() error {
	if r == nil || r.server == nil {
		return nil
	}
	return r.server.Close()
}

// leaveOut switches off what belongs to roles that this process does not play.
func leaveOut(c *config.Config) {
	if !c.Has(config.RoleSignaling) {
		c.HTTP.Listen, c.HTTP.TLSListen, c.QUIC.Listen = "", "", ""
	}
}
