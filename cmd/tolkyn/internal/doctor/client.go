package doctor

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/pion/stun/v4"
)

const (
	firstWait  = 250 * time.Millisecond // before a request over UDP is sent again; then twice that, and so on
	maxMessage = 64 << 10               // bytes
)

// ErrSilent: nothing was answered in time.
var ErrSilent = errors.New("no answer")

// Refusal is an error response of the relay.
type Refusal struct {
	Code   int // RFC 8489 section 14.8, RFC 8656 section 19
	Reason string
}

// Error has both.
func (r *Refusal) Error() string {
	if r.Reason == "" {
		return strconv.Itoa(r.Code)
	}
	return fmt.Sprintf("%d %q", r.Code, r.Reason)
}

// Client speaks to one relay from one address, for one allocation. Not safe from several goroutines.
type Client struct {
	User, Password string

	conn   net.Conn
	stream bool
	within time.Duration // for each answer
	realm  string
	nonce  string
	data   []Datagram // that came while something else was waited for

	sent, received int // bytes of the newest request and its answer, IP and UDP headers included
}

// Datagram is what a peer has sent.
type Datagram struct {
	Peer netip.AddrPort
	Data []byte
}

// Dial opens the way that a URL names (RFC 7065). trust is for turns: URLs, nil takes the system's.
func Dial(ctx context.Context, uri *stun.URI, trust *tls.Config, within time.Duration) (*Client, error) {
	c := &Client{stream: uri.Proto == stun.ProtoTypeTCP, within: within}
	network := "udp"
	if c.stream {
		network = "tcp"
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)))
	if err != nil {
		return nil, err
	}
	c.conn = conn
	if !uri.IsSecure() {
		return c, nil
	}
	if !c.stream {
		return nil, errors.Join(errors.New("TURN over DTLS is none of what browsers do"), conn.Close())
	}
	settings := trust.Clone()
	if settings == nil {
		settings = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	settings.ServerName = uri.Host
	secure := tls.Client(conn, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.conn = secure
	return c, nil
}

// Close ends the way; the relay lets an allocation over UDP run out unless Release was called.
func (c *Client) Close() error { return c.conn.Close() }

// Remote is the relay's address.
func (c *Client) Remote() netip.AddrPort {
	at, _ := netip.ParseAddrPort(c.conn.RemoteAddr().String()) // of TCP and UDP both
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Binding asks under which address the relay sees us.
func (c *Client) Binding() (netip.AddrPort, error) {
	answer, err := c.ask(stun.MethodBinding, false)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(answer); err != nil {
		return netip.AddrPort{}, err
	}
	return addrPort(mapped.IP, mapped.Port), nil
}

// Challenge sends an Allocate without credentials, and takes realm and nonce from the refusal. Any other answer is an error.
func (c *Client) Challenge() error {
	answer, err := c.ask(stun.MethodAllocate, false, requestedTransport{})
	var refused *Refusal
	if !errors.As(err, &refused) {
		if err == nil {
			err = errors.New("an Allocate without credentials was granted")
		}
		return err
	}
	if refused.Code != int(stun.CodeUnauthorized) {
		return refused
	}
	return c.challenged(answer)
}

func (c *Client) challenged(answer *stun.Message) error {
	var realm stun.Realm
	var nonce stun.Nonce
	if err := errors.Join(realm.GetFrom(answer), nonce.GetFrom(answer)); err != nil {
		return fmt.Errorf("the challenge lacks REALM or NONCE: %w", err)
	}
	c.realm, c.nonce = realm.String(), nonce.String()
	return nil
}

// Allocate asks for a relayed address of a family. Refusals are *Refusal.
func (c *Client) Allocate(ipv6 bool) (netip.AddrPort, error) {
	with := []stun.Setter{requestedTransport{}}
	if ipv6 {
		with = append(with, family(2))
	}
	answer, err := c.ask(stun.MethodAllocate, true, with...)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(answer, stun.AttrXORRelayedAddress); err != nil {
		return netip.AddrPort{}, fmt.Errorf("XOR-RELAYED-ADDRESS: %w", err)
	}
	return addrPort(relayed.IP, relayed.Port), nil
}

// Permit lets a peer's packets in. Refusals are *Refusal: 403 where it is denied.
func (c *Client) Permit(peer netip.AddrPort) error {
	_, err := c.ask(stun.MethodCreatePermission, true, peerAddress(peer))
	return err
}

// Bind names a peer by a channel, 0x4000 to 0x4FFF.
func (c *Client) Bind(channel uint16, peer netip.AddrPort) error {
	_, err := c.ask(stun.MethodChannelBind, true, channelNumber(channel), peerAddress(peer))
	return err
}

// Release ends the allocation.
func (c *Client) Release() error {
	_, err := c.ask(stun.MethodRefresh, true, lifetime(0))
	return err
}

// Send sends to a peer in an indication.
func (c *Client) Send(peer netip.AddrPort, data []byte) error {
	m, err := stun.Build(stun.NewType(stun.MethodSend, stun.ClassIndication), stun.TransactionID, peerAddress(peer), dataAttribute(data))
	if err != nil {
		return err
	}
	_, err = c.conn.Write(m.Raw)
	return err
}

// Receive waits for what a peer has sent, by indication or channel; of a channel the peer is not told.
func (c *Client) Receive(until time.Time) (Datagram, error) {
	for len(c.data) == 0 {
		if err := c.conn.SetReadDeadline(until); err != nil {
			return Datagram{}, err
		}
		if _, err := c.read(); err != nil {
			return Datagram{}, silent(err)
		}
	}
	first := c.data[0]
	c.data = c.data[1:]
	return first, nil
}

// Overhead is how many bytes the newest answer had for each of its request, IP and UDP headers included.
func (c *Client) Overhead() float64 { return float64(c.received) / float64(max(c.sent, 1)) }

// ask sends a request and waits for its answer, which comes beside a *Refusal too. proved requests carry credentials, and are asked
// once more after a stale nonce or the first challenge.
func (c *Client) ask(method stun.Method, proved bool, with ...stun.Setter) (*stun.Message, error) {
	for try := 0; ; try++ {
		parts := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, with...)
		if proved && c.nonce != "" {
			parts = append(parts, stun.NewUsername(c.User), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
				stun.NewLongTermIntegrity(c.User, c.realm, c.Password))
		}
		m, err := stun.Build(parts...)
		if err != nil {
			return nil, err
		}
		asked := c.nonce != ""
		answer, err := c.exchange(m)
		if err != nil {
			return nil, err
		}
		if answer.Type.Class == stun.ClassSuccessResponse {
			return answer, nil
		}
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(answer); err != nil {
			return nil, fmt.Errorf("ERROR-CODE: %w", err)
		}
		refused := &Refusal{int(code.Code), string(code.Reason)}
		again := code.Code == stun.CodeStaleNonce || code.Code == stun.CodeUnauthorized && !asked
		if !proved || !again || try == 2 {
			return answer, refused
		}
		if err := c.challenged(answer); err != nil {
			return nil, err
		}
	}
}

// exchange sends a request, over UDP again and again, until its answer comes.
func (c *Client) exchange(m *stun.Message) (*stun.Message, error) {
	const headers = 20 + 8 // IPv4, UDP
	c.sent = len(m.Raw) + headers
	end, wait := time.Now().Add(c.within), firstWait
	for time.Now().Before(end) {
		if _, err := c.conn.Write(m.Raw); err != nil {
			return nil, err
		}
		until := end
		if next := time.Now().Add(wait); !c.stream && next.Before(end) {
			until = next
		}
		wait *= 2
		for {
			if err := c.conn.SetReadDeadline(until); err != nil {
				return nil, err
			}
			answer, err := c.read()
			if err = silent(err); errors.Is(err, ErrSilent) {
				break
			}
			if err != nil {
				return nil, err
			}
			if answer != nil && answer.TransactionID == m.TransactionID {
				c.received = len(answer.Raw) + headers
				return answer, nil
			}
		}
	}
	return nil, ErrSilent
}

func silent(err error) error {
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return ErrSilent
	}
	return err
}

// read reads one message; nil: it was data, which Receive gives.
func (c *Client) read() (*stun.Message, error) {
	b, err := c.frame()
	if err != nil {
		return nil, err
	}
	if len(b) >= 4 && b[0]&0xC0 == 0x40 {
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size > len(b)-4 {
			return nil, errors.New("ChannelData that is shorter than it says")
		}
		c.data = append(c.data, Datagram{Data: b[4 : 4+size]})
		return nil, nil
	}
	m := new(stun.Message)
	if err := stun.Decode(b, m); err != nil {
		return nil, fmt.Errorf("what came is no STUN: %w", err)
	}
	if m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return m, nil
	}
	var peer stun.XORMappedAddress
	data, err := m.Get(stun.AttrData)
	if err = errors.Join(err, peer.GetFromAs(m, stun.AttrXORPeerAddress)); err != nil {
		return nil, fmt.Errorf("a Data indication: %w", err)
	}
	c.data = append(c.data, Datagram{addrPort(peer.IP, peer.Port), data})
	return nil, nil
}

// frame reads a datagram, or a frame off a stream (RFC 8656 section 12.5).
func (c *Client) frame() ([]byte, error) {
	if !c.stream {
		b := make([]byte, maxMessage)
		n, err := c.conn.Read(b)
		return b[:n], err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]&0xC0 == 0x40 {
		size += -size & 3
	} else {
		size += 16
	}
	b := make([]byte, 4+size)
	copy(b, head)
	_, err := io.ReadFull(c.conn, b[4:])
	return b, err
}

func addrPort(ip net.IP, port int) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port))
}

// Attributes of RFC 8656 section 18.

type requestedTransport struct{}

func (requestedTransport) AddTo(m *stun.Message) error {
	m.Add(stun.AttrRequestedTransport, []byte{17, 0, 0, 0}) // UDP
	return nil
}

type family byte

func (f family) AddTo(m *stun.Message) error {
	m.Add(stun.AttrRequestedAddressFamily, []byte{byte(f), 0, 0, 0})
	return nil
}

type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	at := netip.AddrPort(p)
	// A mapped address stays what it is: pion would make IPv4 of it, and that is what a relay must not fall for.
	if at.Addr().Is4In6() {
		ip, port := at.Addr().As16(), at.Port()
		value := binary.BigEndian.AppendUint16([]byte{0, 2}, port^0x2112)
		veil := append(binary.BigEndian.AppendUint32(nil, 0x2112A442), m.TransactionID[:]...)
		for i := range ip {
			value = append(value, ip[i]^veil[i])
		}
		m.Add(stun.AttrXORPeerAddress, value)
		return nil
	}
	x := stun.XORMappedAddress{IP: at.Addr().AsSlice(), Port: int(at.Port())}
	return x.AddToAs(m, stun.AttrXORPeerAddress)
}

type channelNumber uint16

func (n channelNumber) AddTo(m *stun.Message) error {
	m.Add(stun.AttrChannelNumber, []byte{byte(n >> 8), byte(n), 0, 0})
	return nil
}

type lifetime uint32

func (l lifetime) AddTo(m *stun.Message) error {
	m.Add(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(l)))
	return nil
}

type dataAttribute []byte

func (d dataAttribute) AddTo(m *stun.Message) error {
	m.Add(stun.AttrData, d)
	return nil
}
