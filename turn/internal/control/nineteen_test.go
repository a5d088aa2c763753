package control_test

import (
	"testing"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/internal/control"
)

// nineteen are the points that relays were measured by, each from an Allocate that has gone well, or from nothing. The answer that
// the RFCs ask for stands beside them. beside_linux_test.go asks pion/turn the same.
var nineteen = []struct {
	name string
	want int
	ask  func(k *client) int
}{
	{"401 wrong password", 401, func(k *client) int {
		k.password += "x"
		return k.allocateCode()
	}},
	{"401 unknown user", 401, func(k *client) int {
		k.username = "nobody"
		return k.allocateCode()
	}},
	{"438 garbage nonce", 438, func(k *client) int {
		k.nonce = "garbage"
		return k.allocateCode()
	}},
	{"438 nonce of another 5-tuple", 438, func(k *client) int {
		other := k.other()
		other.nonce = k.nonce
		return other.allocateCode()
	}},
	{"437 second Allocate", 437, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		return k.allocateCode()
	}},
	{"400 permission without peer", 400, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		return k.code(stun.MethodCreatePermission)
	}},
	{"400 same channel, other peer", 400, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		require.Zero(k.t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
		return k.code(stun.MethodChannelBind, channel(0x4000), peer(peerB))
	}},
	{"400 other channel, same peer", 400, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		require.Zero(k.t, k.code(stun.MethodChannelBind, channel(0x4000), peer(peerA)))
		return k.code(stun.MethodChannelBind, channel(0x4001), peer(peerA))
	}},
	{"400 channel 0x5000", 400, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		return k.code(stun.MethodChannelBind, channel(0x5000), peer(peerA))
	}},
	{"400 channel 0x3fff", 400, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		return k.code(stun.MethodChannelBind, channel(0x3fff), peer(peerA))
	}},
	{"attribute after MESSAGE-INTEGRITY ignored", 400, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		m := &stun.Message{Raw: k.build(stun.MethodCreatePermission)}
		require.NoError(k.t, m.Decode())
		require.NoError(k.t, peer(peerA).AddTo(m)) // the only peer there is
		return code(k.exchange(m.Raw))
	}},
	{"420 unknown mandatory attribute", 420, func(k *client) int { return k.allocateCode(raw(0x7F01, 1, 2, 3, 4)) }},
	{"443 Refresh of another family", 443, func(k *client) int {
		require.Zero(k.t, k.allocateCode())
		return k.code(stun.MethodRefresh, family(2))
	}},
	{"437 Refresh without allocation", 437, func(k *client) int { return k.code(stun.MethodRefresh) }},
	{"442 transport 99", 442, func(k *client) int { return k.code(stun.MethodAllocate, transport(99)) }},
	{"400 no transport", 400, func(k *client) int { return k.code(stun.MethodAllocate) }},
	{"400 TCP allocation over UDP", 400, func(k *client) int { return k.code(stun.MethodAllocate, transport(6)) }},
	{"440 IPv6 where there is none", 440, func(k *client) int { return k.allocateCode(family(2)) }},
	{"508 bad reservation token", 508, func(k *client) int {
		return k.allocateCode(raw(stun.AttrReservationToken, 1, 2, 3, 4, 5, 6, 7, 8))
	}},
}

// TestNineteen: all of them are right.
func TestNineteen(t *testing.T) {
	for _, point := range nineteen {
		t.Run(point.name, func(t *testing.T) {
			w := newWorld(t, func(cfg *control.Config) { cfg.IPv6 = false })
			require.Equal(t, point.want, point.ask(w.client("alice", "9.0.0.1:5000")))
		})
	}
}
