package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// mode is whom the server lets in.
type mode uint8

const (
	// local: this machine only, with a key of the moment and tokens for the asking.
	local mode = iota + 1
	// lan: the devices of the local network; who holds the printed invitation gets a token.
	lan
	// production: tokens signed by the keys of the configuration, and no others.
	production
	// relayAlone: nobody joins here; who has credentials of TURN relays.
	relayAlone
)

// String names the mode for the log.
func (m mode) String() string {
	switch m {
	case local:
		return "local"
	case lan:
		return "lan"
	case relayAlone:
		return "relay"
	default:
		return "production"
	}
}

// decideMode says whom the server lets in, or why it must not start: a public listener without keys would let in
// everybody.
func decideMode(c config.Config, origins config.Origins) (mode, error) {
	switch {
	case !c.Has(config.RoleSignaling):
		return relayAlone, nil
	case len(c.Signaling.Keys) > 0:
		return production, nil
	case c.LAN.Enabled:
		return lan, nil
	}
	for _, listener := range []struct{ key, address string }{
		{"http.listen", c.HTTP.Listen},
		{"http.tls_listen", c.HTTP.TLSListen},
		{onePortKey, c.OnePort.Listen},
		{"quic.listen", c.QUIC.Listen},
		{"media.listen", c.Media.Listen},
		{"turn.listen", c.TURN.Listen},
		{"turn.tls_listen", c.TURN.TLSListen},
	} {
		if listener.address != "" && !isLoopback(listener.address) {
			return 0, config.Problems{{
				Origin: origins.Of(listener.key),
				Key:    listener.key,
				Text: fmt.Sprintf("%s can be reached from outside, and signaling.keys has no key to check tokens with. "+
					"Make one with 'tolkyn token key', or use --lan for calls within the local network", listener.address),
			}}
		}
	}
	return local, nil
}

// isLoopback says whether host:port can be reached from this machine alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// openLAN gives the listeners of lan mode their addresses where nothing else was asked for. Plain HTTP stays on loopback:
// browsers allow no camera over it elsewhere.
func openLAN(c *config.Config, origins config.Origins) {
	if origins.Of("http.tls_listen") == "" && c.OnePort.Listen == "" {
		c.HTTP.TLSListen = ":8443"
	}
	if origins.Of("quic.listen") == "" {
		c.QUIC.Listen = ":8443"
	}
	if origins.Of("media.listen") == "" {
		c.Media.Listen = ":7882"
	}
	if origins.Of("turn.listen") == "" {
		c.TURN.Listen = ":3478"
	}
}
