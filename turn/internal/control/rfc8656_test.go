package control_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/credential"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

const aliceAt = "9.0.0.1:5000"

// TestAllocate: what an allocation is told, over UDP, TCP and TLS, and what is known of it.
func TestAllocate(t *testing.T) {
	for _, way := range []control.Way{control.UDP, control.TCP, control.TLS} {
		w := newWorld(t)
		k := w.client("alice", aliceAt)
		k.at.Way, k.print = way, true
		k.greet()
		reply := k.allocate()
		require.Zero(t, code(reply))
		relayed := addresses(reply, stun.AttrXORRelayedAddress)
		require.Equal(t, []netip.AddrPort{netip.AddrPortFrom(relay4, 50000)}, relayed)
		require.Equal(t, []netip.AddrPort{k.at.Addr}, addresses(reply, stun.AttrXORMappedAddress))
		require.Equal(t, 600, lifetimeOf(reply))
		require.False(t, reply.Contains(0x8030), "MOBILITY-TICKET")
		a := k.allocation()
		require.Same(t, a, w.core.Relayed(relayed[0]))
		require.Equal(t, credential.Subject{Tenant: "acme", User: "alice", Call: "call"}, a.Subject)
		w.core.Gone(k.at)
		require.Nil(t, k.allocation())
		require.Nil(t, w.core.Relayed(relayed[0]))
		require.Empty(t, w.ports)
		require.Equal(t, 1, w.left)
		w.core.Gone(k.at)
	}
}

// TestAllocateSentAgain: the answer to a request that is sent again is the same; another request is refused.
func TestAllocateSentAgain(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	b := k.build(stun.MethodAllocate, transport(17), evenPort(0x80), seconds(1000))
	first := k.exchange(b)
	require.Zero(t, code(first))
	w.pass(3 * time.Second)
	require.Equal(t, first.Raw, k.exchange(b).Raw)
	require.Equal(t, 437, k.allocateCode())
	require.Equal(t, 1, w.core.Len())
	require.Len(t, w.ports, 2, "the port and the one kept back")
}

func TestLifetime(t *testing.T) {
	for asked, granted := range map[uint32]int{0: 600, 1: 600, 599: 600, 601: 601, 3600: 3600, 3601: 3600, 0xFFFFFFFF: 3600} {
		w := newWorld(t)
		k := w.client("alice", aliceAt)
		require.Equal(t, granted, lifetimeOf(k.allocate(seconds(asked))), asked)
		w.pass(time.Duration(granted) * time.Second / 2)
		if asked > 0 {
			require.Equal(t, granted, lifetimeOf(k.ask(stun.MethodRefresh, seconds(asked))))
			w.pass(time.Duration(granted)*time.Second - time.Second)
		} else {
			w.pass(time.Duration(granted)*time.Second/2 - time.Second)
		}
		require.NotNil(t, k.allocation(), "until its last second")
		w.pass(2 * time.Second)
		require.Nil(t, k.allocation())
		require.Empty(t, w.ports)
		require.Equal(t, 1, w.left)
		require.Equal(t, 437, w.client("alice", aliceAt).code(stun.MethodRefresh), "it is gone")
	}
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Equal(t, 400, k.allocateCode(raw(stun.AttrLifetime, 1)))
	require.Equal(t, 600, lifetimeOf(k.allocate()))
	require.Equal(t, 400, k.code(stun.MethodRefresh, raw(stun.AttrLifetime)))
	require.Equal(t, 0, lifetimeOf(k.ask(stun.MethodRefresh, seconds(0))))
	require.Nil(t, k.allocation())
	require.Zero(t, k.allocateCode(), "and a new one follows")
}

func TestFamilies(t *testing.T) {
	both := func(cfg *control.Config) {}
	only4 := func(cfg *control.Config) { cfg.IPv6 = false }
	only6 := func(cfg *control.Config) { cfg.IPv4 = false }
	for name, c := range map[string]struct {
		of     func(*control.Config)
		ask    []stun.Setter
		want   int
		v4, v6 bool
		other  []byte // ADDRESS-ERROR-CODE
	}{
		"default":                  {both, nil, 0, true, false, nil},
		"IPv4":                     {both, []stun.Setter{family(1)}, 0, true, false, nil},
		"IPv6":                     {both, []stun.Setter{family(2)}, 0, false, true, nil},
		"both":                     {both, []stun.Setter{additional(2)}, 0, true, true, nil},
		"both where no IPv6 is":    {only4, []stun.Setter{additional(2)}, 0, true, false, []byte{2, 0, 4, 40}},
		"both where no IPv4 is":    {only6, []stun.Setter{additional(2)}, 0, false, true, []byte{1, 0, 4, 40}},
		"no IPv4":                  {only6, nil, 440, false, false, nil},
		"no such family":           {both, []stun.Setter{family(3)}, 440, false, false, nil},
		"additional IPv4":          {both, []stun.Setter{additional(1)}, 400, false, false, nil},
		"one and additional":       {both, []stun.Setter{family(1), additional(2)}, 400, false, false, nil},
		"torn family":              {both, []stun.Setter{raw(stun.AttrRequestedAddressFamily, 1)}, 400, false, false, nil},
		"reserve and both":         {both, []stun.Setter{evenPort(0x80), additional(2)}, 400, false, false, nil},
		"even and both":            {both, []stun.Setter{evenPort(0), additional(2)}, 0, true, true, nil},
		"torn even port":           {both, []stun.Setter{raw(stun.AttrEvenPort)}, 400, false, false, nil},
		"token and even port":      {both, []stun.Setter{raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8), evenPort(0)}, 400, false, false, nil},
		"token and family":         {both, []stun.Setter{raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8), family(1)}, 400, false, false, nil},
		"torn token":               {both, []stun.Setter{raw(stun.AttrReservationToken, 1)}, 400, false, false, nil},
		"token in vain":            {both, []stun.Setter{raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)}, 508, false, false, nil},
		"DONT-FRAGMENT":            {both, []stun.Setter{raw(stun.AttrDontFragment)}, 420, false, false, nil},
		"what may be overlooked":   {both, []stun.Setter{raw(0x8030), raw(0xC057, 1)}, 0, true, false, nil},
		"an OAuth token (RFC7635)": {both, []stun.Setter{raw(0x001B, 1)}, 420, false, false, nil},
	} {
		w := newWorld(t, c.of)
		k := w.client("alice", aliceAt)
		reply := k.allocate(c.ask...)
		require.Equal(t, c.want, code(reply), name)
		var want []netip.AddrPort
		if c.v4 {
			want = append(want, netip.AddrPortFrom(relay4, 50000))
		}
		if c.v6 {
			want = append(want, netip.AddrPortFrom(relay6, 50000))
		}
		require.Equal(t, want, addresses(reply, stun.AttrXORRelayedAddress), name)
		got, _ := reply.Get(0x8001)
		require.Equal(t, c.other, got, name)
		require.Equal(t, len(want), len(w.ports), name)
		if c.want == 420 {
			names, err := reply.Get(stun.AttrUnknownAttributes)
			require.NoError(t, err)
			kind := stun.AttrType(binary.BigEndian.Uint16(names))
			require.True(t, kind == stun.AttrDontFragment || kind == 0x001B)
		}
	}
}

// TestDualAllocation: each family lives and ends for itself, with what belongs to it.
func TestDualAllocation(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Zero(t, code(k.allocate(additional(2))))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4001), peer(peer6)))
	a := k.allocation()
	require.Equal(t, peers.Allowed, a.May(w.now, peerA))
	require.Equal(t, peers.Allowed, a.May(w.now, peer6))
	require.Zero(t, k.code(stun.MethodRefresh, family(1), seconds(0)))
	require.Same(t, a, k.allocation())
	require.Equal(t, peers.Denied, a.May(w.now, peerA))
	_, verdict := a.Peer(w.now, 0x4000)
	require.Equal(t, peers.Denied, verdict)
	require.Zero(t, w.bound[peerA])
	require.Equal(t, peers.Allowed, a.May(w.now, peer6))
	require.Equal(t, uint16(0x4001), w.bound[peer6])
	require.Equal(t, 443, k.code(stun.MethodRefresh, family(1)))
	require.Equal(t, 443, k.code(stun.MethodCreatePermission, peer(peerA)))
	require.Zero(t, w.left)
	require.Zero(t, k.code(stun.MethodRefresh, family(2), seconds(0)))
	require.Nil(t, k.allocation())
	require.Equal(t, 1, w.left)

	require.Zero(t, code(k.allocate(additional(2))))
	w.pass(300 * time.Second)
	require.Zero(t, k.code(stun.MethodRefresh, family(2)))
	w.pass(302 * time.Second)
	require.False(t, k.allocation().Relayed[0].IsValid())
	require.True(t, k.allocation().Relayed[1].IsValid())
	w.pass(300 * time.Second)
	require.Nil(t, k.allocation())
	require.Empty(t, w.ports)
}

// TestReservation: an even port's follower is kept for 30 s, for its user alone, once.
func TestReservation(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	w.ports[netip.AddrPortFrom(relay4, 50000)] = true
	reply := k.allocate(evenPort(0x80))
	require.Equal(t, []netip.AddrPort{netip.AddrPortFrom(relay4, 50002)}, addresses(reply, stun.AttrXORRelayedAddress))
	token, err := reply.Get(stun.AttrReservationToken)
	require.NoError(t, err)
	w.pass(20 * time.Second)
	require.Equal(t, 508, w.client("mallory", "9.0.0.9:1").allocateCode(raw(stun.AttrReservationToken, token...)))
	second := w.client("alice", "9.0.0.1:5001")
	reply = second.allocate(raw(stun.AttrReservationToken, token...))
	require.Equal(t, []netip.AddrPort{netip.AddrPortFrom(relay4, 50003)}, addresses(reply, stun.AttrXORRelayedAddress))
	require.Equal(t, 508, w.client("alice", "9.0.0.1:5002").allocateCode(raw(stun.AttrReservationToken, token...)), "twice")
	w.pass(time.Minute)
	require.Len(t, w.ports, 3, "what was taken is not given back with the reservation")

	third := w.client("alice", "9.0.0.1:5003")
	token, err = third.allocate(evenPort(0x80)).Get(stun.AttrReservationToken)
	require.NoError(t, err)
	require.Len(t, w.ports, 5)
	w.pass(32 * time.Second)
	require.Len(t, w.ports, 4, "nobody came for it")
	require.Equal(t, 508, w.client("alice", "9.0.0.1:5004").allocateCode(raw(stun.AttrReservationToken, token...)))
	_, err = w.client("alice", "9.0.0.1:5005").allocate(evenPort(0)).Get(stun.AttrReservationToken)
	require.Error(t, err, "even, and nothing kept back")
}

// TestUserOfAnAllocation: nobody else's credentials reach it, from the same address either; the same user's newer ones do.
func TestUserOfAnAllocation(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	mallory := w.client("mallory", aliceAt)
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		require.Equal(t, 441, mallory.code(method, seconds(0), channel(0x4000), peer(peerA)), method)
	}
	require.Equal(t, 437, mallory.allocateCode())
	require.NotNil(t, k.allocation())
	w.pass(10 * time.Second)
	newer := w.client("alice", aliceAt)
	require.NotEqual(t, k.username, newer.username)
	require.Zero(t, newer.code(stun.MethodRefresh))
}

// TestExpiredCredential: it makes nothing new and renews nothing, and the allocation lives to its end.
func TestExpiredCredential(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	w.pass(3500 * time.Second)
	require.Zero(t, k.allocateCode())
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA)))
	w.pass(100 * time.Second)
	k.greet() // the nonce is as old as the credential
	require.Equal(t, 401, k.code(stun.MethodRefresh))
	require.Equal(t, 401, k.code(stun.MethodCreatePermission, peer(peerB)))
	require.Equal(t, 401, k.code(stun.MethodRefresh, seconds(0)))
	require.Equal(t, peers.Allowed, k.allocation().May(w.now, peerA))
	w.pass(499 * time.Second)
	require.NotNil(t, k.allocation())
	w.pass(2 * time.Second)
	require.Nil(t, k.allocation())
}

// TestRevoked: requests are refused at once, and data with them when the shell drops the allocation.
func TestRevoked(t *testing.T) {
	w := newWorld(t)
	k, bob := w.client("alice", aliceAt), w.client("bob", "9.0.0.2:1")
	for _, one := range []*client{k, bob} {
		require.Zero(t, one.allocateCode())
		require.Zero(t, one.code(stun.MethodCreatePermission, peer(peerA)))
	}
	a := k.allocation()
	who := credential.Subject{Tenant: "acme", User: "alice"}
	w.revoked.Revoke(who, w.now)
	require.Equal(t, 1, w.core.Drop(func(a *control.Allocation) bool { return who.Matches(a.Subject) }))
	require.Nil(t, k.allocation())
	require.Equal(t, peers.Denied, a.May(w.now, peerA), "for who still holds it")
	require.Equal(t, 401, k.allocateCode())
	require.NotNil(t, bob.allocation())
	w.pass(time.Second)
	require.Zero(t, w.client("alice", aliceAt).allocateCode(), "a credential that was issued later")
}

// TestNonce: good for an hour, for one address, port and way, whichever Core with the same key gave it.
func TestNonce(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	w.pass(40 * time.Minute)
	require.Zero(t, k.allocateCode())
	w.pass(5 * time.Minute)
	other := control.New(w.cfg)
	reply := &stun.Message{Raw: other.Handle(w.now, k.at, k.build(stun.MethodRefresh))}
	require.NoError(t, reply.Decode())
	require.Equal(t, 437, code(reply), "there is no allocation, and no other objection")
	require.Zero(t, k.code(stun.MethodRefresh, seconds(3600)))
	w.pass(14*time.Minute + 58*time.Second)
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA)))
	w.pass(3 * time.Second)
	reply = k.ask(stun.MethodCreatePermission, peer(peerA))
	require.Equal(t, 438, code(reply))
	old := k.nonce
	k.remember(reply)
	require.NotEqual(t, old, k.nonce)
	require.Equal(t, 401, k.code(stun.MethodCreatePermission, peer(peerA)), "the credential has had its hour too")

	k = w.client("alice", aliceAt)
	good := k.nonce
	for name, change := range map[string]func(){
		"port":      func() { k.at.Addr = netip.MustParseAddrPort("9.0.0.1:5001") },
		"address":   func() { k.at.Addr = netip.MustParseAddrPort("9.0.0.2:5000") },
		"way":       func() { k.at.Way = control.TCP },
		"bit":       func() { k.nonce = string(good[0]^1) + good[1:] },
		"last bit":  func() { k.nonce = good[:15] + string(good[15]^1) },
		"length":    func() { k.nonce = good + "A" },
		"other":     func() { k.nonce = good[:15] },
		"line feed": func() { k.nonce = good[:15] + "\n" },
	} {
		k.at, k.nonce = from(aliceAt), good
		change()
		require.Equal(t, 438, k.allocateCode(), name)
	}
	k.at, k.nonce = from(aliceAt), good
	w.now = w.now.Add(-time.Minute)
	require.Equal(t, 438, k.allocateCode(), "of the future")
}

// TestIncomplete: credentials that lack a part are a bad request, not a riddle (RFC 8489 §9.2.4).
func TestIncomplete(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	name, realm, nonce := stun.NewUsername(k.username), stun.NewRealm(k.realm), stun.NewNonce(k.nonce)
	key := k.key()
	k.nonce = ""
	require.Equal(t, 400, k.allocateCode(realm, nonce, key))
	require.Equal(t, 400, k.allocateCode(name, nonce, key))
	require.Equal(t, 400, k.allocateCode(name, realm, key))
	require.Equal(t, 401, k.allocateCode(name, realm, nonce))
	require.Equal(t, 401, k.allocateCode(name, stun.NewRealm("else"), nonce, key))
	require.Zero(t, k.allocateCode(name, realm, nonce, key))
	for _, user := range []string{"alice", "1767222600:a\x00b", "1767222600:a:b", ":", "1767222600:"} {
		k := w.client("alice", "9.0.0.7:7")
		k.username = user
		require.Equal(t, 401, k.allocateCode(), "%q", user)
	}
}

// TestPermissions: by address and not by port, for 5 minutes, all of a request or none.
func TestPermissions(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	a := k.allocation()
	require.Equal(t, peers.Denied, a.May(w.now, peerA))
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA), peer(peerB), peer(peerA)))
	require.Equal(t, peers.Allowed, a.May(w.now, peerA))
	require.Equal(t, peers.Allowed, a.May(w.now, netip.AddrPortFrom(peerB.Addr(), 9)))
	denied := netip.MustParseAddrPort("10.0.0.1:1")
	other := netip.MustParseAddrPort("9.9.9.9:9")
	for want, bad := range map[int]stun.Setter{
		403: peer(denied), 443: peer(peer6), 400: raw(stun.AttrXORPeerAddress, 0, 1, 2), 420: raw(0x7F00),
	} {
		require.Equal(t, want, k.code(stun.MethodCreatePermission, peer(other), bad))
		require.Equal(t, peers.Denied, a.May(w.now, other), "none of a bad request")
	}
	w.pass(200 * time.Second)
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA)))
	w.pass(99 * time.Second)
	require.Equal(t, peers.Allowed, a.May(w.now, peerB))
	w.now = w.now.Add(time.Second)
	require.Equal(t, peers.Denied, a.May(w.now, peerB), "to the second, without Expire")
	require.Equal(t, peers.Allowed, a.May(w.now, peerA), "renewed")
	w.pass(200 * time.Second)
	require.Equal(t, peers.Denied, a.May(w.now, peerA))
}

// TestChannels: bound for 10 minutes to one peer; its permission has to stand too.
func TestChannels(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	a := k.allocation()
	require.Equal(t, 400, k.code(stun.MethodChannelBind, channel(0x4000)))
	require.Equal(t, 400, k.code(stun.MethodChannelBind, peer(peerA)))
	require.Equal(t, 400, k.code(stun.MethodChannelBind, raw(stun.AttrChannelNumber, 0x40), peer(peerA)))
	require.Equal(t, 403, k.code(stun.MethodChannelBind, channel(0x4000), peer(netip.MustParseAddrPort("127.0.0.1:80"))))
	require.Equal(t, 403, k.code(stun.MethodChannelBind, channel(0x4000), peer(netip.MustParseAddrPort("8.8.8.8:0"))))
	require.Equal(t, 443, k.code(stun.MethodChannelBind, channel(0x4000), peer(peer6)))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4FFF), peer(media)))
	to, verdict := a.Peer(w.now, 0x4000)
	require.Equal(t, peerA, to)
	require.Equal(t, peers.Allowed, verdict)
	to, verdict = a.Peer(w.now, 0x4FFF)
	require.Equal(t, media, to)
	require.Equal(t, peers.Own, verdict)
	_, verdict = a.Peer(w.now, 0x4001)
	require.Equal(t, peers.Denied, verdict)
	n, ok := a.Channel(w.now, peerA)
	require.True(t, ok)
	require.Equal(t, uint16(0x4000), n)
	_, ok = a.Channel(w.now, netip.AddrPortFrom(peerA.Addr(), 9))
	require.False(t, ok, "another port of the peer's")
	require.Equal(t, uint16(0x4000), w.bound[peerA])

	w.pass(301 * time.Second)
	_, verdict = a.Peer(w.now, 0x4000)
	require.Equal(t, peers.Denied, verdict, "without permission")
	_, ok = a.Channel(w.now, peerA)
	require.False(t, ok)
	require.Zero(t, w.bound[peerA])
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA)))
	require.Equal(t, uint16(0x4000), w.bound[peerA], "it leads there again")
	require.Equal(t, 400, k.code(stun.MethodChannelBind, channel(0x4002), peer(peerA)), "still bound")
	require.Zero(t, k.code(stun.MethodRefresh, seconds(3600)))
	w.pass(299 * time.Second)
	require.Zero(t, w.bound[media])
	w.pass(2 * time.Second)
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerB)), "10 minutes are over, the number is free")
	require.Zero(t, w.bound[peerA])
	require.Equal(t, uint16(0x4000), w.bound[peerB])
	w.pass(200 * time.Second)
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerB)), "renewed, and its permission with it")
	w.pass(200 * time.Second)
	_, verdict = a.Peer(w.now, 0x4000)
	require.Equal(t, peers.Allowed, verdict)
}

// TestOldChannels: RFC 5766's channels are bound where the operator has that, and no others.
func TestOldChannels(t *testing.T) {
	w := newWorld(t, func(cfg *control.Config) { cfg.OldChannels = true })
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x7FFF), peer(peerA)))
	require.Equal(t, 400, k.code(stun.MethodChannelBind, channel(0x8000), peer(peerB)))
	to, verdict := k.allocation().Peer(w.now, 0x7FFF)
	require.Equal(t, peerA, to)
	require.Equal(t, peers.Allowed, verdict)
}

// TestLimits: 486 where the user has enough, 508 where there is no more, and what was admitted is given back.
func TestLimits(t *testing.T) {
	held, permits := 0, 2
	w := newWorld(t, func(cfg *control.Config) {
		cfg.Admit = func(s credential.Subject, ip netip.Addr) bool {
			if s.User != "alice" || ip != netip.MustParseAddr("9.0.0.1") || held == 2 {
				return false
			}
			held++
			return true
		}
		cfg.Left = func(*control.Allocation) { held-- }
		cfg.Permit = func(*control.Allocation, netip.Addr) bool { permits--; return permits >= 0 }
		cfg.MaxPermissions, cfg.MaxChannels = 4, 2
	})
	k, second := w.client("alice", aliceAt), w.client("alice", "9.0.0.1:5001")
	require.Zero(t, k.allocateCode())
	require.Zero(t, second.allocateCode())
	require.Equal(t, 486, w.client("alice", "9.0.0.1:5002").allocateCode())
	require.Equal(t, 486, w.client("bob", "9.0.0.1:5003").allocateCode())
	require.Zero(t, second.code(stun.MethodRefresh, seconds(0)))
	require.Equal(t, 1, held)
	w.full = true
	require.Equal(t, 508, second.allocateCode())
	require.Equal(t, 508, second.allocateCode(evenPort(0)))
	require.Equal(t, 508, second.allocateCode(additional(2)))
	require.Equal(t, 1, held)
	w.full = false

	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA), peer(peerB), peer(media)), "our own media costs nothing")
	require.Equal(t, 508, k.code(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("9.9.9.9:1"))), "too many a second")
	permits = 100
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("9.9.9.9:1"))))
	require.Equal(t, 508, k.code(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("9.9.9.8:1"))), "too many")
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(peerA)), "those there are renewed")
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4001), peer(peerB)))
	require.Equal(t, 508, k.code(stun.MethodChannelBind, channel(0x4002), peer(media)))
	require.Zero(t, k.code(stun.MethodChannelBind, channel(0x4001), peer(peerB)))
	w.pass(301 * time.Second)
	require.Zero(t, k.code(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("9.9.9.8:1"))), "what ran out makes room")
}

// TestDraining: new clients go elsewhere, those there are live on.
func TestDraining(t *testing.T) {
	alternate, draining := netip.MustParseAddrPort("30.0.0.1:3478"), false
	w := newWorld(t, func(cfg *control.Config) {
		cfg.Draining = func() (netip.AddrPort, bool) { return alternate, draining }
	})
	k := w.client("alice", aliceAt)
	b := k.build(stun.MethodAllocate, transport(17))
	require.Zero(t, code(k.exchange(b)))
	draining = true
	require.Zero(t, code(k.exchange(b)), "sent again")
	require.Zero(t, k.code(stun.MethodRefresh))
	reply := w.client("bob", "9.0.0.2:1").allocate()
	require.Equal(t, 300, code(reply))
	var at stun.AlternateServer
	require.NoError(t, at.GetFrom(reply))
	require.Equal(t, alternate.String(), (&stun.MappedAddress{IP: at.IP, Port: at.Port}).String())
	require.Equal(t, 486, w.client("bob", "[2a01::1]:1").allocateCode(), "of the other family")
	alternate = netip.AddrPort{}
	require.Equal(t, 486, w.client("bob", "9.0.0.2:1").allocateCode())
	require.Zero(t, w.left)
	require.Len(t, w.ports, 1)
}

// TestRebinding: a client whose NAT gave it another port is a stranger there (mobility is not offered), and its old allocation is
// left alone.
func TestRebinding(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	require.Zero(t, k.allocateCode())
	k.at = from("9.0.0.1:6000")
	reply := k.ask(stun.MethodRefresh, seconds(0))
	require.Equal(t, 438, code(reply))
	k.remember(reply)
	require.Equal(t, 437, k.code(stun.MethodRefresh, seconds(0)))
	require.Equal(t, 437, k.code(stun.MethodCreatePermission, peer(peerA)))
	require.Zero(t, k.allocateCode())
	require.Equal(t, 2, w.core.Len())
	for _, at := range []control.Client{
		{Addr: k.at.Addr, Local: netip.MustParseAddrPort("20.0.0.1:3479")},
		{Addr: k.at.Addr, Local: k.at.Local, Way: control.TCP, Conn: 1},
		{Addr: k.at.Addr, Local: k.at.Local, Way: control.TCP, Conn: 2},
	} {
		other := w.client("alice", aliceAt)
		other.at = at
		other.greet()
		require.Zero(t, other.allocateCode(), "another 5-tuple is another client")
	}
}

// TestSHA256: who proves a request by MESSAGE-INTEGRITY-SHA256 is answered by it (RFC 8489 §14.6).
func TestSHA256(t *testing.T) {
	w := newWorld(t)
	k := w.client("alice", aliceAt)
	for _, both := range []bool{false, true} {
		for _, size := range []int{16, 20, 32} {
			reply := k.exchange(k.sha256(both, size, 0))
			require.Contains(t, []int{0, 437}, code(reply))
			value, err := reply.Get(stun.AttrMessageIntegritySHA256)
			require.NoError(t, err)
			require.Equal(t, mac256(k.key(), reply.Raw[:len(reply.Raw)-36], 36), value)
			require.False(t, reply.Contains(stun.AttrMessageIntegrity))
			require.Equal(t, 401, code(k.exchange(k.sha256(both, size, 1))), "one bit")
		}
		require.Nil(t, k.exchange(k.sha256(both, 12, 0)), "too short a proof")
	}
}
