package shard

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// byChannel carries a client as a TURN worker does over UDP: what leaves has the header of a channel.
func byChannel(f *fan, from netip.AddrPort) *handover.Link {
	l := handover.New(handover.Config{Addr: from, To: from, Port: f.socket, Carrier: nobody{}})
	l.Bind(0x4000 + from.Port()%0x1000)
	return l
}

// byStream carries it as over TCP: packet by packet.
func byStream(_ *fan, from netip.AddrPort) *handover.Link {
	return handover.New(handover.Config{Addr: from, To: from, Stream: true, Carrier: nobody{}})
}

func TestATurnOfLinksAllocatesNothing(t *testing.T) {
	for name, carried := range map[string]func(*fan, netip.AddrPort) *handover.Link{"datagrams": byChannel, "streams": byStream} {
		for bits, congestion := range map[string]*bwe.Config{"": nil, ", counted": {Start: 10 * bwe.Mbps, Min: 10 * bwe.Mbps, Max: 10 * bwe.Mbps}} {
			t.Run(name+bits, func(t *testing.T) {
				f := newFanBy(t, 20, 1000, congestion, carried)
				f.round33 = congestion != nil
				for range 400 {
					f.round()
				}
				require.Zero(t, testing.AllocsPerRun(500, f.round), "of 4 packets to 20 subscribers")
				st := f.shard.stats
				require.EqualValues(t, f.sent*4, st.HandedIn)
				require.Zero(t, st.Drops)
				require.GreaterOrEqual(t, st.HandedOut, uint64(f.sent-2)*4*20)
				if name == "datagrams" {
					require.EqualValues(t, st.HandedOut, f.socket.out)
				}
			})
		}
	}
}

// TestWhatLeavesForALinkLiesSideBySide: a picture's packets to one client, each behind its channel and length, are one run.
func TestWhatLeavesForALinkLiesSideBySide(t *testing.T) {
	f := newFanBy(t, 3, 1000, nil, byChannel)
	f.round()
	var sizes []int
	f.socket.flushed = func(q *udp.Queue) {
		require.Equal(t, 3, q.Runs(), "one for each subscriber")
		for head, b := range q.Datagrams() {
			require.Equal(t, 0x4000+head.To.Port()%0x1000, uint16(b[0])<<8|uint16(b[1]))
			require.Equal(t, len(b)-handover.HeaderSize, int(b[2])<<8|int(b[3]))
			sizes = append(sizes, len(b))
		}
	}
	f.round()
	require.Len(t, sizes, 12)
	for _, size := range sizes {
		require.Equal(t, sizes[0], size)
	}
}

// TestWhatALinkDoesNotPayForDoesNotLeave: above a limit of the carrier's, packets are dropped and counted, and no other is.
func TestWhatALinkDoesNotPayForDoesNotLeave(t *testing.T) {
	var asked, paid, bytes uint64
	f := newFanBy(t, 3, 1000, nil, func(f *fan, from netip.AddrPort) *handover.Link {
		l := handover.New(handover.Config{Addr: from, To: from, Port: f.socket, Carrier: nobody{}, Pays: func(size int) bool {
			bytes += uint64(size)
			if asked++; asked%3 == 0 {
				return false
			}
			paid++
			return true
		}})
		l.Bind(0x4000 + from.Port()%0x1000)
		return l
	})
	for range 100 {
		f.round()
	}
	st := f.shard.stats
	require.Equal(t, asked-paid, st.Drops.LinkUnsent)
	require.Equal(t, paid, st.HandedOut)
	require.EqualValues(t, paid, f.socket.out)
	require.Greater(t, paid, uint64(600))
	require.Greater(t, bytes, 100*4*3*uint64(1000), "they were asked by size")
}

// What it costs that clients are carried by another loop, beside the same clients on the shard's own socket, without the kernel's part
// of either. One to one, half of the packets come in.
func BenchmarkCarried(b *testing.B) {
	for _, c := range []struct {
		name              string
		subscribers, size int
	}{{"1 to 1, 1100", 1, 1064}, {"1 to 100, 1100", 100, 1064}, {"1 to 1, 120", 1, 84}, {"1 to 100, 120", 100, 84}} {
		b.Run(c.name+"/direct", func(b *testing.B) { benchmarkTurnOf(b, newFanBy(b, c.subscribers, c.size, nil, nil)) })
		b.Run(c.name+"/channel", func(b *testing.B) { benchmarkTurnOf(b, newFanBy(b, c.subscribers, c.size, nil, byChannel)) })
	}
}
