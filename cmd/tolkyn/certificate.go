package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

const (
	// certificateLife: browsers refuse certificates that hold longer than 398 days.
	certificateLife = 397 * 24 * time.Hour
	// certificateRenew: a certificate that ends soon is made anew at the start rather than during a call.
	certificateRenew = 30 * 24 * time.Hour
)

// serverCertificate returns the certificate of tls_listen: the configured one, or the self-made one for addresses.
func serverCertificate(c config.Config, addresses []netip.Addr, now time.Time) (tls.Certificate, error) {
	if c.HTTP.CertificateFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.HTTP.CertificateFile, c.HTTP.KeyFile)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("http.certificate_file, http.key_file: %w", err)
		}
		return certificate, nil
	}
	dir, err := stateDir(c.LAN.StateDir)
	if err != nil {
		return tls.Certificate{}, err
	}
	return keptCertificate(filepath.Join(dir, "lan.pem"), addresses, now)
}

// stateDir is where the self-made certificate is kept (XDG Base Directory Specification).
func stateDir(asked string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "tolkyn"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("lan.state_dir: no place to keep the self-made certificate: %w; name one with --state", err)
	}
	return filepath.Join(home, ".local", "state", "tolkyn"), nil
}

// keptCertificate returns the certificate in file while it is good for the addresses, so that a device which accepted it
// once is not asked again; otherwise it makes one and keeps it there.
func keptCertificate(file string, addresses []netip.Addr, now time.Time) (tls.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, fmt.Errorf("read the self-made certificate: %w; name another directory with --state", err)
	}
	if err == nil {
		kept, err := tls.X509KeyPair(text, text)
		if err == nil && stillGood(kept.Leaf, addresses, now) {
			return kept, nil
		}
	}
	text, err = makeCertificate(addresses, now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	if err := writeSecret(file, text); err != nil {
		return tls.Certificate{}, fmt.Errorf("keep the self-made certificate: %w; name another directory with --state", err)
	}
	return tls.X509KeyPair(text, text)
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

// makeCertificate returns key and certificate in PEM.
func makeCertificate(addresses []netip.Addr, now time.Time) ([]byte, error) {
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
		NotBefore:    now.Add(-time.Hour), // Devices whose clocks are slow.
		NotAfter:     now.Add(certificateLife),
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
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	), nil
}

// writeSecret puts a file in its place whole, readable by its owner alone.
func writeSecret(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".new-*") // CreateTemp gives 0600.
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}
