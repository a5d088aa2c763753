package control_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/internal/control"
)

// FuzzHandle: whatever comes as a request, signed by who has a credential or not, is answered by a message that pion's codec reads, or
// not at all; and no more ports are open than there are allocations for.
func FuzzHandle(f *testing.F) {
	k := newWorld(f).client("alice", aliceAt)
	for _, set := range [][]stun.Setter{
		{transport(17)},
		{transport(17), additional(2), evenPort(0)},
		{seconds(0)},
		{peer(peerA), peer(media)},
		{channel(0x4000), peer(peer6)},
		{transport(17), raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8)},
		{raw(0x7F00)},
	} {
		for method := range uint8(4) {
			m := stun.MustBuild(set...)
			f.Add(method, true, m.Raw[20:])
		}
		f.Add(uint8(0), false, k.build(stun.MethodAllocate, set...))
	}
	methods := []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind}
	f.Fuzz(func(t *testing.T, method uint8, signed bool, b []byte) {
		w := newWorld(t)
		k := w.client("alice", aliceAt)
		if method&4 != 0 {
			require.Zero(t, code(k.allocate(additional(2))))
		}
		if signed {
			m := stun.MustBuild(stun.TransactionID, stun.NewType(methods[method%4], stun.ClassRequest))
			m.Raw = append(m.Raw, b[:min(len(b)&^3, 1400)]...)
			m.Length = uint32(len(m.Raw) - 20)
			m.WriteLength()
			for _, part := range []stun.Setter{stun.NewUsername(k.username), stun.NewRealm(k.realm), stun.NewNonce(k.nonce), k.key()} {
				require.NoError(t, part.AddTo(m))
			}
			b = m.Raw
		}
		if reply := w.core.Handle(w.now, k.at, b); len(reply) > 0 {
			m := &stun.Message{Raw: append([]byte(nil), reply...)}
			require.NoError(t, m.Decode())
			require.Len(t, reply, 20+int(m.Length))
			if m.Contains(stun.AttrMessageIntegrity) {
				require.NoError(t, k.key().Check(m))
			}
		}
		w.now = w.now.Add(time.Hour + time.Second)
		w.core.Expire(w.now)
		require.Zero(t, w.core.Len())
		require.Empty(t, w.ports)
	})
}

// FuzzSend: what ParseSend takes, pion's codec reads alike; and Data indications of it are read as they were meant.
func FuzzSend(f *testing.F) {
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(peerA), raw(stun.AttrData, 1, 2, 3)).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(peer6), raw(stun.AttrData)).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		to, payload, ok := control.ParseSend(b)
		if !ok {
			return
		}
		m := &stun.Message{Raw: append([]byte(nil), b...)}
		require.NoError(t, m.Decode())
		require.Equal(t, stun.NewType(stun.MethodSend, stun.ClassIndication), m.Type)
		m = &stun.Message{Raw: control.AppendData(nil, to, payload, [12]byte{9})}
		require.NoError(t, m.Decode())
		require.Equal(t, []netip.AddrPort{to}, addresses(m, stun.AttrXORPeerAddress))
		got, err := m.Get(stun.AttrData)
		require.NoError(t, err)
		require.Equal(t, string(payload), string(got))
	})
}
