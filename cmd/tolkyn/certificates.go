package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// certificates is what this server shows.
type certificates struct {
	// Fixed after openCertificates.
	filed *filedCertificate // of the configuration; nil: none
	acme  *acmeCertificate  // of an authority; nil: none
	lan   *tls.Certificate  // self-made, for https; nil: none
	quic  *rotation         // self-made, for QUIC; nil: none
}

// openCertificates reads the certificate of the configuration, or makes what there must be without one.
func openCertificates(c config.Config, s *state, addresses []netip.Addr, log *slog.Logger, now time.Time) (certificates, error) {
	var all certificates
	var err error
	if c.HTTP.CertificateFile != "" {
		all.filed, err = openCertificate(c.HTTP, log)
		return all, err
	}
	if c.ACME.Host != "" {
		all.acme, err = openACME(c.ACME, s, cmp.Or(c.OnePort.Listen, c.HTTP.TLSListen), log)
		return all, err
	}
	if c.HTTP.TLSListen != "" || c.OnePort.Listen != "" {
		if all.lan, err = s.lanCertificate(addresses, now); err != nil {
			return all, err
		}
	}
	if c.QUIC.Listen != "" || c.OnePort.Listen != "" {
		all.quic, err = openRotation(s, addresses, log, now)
	}
	return all, err
}

// trusted says whether an authority vouches for what is shown.
func (c certificates) trusted() bool { return c.filed != nil || c.acme != nil }

// https configures TLS for the page; nil when there is no certificate for it.
func (c certificates) https() *tls.Config {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case c.filed != nil:
		settings.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.filed.Certificate(), nil }
	case c.acme != nil:
		settings.GetCertificate, settings.NextProtos = c.acme.forHello, []string{acmeALPN}
	case c.lan != nil:
		settings.Certificates = []tls.Certificate{*c.lan}
	default:
		return nil
	}
	return settings
}

// forQUIC is what QUIC shows at this moment. Called at each handshake.
func (c certificates) forQUIC() *tls.Certificate {
	if c.filed != nil {
		return c.filed.Certificate()
	}
	if c.acme != nil {
		return c.acme.shown()
	}
	return c.quic.Certificate()
}

// hashes are what clients of QUIC go by; none where an authority vouches for the certificate.
func (c certificates) hashes() [][]byte {
	if c.quic == nil {
		return nil
	}
	return c.quic.Hashes()
}

// run looks after them until ctx ends: at times, and when SIGHUP asks for it.
func (c certificates) run(ctx context.Context, hangups <-chan os.Signal) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	if c.acme != nil {
		defer c.acme.run(ctx)()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-hangups:
		}
		if c.filed != nil {
			c.filed.look()
		}
		if c.quic != nil {
			c.quic.Hashes() // Makes the next one when it is time.
		}
	}
}
