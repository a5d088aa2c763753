package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// sealed notes what a viewer gets under each SSRC and number. The same again must be the very same bytes: under AES-GCM two
// packets under one number give the authentication key away.
func (m *member) sealed(b []byte) {
	h, ok := packet.ParseHeader(b)
	if !ok {
		return
	}
	at := [2]uint32{h.SSRC, uint32(h.Sequence)}
	before, again := m.seals[at]
	if again {
		require.Equal(m.b.t, before, string(b), "SSRC %d, number %d, sealed twice", h.SSRC, h.Sequence)
	}
	m.seals[at] = string(b)
}

// nack asks for packets of the slot again.
func (m *member) nack(numbers ...uint16) {
	b := make([]byte, 200)
	part := rtcp.AppendNACK(rtcp.AppendReceiverReport(b[:0], 1, nil), 1, uint32(m.id)*100, numbers)
	m.put(b[:m.sealer.SealRTCP(b, len(part))])
}

// TestEachNumberIsSealedOnce: tracks, views, encodings that stop and start, keyframes, loss towards us and from us, repairs,
// slots that are emptied and come back, backups: in any order, for a viewer on the publisher's shard and one behind a pipe.
func TestEachNumberIsSealedOnce(t *testing.T) {
	rapid.Check(t, func(check *rapid.T) {
		var failed any // rapid stops by a panic, which must not end the bubble's goroutine
		synctest.Test(t, func(*testing.T) {
			defer func() { failed = recover() }()
			t := check
			b := newBench(t)
			there := b.beside()
			defer func() {
				require.NoError(t, there.shard.Close())
				b.close()
			}()
			anna := b.member(1, 0)
			all := []*member{anna}
			for id := PeerID(2); id <= 3; id++ {
				m := [...]*bench{2: b, 3: there}[id].member(id, 0)
				m.seals = map[[2]uint32]string{}
				m.b.shard.Post(OpenSlot{ID: id, Slot: 0, Video: true, CNAME: "c", Config: downlink.Config{
					SSRC: uint32(id) * 100, RTXSSRC: uint32(id)*100 + 1, Video: true, NACK: true, FirstSequence: 1, FirstRTXSequence: 1,
					Payloads: []downlink.Payload{{Codec: codec.VP8, PayloadType: 96, RTXPayloadType: 97}},
				}})
				all = append(all, m)
			}
			anna.films(7, 180, 360, 720)
			anna.films(8, 360, 180)
			anna.second(9, 0, codec.AV1, 1)
			for _, f := range anna.film {
				f.mirror(there)
			}
			of := func(track, primary TrackID, c codec.Codec) Mirror {
				return Mirror{Publish{ID: 1, Track: track, Primary: primary, Encodings: []Encoding{{Config: uplink.Config{Codec: c}}}}, b.shard}
			}
			there.shard.Post(of(9, 0, codec.AV1))
			backup := false
			for range rapid.IntRange(5, 40).Draw(t, "steps") {
				viewer := all[rapid.IntRange(1, 2).Draw(t, "viewer")]
				f := anna.film[rapid.IntRange(0, 1).Draw(t, "film")]
				r := f.encodings[rapid.IntRange(0, len(f.encodings)-1).Draw(t, "encoding")]
				switch rapid.IntRange(0, 8).Draw(t, "what") {
				case 0, 1, 2:
					track := rapid.SampledFrom([]TrackID{0, 7, 7, 8, 8, 9}).Draw(t, "track")
					viewer.watch(track, uint32(rapid.SampledFrom([]int{0, 90, 180, 360, 720}).Draw(t, "lines")))
				case 3:
					r.broken = !r.broken
				case 4:
					r.key = true
				case 5:
					f.obeys = !f.obeys
				case 6: // lost on the way here
					r.number += 3
					r.pictures++
				case 7: // lost on the way there, or so he says
					var numbers []uint16
					for range rapid.IntRange(1, 5).Draw(t, "lost") {
						numbers = append(numbers, uint16(rapid.IntRange(1, len(viewer.seals)+2).Draw(t, "number")))
					}
					viewer.nack(numbers...)
				case 8:
					if backup {
						b.shard.Post(Unpublish{Track: 10})
						there.shard.Post(Unpublish{Track: 10})
					} else {
						anna.second(10, 9, codec.VP8, 2)
						there.shard.Post(of(10, 9, codec.VP8))
					}
					backup = !backup
				}
				b.run(time.Duration(rapid.SampledFrom([]int{33, 33, 100, 500, 1300}).Draw(t, "for"))*time.Millisecond, all...)
			}
			for _, b := range []*bench{b, there} {
				st, ok := b.shard.Stats()
				require.True(t, ok)
				require.Zero(t, st.Faults)
				require.Empty(t, b.gone)
			}
			for _, viewer := range all[1:] {
				ssrc := uint32(viewer.id) * 100
				require.Len(t, viewer.seals, viewer.heard[ssrc]+viewer.heard[ssrc+1], "all of it opened")
			}
		})
		if failed != nil {
			panic(failed)
		}
	})
}
