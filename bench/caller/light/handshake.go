package light

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v4"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
)

const (
	// checkAgain is when an unanswered first check is sent again: above the round trip of most paths.
	checkAgain = 100 * time.Millisecond
	// flightAgain is when an unanswered DTLS flight is sent again. RFC 9147 §5.8.2 says 1 s; browsers use 50 ms and up.
	flightAgain = 200 * time.Millisecond
)

// path is the way to the server: checks that keep it open, both ways (RFC 8445, RFC 7675). It has a socket of its own, or a
// share of its loop's.
type path struct {
	socket       udp.Socket  // its own; nil: it shares
	shared       *udp.Shared // the loop's; nil: it does not
	local        netip.Addr  // its address on the shared socket
	server       netip.AddrPort
	user         string // STUN username towards the server
	remote, ours stun.MessageIntegrity
}

func (p *path) secure(own credentials, a answer) {
	p.server, p.user = a.server, a.ufrag+":"+own.ufrag
	p.remote, p.ours = stun.NewShortTermIntegrity(a.password), stun.NewShortTermIntegrity(own.password)
}

// write sends one datagram now. What the kernel refuses is counted by the socket, and everything sent so is sent again.
func (p *path) write(b []byte) (int, error) {
	if p.shared != nil {
		return p.shared.WriteFrom(b, p.local, p.server)
	}
	return p.socket.WriteTo(b, p.server)
}

// check sends one connectivity check that nominates the path; it doubles as consent. What the socket refuses the next check
// repeats.
func (p *path) check() {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(p.user),
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x7e, 0, 0, 0xff}}, p.remote, stun.Fingerprint)
	if err == nil {
		_, _ = p.write(m.Raw)
	}
}

// handle answers the server's checks; true when the message is an answer to one of ours.
func (p *path) handle(b []byte, from netip.AddrPort) bool {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return false
	}
	switch m.Type {
	case stun.BindingSuccess:
		return p.remote.Check(m) == nil
	case stun.BindingRequest:
		answer, err := stun.Build(m, stun.BindingSuccess,
			&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, p.ours, stun.Fingerprint)
		if err == nil && p.ours.Check(m) == nil {
			_, _ = p.write(answer.Raw)
		}
	}
	return false
}

// shake checks the path, then runs DTLS over it. Meanwhile it owns the path's own socket; a shared one is read by its loop.
func (d *device) shake(ctx context.Context, l *loop, certificate tls.Certificate) error {
	d.tunnel = &tunnel{path: &d.path, in: make(chan []byte, 64), done: make(chan struct{})}
	checked := make(chan struct{})
	d.answered = sync.OnceFunc(func() { close(checked) })
	if d.path.shared != nil {
		l.expect(d)
		conn, err := d.secure(ctx, certificate, checked)
		if err != nil {
			return err
		}
		d.dtls = conn
		return d.takeKeys()
	}
	alive, cancel := context.WithCancel(ctx)
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		d.pump(alive)
	}()
	conn, err := d.secure(ctx, certificate, checked)
	cancel()
	d.path.socket.Wake()
	<-pumped
	if err != nil {
		return err
	}
	d.dtls = conn
	return d.takeKeys()
}

func (d *device) secure(ctx context.Context, certificate tls.Certificate, checked <-chan struct{}) (*dtls.Conn, error) {
	again := time.NewTicker(checkAgain)
	defer again.Stop()
	for answered := false; !answered; {
		d.path.check()
		select {
		case <-checked:
			answered = true
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("no answer to connectivity checks from %v: is its UDP port open? %w", d.path.server, ctx.Err())
		}
	}
	d.done(measure.ICE)
	// When ctx ends HandshakeContext waits for its reader, which only the tunnel's end wakes.
	giveUp := context.AfterFunc(ctx, func() { d.tunnel.Close() })
	defer giveUp()
	conn, err := dtls.ClientWithOptions(d.tunnel, net.UDPAddrFromAddrPort(d.path.server),
		dtls.WithCertificates(certificate),
		dtls.WithInsecureSkipVerify(true), // the fingerprint in the answer vouches for a server; this one is under test, not attack
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithFlightInterval(flightAgain),
	)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		d.tunnel.Close()
		if conn != nil {
			_ = conn.Close()
		}
		return nil, fmt.Errorf("DTLS: %w", err)
	}
	d.done(measure.DTLS)
	return conn, nil
}

// takeKeys makes sealer and opener of what DTLS agreed on (RFC 5764).
func (d *device) takeKeys() error {
	id, _ := d.dtls.SelectedSRTPProtectionProfile()
	profile, known := srtp.ProfileFromDTLS(uint16(id))
	state, connected := d.dtls.ConnectionState()
	if !known || !connected {
		return errors.New("DTLS agreed on no SRTP profile")
	}
	material, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, profile.ExporterLen())
	if err != nil {
		return fmt.Errorf("export SRTP keys: %w", err)
	}
	local, remote, err := srtp.KeysFromExporter(profile, material, false)
	if err != nil {
		return err
	}
	d.overhead = profile.RTPOverhead()
	if d.sealer, err = srtp.NewSealer(local); err != nil {
		return err
	}
	d.opener, err = srtp.NewOpener(remote)
	return err
}

// pump reads the socket while the handshake runs.
func (d *device) pump(ctx context.Context) {
	b := udp.NewBatch()
	for ctx.Err() == nil {
		if d.path.socket.Wait(50*time.Millisecond) != nil {
			return
		}
		if _, err := d.path.socket.Read(b); err != nil {
			return
		}
		for i := range b.Len() {
			data, from := b.Datagram(i)
			d.greet(data, from)
		}
	}
}

// greet takes a datagram while hands are shaken.
func (d *device) greet(data []byte, from netip.AddrPort) {
	switch packet.Classify(data) {
	case packet.STUN:
		if d.path.handle(data, from) {
			d.answered()
		}
	case packet.DTLS:
		d.tunnel.put(data)
	}
}

// tunnel is the net.PacketConn that DTLS sees: records that somebody else read from the socket.
type tunnel struct {
	path *path
	in   chan []byte
	done chan struct{}
	once sync.Once
}

// put hands a record over; DTLS sends again what did not fit.
func (t *tunnel) put(record []byte) {
	select {
	case t.in <- append([]byte(nil), record...):
	default:
	}
}

func (t *tunnel) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-t.in:
		return copy(b, p), net.UDPAddrFromAddrPort(t.path.server), nil
	case <-t.done:
		return 0, nil, net.ErrClosed
	}
}

func (t *tunnel) WriteTo(b []byte, _ net.Addr) (int, error) {
	return t.path.write(b)
}

func (t *tunnel) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

func (t *tunnel) LocalAddr() net.Addr {
	if t.path.shared != nil {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(t.path.local, t.path.shared.LocalAddr().Port()))
	}
	return net.UDPAddrFromAddrPort(t.path.socket.LocalAddr())
}

// Deadlines end nothing here: Close does.
func (t *tunnel) SetDeadline(time.Time) error      { return nil }
func (t *tunnel) SetReadDeadline(time.Time) error  { return nil }
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }
