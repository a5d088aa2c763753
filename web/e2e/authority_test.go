package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority is a certificate authority, and a certificate that it gave.
type authority struct{ caFile, certificateFile, keyFile string }

var sharedAuthority shared[*authority]

// testAuthority is the one that the Firefox of all tests trusts. Its certificate is for localhost: Firefox dials TURN over TLS by
// name alone.
func testAuthority(t testing.TB) *authority {
	t.Helper()
	return sharedAuthority.get(t, func(t testing.TB) *authority { return newAuthority(t, "localhost") })
}

// newAuthority has a certificate for these names and for 127.0.0.1.
func newAuthority(t testing.TB, names ...string) *authority {
	t.Helper()
	dir := t.TempDir()
	a := &authority{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")}
	write := func(file, kind string, der []byte) {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	sign := func(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		require.NoError(t, err)
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return key
	}
	caKey, key := newKey(), newKey()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca.Subject.CommonName = "Tolkyn's tests"
	write(a.caFile, "CERTIFICATE", sign(ca, ca, caKey, caKey))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	write(a.certificateFile, "CERTIFICATE", sign(leaf, ca, key, caKey))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write(a.keyFile, "PRIVATE KEY", der)
	return a
}

// trustIn has a browser trust the authority: dir is a profile of Firefox's, or what home makes for Chromium.
func (a *authority) trustIn(t testing.TB, dir string) {
	t.Helper()
	certutil := findProgram(t, "libnss3-tools", "certutil")
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		{"-A", "-n", "tests", "-t", "C,,", "-i", a.caFile},
	} {
		out, err := exec.Command(certutil, append(args, "-d", "sql:"+dir)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// home is a home directory for a Chromium that trusts the authority.
func (a *authority) home(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{".pki/nssdb", ".local/share/pki/nssdb"} { // where it looked, and where it looks
		dir = filepath.Join(home, dir)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		a.trustIn(t, dir)
	}
	return home
}

// settings is a file of configuration that names the certificate, and for the relay a host that it is good for.
func (a *authority) settings(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tolkyn.yaml")
	require.NoError(t, os.WriteFile(file, []byte("http:\n  certificate_file: "+a.certificateFile+"\n  key_file: "+a.keyFile+"\nturn:\n  host: localhost\n"), 0o600))
	return file
}
