//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/server"
)

// The server's ports. Its namespace has no others in it.
const (
	httpPort  = 8080
	tlsPort   = 8443 // TCP: WSS, UDP: QUIC and WebTransport
	mediaPort = 7882
	adminPort = 9090
	barePort  = 9443
)

// roundTrip of the links.
const roundTrip = 100 * time.Millisecond

// loopback is the server in its own namespace.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// certificate is what all servers of a run show, and what all clients trust.
type certificate struct {
	Chain, Key string // files
}

func makeCertificate(dir string) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(9 * 24 * time.Hour),
		IPAddresses:           []net.IP{netem.ServerAddr.AsSlice(), netem.ServerAddr6.AsSlice(), loopback.AsSlice()},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return certificate{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certificate{}, err
	}
	c := certificate{Chain: filepath.Join(dir, "chain.pem"), Key: filepath.Join(dir, "key.pem")}
	return c, errors.Join(
		os.WriteFile(c.Chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// trust is a client's TLS configuration.
func (c certificate) trust() (*tls.Config, error) {
	chain, err := os.ReadFile(c.Chain)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(chain) {
		return nil, fmt.Errorf("%s holds no certificate", c.Chain)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, nil
}

// secret signs tokens, for the server and for the clients of a run.
const secret = "a secret of no worth: it opens the bench's own server"

// token lets one identity into a room.
func token(identity string) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": identity, "tenant": "bench", "room": "bench", "publish": true, "subscribe": true,
		"iat": time.Now().Unix(), "exp": time.Now().Add(9 * time.Minute).Unix(),
	})
	t.Header["kid"] = "bench"
	return t.SignedString([]byte(secret))
}

// configure writes the server's configuration: its defaults, but for addresses and keys.
func (b *bench) configure(host netip.Addr) (string, error) {
	at := func(port uint16) string { return netip.AddrPortFrom(host, port).String() }
	config := map[string]any{
		"http": map[string]any{
			"listen": at(httpPort), "tls_listen": at(tlsPort),
			"certificate_file": b.certificate.Chain, "key_file": b.certificate.Key,
		},
		"quic":      map[string]any{"listen": at(tlsPort)},
		"media":     map[string]any{"listen": at(mediaPort)},
		"admin":     map[string]any{"listen": at(adminPort), "pprof": true},
		"signaling": map[string]any{"keys": []any{map[string]any{"id": "bench", "algorithm": "HS256", "secret": secret}}},
		"limits":    map[string]any{"frames_per_second": 1_000_000}, // it is not what is measured
		"state_dir": filepath.Join(b.dir, "state"),
	}
	text, err := json.Marshal(config) // JSON is YAML
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "tolkyn.yaml")
	return path, os.WriteFile(path, text, 0o600)
}

// serve starts tolkyn at an address of the server's namespace.
func (b *bench) serve(network *netem.Network, host netip.Addr) (*server.Tolkyn, error) {
	config, err := b.configure(host)
	if err != nil {
		return nil, err
	}
	return server.Start(b.binary, func(cmd *exec.Cmd) error { return network.Start(netem.Server, cmd) }, "--config", config)
}

// admin is a client of what stands at the server's loopback.
func admin(network *netem.Network) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, kind, address string) (net.Conn, error) {
			return network.Dial(ctx, netem.Server, kind, address)
		},
	}}
}

// child is another process of this program at work in a namespace.
type child struct {
	cmd     *exec.Cmd
	tell    io.WriteCloser
	answers *json.Decoder
}

// start runs a job in a side's namespace.
func start(network *netem.Network, side netem.Side, j job) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self)}
	// quic-go warns of sockets whose buffer it cannot see; here they are meant to be deaf.
	c.cmd.Env = append(os.Environ(), jobEnv+"="+string(spec), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true")
	c.cmd.Stderr = os.Stderr
	if c.tell, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.answers = json.NewDecoder(answers)
	return c, network.Start(side, c.cmd)
}

// answer takes the job's next answer.
func (c *child) answer(into any) error {
	if err := c.answers.Decode(into); err != nil {
		return errors.Join(fmt.Errorf("a %s process ended early: %w", c.cmd.Args[0], err), c.cmd.Wait())
	}
	return nil
}

// ask sends a command and takes its answer.
func (c *child) ask(command string, into any) error {
	if _, err := io.WriteString(c.tell, command+"\n"); err != nil {
		return err
	}
	return c.answer(into)
}

// end lets the job end and waits for it. A second call does nothing.
func (c *child) end() {
	// Errors mean that it has ended already.
	_ = c.tell.Close()
	_ = c.cmd.Wait()
}

const jobEnv = "TOLKYN_SIGNALING_JOB"

// job is what a process of its own does. It answers with JSON values on its standard output and takes commands, one a
// line, from its standard input; their end ends it.
type job struct {
	Bare     *bareJob     `json:"bare,omitempty"`
	Dial     *dialing     `json:"dial,omitempty"`
	Sessions *sessionsJob `json:"sessions,omitempty"`
	Watch    *watchJob    `json:"watch,omitempty"`
}

func (j job) run() error {
	answers, commands := json.NewEncoder(os.Stdout), bufio.NewScanner(os.Stdin)
	switch {
	case j.Bare != nil:
		return j.Bare.run(answers, commands)
	case j.Dial != nil:
		return j.Dial.run(answers)
	case j.Sessions != nil:
		return j.Sessions.run(answers, commands)
	case j.Watch != nil:
		return j.Watch.run(answers, commands)
	}
	return errors.New("an empty job")
}
