package control_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// expected is what one client must have, kept by the simplest book: what it was granted, and until when.
type expected struct {
	until       time.Time // zero: no allocation
	permissions map[netip.Addr]time.Time
	channels    map[uint16]bound
}

type bound struct {
	peer  netip.AddrPort
	until time.Time
}

// TestRandomClients: whatever two clients ask, in whatever order and at whatever time, answers and what may pass are as the book has
// it, and one client's doings never show in what the other has.
func TestRandomClients(t *testing.T) {
	denied := netip.MustParseAddrPort("192.168.0.1:80")
	targets := []netip.AddrPort{peerA, peerB, netip.AddrPortFrom(peerA.Addr(), 7), media, denied, peer6}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, func(cfg *control.Config) { cfg.MaxPermissions, cfg.MaxChannels = 3, 2 })
		clients := []*client{w.client("alice", aliceAt), w.client("bob", "9.0.0.2:5000")}
		books := []*expected{{}, {}}
		numbers := []uint16{0x3FFF, 0x4000, 0x4001, 0x4FFF, 0x5000}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "client")
			k, book := clients[i], books[i]
			to := rapid.SampledFrom(targets).Draw(t, "peer")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				want := 0
				if !book.until.IsZero() {
					want = 437
				}
				require.Equal(t, want, k.allocateCode())
				if want == 0 {
					*book = expected{w.now.Add(600 * time.Second), map[netip.Addr]time.Time{}, map[uint16]bound{}}
				}
			case 1:
				asked := rapid.SampledFrom([]uint32{0, 1, 900, 9000}).Draw(t, "lifetime")
				want := 0
				if book.until.IsZero() {
					want = 437
				}
				require.Equal(t, want, k.code(stun.MethodRefresh, seconds(asked)))
				switch {
				case want != 0:
				case asked == 0:
					*book = expected{}
				default:
					book.until = w.now.Add(time.Duration(min(max(asked, 600), 3600)) * time.Second)
				}
			case 2:
				also := rapid.SampledFrom(targets).Draw(t, "second peer")
				want := book.permit(w.now, to, also)
				require.Equal(t, want, k.code(stun.MethodCreatePermission, peer(to), peer(also)))
			case 3:
				n := rapid.SampledFrom(numbers).Draw(t, "number")
				require.Equal(t, book.bind(w.now, n, to), k.code(stun.MethodChannelBind, channel(n), peer(to)))
			default:
				w.pass(time.Duration(rapid.SampledFrom([]int{1, 60, 150, 299}).Draw(t, "seconds")) * time.Second)
				if w.now.Sub(time.Unix(1_767_222_000, 0)) > 50*time.Minute {
					return // the credentials' hour comes to its end
				}
			}
			for i, book := range books {
				book.pass(w.now)
				book.agrees(t, w.now, clients[i].allocation(), targets, numbers)
			}
		}
		open := 0
		for i, book := range books {
			if !book.until.IsZero() && clients[i].allocation() != nil {
				open++
			}
		}
		require.Len(t, w.ports, open)
	})
}

// pass drops what has run out.
func (e *expected) pass(now time.Time) {
	if !e.until.IsZero() && !now.Before(e.until) {
		*e = expected{}
	}
	maps.DeleteFunc(e.permissions, func(_ netip.Addr, until time.Time) bool { return !now.Before(until) })
	maps.DeleteFunc(e.channels, func(_ uint16, b bound) bool { return !now.Before(b.until) })
}

// judge is the error of a peer, or 0.
func judge(p netip.AddrPort) int {
	switch {
	case p == peer6:
		return 443
	case p.Addr().IsPrivate():
		return 403
	}
	return 0
}

func (e *expected) permit(now time.Time, all ...netip.AddrPort) int {
	if e.until.IsZero() {
		return 437
	}
	after := maps.Clone(e.permissions)
	for _, p := range all {
		if code := judge(p); code != 0 {
			return code
		}
		after[p.Addr()] = now.Add(300 * time.Second)
	}
	if len(after) > 3 {
		return 508
	}
	e.permissions = after
	return 0
}

func (e *expected) bind(now time.Time, n uint16, p netip.AddrPort) int {
	if e.until.IsZero() {
		return 437
	}
	if n < 0x4000 || n > 0x4FFF {
		return 400
	}
	for other, b := range e.channels {
		if (other == n) != (b.peer == p) {
			return 400
		}
	}
	if code := judge(p); code != 0 {
		return code
	}
	if _, renewed := e.channels[n]; !renewed && len(e.channels) == 2 {
		return 508
	}
	if code := e.permit(now, p); code != 0 {
		return code
	}
	e.channels[n] = bound{p, now.Add(600 * time.Second)}
	return 0
}

// agrees compares the book with what the data path is told.
func (e *expected) agrees(t *rapid.T, now time.Time, a *control.Allocation, targets []netip.AddrPort, numbers []uint16) {
	require.Equal(t, !e.until.IsZero(), a != nil)
	if a == nil {
		return
	}
	for _, p := range targets {
		_, permitted := e.permissions[p.Addr()]
		require.Equal(t, permitted, a.May(now, p) != peers.Denied, p)
		require.Equal(t, permitted && p == media, a.May(now, p) == peers.Own, p)
		number, ok := a.Channel(now, p)
		book := slices.IndexFunc(numbers, func(n uint16) bool { return e.channels[n].peer == p && permitted })
		require.Equal(t, book >= 0, ok, p)
		if ok {
			require.Equal(t, numbers[book], number)
		}
	}
	for _, n := range numbers {
		b, is := e.channels[n]
		_, permitted := e.permissions[b.peer.Addr()]
		to, verdict := a.Peer(now, n)
		require.Equal(t, is && permitted, verdict != peers.Denied, n)
		if is {
			require.Equal(t, b.peer, to)
		}
	}
}
