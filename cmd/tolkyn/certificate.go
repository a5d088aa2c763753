package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

const (
	// certificateLife: browsers refuse certificates that hold longer than 398 days.
	certificateLife = 397 * 24 * time.Hour
	// certificateRenew: a certificate that ends soon is made anew at the start rather than during a call.
	certificateRenew = 30 * 24 * time.Hour
	// lookEvery: how often files and clocks are looked at again.
	lookEvery = time.Minute
)

// filedCertificate is the certificate of the configuration. It is read again when its files change, so that what renews
// it need not tell the server.
type filedCertificate struct {
	// Fixed after openCertificate.
	file, keyFile string
	log           *slog.Logger

	// Owned by whoever calls look.
	seen [2]stamp

	// Atomic.
	shown atomic.Pointer[tls.Certificate]
}

// stamp tells versions of a file apart.
type stamp struct {
	changed time.Time
	size    int64
}

func openCertificate(c config.HTTP, log *slog.Logger) (*filedCertificate, error) {
	f := &filedCertificate{file: c.CertificateFile, keyFile: c.KeyFile, log: log}
	f.seen = f.stamps()
	certificate, err := tls.LoadX509KeyPair(f.file, f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("http.certificate_file, http.key_file: %w", err)
	}
	f.shown.Store(&certificate)
	return f, nil
}

// Certificate is what to show now. Safe from any goroutine.
func (f *filedCertificate) Certificate() *tls.Certificate { return f.shown.Load() }

// look reads the files again when they have changed. What cannot be read, such as a certificate whose key has not been
// written yet, leaves the old one in place until the next change.
func (f *filedCertificate) look() {
	now := f.stamps()
	if now == f.seen {
		return
	}
	f.seen = now
	certificate, err := tls.LoadX509KeyPair(f.file, f.keyFile)
	if err != nil {
		f.log.Warn("the changed certificate cannot be read: the old one stays", "certificate_file", f.file, "error", err)
		return
	}
	f.shown.Store(&certificate)
	f.log.Info("certificate changed", "certificate_file", f.file, "ends", certificate.Leaf.NotAfter)
}

func (f *filedCertificate) stamps() [2]stamp {
	var all [2]stamp
	for i, name := range []string{f.file, f.keyFile} {
		if info, err := os.Stat(name); err == nil { // A file that is gone has the zero stamp.
			all[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

// lanCertificate returns the kept certificate of HTTPS while it is good for the addresses, so that a device which accepted
// it once is not asked again; otherwise it makes one and keeps it.
func (s *state) lanCertificate(addresses []netip.Addr, now time.Time) (*tls.Certificate, error) {
	const name = "lan.pem"
	text, err := s.read(name)
	if err != nil {
		return nil, err
	}
	if kept, err := tls.X509KeyPair(text, text); err == nil && stillGood(kept.Leaf, addresses, now) {
		return &kept, nil
	}
	made, err := makeCertificate(addresses, now, certificateLife)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	if text, err = joinPairs(made); err != nil {
		return nil, err
	}
	s.keep(name, text)
	return made, nil
}

func stillGood(leaf *x509.Certificate, addresses []netip.Addr, now time.Time) bool {
	if now.Before(leaf.NotBefore) || now.Add(certificateRenew).After(leaf.NotAfter) {
		return false
	}
	for _, address := range addresses {
		if leaf.VerifyHostname(address.String()) != nil {
			return false
		}
	}
	return true
}

// slowClocks is how far behind the clock of a device may be that is to accept a certificate made just now.
const slowClocks = time.Hour

// makeCertificate returns a certificate (ECDSA P-256, which browsers want where they go by its hash) that holds for life,
// slowClocks of it in the past.
func makeCertificate(addresses []netip.Addr, now time.Time, life time.Duration) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Tolkyn on this network"},
		NotBefore:    now.Add(-slowClocks),
		NotAfter:     now.Add(life - slowClocks),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		template.DNSNames = append(template.DNSNames, host, host+".local")
	}
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, address.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// splitPairs reads keys and certificates that stand one after another in one file, and leaves out what is no pair.
func splitPairs(text []byte) []*tls.Certificate {
	var pairs []*tls.Certificate
	const begin = "-----BEGIN PRIVATE KEY-----"
	for part := range bytes.SplitSeq(text, []byte(begin)) {
		part = slices.Concat([]byte(begin), part)
		if pair, err := tls.X509KeyPair(part, part); err == nil {
			pairs = append(pairs, &pair)
		}
	}
	return pairs
}

// joinPairs is what splitPairs reads: PKCS #8 and X.509 in PEM.
func joinPairs(pairs ...*tls.Certificate) ([]byte, error) {
	var text bytes.Buffer
	for _, pair := range pairs {
		secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("encode a key: %w", err)
		}
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Leaf.Raw}))
	}
	return text.Bytes(), nil
}
