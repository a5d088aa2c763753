package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/stun/v4"
)

// Verdict of a Finding.
type Verdict uint8

// The verdicts.
const (
	Good    Verdict = iota
	Unknown         // could not be tried
	Doubtful
	Bad
)

// String is what stands before a line.
func (v Verdict) String() string { return [...]string{"ok", "-", "warn", "FAIL"}[min(v, Bad)] }

// Finding is what one test has found.
type Finding struct {
	Verdict Verdict
	About   string
	Found   string
	Fix     string // what mends it; empty where nothing is to be mended
}

// Credentials to try.
type Credentials struct {
	User, Password string
	// Expired, unless its User is empty, was right once and must be refused now.
	Expired struct{ User, Password string }
}

// Config of Examine.
type Config struct {
	URL         *stun.URI
	Credentials Credentials
	Trust       *tls.Config    // of turns:; nil takes the system's authorities
	Within      time.Duration  // for each answer; 3 s when 0
	Peer        netip.AddrPort // answers what the relay brings: a STUN server or an echo. Invalid: a socket of ours is tried
	Allowed     []netip.Prefix // reserved networks that clients are meant to reach
	// Call, if set, makes a call through this URL alone and says how long its media took to come.
	Call func(ctx context.Context, url string) (time.Duration, error)
}

// Examine tests one way to a relay. It returns what it found, in the order in which it looked.
func Examine(ctx context.Context, cfg Config) []Finding {
	if cfg.Within == 0 {
		cfg.Within = 3 * time.Second
	}
	e := &examination{Config: cfg, ctx: ctx}
	e.all()
	return e.found
}

type examination struct {
	Config

	ctx   context.Context
	found []Finding
}

func (e *examination) note(v Verdict, about, fix, format string, args ...any) {
	e.found = append(e.found, Finding{Verdict: v, About: about, Found: fmt.Sprintf(format, args...), Fix: fix})
}

func (e *examination) all() {
	mapped, ok := e.reach()
	if !ok || !e.credentials() {
		return
	}
	e.relay(mapped)
	e.loops()
	e.ranges()
	if e.Call == nil {
		return
	}
	took, err := e.Call(e.ctx, e.URL.String())
	if err != nil {
		e.note(Bad, "call", "the relay must reach the SFU's media addresses (turn.allow where it is another process; media.advertise there)",
			"a call through it alone brings no media: %v", err)
		return
	}
	e.note(Good, "call", "", "media comes through it alone, %s after the join", milliseconds(took))
}

// dial opens the way, with our credentials.
func (e *examination) dial() (*Client, error) {
	c, err := Dial(e.ctx, e.URL, e.Trust, e.Within)
	if err == nil {
		c.User, c.Password = e.Credentials.User, e.Credentials.Password
	}
	return c, err
}

// reach opens the way and asks for our address.
func (e *examination) reach() (netip.AddrPort, bool) {
	start := time.Now()
	c, err := e.dial()
	if err != nil {
		e.note(Bad, "reach", e.fixReach(err), "%v", err)
		return netip.AddrPort{}, false
	}
	defer func() { _ = c.Close() }() // nothing is lost with it
	opened := time.Since(start)
	start = time.Now()
	mapped, err := c.Binding()
	switch {
	case errors.Is(err, ErrSilent) || errors.Is(err, io.EOF):
		e.note(Bad, "reach", e.fixReach(err), "a Binding request is not answered (%v)", err)
		return mapped, false
	case err != nil:
		e.note(Bad, "reach", "another service listens there: look at its address and port", "what answers is no STUN server: %v", err)
		return mapped, false
	}
	trip := milliseconds(time.Since(start))
	if e.URL.Proto == stun.ProtoTypeTCP {
		trip += ", opened in " + milliseconds(opened)
	}
	e.note(Good, "reach", "", "answers in %s, sees us as %v", trip, mapped)
	return mapped, true
}

// fixReach says what hinders, as far as the error tells.
func (e *examination) fixReach(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	at := net.JoinHostPort(e.URL.Host, fmt.Sprint(e.URL.Port))
	switch {
	case errors.As(err, &dns):
		return "give " + e.URL.Host + " an A or AAAA record, or name the relay by another host (turn.host)"
	case errors.As(err, &unknown):
		return "browsers trust no certificate of an authority of your own: take one of a public authority, with its whole chain; to test all the same: --ca FILE"
	case errors.As(err, &name):
		return "the certificate must hold for " + e.URL.Host + ": ask for one with this name, or tell clients another (turn.host)"
	case errors.As(err, &invalid):
		return "renew the certificate, and look at the clocks of both machines"
	case e.URL.Proto == stun.ProtoTypeUDP:
		return "let UDP to " + at + " through: firewall, security group, address translation; and see that the relay listens there"
	}
	return "let TCP to " + at + " through: firewall, security group, load balancer; and see that the relay listens there"
}

// credentials tries none, wrong ones and the right ones.
func (e *examination) credentials() bool {
	c, err := e.dial()
	if err != nil {
		e.note(Bad, "credentials", e.fixReach(err), "%v", err)
		return false
	}
	defer func() { _ = c.Close() }()
	if err := c.Challenge(); err != nil {
		fix := "this is an open relay: configure users or a secret, at once"
		if errors.As(err, new(*Refusal)) {
			fix = "the relay draws no new clients (300: it drains), or is no TURN server"
		}
		e.note(Bad, "credentials", fix, "without credentials an Allocate is not answered 401 with a challenge: %v", err)
		return false
	}
	if over := c.Overhead(); !c.stream && over > 1.5 {
		e.note(Doubtful, "reflection", "a shorter realm (4 characters or fewer here); coturn: a release that shortens its nonces",
			"to a stranger's Allocate %.2f times as many bytes are answered: who forges addresses makes floods of that", over)
	}
	for _, wrong := range []struct{ what, user, password string }{
		{"a wrong password", e.Credentials.User, "not " + e.Credentials.Password},
		{"an unknown user", "nobody-of-this-name", e.Credentials.Password},
		{"an expired credential", e.Credentials.Expired.User, e.Credentials.Expired.Password},
	} {
		if wrong.user == "" {
			continue
		}
		if err := e.allocateAs(wrong.user, wrong.password); err == nil {
			e.note(Bad, "credentials", "look at how the relay checks credentials: this must be 401", "%s is taken", wrong.what)
			return false
		} else if refused := new(Refusal); errors.As(err, &refused) && refused.Code != 401 {
			e.note(Doubtful, "credentials", "RFC 8489 section 9.2.4 wants 401 here: clients may not ask again", "%s is refused with %v", wrong.what, err)
		} else if !errors.As(err, &refused) {
			e.note(Bad, "credentials", "an answer of 401 was due", "%s: %v", wrong.what, err)
			return false
		}
	}
	if err := e.allocateAs(e.Credentials.User, e.Credentials.Password); err != nil {
		e.note(Bad, "credentials", e.fixAllocate(err), "the right credentials are refused: %v", err)
		return false
	}
	e.note(Good, "credentials", "", "none, a wrong password and an unknown user are refused, ours are taken")
	return true
}

func (e *examination) fixAllocate(err error) string {
	var refused *Refusal
	if !errors.As(err, &refused) {
		return e.fixReach(err)
	}
	switch refused.Code {
	case 401:
		return "user, password or secret are not those of the relay, the realm differs, or a credential has run out: compare the clocks"
	case 300:
		return "the relay drains and names another; when it is to serve again, start it"
	case 486:
		return "a quota is reached: turn.allocations* here, user-quota and total-quota of coturn"
	case 508:
		return "no relay port is free: widen turn.relay_ports (min-port, max-port), open more descriptors (ulimit -n)"
	}
	return "the relay says why"
}

// allocateAs allocates once, and releases.
func (e *examination) allocateAs(user, password string) error {
	c, err := e.dial()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	c.User, c.Password = user, password
	if _, err = c.Allocate(false); err == nil {
		err = c.Release()
	}
	return err
}

// allocation is a client that holds one.
func (e *examination) allocation(ipv6 bool) (*Client, netip.AddrPort, error) {
	c, err := e.dial()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	relayed, err := c.Allocate(ipv6)
	if err != nil {
		_ = c.Close()
		return nil, relayed, err
	}
	return c, relayed, nil
}

func release(c *Client) {
	_ = c.Release() // it runs out by itself
	_ = c.Close()
}

// relay sends through it and back.
func (e *examination) relay(mapped netip.AddrPort) {
	c, relayed, err := e.allocation(false)
	if err != nil {
		e.note(Bad, "relay", e.fixAllocate(err), "%v", err)
		return
	}
	defer release(c)
	if remote := c.Remote().Addr(); relayed.Addr().IsPrivate() && !remote.IsPrivate() && !remote.IsLoopback() {
		e.note(Bad, "relay", "name the public address: turn.relay_addresses here, external-ip of coturn",
			"the relayed address %v is private, but the relay is reached at %v: no peer can answer to it", relayed, remote)
		return
	}
	peer, own := e.Peer, (*net.UDPConn)(nil)
	if !peer.IsValid() {
		if own, err = echo(mapped.Addr()); err != nil {
			e.note(Unknown, "relay", "", "not tried: %v", err)
			return
		}
		defer func() { _ = own.Close() }()
		at := own.LocalAddr().(*net.UDPAddr).AddrPort()
		peer = netip.AddrPortFrom(mapped.Addr(), at.Port())
	}
	if err = c.Bind(firstChannel, peer); err != nil {
		if refused := new(Refusal); own != nil && errors.As(err, &refused) && refused.Code == 403 {
			found := "%v, this machine, is refused as a peer, as it should be"
			if e.Call == nil {
				found += "; name a peer that clients may reach with --peer, or test by the page's address, which makes a call"
			}
			e.note(Unknown, "relay", "", found, peer)
			return
		}
		e.note(Bad, "relay", "let clients reach this peer: turn.allow here, allowed-peer-ip of coturn", "%v is refused as a peer: %v", peer, err)
		return
	}
	took, err := c.roundTrip(peer, e.Within)
	switch {
	case err == nil:
		e.note(Good, "relay", "", "%v and back in %s, from %v", peer, milliseconds(took), relayed)
	case own != nil:
		e.note(Unknown, "relay", "", "%v is let through, but nothing came back: this machine may be behind an address translation; try --peer", peer)
	default:
		e.note(Bad, "relay", "let UDP between the relay's ports (turn.relay_ports; min-port to max-port) and "+peer.String()+" through, both ways",
			"%v does not answer through the relay: %v", peer, err)
	}
}

// echo answers whatever comes with the same, on a port of this machine.
func echo(local netip.Addr) (*net.UDPConn, error) {
	network := "udp4"
	if local.Is6() {
		network = "udp6"
	}
	// Not one that is taken for a relayed address: those from 49152 on.
	var socket *net.UDPConn
	var err error
	for range 100 {
		if socket, err = net.ListenUDP(network, &net.UDPAddr{Port: 16384 + rand.IntN(16384)}); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	go func() {
		b := make([]byte, maxMessage)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(b[:n], from) // sent again when it is lost
		}
	}()
	return socket, nil
}

// roundTrip asks a peer through the relay until something comes back. What it sends is a Binding request: STUN servers answer
// it, echoes return it.
func (c *Client) roundTrip(peer netip.AddrPort, within time.Duration) (time.Duration, error) {
	question, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for wait := firstWait; time.Since(start) < within; wait *= 2 {
		if err := c.Send(peer, question.Raw); err != nil {
			return 0, err
		}
		switch _, err := c.Receive(time.Now().Add(wait)); {
		case err == nil:
			return time.Since(start), nil
		case !errors.Is(err, ErrSilent):
			return 0, err
		}
	}
	return 0, ErrSilent
}

// loops tries what would turn the relay against itself.
func (e *examination) loops() {
	c, relayed, err := e.allocation(false)
	if err != nil {
		e.note(Bad, "loops", e.fixAllocate(err), "%v", err)
		return
	}
	defer release(c)
	var open []string
	for i, peer := range []netip.AddrPort{relayed, c.Remote()} {
		if peer.Addr().Is4() && c.Bind(firstChannel+uint16(i), peer) == nil {
			open = append(open, peer.String())
		}
	}
	if len(open) == 0 {
		e.note(Good, "loops", "", "its own addresses are refused as peers")
		return
	}
	e.note(Doubtful, "loops", "deny the relay's own addresses: denied-peer-ip of coturn", "clients may have it send to itself: %s", strings.Join(open, ", "))
}

// firstChannel of those that a client may bind (RFC 8656 section 12).
const firstChannel = 0x4000

// ranges tries reserved addresses as peers. It binds channels: permissions are for all ports of an address, and the SFU's must be
// permitted wherever it is.
func (e *examination) ranges() {
	var open, tried []string
	for _, ipv6 := range []bool{false, true} {
		c, _, err := e.allocation(ipv6)
		if refused := new(Refusal); ipv6 && errors.As(err, &refused) {
			// None of IPv6. Its addresses may be tried all the same: a relay may take a mapped one for IPv4.
			c, _, err = e.allocation(false)
		}
		if err != nil {
			e.note(Bad, "ranges", e.fixAllocate(err), "%v", err)
			return
		}
		networks, addresses := probes(ipv6)
		for i, address := range addresses {
			if slices.ContainsFunc(e.Allowed, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) }) {
				continue
			}
			tried = append(tried, networks[i])
			err := c.Bind(firstChannel+uint16(i), netip.AddrPortFrom(address, 9))
			refused := new(Refusal)
			switch {
			case err == nil:
				open = append(open, fmt.Sprintf("%s (%v)", networks[i], address))
			case !errors.As(err, &refused):
				release(c)
				e.note(Bad, "ranges", "requests are to be answered with 403", "%v as a peer: %v", address, err)
				return
			}
		}
		release(c)
	}
	if len(open) == 0 {
		e.note(Good, "ranges", "", "all of %d reserved addresses are refused as peers", len(tried))
		return
	}
	e.note(Bad, "ranges", "take them out of turn.allow here; coturn: denied-peer-ip for each of them, and a release of 2026 or later",
		"%d of %d reserved networks can be reached by clients: %s", len(open), len(tried), strings.Join(open, ", "))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
