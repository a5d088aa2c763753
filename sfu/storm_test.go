package sfu

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
)

// crowd is an SFU on loopback whose peers join without a handshake: what is left is rooms, plans and the shard's tables.
func crowd(t testing.TB) *SFU {
	socket, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	require.NoError(t, err)
	s, err := New(Config{Sockets: []udp.Socket{socket}, Advertise: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// walkIn is Join with the answer left out.
func (s *SFU) walkIn(t testing.TB, n int, publishes bool, events *atomic.Uint64) *Peer {
	req := JoinRequest{
		Room: "hall", Identity: fmt.Sprint("i", n), Publish: publishes, Subscribe: true, Events: func(Event) { events.Add(1) },
	}
	r, c, err := s.enter(roomKey{"", req.Room}, req.Identity)
	require.NoError(t, err)
	p := &Peer{sfu: s, room: r, core: c, id: newPeerID(), req: req, tracks: map[string]publication{}}
	require.True(t, s.know(p))
	c.shard.Post(shard.AddPeer{ID: p.id, Room: r.id})
	var lines []handshake.Slot
	for i := range 12 {
		lines = append(lines, handshake.Slot{MID: fmt.Sprint(i), Video: i >= 3, Index: i, SSRC: uint32(n*100 + i)})
		if i >= 3 {
			lines[i].Index = i - 3
		}
	}
	p.openSlots(lines)
	join := plan.Join{Peer: planID(p.id), Identity: req.Identity, CanPublish: publishes, CanSubscribe: true, AudioSlots: 3, VideoSlots: 9}
	if publishes {
		published := map[string]handshake.Published{"a": {MID: "a", Payload: handshake.Payload{Codec: codec.Opus}, Encodings: []handshake.Encoding{{SSRC: uint32(n*100 + 50)}}}}
		join.Tracks, _ = p.publish(published, []Track{{ID: "mic", Kind: Audio, Source: Microphone, MID: "a"}})
	}
	require.NoError(t, r.do(p, join).rejected)
	return p
}

// storm lets 1,000 join from 16 goroutines, 20 of whom publish, and then leave.
func storm(t testing.TB, s *SFU, events *atomic.Uint64) {
	each := func(do func(n int)) {
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for n := g; n < 1000; n += 16 {
					do(n)
				}
			})
		}
		wg.Wait()
	}
	peers := make([]*Peer, 1000)
	each(func(n int) { peers[n] = s.walkIn(t, n, n < 20, events) })
	each(func(n int) { peers[n].depart(0) })
}

// TestAStormLeavesNothingBehind: a thousand come at once and go, and hear no more of each other than a large room tells.
func TestAStormLeavesNothingBehind(t *testing.T) {
	s := crowd(t)
	var events atomic.Uint64
	storm(t, s, &events)
	st, ok := s.Stats()
	require.True(t, ok)
	require.Zero(t, st.Rooms)
	require.Zero(t, st.Peers)
	require.Zero(t, st.Shards[0].Peers)
	require.Zero(t, st.Shards[0].Tracks)
	require.Zero(t, st.Shards[0].Faults)
	require.Less(t, events.Load(), uint64(1000*200), "of 1,000 others each hears of some, those that a small room told of and those in slots")
}

// BenchmarkStormOf1000 is 1,000 joins and departures of one room, its shard's part included, without the handshakes.
func BenchmarkStormOf1000(b *testing.B) {
	s := crowd(b)
	var events atomic.Uint64
	b.ReportAllocs()
	for b.Loop() {
		storm(b, s, &events)
	}
	b.ReportMetric(float64(events.Load())/float64(b.N)/1000, "events/peer")
}
