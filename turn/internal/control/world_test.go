package control_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// tb is what the tests and rapid's have in common.
type tb interface {
	require.TestingT
	Helper()
}

var (
	relay4 = netip.MustParseAddr("20.0.0.1")
	relay6 = netip.MustParseAddr("2a00::1")
	media  = netip.MustParseAddrPort("20.0.0.1:7882") // ours
	media6 = netip.MustParseAddrPort("[2a00::1]:7882")
	peerA  = netip.MustParseAddrPort("8.8.8.8:1000")
	peerB  = netip.MustParseAddrPort("8.8.4.4:2000")
	peer6  = netip.MustParseAddrPort("[2606:4700::1]:3000")
	secret = []byte("secret")
)

// world is a Core with a shell of the simplest kind, and a clock that stands still.
type world struct {
	t     tb
	now   time.Time
	cfg   control.Config
	core  *control.Core
	ports map[netip.AddrPort]bool // open: true; kept back for a reservation: false
	bound map[netip.AddrPort]uint16
	left  int
	full  bool // no port is to be had

	revoked credential.Revocations
}

func newWorld(t tb, change ...func(*control.Config)) *world {
	w := &world{
		t: t, now: time.Unix(1_767_222_000, 0), ports: map[netip.AddrPort]bool{}, bound: map[netip.AddrPort]uint16{},
	}
	w.cfg = control.Config{
		NonceKey: [32]byte{1, 2, 3}, IPv4: true, IPv6: true,
		Key: func(username string, now time.Time, try int) (credential.Subject, [16]byte, bool) {
			claims, key, err := credential.Check(secret, username, "turn", now)
			return claims.Subject, key, err == nil && try == 0 && !w.revoked.Revoked(claims.Subject, claims.Issued)
		},
		Open: w.open,
		Close: func(relayed netip.AddrPort, a *control.Allocation) {
			require.Contains(t, w.ports, relayed)
			delete(w.ports, relayed)
		},
		Left:  func(*control.Allocation) { w.left++ },
		Bound: func(_ *control.Allocation, peer netip.AddrPort, channel uint16) { w.bound[peer] = channel },
		Peers: peers.New([]netip.AddrPort{media, media6}, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}),
	}
	for _, f := range change {
		f(&w.cfg)
	}
	w.core = control.New(w.cfg)
	return w
}

func (w *world) open(o control.Open) (netip.AddrPort, bool) {
	ip := relay4
	if o.IPv6 {
		ip = relay6
	}
	if o.Take.IsValid() {
		open, ok := w.ports[o.Take]
		require.True(w.t, ok && !open, "only what was kept back is taken")
		w.ports[o.Take] = true
		return o.Take, true
	}
	for port := uint16(50000); port < 60000 && !w.full; port++ {
		at, after := netip.AddrPortFrom(ip, port), netip.AddrPortFrom(ip, port+1)
		_, taken := w.ports[at]
		_, follows := w.ports[after]
		if taken || o.Even && port&1 != 0 || o.Reserve && follows {
			continue
		}
		w.ports[at] = true
		if o.Reserve {
			w.ports[after] = false
		}
		return at, true
	}
	return netip.AddrPort{}, false
}

// pass lets time go by in steps of a second, as a shell does.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(time.Second, end.Sub(w.now)))
		w.core.Expire(w.now)
	}
}

// client is a TURN client, as pion's codec has its messages.
type client struct {
	t        tb
	w        *world // nil: of another relay
	at       control.Client
	exchange func(b []byte) *stun.Message // the answer; nil: none
	other    func() *client               // one at another address that has greeted too
	username string
	realm    string
	nonce    string
	password string
	print    bool // FINGERPRINT
}

func from(addr string) control.Client {
	return control.Client{Addr: netip.MustParseAddrPort(addr), Local: netip.MustParseAddrPort("20.0.0.1:3478")}
}

// client returns one that knows its nonce already.
func (w *world) client(user, addr string) *client {
	c := credential.Mint(secret, credential.Subject{Tenant: "acme", User: user, Call: "call"}, w.now, time.Hour)
	k := &client{t: w.t, w: w, at: from(addr), username: c.Username, password: c.Password}
	k.exchange = func(b []byte) *stun.Message { return w.handle(k.at, b) }
	k.other = func() *client {
		at := k.at.Addr
		return w.client(user, netip.AddrPortFrom(at.Addr(), at.Port()+1).String())
	}
	k.greet()
	return k
}

// greet asks without credentials and takes realm and nonce from the answer.
func (k *client) greet() {
	k.nonce = ""
	reply := k.exchange(k.build(stun.MethodAllocate, transport(17)))
	require.NotNil(k.t, reply)
	require.Equal(k.t, 401, code(reply))
	k.remember(reply)
}

func (k *client) remember(reply *stun.Message) {
	var realm stun.Realm
	var nonce stun.Nonce
	require.NoError(k.t, realm.GetFrom(reply))
	require.NoError(k.t, nonce.GetFrom(reply))
	k.realm, k.nonce = realm.String(), nonce.String()
}

func (k *client) key() stun.MessageIntegrity {
	return stun.NewLongTermIntegrity(k.username, k.realm, k.password)
}

// build makes a request, with credentials once there is a nonce.
func (k *client) build(method stun.Method, set ...stun.Setter) []byte {
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, set...)
	if k.nonce != "" {
		all = append(all, stun.NewUsername(k.username), stun.NewRealm(k.realm), stun.NewNonce(k.nonce), k.key())
	}
	if k.print {
		all = append(all, stun.Fingerprint)
	}
	m, err := stun.Build(all...)
	require.NoError(k.t, err)
	return m.Raw
}

// handle gives the Core a message and decodes what it answers; nil: nothing.
func (w *world) handle(at control.Client, b []byte) *stun.Message {
	reply := w.core.Handle(w.now, at, slices.Clone(b))
	if len(reply) == 0 {
		return nil
	}
	m := &stun.Message{Raw: slices.Clone(reply)}
	require.NoError(w.t, m.Decode())
	require.Equal(w.t, b[8:20], m.TransactionID[:])
	require.False(w.t, m.Contains(stun.AttrSoftware))
	return m
}

// ask sends a request and returns the answer, which is proved by the key unless it is a stranger's.
func (k *client) ask(method stun.Method, set ...stun.Setter) *stun.Message {
	reply := k.exchange(k.build(method, set...))
	require.NotNil(k.t, reply)
	if c := code(reply); c != 401 && c != 438 && (c != 400 || reply.Contains(stun.AttrMessageIntegrity)) {
		require.NoError(k.t, k.key().Check(reply))
	}
	if k.print {
		require.NoError(k.t, stun.Fingerprint.Check(reply))
	}
	require.Equal(k.t, k.print, reply.Contains(stun.AttrFingerprint))
	return reply
}

func (k *client) code(method stun.Method, set ...stun.Setter) int {
	return code(k.exchange(k.build(method, set...)))
}

func (k *client) allocate(set ...stun.Setter) *stun.Message {
	return k.ask(stun.MethodAllocate, append([]stun.Setter{transport(17)}, set...)...)
}

// allocation is what the Core has of this client.
func (k *client) allocation() *control.Allocation { return k.w.core.Find(k.at) }

// code is the error of an answer; 0: success, -1: there is none.
func code(m *stun.Message) int {
	if m == nil {
		return -1
	}
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var e stun.ErrorCodeAttribute
	if e.GetFrom(m) != nil {
		return -1
	}
	return int(e.Code)
}

func raw(kind stun.AttrType, value ...byte) stun.Setter {
	return stun.RawAttribute{Type: kind, Value: value}
}

func transport(protocol byte) stun.Setter { return raw(stun.AttrRequestedTransport, protocol, 0, 0, 0) }

func family(f byte) stun.Setter     { return raw(stun.AttrRequestedAddressFamily, f, 0, 0, 0) }
func additional(f byte) stun.Setter { return raw(0x8000, f, 0, 0, 0) }
func evenPort(b byte) stun.Setter   { return raw(stun.AttrEvenPort, b) }
func channel(n uint16) stun.Setter  { return raw(stun.AttrChannelNumber, byte(n>>8), byte(n), 0, 0) }

func seconds(n uint32) stun.Setter {
	return raw(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, n)...)
}

// peerAddress is XOR-PEER-ADDRESS. pion's writes a v4-mapped address as IPv4; this one leaves it as it is.
type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	ip := netip.AddrPort(p).Addr()
	if !ip.Is4In6() {
		return stun.XORMappedAddress{IP: net.IP(ip.AsSlice()), Port: int(netip.AddrPort(p).Port())}.AddToAs(m, stun.AttrXORPeerAddress)
	}
	b := ip.As16()
	for i, mask := range append(slices.Clone(m.Raw[4:8]), m.TransactionID[:]...) {
		b[i] ^= mask
	}
	port := netip.AddrPort(p).Port() ^ 0x2112
	m.Add(stun.AttrXORPeerAddress, append([]byte{0, 2, byte(port >> 8), byte(port)}, b[:]...))
	return nil
}

func peer(p netip.AddrPort) stun.Setter { return peerAddress(p) }

// addresses are all addresses of a kind in a message.
func addresses(m *stun.Message, kind stun.AttrType) (all []netip.AddrPort) {
	for _, a := range m.Attributes {
		if a.Type != kind {
			continue
		}
		one := stun.Message{Raw: m.Raw, TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
		var x stun.XORMappedAddress
		if x.GetFromAs(&one, kind) == nil {
			ip, _ := netip.AddrFromSlice(x.IP)
			all = append(all, netip.AddrPortFrom(ip.Unmap(), uint16(x.Port)))
		}
	}
	return all
}

func lifetimeOf(m *stun.Message) int {
	v, err := m.Get(stun.AttrLifetime)
	if err != nil {
		return -1
	}
	return int(binary.BigEndian.Uint32(v))
}

var _ tb = (*testing.T)(nil)

func (k *client) allocateCode(set ...stun.Setter) int {
	return k.code(stun.MethodAllocate, append([]stun.Setter{transport(17)}, set...)...)
}
