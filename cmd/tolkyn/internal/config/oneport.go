package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// OnePort puts everything that clients reach behind one number, TCP and UDP: for networks that let nothing out but 443.
type OnePort struct {
	// Address for all of it, for example ":443". Then clients are told of this number and of no other: HTTPS, WebSocket, QUIC,
	// media, and the relay (turn) over UDP, TCP and TLS. http.tls_listen, quic.listen and turn.*_listen are not opened, and
	// media.listen takes no clients. Needs a certificate: http.certificate_file, acme.host, or lan.enabled. Empty: off.
	Listen string `koanf:"listen"`
}

// ACME gets a certificate from an authority such as Let's Encrypt, and renews it (RFC 8555).
type ACME struct {
	// The DNS name of this server, for which a certificate is asked. The authority connects to it on port 443, where one_port.listen or
	// http.tls_listen must be found (TLS-ALPN-01), or on port 80 (acme.http_listen). Empty: off.
	Host string `koanf:"host"`
	// Where the authority may write when something is wrong with the certificate. May be empty.
	Email string `koanf:"email"`
	// Whether you agree to the authority's terms. It gives nothing to who does not.
	AcceptTerms bool `koanf:"accept_terms"`
	// The authority's directory. The default is that of Let's Encrypt.
	Directory string `koanf:"directory"`
	// Certificates in PEM with which an authority of your own is trusted. Empty: those of the system.
	DirectoryCAFile string `koanf:"directory_ca_file"`
	// Address, ":80" as a rule, that also answers the authority (HTTP-01) and leads browsers to HTTPS. Empty: off.
	HTTPListen string `koanf:"http_listen"`
}

// LetsEncrypt is the default of ACME.Directory.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

func (v *validator) onePort(c *Config) {
	v.address("one_port.listen", c.OnePort.Listen, ":443")
	if c.OnePort.Listen != "" && !c.Has(RoleSFU) {
		v.problem("one_port.listen", "is for a whole server: a relay alone has turn.listen and turn.tls_listen, which may be :443")
	}
	if c.OnePort.Listen != "" && c.HTTP.CertificateFile == "" && c.ACME.Host == "" && !c.LAN.Enabled {
		v.problem("one_port.listen", "needs http.certificate_file and http.key_file, acme.host, or lan.enabled for a self-made certificate")
	}
}

func (v *validator) acme(c *Config) {
	a := c.ACME
	v.address("acme.http_listen", a.HTTPListen, ":80")
	if a.Host == "" {
		if a.HTTPListen != "" {
			v.problem("acme.http_listen", "is of no use without acme.host")
		}
		return
	}
	_, noName := netip.ParseAddr(a.Host)
	if noName == nil || strings.ContainsAny(a.Host, "/: *") || !strings.Contains(a.Host, ".") {
		v.problem("acme.host", "got %q, want the DNS name of this server alone, for example call.example.kz", a.Host)
	}
	if !a.AcceptTerms {
		v.problem("acme.accept_terms", "is false: read the terms of %s and set it to true, or leave acme.host out", hostOf(a.Directory))
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		v.problem("acme.directory", "got %q, want an https URL, for example %s", a.Directory, LetsEncrypt)
	}
	switch {
	case c.HTTP.CertificateFile != "":
		v.problem("acme.host", "http.certificate_file is set too: keep one of them")
	case c.OnePort.Listen == "" && c.HTTP.TLSListen == "" && !c.LAN.Enabled:
		v.problem("acme.host", "nothing shows the certificate: set one_port.listen or http.tls_listen")
	}
}

// hostOf is the authority that a directory's URL names.
func hostOf(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return directory
	}
	host, _, err := net.SplitHostPort(u.Host)
	if err != nil {
		return u.Host
	}
	return host
}
