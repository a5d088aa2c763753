package shard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// emit sends one packet of any kind under the member's keys.
func (m *member) emit(h packet.Header, number seq.Extended, payload []byte, elements ...packet.Extension) {
	p := make([]byte, 1500)
	h.Sequence = number.Uint16()
	n := packet.PutHeader(p, h)
	if len(elements) > 0 {
		n = packet.PutExtensions(p, n, elements)
	}
	copy(p[n:], payload)
	m.put(p[:m.sealer.SealRTP(p, n, n+len(payload), number)])
}

func named(mid, rid string, id uint8) []packet.Extension {
	e := []packet.Extension{{ID: filmMID, Data: []byte(mid)}}
	if rid != "" {
		e = append(e, packet.Extension{ID: id, Data: []byte(rid)})
	}
	return e
}

// TestRepairsMayComeFirst: the RTX stream of an encoding is bound by its repaired RID before anything that it repairs has
// come, and repairs afterwards.
func TestRepairsMayComeFirst(t *testing.T) {
	filming(t, []uint16{180, 360}, func(b *bench, anna, boris *member, f *film) {
		boris.watch(7, 0)
		r := f.encodings[1]
		rtx := packet.Header{SSRC: r.rtx, PayloadType: 97}
		anna.emit(rtx, 1<<16+1, []byte{0, 9, 0x10, 0}, named("7", "b", filmRepaired)...)
		time.Sleep(10 * time.Millisecond)
		b.ask(t, func(s *Shard) {
			require.Same(t, s.tracks[7].encodings[1], s.peers[1].bySSRC[r.rtx])
			require.Nil(t, s.tracks[7].encodings[1].up)
		})
		b.run(time.Second, anna, boris)
		require.NotContains(t, anna.reported, r.rtx, "the sender would leave its RID out from then on")
		require.Contains(t, anna.reported, r.ssrc)
		// One picture is lost on the way, and comes as a repair.
		n := len(boris.saw)
		lost, at := r.number, r.pictures
		size := r.size
		r.size = 30
		r.number, r.pictures = r.number+1, r.pictures+1
		f.send(r)
		payload := make([]byte, 32)
		payload[0], payload[1] = byte(lost>>8), byte(lost)
		payload[2], payload[3], payload[31] = 0x10, 1, 77
		anna.emit(packet.Header{SSRC: r.rtx, PayloadType: 97, Timestamp: at * 3000, Marker: true}, 1<<16+2, payload)
		time.Sleep(10 * time.Millisecond)
		boris.listen()
		require.Equal(t, []byte{1, 77}, boris.marks(n))
		r.size = size
	})
}

// TestARIDIsNeededWhereThereAreSeveral: without one, and with a wrong MID or payload type, a packet is nobody's, and no
// report names it.
func TestARIDIsNeededWhereThereAreSeveral(t *testing.T) {
	filming(t, []uint16{180, 360}, func(b *bench, anna, _ *member, f *film) {
		for _, c := range []struct {
			header   packet.Header
			elements []packet.Extension
		}{
			{packet.Header{SSRC: 1, PayloadType: 96}, nil},
			{packet.Header{SSRC: 2, PayloadType: 96}, named("7", "", 0)},
			{packet.Header{SSRC: 3, PayloadType: 96}, named("8", "a", filmRID)},
			{packet.Header{SSRC: 4, PayloadType: 98}, named("7", "a", filmRID)},
			{packet.Header{SSRC: 5, PayloadType: 96}, named("7", "z", filmRID)},
			{packet.Header{SSRC: 6, PayloadType: 97}, named("7", "a", filmRID)}, // of RTX, which names what it repairs
			{packet.Header{SSRC: 7, PayloadType: 0}, named("7", "a", filmRID)},
		} {
			anna.emit(c.header, 1<<16+1, []byte{0x10, 0, 0, 0, 0x9d, 1, 0x2a, 1, 1, 1, 1}, c.elements...)
		}
		time.Sleep(2 * time.Second)
		anna.listen()
		st, _ := b.shard.Stats()
		require.EqualValues(t, 7, st.Drops.UnknownSSRC)
		for ssrc := range uint32(8) {
			require.NotContains(t, anna.reported, ssrc)
		}
	})
}

// TestMadeUpRIDsBindNothing: a publisher sends a thousand SSRCs, each with a RID of its own. Its track goes on.
func TestMadeUpRIDsBindNothing(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, _ *film) {
		boris.watch(7, 0)
		b.run(2*time.Second, anna, boris)
		n := len(boris.saw)
		for i := range uint32(1000) {
			rid := fmt.Sprintf("r%d", i)
			if i%3 == 0 {
				rid = "a" // or that of an encoding that has its SSRC
			}
			anna.emit(packet.Header{SSRC: 50_000 + i, PayloadType: 96}, 1<<16+1, make([]byte, 100), named("7", rid, filmRID)...)
			if i%10 == 0 {
				b.run(33*time.Millisecond, anna, boris)
			}
		}
		b.run(33*time.Millisecond, anna, boris)
		b.ask(t, func(s *Shard) {
			require.LessOrEqual(t, len(s.peers[1].bySSRC), 1+3+3)
			require.LessOrEqual(t, len(s.ssrcs), 3+1+1)
		})
		require.Equal(t, []byte{2}, boris.marks(n))
		boris.requireSeamless(70 * time.Millisecond)
		st, _ := b.shard.Stats()
		require.EqualValues(t, 1000, st.Drops.UnknownSSRC+st.Drops.TooManySSRCs, "%+v %+v", st.Drops, st.Socket)
	})
}

// second is a publication of H.264 by hand: the shard looks at no more than whether it is a keyframe.
func (m *member) second(track, primary TrackID, c codec.Codec, ssrc uint32) {
	m.b.shard.Post(Publish{
		ID: m.id, Track: track, Primary: primary, MID: fmt.Sprint(track), Ext: handshake.ExtensionIDs{MID: filmMID},
		Encodings: []Encoding{{Config: uplink.Config{SSRC: ssrc, PayloadType: 96, Codec: c}}},
	})
}

// TestWhoCannotDecodeGetsABackup: the publisher is asked once for a codec that all of them have, its second publication flows
// in the same slot, and it is taken back when it is of no use for five seconds.
func TestWhoCannotDecodeGetsABackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		anna := b.member(1, 0)
		boris := b.viewer(2, codec.AV1, codec.VP8)
		vera := b.viewer(3, codec.VP8)
		yuri := b.viewer(4, codec.AV1)
		all := []*member{anna, boris, vera, yuri}
		anna.second(7, 0, codec.AV1, 500)
		for _, m := range all[1:] {
			m.watch(7, 0)
		}
		b.run(time.Second, all...)
		require.Equal(t, []string{"7 VP8 true"}, b.codecsTold())
		require.Equal(t, CodecLimit, b.lastLayer(3).Limit)
		b.ask(t, func(s *Shard) {
			require.Same(t, s.tracks[7], s.peers[2].slots[0].variant)
			require.Nil(t, s.peers[3].slots[0].variant)
		})

		f := anna.films(8, 180)
		b.shard.Post(Unpublish{Track: 8}) // films made it a track of its own
		b.shard.Post(Publish{
			ID: 1, Track: 8, Primary: 7, MID: "8", Ext: handshake.ExtensionIDs{MID: filmMID, RID: filmRID},
			Encodings: []Encoding{{RID: "a", Config: uplink.Config{PayloadType: 96, RTXPayloadType: 97, Codec: codec.VP8, NACK: true}}},
		})
		b.run(time.Second, all...)
		require.NotEmpty(t, vera.saw)
		require.Empty(t, boris.saw, "he can have the first")
		vera.requireSeamless(70 * time.Millisecond)
		require.Equal(t, uint8(100+codec.VP8), vera.saw[0].payload)
		require.EqualValues(t, 180, b.lastLayer(3).Height)
		require.Equal(t, []bool(nil), b.told(8), "it is watched from the beginning")

		// The backup ends and comes again: nothing more is asked.
		b.shard.Post(Unpublish{Track: 8})
		b.run(time.Second, all...)
		n := len(vera.saw)
		b.run(time.Second, all...)
		require.Equal(t, n, len(vera.saw))
		require.Len(t, b.codecsTold(), 1)

		// She goes.
		b.shard.Post(Assign{ID: 3, Slot: 0})
		b.run(4900*time.Millisecond, all...)
		require.Len(t, b.codecsTold(), 1)
		b.run(200*time.Millisecond, all...)
		require.Equal(t, []string{"7 VP8 true", "7 VP8 false"}, b.codecsTold())
		vera.watch(7, 0)
		b.run(100*time.Millisecond, all...)
		require.Equal(t, "7 VP8 true", b.codecsTold()[2])
		b.shard.Post(RemovePeer{ID: 3})
		b.run(6*time.Second, all...)
		require.Equal(t, "7 VP8 false", b.codecsTold()[3])
		b.shard.Post(Unpublish{Track: 7})
		st, _ := b.shard.Stats()
		require.Zero(t, st.Faults)
		require.EqualValues(t, 2, st.BackupsAsked)
		_ = f
	})
}

// TestABackupEndsWithItsPrimary: what showed a backup is empty.
func TestABackupEndsWithItsPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		anna, vera := b.member(1, 0), b.viewer(2, codec.VP8)
		anna.second(7, 0, codec.AV1, 500)
		anna.second(8, 7, codec.VP8, 600)
		anna.second(9, 8, codec.VP8, 700) // a backup of a backup is none
		vera.watch(7, 0)
		b.run(100*time.Millisecond, anna, vera)
		b.ask(t, func(s *Shard) {
			require.Same(t, s.tracks[8], s.peers[2].slots[0].variant)
			require.Equal(t, []*track{s.tracks[8]}, s.tracks[7].backups)
			require.Nil(t, s.tracks[9].primary)
		})
		b.shard.Post(Unpublish{Track: 7})
		b.ask(t, func(s *Shard) {
			sl := s.peers[2].slots[0]
			require.Nil(t, sl.track)
			require.Nil(t, sl.variant)
			require.Nil(t, sl.source)
			require.Nil(t, s.tracks[8].primary)
			require.Empty(t, s.tracks[8].slots)
		})
		require.Empty(t, b.codecsTold())
	})
}
