package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// acmeALPN is what an authority asks for when it looks whether a name is ours (TLS-ALPN-01, RFC 8737).
const acmeALPN = "acme-tls/1"

// acmeCertificate is had from an authority by ACME (RFC 8555) and renewed when a third of its time is left.
type acmeCertificate struct {
	// Fixed after openACME.
	host     string
	log      *slog.Logger
	cache    *certmagic.Cache
	magic    *certmagic.Config
	issuer   *certmagic.ACMEIssuer
	listener net.Listener // of acme.http_listen; nil: none
}

// openACME prepares for it; run asks for the certificate. shownOn is the address on which TLS is served: there the authority is
// answered.
func openACME(c config.ACME, s *state, shownOn string, log *slog.Logger) (*acmeCertificate, error) {
	if s.dir == "" {
		return nil, errors.New("acme.host: there is no directory to keep the certificate in, and authorities give few: name one with --state")
	}
	a := &acmeCertificate{host: c.Host, log: log}
	settings := certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(s.dir, "acme")}, OnEvent: a.tell, Logger: zap.NewNop(),
	}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil }, Logger: zap.NewNop(),
	})
	a.magic = certmagic.New(a.cache, settings)
	how := certmagic.ACMEIssuer{
		CA: c.Directory, Email: c.Email, Agreed: c.AcceptTerms, Logger: zap.NewNop(),
		DisableHTTPChallenge: c.HTTPListen == "", DisableDistributedSolvers: true,
	}
	err := a.prepare(&how, c, shownOn)
	if err != nil {
		a.close()
		return nil, err
	}
	a.issuer = certmagic.NewACMEIssuer(a.magic, how)
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

// prepare fills in what depends on files and ports.
func (a *acmeCertificate) prepare(how *certmagic.ACMEIssuer, c config.ACME, shownOn string) error {
	if c.DirectoryCAFile != "" {
		text, err := os.ReadFile(c.DirectoryCAFile)
		if err != nil {
			return fmt.Errorf("acme.directory_ca_file: %w", err)
		}
		how.TrustedRoots = x509.NewCertPool()
		if !how.TrustedRoots.AppendCertsFromPEM(text) {
			return fmt.Errorf("acme.directory_ca_file: %s holds no certificate in PEM", c.DirectoryCAFile)
		}
	}
	shown, err := addrPort(shownOn)
	if err != nil {
		return fmt.Errorf("acme.host: %w", err)
	}
	// With these the library sees that somebody listens there, which is us, and does not try to.
	how.ListenHost, how.AltTLSALPNPort = shown.Addr().String(), int(shown.Port())
	if c.HTTPListen != "" {
		if a.listener, err = listenTCP("acme.http_listen", "config", c.HTTPListen); err != nil {
			return err
		}
		how.AltHTTPPort = a.listener.Addr().(*net.TCPAddr).Port
	}
	return nil
}

// tell logs what the library does. It calls this wherever it works.
func (a *acmeCertificate) tell(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		a.log.Info("certificate obtained", "host", a.host, "renewal", data["renewal"])
	case "cert_failed":
		a.log.Warn("no certificate was obtained: it is tried again. The authority must reach this host by its name on port 443 (or 80 with acme.http_listen)",
			"host", a.host, "error", data["error"])
	}
	return nil
}

// run asks for the certificate unless it is kept, and renews it, until ctx ends. It returns at once; ended waits for the end.
func (a *acmeCertificate) run(ctx context.Context) (ended func()) {
	var running sync.WaitGroup
	if a.listener != nil {
		server := newHTTPServer(a.issuer.HTTPChallengeHandler(toHTTPS(443)), a.log)
		running.Go(func() { _ = server.Serve(a.listener) }) // until close
	}
	if err := a.magic.ManageAsync(ctx, []string{a.host}); err != nil {
		a.log.Error("no certificate will be asked for", "host", a.host, "error", err)
	}
	return func() {
		a.close()
		running.Wait()
	}
}

// close ends what openACME began.
func (a *acmeCertificate) close() {
	a.cache.Stop()
	if a.listener != nil {
		_ = a.listener.Close()
	}
}

// forHello answers an authority that looks whether the name is ours, and shows the certificate to all others, whatever name they
// ask for: some ask for none.
func (a *acmeCertificate) forHello(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Contains(hello.SupportedProtos, acmeALPN) {
		return a.magic.GetCertificate(hello)
	}
	if shown := a.shown(); shown != nil {
		return shown, nil
	}
	return nil, errors.New("there is no certificate yet")
}

// shown is the certificate that holds for longest; nil: there is none yet. Safe from any goroutine.
func (a *acmeCertificate) shown() *tls.Certificate {
	all := a.cache.AllMatchingCertificates(a.host)
	if len(all) == 0 {
		return nil
	}
	best := slices.MaxFunc(all, func(x, y certmagic.Certificate) int {
		return cmp.Compare(x.Leaf.NotAfter.Unix(), y.Leaf.NotAfter.Unix())
	})
	return &best.Certificate
}
