//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/server"
)

const (
	user     = "bench"
	password = "a-password-of-the-bench"
	realm    = "turn"
)

// subject is a TURN server under test, on loopback.
type subject struct {
	pid           int
	port, tlsPort uint16
	lines         func() int // of the log so far; coturn's is not counted
	stop          func()
}

// pair is a certificate and its key, as files.
type pair struct{ certificate, key string }

// makeCertificate makes a certificate of our own for loopback; turnutils_uclient takes any.
func makeCertificate(dir string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return pair{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	p := pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	if err := os.WriteFile(p.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		return pair{}, err
	}
	return p, os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// startCoturn runs Debian's coturn with two relay threads, as many as it takes by itself on two cores, and peers on loopback
// allowed.
func startCoturn(dir string, p pair) (*subject, error) {
	port, tlsPort := freePort(), freePort()
	cmd := exec.Command("turnserver", "-n", "--log-file", "stdout", "--simple-log", "-L", "127.0.0.1", "-E", "127.0.0.1",
		"-p", fmt.Sprint(port), "--tls-listening-port", fmt.Sprint(tlsPort), "--lt-cred-mech", "-u", user+":"+password, "-r", realm,
		"--allow-loopback-peers", "--no-cli", "--no-dtls", "--min-port", "49152", "--max-port", "65535", "--cert", p.certificate, "--pkey", p.key,
		"--pidfile", filepath.Join(dir, "coturn.pid"))
	child, err := server.StartChild(cmd, (*exec.Cmd).Start, func(string) {})
	if err != nil {
		return nil, err
	}
	if err := awaitTCP(child, tlsPort); err != nil {
		return nil, err
	}
	return &subject{pid: child.PID(), port: port, tlsPort: tlsPort, stop: child.Stop}, nil
}

func awaitTCP(child *server.Child, port uint16) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var d net.Dialer
	if err := child.Await(ctx, d.DialContext, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		child.Stop()
		return err
	}
	return nil
}

// startPeer runs who answers what the relay sends.
func startPeer() (*server.Child, uint16, error) {
	port := freePort()
	child, err := server.StartChild(exec.Command("turnutils_peer", "-L", "127.0.0.1", "-p", fmt.Sprint(port)), (*exec.Cmd).Start, func(string) {})
	time.Sleep(200 * time.Millisecond) // it says nothing when it is there
	return child, port, err
}

// freePort is one that was free for UDP and TCP a moment ago, below those that relays take.
func freePort() uint16 {
	for {
		port := 20_000 + uint16(time.Now().UnixNano()/1000%20_000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		c, err := net.ListenPacket("udp", address)
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = c.Close()
		return port
	}
}

func coturnVersion() string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "coturn").Output()
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(out))
}
