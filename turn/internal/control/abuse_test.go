package control_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// sha256 is an Allocate request with MESSAGE-INTEGRITY-SHA256 of so many bytes, of which flip spoils some bits.
func (k *client) sha256(both bool, size int, flip byte) []byte {
	set := []stun.Setter{
		stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(17), stun.NewUsername(k.username),
		stun.NewRealm(k.realm), stun.NewNonce(k.nonce),
	}
	if both {
		set = append(set, k.key())
	}
	m := stun.MustBuild(set...)
	sum := mac256(k.key(), m.Raw, size+4)[:size]
	sum[0] ^= flip
	m.Add(stun.AttrMessageIntegritySHA256, sum)
	return m.Raw
}

// mac256 is the HMAC of a message that will be longer by an attribute.
func mac256(key, b []byte, more int) []byte {
	b = slices.Clone(b)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20+more))
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return mac.Sum(nil)
}

// headers is what IP and UDP put before a datagram.
func headers(at control.Client) int {
	if at.Addr.Addr().Is4() {
		return 28
	}
	return 48
}

// TestAmplification: no datagram of a stranger's is answered with more than 1.5 times its bytes, headers counted, over IPv4 and IPv6.
func TestAmplification(t *testing.T) {
	w := newWorld(t)
	worst := 0.0
	for _, at := range []control.Client{from(aliceAt), from("[2a01::1]:5000")} {
		k := &client{t: t, w: w, at: at}
		k.exchange = func(b []byte) *stun.Message { return w.handle(at, b) }
		for _, method := range []stun.Method{
			stun.MethodBinding, stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodSend,
			stun.MethodConnect, 0x55,
		} {
			for _, print := range []bool{false, true} {
				for _, set := range [][]stun.Setter{
					nil,
					{transport(17)},
					{raw(0x7F01)},
					{raw(0x7F01), raw(0x7F02), raw(0x7F03), raw(0x7F04)},
					{stun.NewShortTermIntegrity("x")},
					{stun.NewUsername("a"), stun.NewRealm("r"), stun.NewNonce("n"), stun.NewShortTermIntegrity("x")},
				} {
					k.print = print
					b := k.build(method, set...)
					if reply := k.exchange(b); reply != nil {
						worst = max(worst, float64(len(reply.Raw)+headers(at))/float64(len(b)+headers(at)))
					}
				}
			}
		}
	}
	t.Logf("worst: %.2f", worst)
	require.LessOrEqual(t, worst, 1.5)
	require.Greater(t, worst, 1.0, "nothing was answered")
	k := &client{t: t, w: w, at: from(aliceAt)}
	require.Len(t, w.handle(k.at, k.build(stun.MethodAllocate, transport(17))).Raw, 56)
}

// TestStrangersBudget: each source has its own, whatever ports it names; who is proved, or reached by a connection, needs none.
func TestStrangersBudget(t *testing.T) {
	w := newWorld(t, func(cfg *control.Config) { cfg.StrangerRate = 10 })
	honest := w.client("alice", "7.7.7.7:1")
	answered := func(ip string, n int) (got int) {
		k := &client{t: t, w: w}
		for i := range n {
			at := control.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(i+1)), Local: honest.at.Local}
			set := []stun.Setter{transport(17)}
			if i%2 == 1 {
				set = append(set, stun.NewUsername("a"), stun.NewRealm("turn"), stun.NewNonce("n"), stun.NewShortTermIntegrity("x"))
			}
			if w.handle(at, k.build([]stun.Method{stun.MethodAllocate, stun.MethodBinding}[i/2%2], set...)) != nil {
				got++
			}
		}
		return got
	}
	require.Equal(t, 40, answered("9.0.0.1", 1000))
	require.Equal(t, 40, answered("9.0.0.2", 1000), "another source")
	require.Equal(t, 40, answered("2a01:0:0:1::1", 1000))
	require.Zero(t, answered("2a01:0:0:1:ffff::1", 100), "of the same /64")
	require.Equal(t, 40, answered("2a01:0:0:2::1", 1000))
	require.Equal(t, uint64(4*960+100), w.core.Refused()[0])
	w.pass(time.Second)
	require.Equal(t, 10, answered("9.0.0.1", 1000))

	require.Zero(t, honest.allocateCode())
	require.Equal(t, 40, answered("7.7.7.7", 1000))
	require.Zero(t, honest.code(stun.MethodRefresh), "who is proved is answered whatever others send in his name")
	tcp := control.Client{Addr: netip.MustParseAddrPort("9.0.0.1:1"), Local: honest.at.Local, Way: control.TCP, Conn: 1}
	require.NotNil(t, w.handle(tcp, honest.build(stun.MethodBinding)))
}

// TestFloodHoldsNothing: a million spoofed sources leave no memory behind, and the honest are served after and among them.
func TestFloodHoldsNothing(t *testing.T) {
	w := newWorld(t)
	honest := w.client("alice", aliceAt)
	require.Zero(t, honest.allocateCode())
	b := (&client{t: t}).build(stun.MethodAllocate, transport(17))
	at := honest.at
	i := uint32(0)
	flood := func() {
		i += 7919
		at.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i))
		w.core.Handle(w.now, at, b)
	}
	require.Zero(t, testing.AllocsPerRun(100_000, flood))
	require.Zero(t, honest.code(stun.MethodRefresh))
	require.Equal(t, 1, w.core.Len())
}

// TestNotAnswered: what is no request, or no whole one.
func TestNotAnswered(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	good := k.build(stun.MethodAllocate, transport(17))
	change := func(f func(b []byte)) []byte {
		b := slices.Clone(good)
		f(b)
		return b
	}
	k.print = true
	printed := k.build(stun.MethodAllocate, transport(17))
	for name, b := range map[string][]byte{
		"nothing":               {},
		"a header's beginning":  good[:19],
		"torn":                  good[:len(good)-4],
		"longer than it says":   append(slices.Clone(good), 0, 0, 0, 0),
		"no cookie":             change(func(b []byte) { b[4]++ }),
		"first bits":            change(func(b []byte) { b[0] |= 0x40 }),
		"attribute over it":     change(func(b []byte) { b[23] = 0xFF }),
		"indication":            change(func(b []byte) { b[1] |= 0x10 }),
		"success":               change(func(b []byte) { b[0] |= 1 }),
		"error":                 change(func(b []byte) { b[0], b[1] = b[0]|1, b[1]|0x10 }),
		"RFC 6062's Connect":    k.build(stun.MethodConnect),
		"unknown method":        k.build(0x123),
		"wrong FINGERPRINT":     append(slices.Clone(printed[:len(printed)-1]), printed[len(printed)-1]^1),
		"short integrity":       k.build(stun.MethodAllocate, raw(stun.AttrMessageIntegrity, 1, 2, 3, 4)),
		"FINGERPRINT not last":  append(change(func(b []byte) { b[3] += 8 }), 0x80, 0x28, 0, 0, 0, 0, 0, 0),
		"a binding indication":  stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw,
		"a Send indication":     stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)).Raw,
		"RFC 3489's, no cookie": make([]byte, 20),
	} {
		require.Empty(t, w.core.Handle(w.now, k.at, b), name)
	}
	require.Equal(t, 401, code(w.handle(k.at, stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest), seconds(0)).Raw)))
	require.Zero(t, code(w.handle(k.at, printed)))
}

// TestPeersDenied: by default every address but our own media is refused, by permission and channel, and so is data; with the whole
// internet allowed, every reserved range still is.
func TestPeersDenied(t *testing.T) {
	reserved := []string{
		"0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "169.254.169.254", "172.16.0.1", "192.0.0.1", "192.0.2.1",
		"192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8",
		"64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1",
		"fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "4000::1",
	}
	public := []string{"8.8.8.8", "2606:4700::1"}
	for name, c := range map[string]struct {
		rules *peers.Rules
		ips   []string
	}{
		"default": {peers.New([]netip.AddrPort{media, media6}, nil), append(public, reserved...)},
		"all":     {newWorld(t).cfg.Peers, reserved},
	} {
		for _, ip := range c.ips {
			w := newWorld(t, func(cfg *control.Config) { cfg.Peers = c.rules })
			k := w.client("alice", aliceAt)
			require.Zero(t, code(k.allocate(additional(2))))
			to := netip.AddrPortFrom(netip.MustParseAddr(ip), 80)
			require.Equal(t, 403, k.code(stun.MethodCreatePermission, peer(to)), "%s: %s", name, ip)
			require.Equal(t, 403, k.code(stun.MethodChannelBind, channel(0x4000), peer(to)), "%s: %s", name, ip)
			require.Equal(t, peers.Denied, k.allocation().May(w.now, to))
			require.Zero(t, k.code(stun.MethodCreatePermission, peer(media), peer(media6)))
			require.Equal(t, peers.Own, k.allocation().May(w.now, media))
			require.Equal(t, peers.Own, k.allocation().May(w.now, media6))
		}
	}
}

// TestRulesHoldForData: a permission is of an address; each packet's port is judged for itself, and again each time.
func TestRulesHoldForData(t *testing.T) {
	rules := peers.New([]netip.AddrPort{media}, []netip.Prefix{netip.MustParsePrefix("8.8.0.0/16")})
	w := newWorld(t, func(cfg *control.Config) { cfg.Peers = rules })
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(netip.AddrPortFrom(media.Addr(), 22)), peer(peerA)))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
	a := k.allocation()
	require.Equal(t, peers.Own, a.May(w.now, media))
	require.Equal(t, peers.Denied, a.May(w.now, netip.AddrPortFrom(media.Addr(), 22)), "ssh on the media's address")
	require.Equal(t, 403, k.code(stun.MethodChannelBind, channel(0x4001), peer(netip.AddrPortFrom(media.Addr(), 22))))
	rules.Refuse(peerA.Addr(), peerA.Port(), peerA.Port()) // as if the rules had changed since
	_, verdict := a.Peer(w.now, 0x4000)
	require.Equal(t, peers.Denied, verdict)
	require.Equal(t, peers.Denied, a.May(w.now, peerA))
}

func TestSend(t *testing.T) {
	build := func(set ...stun.Setter) []byte {
		return stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)}, set...)...).Raw
	}
	payload := raw(stun.AttrData, []byte("some data")...)
	for _, to := range []netip.AddrPort{peerA, peer6} {
		got, b, ok := control.ParseSend(build(peer(to), payload))
		require.True(t, ok)
		require.Equal(t, to, got)
		require.Equal(t, "some data", string(b))
	}
	_, b, ok := control.ParseSend(build(peer(peerA), raw(stun.AttrData), raw(0xC000, 1)))
	require.True(t, ok && len(b) == 0, "an empty datagram is one too")
	good := build(peer(peerA), payload)
	for name, b := range map[string][]byte{
		"no peer":       build(payload),
		"no data":       build(peer(peerA)),
		"torn":          good[:len(good)-1],
		"mapped":        build(peer(netip.MustParseAddrPort("[::ffff:8.8.8.8]:1")), payload),
		"torn peer":     build(raw(stun.AttrXORPeerAddress, 0, 1, 1), payload),
		"no family":     build(raw(stun.AttrXORPeerAddress, 0, 3, 1, 2, 3, 4, 5, 6), payload),
		"DONT-FRAGMENT": build(raw(stun.AttrDontFragment), peer(peerA), payload),
		"mandatory":     build(peer(peerA), payload, raw(0x7F01)),
		"request":       stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassRequest), peer(peerA), payload).Raw,
		"Data":          stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication), peer(peerA), payload).Raw,
	} {
		_, _, ok := control.ParseSend(b)
		require.False(t, ok, name)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { control.ParseSend(good) }))
}

func TestData(t *testing.T) {
	for _, of := range []netip.AddrPort{peerA, peer6} {
		for size := range 9 {
			payload := []byte("12345678")[:size]
			b := control.AppendData([]byte("before"), of, payload, [12]byte{1, 2, 3})[6:]
			require.LessOrEqual(t, len(b), control.DataSize+(size+3)&^3)
			m := &stun.Message{Raw: b}
			require.NoError(t, m.Decode())
			require.Equal(t, stun.NewType(stun.MethodData, stun.ClassIndication), m.Type)
			require.Equal(t, len(b), 20+int(m.Length))
			require.Equal(t, []netip.AddrPort{of}, addresses(m, stun.AttrXORPeerAddress))
			got, err := m.Get(stun.AttrData)
			require.NoError(t, err)
			require.Equal(t, payload, got)
		}
	}
	buffer := make([]byte, 0, 1500)
	payload := make([]byte, 1100)
	require.Zero(t, testing.AllocsPerRun(100, func() { control.AppendData(buffer, peerA, payload, [12]byte{}) }))
}

// TestPacketsLeaveNoGarbage: nothing is allocated for what each packet asks.
func TestPacketsLeaveNoGarbage(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		a := w.core.Find(k.at)
		to, _ := a.Peer(w.now, 0x4000)
		a.May(w.now, to)
		a.Channel(w.now, to)
		w.core.Relayed(a.Relayed[0])
		w.core.Expire(w.now)
	}))
}

// TestManyAllocations expire one by one, and looking for them takes no time in between.
func TestManyAllocations(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		require.Zero(t, w.client(fmt.Sprint("user", i), fmt.Sprintf("9.0.0.1:%d", i+1)).allocateCode())
		w.pass(time.Second)
	}
	w.pass(500 * time.Second)
	for left := 99; left >= 0; left-- {
		w.pass(time.Second)
		require.InDelta(t, left, w.core.Len(), 1)
	}
	w.pass(2 * time.Second)
	require.Zero(t, w.core.Len())
	require.Empty(t, w.ports)
}
