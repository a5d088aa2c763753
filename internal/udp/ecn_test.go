package udp_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// Forms that tell the ECN bits tell them as they were set, of runs and of single datagrams; the others take what is marked like
// all else and say that it was not.
func TestECN(t *testing.T) {
	for form, c := range map[string]struct {
		run  func(t *testing.T, ipv6 bool, behaviour func(*testing.T, pair))
		tell bool
	}{
		"raw":                  {listenBoth(listenWith(udp.Config{ECN: true})), true},
		"raw without offload":  {listenBoth(listenWith(udp.Config{ECN: true, DisableGSO: true, DisableGRO: true})), true},
		"raw to plain":         {listenBoth(listenWith(udp.Config{ECN: true, DisableGRO: true, Timestamps: true})), true},
		"raw that did not ask": {listenBoth(listenWith(udp.Config{})), false},
		"portable":             {listenBoth(listenWith(udp.Config{ECN: true, Portable: true})), false},
		"portable single":      {listenBoth(udp.ListenSingle), false},
		"memory":               {simulated, true},
	} {
		for family, ipv6 := range map[string]bool{"IPv4": false, "IPv6": true} {
			t.Run(form+"/"+family, func(t *testing.T) {
				c.run(t, ipv6, func(t *testing.T, s pair) { testECN(t, s, c.tell) })
			})
		}
	}
}

func testECN(t *testing.T, s pair, tell bool) {
	marks := slices.Concat(
		slices.Repeat([]packet.ECN{packet.ECT1}, 5), slices.Repeat([]packet.ECN{packet.NotECT}, 5), []packet.ECN{packet.CE},
		slices.Repeat([]packet.ECN{packet.ECT0}, 20), []packet.ECN{packet.ECT1, packet.NotECT, packet.ECT1},
	)
	want := marks
	if !tell {
		want = make([]packet.ECN, len(marks))
	}
	q := udp.NewQueue(len(marks))
	for range 2 { // the memory of queue and batch is used again
		for i, ecn := range marks {
			data := datagram(i, 300)
			copy(q.Next(s.b.LocalAddr()), data)
			if ecn != packet.NotECT {
				q.Mark(ecn)
			}
			q.Commit(len(data))
		}
		require.NoError(t, s.a.Flush(q))
		require.Equal(t, want, receivedECN(t, s, len(marks)))
	}
}

// receivedECN reads count datagrams at b and returns their ECN bits.
func receivedECN(t *testing.T, s pair, count int) []packet.ECN {
	t.Helper()
	var got []packet.ECN
	batch := udp.NewBatch()
	for len(got) < count {
		n := next(t, s.b, batch)
		for i := range n {
			_, from := batch.Datagram(i)
			require.Equal(t, s.a.LocalAddr().Port(), from.Port())
			got = append(got, batch.ECN(i))
		}
		require.Equal(t, packet.NotECT, batch.ECN(n))
	}
	return got
}

// A socket of both families marks and reads each in its own way.
func TestECNOfTheWildcard(t *testing.T) {
	cfg := udp.Config{ECN: true}
	both, err := udp.Listen(netip.MustParseAddrPort("[::]:0"), cfg)
	require.NoError(t, err)
	defer both.Close()
	for _, local := range []string{"127.0.0.1", "::1"} {
		addr := netip.MustParseAddr(local)
		other, err := udp.Listen(netip.AddrPortFrom(addr, 0), cfg)
		require.NoError(t, err)
		defer other.Close()
		for to, s := range map[netip.AddrPort]pair{
			other.LocalAddr(): {both, other},
			netip.AddrPortFrom(netip.AddrFrom16(addr.As16()), other.LocalAddr().Port()): {both, other}, // mapped, of IPv4
			netip.AddrPortFrom(addr, both.LocalAddr().Port()):                           {other, both},
		} {
			q := udp.NewQueue(3)
			for _, ecn := range []packet.ECN{packet.ECT1, packet.ECT1, packet.NotECT} {
				q.Next(to)
				q.Mark(ecn)
				q.Commit(100)
			}
			require.NoError(t, s.a.Flush(q))
			require.Equal(t, []packet.ECN{packet.ECT1, packet.ECT1, packet.NotECT}, receivedECN(t, s, 3), "%s to %v", local, to)
			require.Zero(t, s.a.Stats().SendError)
		}
	}
}

// The simulated network marks as its links do, what can be marked and nothing else.
func TestECNOfASimulatedLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		defer n.Close()
		from, to := n.Host(netip.MustParseAddr("10.0.0.1")), n.Host(netip.MustParseAddr("10.0.0.2"))
		n.SetLink(from, to, netsim.LinkConfig{
			Rate: 1_000_000, QueueTime: time.Second, Mark: netsim.Marking{From: 10 * time.Millisecond, To: 10 * time.Millisecond},
		})
		a, err := from.Socket(0)
		require.NoError(t, err)
		b, err := to.Socket(0)
		require.NoError(t, err)
		q := udp.NewQueue(4)
		for _, ecn := range []packet.ECN{packet.ECT1, packet.ECT1, packet.NotECT, packet.ECT0} { // each waits 10 ms for the one before
			q.Next(b.LocalAddr())
			q.Mark(ecn)
			q.Commit(1250 - 28)
		}
		require.NoError(t, a.Flush(q))
		require.Equal(t, []packet.ECN{packet.ECT1, packet.CE, packet.NotECT, packet.CE}, receivedECN(t, pair{a, b}, 4))
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}
