package shard

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// beside is a second shard on the network of the first, with pipes between them.
func (b *bench) beside() *bench {
	o := &bench{
		t: b.t, net: b.net, gone: map[PeerID]Reason{}, wanted: map[TrackID][]EncodingWanted{},
		layers: map[PeerID][]SlotLayer{}, layersAt: map[PeerID][]time.Time{},
	}
	o.host = b.net.Host(netip.MustParseAddr("10.0.0.2"))
	socket, err := o.host.Socket(7882)
	require.NoError(b.t, err)
	cfg := Config{Socket: socket, Epoch: b.shard.epoch, Gone: func(id PeerID, r Reason) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.gone[id] = r
	}}
	o.hears(&cfg)
	o.shard = New(cfg)
	Connect(b.shard, o.shard)
	return o
}

// mirror makes a film known on another shard.
func (f *film) mirror(o *bench) {
	p := Publish{ID: f.m.id, Track: f.track, MID: f.mid}
	for _, r := range f.encodings {
		p.Encodings = append(p.Encodings, Encoding{RID: r.rid, Config: uplink.Config{
			PayloadType: 96, RTXPayloadType: 97, Codec: codec.VP8, NACK: true,
		}})
	}
	o.shard.Post(Mirror{p, f.m.b.shard})
}

// apart is a publisher of three encodings on one shard, and a viewer on another.
func apart(t *testing.T, run func(here, there *bench, anna, boris *member, f *film)) {
	synctest.Test(t, func(t *testing.T) {
		here := newBench(t)
		there := here.beside()
		defer func() {
			require.NoError(t, there.shard.Close())
			here.close()
		}()
		anna, boris := here.member(1, 0), there.viewer(2, codec.VP8)
		f := anna.films(7, 180, 360, 720)
		f.obeys = true
		f.mirror(there)
		run(here, there, anna, boris, f)
		for _, b := range []*bench{here, there} {
			st, ok := b.shard.Stats()
			require.True(t, ok)
			require.Zero(t, st.Faults)
		}
	})
}

// passed is how many packets of each encoding have come through the pipe.
func (b *bench) passed(track TrackID) (packets []uint64) {
	b.ask(b.t, func(s *Shard) {
		for _, u := range s.tracks[track].encodings {
			packets = append(packets, u.up.Stats().Packets)
		}
	})
	return packets
}

// TestATrackIsWatchedOnAnotherShard as on its own: the encoding that fills the view, at once, without a seam; nothing else
// goes through the pipe, and nothing else is sent by its publisher.
func TestATrackIsWatchedOnAnotherShard(t *testing.T) {
	apart(t, func(here, there *bench, anna, boris *member, f *film) {
		here.run(2*time.Second, anna, boris)
		require.Equal(t, []bool{false, false, false}, here.told(7), "a mirror wants nothing by itself")
		require.Equal(t, []uint64{0, 0, 0}, there.passed(7))

		boris.watch(7, 720)
		here.run(200*time.Millisecond, anna, boris)
		require.Equal(t, []bool{false, false, true}, here.told(7))
		require.Equal(t, []byte{2}, boris.marks(0))
		require.Zero(t, there.passed(7)[0]+there.passed(7)[1])
		here.run(2*time.Second, anna, boris)

		for _, step := range []struct {
			lines  uint32
			mark   byte
			within time.Duration
		}{{180, 0, 1400 * time.Millisecond}, {360, 1, 300 * time.Millisecond}, {720, 2, 300 * time.Millisecond}} {
			boris.watch(7, step.lines)
			here.run(step.within, anna, boris)
			require.Equal(t, step.mark, boris.saw[len(boris.saw)-1].mark, "%+v", step)
			here.run(time.Second, anna, boris)
			before := there.passed(7)
			here.run(time.Second, anna, boris)
			for i, n := range there.passed(7) {
				require.Equal(t, byte(i) == step.mark, n > before[i], "%+v: encoding %d", step, i)
			}
			require.Equal(t, []bool{step.mark == 0, step.mark == 1, step.mark == 2}, here.told(7))
		}
		boris.requireSeamless(130 * time.Millisecond)
		require.EqualValues(t, 720, there.lastLayer(2).Height)
		st, _ := there.shard.Stats()
		require.Equal(t, 1, st.Mirrors)
		require.Equal(t, 1, st.Peers)
		require.Positive(t, st.HistoryBytes)

		there.shard.Post(Assign{ID: 2, Slot: 0})
		here.run(time.Second, anna, boris)
		require.Equal(t, []bool{false, false, false}, here.told(7))
	})
}

// TestBothShardsWatch: each takes what it needs, and the publisher sends both.
func TestBothShardsWatch(t *testing.T) {
	apart(t, func(here, there *bench, anna, boris *member, f *film) {
		vera := here.viewer(3, codec.VP8)
		all := []*member{anna, boris, vera}
		boris.watch(7, 180)
		vera.watch(7, 720)
		here.run(3*time.Second, all...)
		require.Equal(t, []bool{true, false, true}, here.told(7))
		require.Equal(t, byte(0), boris.saw[len(boris.saw)-1].mark)
		require.Equal(t, byte(2), vera.saw[len(vera.saw)-1].mark)
		here.shard.Post(RemovePeer{ID: 3})
		here.run(time.Second, anna, boris)
		require.Equal(t, []bool{true, false, false}, here.told(7))
		there.shard.Post(RemovePeer{ID: 2})
		here.run(time.Second, anna)
		require.Equal(t, []bool{false, false, false}, here.told(7))
	})
}

// TestAMirrorEnds with its track, wherever it is ended first, and can be made again.
func TestAMirrorEnds(t *testing.T) {
	apart(t, func(here, there *bench, anna, boris *member, f *film) {
		boris.watch(7, 0)
		here.run(time.Second, anna, boris)
		there.shard.Post(Unpublish{Track: 7})
		here.run(time.Second, anna, boris)
		there.ask(t, func(s *Shard) {
			require.Empty(t, s.far)
			require.Nil(t, s.tracks[7])
		})
		here.ask(t, func(s *Shard) {
			require.Empty(t, s.tracks[7].mirrors)
			require.Empty(t, s.outlets[0].wishes)
		})
		require.Equal(t, []bool{false, false, false}, here.told(7))
		n := len(boris.saw)
		f.mirror(there)
		boris.watch(7, 0)
		here.run(300*time.Millisecond, anna, boris)
		require.Greater(t, len(boris.saw), n)

		// It is ended and mirrored anew before the publisher's shard hears of either.
		there.shard.Post(Unpublish{Track: 7})
		f.mirror(there)
		boris.watch(7, 180)
		here.run(2*time.Second, anna, boris)
		n = len(boris.saw)
		here.run(300*time.Millisecond, anna, boris)
		require.Greater(t, len(boris.saw), n+5)

		here.shard.Post(RemovePeer{ID: 1})
		here.run(300*time.Millisecond, boris)
		there.shard.Post(Unpublish{Track: 7})
		here.run(100*time.Millisecond, boris)
		there.ask(t, func(s *Shard) { require.Empty(t, s.far) })
		here.ask(t, func(s *Shard) { require.Empty(t, s.outlets[0].wishes) })
	})
}

// TestAMirrorMayBeEarly: the publisher's shard hears of the wishes before it has the track.
func TestAMirrorMayBeEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newBench(t)
		there := here.beside()
		defer func() {
			require.NoError(t, there.shard.Close())
			here.close()
		}()
		anna, boris := here.member(1, 0), there.viewer(2, codec.VP8)
		f := &film{m: anna, track: 7, mid: "7", encodings: make([]*reel, 3)}
		for i := range f.encodings {
			f.encodings[i] = &reel{rid: string(rune('a' + i))}
		}
		f.mirror(there)
		boris.watch(7, 0)
		time.Sleep(100 * time.Millisecond)
		anna.films(7, 180, 360, 720)
		here.run(time.Second, anna, boris)
		require.NotEmpty(t, boris.saw)
		boris.requireSeamless(200 * time.Millisecond)
	})
}

// TestAFullPipeDropsAndRecovers: the other shard stands still for longer than the pipe holds.
func TestAFullPipeDropsAndRecovers(t *testing.T) {
	apart(t, func(here, there *bench, anna, boris *member, f *film) {
		boris.watch(7, 720)
		here.run(2*time.Second, anna, boris)
		there.shard.Post(Query{func(*Shard) { time.Sleep(15 * time.Second) }})
		here.run(14900*time.Millisecond, anna)
		st, _ := here.shard.Stats()
		require.Positive(t, st.Drops.PipeOverflow)
		here.run(400*time.Millisecond, anna, boris)
		n := len(boris.saw)
		here.run(2*time.Second, anna, boris)
		require.Greater(t, len(boris.saw), n+100)
		keys := 0
		for _, s := range boris.saw[n-40:] {
			if s.key {
				keys++
			}
		}
		require.Positive(t, keys, "nothing behind the hole can be decoded without one")
	})
}

// TestAFaultInAMirrorIsItsPublishers: he leaves; the viewer stays.
func TestAFaultInAMirrorIsItsPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newBench(t)
		there := here.beside()
		defer func() {
			require.NoError(t, there.shard.Close())
			here.close()
		}()
		anna, boris := here.member(1, 0), there.viewer(2, codec.VP8)
		f := anna.films(7, 180)
		f.mirror(there)
		boris.watch(7, 0)
		here.run(time.Second, anna, boris)
		there.ask(t, func(s *Shard) { s.tracks[7].encodings[0].up = nil })
		here.run(time.Second, anna, boris)
		there.mu.Lock()
		defer there.mu.Unlock()
		require.Equal(t, map[PeerID]Reason{1: Fault}, there.gone)
		there.ask(t, func(s *Shard) {
			require.NotNil(t, s.peers[2])
			require.Empty(t, s.far)
		})
	})
}

// TestAVoiceGoesThroughThePipe while somebody hears it there, all of it.
func TestAVoiceGoesThroughThePipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newBench(t)
		there := here.beside()
		defer func() {
			require.NoError(t, there.shard.Close())
			here.close()
		}()
		anna, boris := here.member(1, 0), there.member(2, 1)
		there.shard.Post(Mirror{Publish{
			ID: 1, Track: 1, MID: "0", Encodings: []Encoding{{Config: uplink.Config{SSRC: anna.ssrc, PayloadType: 111, Codec: codec.Opus}}},
		}, here.shard})
		talk := func(n int) {
			for range n {
				anna.say()
				time.Sleep(20 * time.Millisecond)
				anna.listen()
				boris.listen()
			}
		}
		talk(50)
		require.Empty(t, boris.heard)
		there.shard.Post(Assign{ID: 2, Slot: 0, Track: 1, CSRC: 1})
		time.Sleep(20 * time.Millisecond)
		talk(100)
		require.Equal(t, map[uint32]int{200: 100}, boris.heard)
		there.shard.Post(Assign{ID: 2, Slot: 0})
		talk(50)
		here.ask(t, func(s *Shard) { require.False(t, s.tracks[1].mirrors[0].taps[0].open) })
	})
}

// TestABackupIsAskedForThroughThePipe, and withdrawn.
func TestABackupIsAskedForThroughThePipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newBench(t)
		there := here.beside()
		defer func() {
			require.NoError(t, there.shard.Close())
			here.close()
		}()
		anna, vera := here.member(1, 0), there.viewer(2, codec.VP8)
		anna.second(7, 0, codec.AV1, 500)
		there.shard.Post(Mirror{Publish{
			ID: 1, Track: 7, Encodings: []Encoding{{Config: uplink.Config{Codec: codec.AV1}}},
		}, here.shard})
		vera.watch(7, 0)
		here.run(time.Second, anna, vera)
		require.Equal(t, []string{"7 VP8 true"}, here.codecsTold())
		require.Empty(t, there.codecsTold())
		f := anna.films(8, 180)
		here.shard.Post(Unpublish{Track: 8})
		p := Publish{
			ID: 1, Track: 8, Primary: 7, MID: "8", Ext: handshake.ExtensionIDs{MID: filmMID, RID: filmRID},
			Encodings: []Encoding{{RID: "a", Config: uplink.Config{PayloadType: 96, Codec: codec.VP8}}},
		}
		here.shard.Post(p)
		there.shard.Post(Mirror{p, here.shard})
		here.run(time.Second, anna, vera)
		require.Greater(t, len(vera.saw), 20)
		vera.requireSeamless(70 * time.Millisecond)
		there.shard.Post(RemovePeer{ID: 2})
		here.run(6*time.Second, anna)
		require.Equal(t, []string{"7 VP8 true", "7 VP8 false"}, here.codecsTold())
		require.Equal(t, []bool{false}, here.told(8))
		_ = f
	})
}

// TestAPipeKeepsItsOrder over any interleaving of both its ends.
func TestAPipeKeepsItsOrder(t *testing.T) {
	p := newPipe(nil, nil)
	p.lay()
	const parcels = 100_000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := seq.Extended(0); n < parcels; {
			if c := p.next(); c != nil {
				c.seq, c.size = n, uint16(n)
				p.push()
				n++
			}
		}
	}()
	for n := seq.Extended(0); n < parcels; {
		if c := p.first(); c != nil {
			require.Equal(t, n, c.seq)
			require.Equal(t, uint16(n), c.size)
			p.pop()
			n++
		}
	}
	<-done
	require.True(t, p.idle())
	for range pipeSize {
		require.NotNil(t, p.next())
		p.push()
	}
	require.Nil(t, p.next())
}

// TestAPipeAllocatesNothing: the way of four packets from one shard's socket through the pipe to 20 subscribers of another.
func TestAPipeAllocatesNothing(t *testing.T) {
	f := newFan(t, 0, 1000)
	there := newShard(Config{Socket: &still{}, Epoch: f.shard.epoch, Gone: func(id PeerID, r Reason) { t.Errorf("peer %d is gone", id) }})
	p := newPipe(f.shard, there)
	f.shard.outlets, there.inlets = []*pipe{p}, []*pipe{p}
	Mirror{Publish{
		ID: 1, Track: 1, Encodings: []Encoding{{Config: uplink.Config{Codec: codec.VP8}}},
	}, f.shard}.apply(there, there.now())
	for i := range 20 {
		id := PeerID(i + 2)
		AddPeer{ID: id}.apply(there, there.now())
		Keys{ID: id, Local: testKey(1, byte(id)), Remote: testKey(2, byte(id))}.apply(there, there.now())
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 3}), uint16(1000+i))
		there.moveTo(there.now(), there.peers[id], path{addr: to})
		OpenSlot{ID: id, Video: true, CNAME: "c", Config: downlink.Config{
			SSRC: 100 + uint32(i), Video: true, TransportSeqID: 3, NACK: true, Payloads: []downlink.Payload{{Codec: codec.VP8, PayloadType: 96}},
		}}.apply(there, there.now())
		Assign{ID: id, Track: 1, CSRC: 1}.apply(there, there.now())
	}
	time.Sleep(downlink.Hold)
	open := func() bool { m := f.shard.tracks[1].mirrors; return len(m) > 0 && m[0].taps[0].open }
	for !open() { // its wishes
		time.Sleep(tick)
		there.turn()
		f.shard.turn()
	}
	f.sent = 0 // the next picture is a keyframe
	round := func() {
		f.round()
		for there.turn() {
		}
	}
	for range 400 {
		round()
	}
	require.GreaterOrEqual(t, there.sock.(*still).out, 390*4*20)
	require.Zero(t, testing.AllocsPerRun(500, round))
	require.Zero(t, there.stats.Drops)
}
