//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/stun/v4"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// shape is what a caller offers.
type shape struct {
	sendAudio, sendVideo   bool
	audioSlots, videoSlots int
}

// caller is one synthetic client: a session, a socket, keys.
type caller struct {
	peerID string
	ssrcA  uint32
	ssrcV  uint32

	ws     *websocket.Conn
	cancel context.CancelFunc
	sock   udp.Socket
	server netip.AddrPort
	user   string // STUN username towards the server
	remote stun.MessageIntegrity
	local  stun.MessageIntegrity

	next   seq.Extended // number of the next packet sent, for those that send one by one
	opener *srtp.Opener
	sealer *srtp.Sealer
	dtls   *dtls.Conn
	tunnel *tunnel
	pumped chan struct{}
}

// dial joins a room and returns once keys are agreed. The socket is the poller's from then on.
func dial(ctx context.Context, base, room, identity string, s shape) (*caller, error) {
	c := &caller{}
	token, err := devToken(ctx, base, room, identity)
	if err != nil {
		return nil, err
	}
	cert, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return nil, err
	}
	print, err := fingerprint.Fingerprint(cert.Leaf, crypto256)
	if err != nil {
		return nil, err
	}
	ufrag, pwd := random(4), random(16)
	c.ssrcA, c.ssrcV = randomSSRC(), randomSSRC()
	answer, err := c.join(ctx, base, token, offer(s, ufrag, pwd, print, c.ssrcA, c.ssrcV), s)
	if err != nil {
		return nil, err
	}
	remoteUfrag, remotePwd, server, err := parseAnswer(answer)
	if err != nil {
		return nil, err
	}
	c.server = server
	c.user = remoteUfrag + ":" + ufrag
	c.remote, c.local = stun.NewShortTermIntegrity(remotePwd), stun.NewShortTermIntegrity(pwd)
	if c.sock, err = udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{DisableGRO: true}); err != nil {
		return nil, err
	}
	if err := c.handshake(ctx, cert); err != nil {
		return nil, fmt.Errorf("handshake of %s: %w", identity, err)
	}
	return c, nil
}

func (c *caller) close() {
	if c.ws != nil {
		c.cancel()
		c.ws.CloseNow()
	}
	if c.dtls != nil {
		c.tunnel.Close()
		c.dtls.Close()
	}
	if c.sock != nil {
		c.sock.Close()
	}
}

func devToken(ctx context.Context, base, room, identity string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/dev-token?room="+url.QueryEscape(room)+"&identity="+url.QueryEscape(identity), nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var got struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Token == "" {
		return "", fmt.Errorf("get a development token: status %s: %w", res.Status, err)
	}
	return got.Token, nil
}

// join opens the session and returns the answer. Events are read and dropped from then on.
func (c *caller) join(ctx context.Context, base, token, sdp string, s shape) (string, error) {
	ws, _, err := websocket.Dial(ctx, strings.Replace(base, "http", "ws", 1)+"/v1/ws", &websocket.DialOptions{Subprotocols: []string{"tolkyn"}})
	if err != nil {
		return "", err
	}
	ws.SetReadLimit(1 << 20)
	c.ws = ws
	var alive context.Context
	alive, c.cancel = context.WithCancel(context.Background())
	if err := c.write(ctx, &wire.ClientFrame{Id: 1, Message: &wire.ClientFrame_Hello{Hello: &wire.Hello{Token: token, Client: "fanout"}}}); err != nil {
		return "", err
	}
	if f, err := c.read(ctx); err != nil || f.GetWelcome() == nil {
		return "", fmt.Errorf("hello: %v: %w", f, err)
	}
	o, err := wire.Offer(sdp)
	if err != nil {
		return "", err
	}
	j := &wire.Join{Name: "fanout", Offer: o}
	if s.sendAudio {
		j.Tracks = append(j.Tracks, &wire.Track{TrackId: "mic", Kind: wire.Track_AUDIO, Source: wire.Track_MICROPHONE, Mid: "a"})
	}
	if s.sendVideo {
		j.Tracks = append(j.Tracks, &wire.Track{TrackId: "cam", Kind: wire.Track_VIDEO, Source: wire.Track_CAMERA, Mid: "v"})
	}
	if err := c.write(ctx, &wire.ClientFrame{Id: 2, Message: &wire.ClientFrame_Join{Join: j}}); err != nil {
		return "", err
	}
	for {
		f, err := c.read(ctx)
		if err != nil {
			return "", fmt.Errorf("join: %w", err)
		}
		if e := f.GetError(); e != nil {
			return "", fmt.Errorf("join: %s: %s", e.Code, e.Message)
		}
		if joined := f.GetJoined(); joined != nil {
			c.peerID = joined.PeerId
			go func() {
				for {
					if _, _, err := ws.Read(alive); err != nil {
						return
					}
				}
			}()
			return joined.Answer.Inflate()
		}
	}
}

func (c *caller) write(ctx context.Context, f *wire.ClientFrame) error {
	b, err := wire.Binary.EncodeClient(f)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageBinary, b)
}

func (c *caller) read(ctx context.Context) (*wire.ServerFrame, error) {
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	return wire.Binary.DecodeServer(b)
}

// handshake checks the path, then runs DTLS over it. It owns the socket until keys are agreed.
func (c *caller) handshake(ctx context.Context, cert tlsCertificate) error {
	c.tunnel = &tunnel{c: c, in: make(chan []byte, 64), done: make(chan struct{})}
	c.pumped = make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	checked := make(chan struct{})
	go c.pump(ctx, sync.OnceFunc(func() { close(checked) }))
	for answered := false; !answered; {
		c.check()
		select {
		case <-checked:
			answered = true
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			cancel()
			return errors.New("no answer to connectivity checks")
		}
	}
	conn, err := dtls.ClientWithOptions(c.tunnel, net.UDPAddrFromAddrPort(c.server),
		dtls.WithCertificates(cert),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithFlightInterval(200*time.Millisecond),
	)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	cancel()
	c.sock.Wake()
	<-c.pumped
	if err != nil {
		return err
	}
	c.dtls = conn
	id, _ := conn.SelectedSRTPProtectionProfile()
	profile, ok := srtp.ProfileFromDTLS(uint16(id))
	state, ok2 := conn.ConnectionState()
	if !ok || !ok2 {
		return errors.New("no SRTP profile agreed")
	}
	material, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, profile.ExporterLen())
	if err != nil {
		return err
	}
	local, remote, err := srtp.KeysFromExporter(profile, material, false)
	if err != nil {
		return err
	}
	if c.sealer, err = srtp.NewSealer(local); err != nil {
		return err
	}
	c.opener, err = srtp.NewOpener(remote)
	return err
}

// pump reads the socket while the handshake runs.
func (c *caller) pump(ctx context.Context, checked func()) {
	defer close(c.pumped)
	b := udp.NewBatch()
	for ctx.Err() == nil {
		if err := c.sock.Wait(50 * time.Millisecond); err != nil {
			return
		}
		if _, err := c.sock.Read(b); err != nil {
			return
		}
		for i := range b.Len() {
			data, from := b.Datagram(i)
			switch packet.Classify(data) {
			case packet.STUN:
				if c.stun(data, from) {
					checked()
				}
			case packet.DTLS:
				select {
				case c.tunnel.in <- append([]byte(nil), data...):
				default:
				}
			}
		}
	}
}

// check sends one connectivity check that nominates the path; it doubles as consent (RFC 7675).
func (c *caller) check() {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.user),
		stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x7e, 0, 0, 0xff}}, c.remote, stun.Fingerprint)
	if err == nil {
		c.sock.WriteTo(m.Raw, c.server)
	}
}

// stun answers the server's checks; true when the message is an answer to one of ours.
func (c *caller) stun(b []byte, from netip.AddrPort) bool {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return false
	}
	if m.Type == stun.BindingSuccess {
		return true
	}
	if m.Type == stun.BindingRequest {
		answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, c.local, stun.Fingerprint)
		if err == nil {
			c.sock.WriteTo(answer.Raw, from)
		}
	}
	return false
}

// tunnel is the net.PacketConn that DTLS sees.
type tunnel struct {
	c    *caller
	in   chan []byte
	done chan struct{}
	once sync.Once
}

func (t *tunnel) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-t.in:
		return copy(b, p), net.UDPAddrFromAddrPort(t.c.server), nil
	case <-t.done:
		return 0, nil, net.ErrClosed
	}
}

func (t *tunnel) WriteTo(b []byte, _ net.Addr) (int, error) {
	return t.c.sock.WriteTo(b, t.c.server)
}

func (t *tunnel) Close() error {
	t.once.Do(func() { close(t.done) })
	return nil
}

func (t *tunnel) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(t.c.sock.LocalAddr()) }

func (t *tunnel) SetDeadline(time.Time) error { return nil }

func (t *tunnel) SetReadDeadline(time.Time) error { return nil }

func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func randomSSRC() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) | 1
}
