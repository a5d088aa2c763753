package shard

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// TestARoomHearsWhoSpeaks: by the levels of unmuted microphones, each room its own, until they fall silent without a word.
func TestARoomHearsWhoSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		var mu sync.Mutex
		heard := map[RoomID][]speaker.Speaker{}
		b.ask(t, func(s *Shard) {
			s.cfg.Speakers = func(room RoomID, list []speaker.Speaker) {
				mu.Lock()
				defer mu.Unlock()
				heard[room] = list
			}
		})
		who := func(room RoomID) (ids []uint64) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for _, s := range heard[room] {
				ids = append(ids, s.ID)
			}
			return ids
		}
		ext := handshake.ExtensionIDs{AudioLevel: 2}
		var members []*member
		for id := PeerID(1); id <= 4; id++ {
			b.shard.Post(RemovePeer{ID: id})
			m := b.stranger(id, 0)
			b.ask(t, func(s *Shard) { s.enterRoom(s.peers[id], RoomID(1+id/4)) }) // 1, 2 and 3 are in one room
			b.shard.Post(Unpublish{Track: TrackID(id)})
			b.shard.Post(Publish{
				ID: id, Track: TrackID(id), MID: "0", Ext: ext, Voice: id != 3,
				Encodings: []Encoding{{Config: uplink.Config{SSRC: m.ssrc, PayloadType: 111, Codec: codec.Opus}}},
			})
			m.check()
			time.Sleep(time.Millisecond)
			m.listen()
			members = append(members, m)
		}
		speak := func(d time.Duration, talk ...int) {
			for ; d > 0; d -= 20 * time.Millisecond {
				for _, i := range talk {
					m := members[i-1]
					// Syllables: four a second, with quiet between them.
					level := byte(80)
					if m.sent%12 < 8 {
						level = 25
					}
					m.emit(packet.Header{SSRC: m.ssrc, PayloadType: 111, Timestamp: uint32(960 * m.sent)},
						1<<16+seq.Extended(m.sent), []byte{0x78, 1, 2}, packet.Extension{ID: 2, Data: []byte{0x80 | level}})
					m.sent++
				}
				time.Sleep(20 * time.Millisecond)
				for _, m := range members {
					m.check() // consent, and the room's timers
					m.listen()
				}
			}
		}
		speak(2*time.Second, 1, 3, 4)
		require.Equal(t, []uint64{1}, who(1), "3 is no microphone")
		require.Equal(t, []uint64{4}, who(2))
		b.shard.Post(Mute{Track: 1, Muted: true})
		speak(300*time.Millisecond, 1)
		require.Empty(t, who(1), "at once")
		speak(2*time.Second, 1)
		require.Empty(t, who(1))
		b.shard.Post(Mute{Track: 1})
		speak(2*time.Second, 1, 2)
		require.ElementsMatch(t, []uint64{1, 2}, who(1))
		b.shard.Post(RemovePeer{ID: 1})
		speak(300*time.Millisecond, 2)
		require.Equal(t, []uint64{2}, who(1))
		speak(10 * time.Second) // nobody sends anything
		require.Empty(t, who(1))
		require.Empty(t, who(2))
		for _, id := range []PeerID{2, 3, 4} {
			b.shard.Post(RemovePeer{ID: id})
		}
		b.ask(t, func(s *Shard) { require.Empty(t, s.rooms) })
	})
}
