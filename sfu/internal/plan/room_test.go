package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestAnyCommands checks, after every command of any sequence, what must always hold; and that a second room given the
// same commands has the same effects, and that the effects replayed give the maps the room has.
func TestAnyCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room, twin := New(Config{MaxPeers: 6}), New(Config{MaxPeers: 6})
		replayed := map[PeerID]*SlotMap{}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			command := anyCommand(t)
			before := map[PeerID]SlotMap{}
			for _, p := range room.order {
				before[p.id] = room.Slots(p.id)
			}
			effects := room.Step(0, command)
			require.Equal(t, effects, twin.Step(0, command))
			replay(t, replayed, room, effects)
			for _, p := range room.order {
				checkSlots(t, room, p)
				require.Equal(t, room.Slots(p.id), *replayed[p.id])
				if now, was := room.Slots(p.id), before[p.id]; was.Audio != nil && !wishing(command, p.id) {
					checkStable(t, was.Audio, now.Audio)
					checkStable(t, was.Video, now.Video)
				}
			}
			require.Len(t, replayed, room.Len())
		}
	})
}

func anyCommand(t *rapid.T) Command {
	peer := PeerID(rapid.IntRange(1, 9).Draw(t, "peer"))
	count := rapid.IntRange(0, 4)
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0, 1, 2:
		return Join{
			Peer: peer, Identity: rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"}).Draw(t, "identity"),
			CanPublish: rapid.IntRange(0, 4).Draw(t, "publish") > 0, CanSubscribe: rapid.IntRange(0, 4).Draw(t, "subscribe") > 0,
			Tracks: anyTracks(t), AudioSlots: count.Draw(t, "audio"), VideoSlots: count.Draw(t, "video"),
		}
	case 3:
		return Leave{Peer: peer}
	case 4, 5:
		return Publish{Peer: peer, Tracks: anyTracks(t)}
	case 6:
		var ids []string
		for _, track := range anyTracks(t) {
			ids = append(ids, track.ID)
		}
		return Unpublish{Peer: peer, IDs: ids}
	case 7:
		return Mute{Peer: peer, ID: "mic0", Muted: rapid.Bool().Draw(t, "muted")}
	case 8:
		open := rapid.SliceOfN(rapid.Bool(), 0, 4)
		return Resize{Peer: peer, Audio: open.Draw(t, "audio"), Video: open.Draw(t, "video")}
	default:
		s := Subscribe{Peer: peer}
		for range rapid.IntRange(0, 5).Draw(t, "wishes") {
			s.Wishes = append(s.Wishes, Wish{
				Peer:     PeerID(rapid.IntRange(1, 9).Draw(t, "wished")),
				Track:    rapid.SampledFrom([]string{"", "", "mic0", "cam0", "screen1"}).Draw(t, "track"),
				Hidden:   rapid.Bool().Draw(t, "hidden"),
				Priority: uint32(rapid.IntRange(0, 2).Draw(t, "priority")),
			})
		}
		return s
	}
}

func anyTracks(t *rapid.T) []Track {
	var list []Track
	for range rapid.IntRange(0, 3).Draw(t, "tracks") {
		name := rapid.SampledFrom([]string{"mic", "cam", "screen", "sound"}).Draw(t, "source")
		track := tracks([]string{name})[0]
		track.ID += fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "number"))
		list = append(list, track)
	}
	return list
}

// replay carries effects out on plain maps, as the shard would.
func replay(t *rapid.T, maps map[PeerID]*SlotMap, room *Room, effects []Effect) {
	type place struct {
		peer  PeerID
		video bool
		slot  int
	}
	assigned, told := map[place]bool{}, map[PeerID]SlotMap{}
	for _, p := range room.order {
		m := maps[p.id]
		if m == nil {
			m = &SlotMap{}
			maps[p.id] = m
		}
		for size := len(room.Slots(p.id).Audio); len(m.Audio) < size; {
			m.Audio = append(m.Audio, TrackRef{})
		}
		for size := len(room.Slots(p.id).Video); len(m.Video) < size; {
			m.Video = append(m.Video, TrackRef{})
		}
		if m.Audio == nil {
			m.Audio = []TrackRef{}
		}
		if m.Video == nil {
			m.Video = []TrackRef{}
		}
	}
	for id := range maps {
		if room.peers[id] == nil {
			delete(maps, id)
		}
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Assign:
			at := place{e.Peer, e.Video, e.Slot}
			require.False(t, assigned[at], "assigned twice in one step")
			assigned[at] = true
			list := maps[e.Peer].Audio
			if e.Video {
				list = maps[e.Peer].Video
			}
			old := list[e.Slot]
			list[e.Slot] = TrackRef{}
			if e.Track != nil {
				list[e.Slot] = *e.Track
			}
			require.NotEqual(t, old, list[e.Slot], "assigned what was there")
		case Tell:
			require.Contains(t, maps, e.Peer, "told a peer that is not here")
			if s, ok := e.Event.(SlotsChanged); ok {
				require.NotContains(t, told, e.Peer)
				told[e.Peer] = s.Slots
			}
		}
	}
	for id, m := range told {
		require.Equal(t, *maps[id], m)
	}
}

// checkSlots: never oneself, nothing twice, nothing hidden, nothing that ended; a free slot means that nobody waits; and
// nobody waits who is wanted more than one who has a slot.
func checkSlots(t *rapid.T, room *Room, p *peer) {
	shown := map[TrackRef]bool{}
	for kind, s := range map[Kind]*slots{Audio: &p.receive.audio, Video: &p.receive.video} {
		least, free := rank(1<<30), 0
		for i, track := range s.now {
			if s.closed[i] {
				require.Nil(t, track, "shown in a slot that is closed")
				continue
			}
			if track == nil {
				free++
				continue
			}
			require.NotEqual(t, p, track.owner)
			require.False(t, shown[track.ref()])
			require.Equal(t, kind, track.Kind)
			require.NotNil(t, room.peers[track.owner.id])
			require.Same(t, track, track.owner.track(track.ID))
			require.NotEqual(t, hidden, p.receive.rank(track))
			shown[track.ref()] = true
			least = min(least, p.receive.rank(track))
		}
		require.Equal(t, free, s.free)
		for _, other := range room.order {
			for _, track := range other.published {
				if other == p || track.Kind != kind || shown[track.ref()] || len(s.now) == 0 {
					continue
				}
				if want := p.receive.rank(track); want != hidden {
					require.Zero(t, free, "%v waits beside a free slot", track.ref())
					require.LessOrEqual(t, want, least, "%v waits below its rank", track.ref())
				}
			}
		}
	}
	require.Len(t, p.receive.where, len(shown))
}

// checkStable: what is in both maps is in the same slot.
func checkStable(t *rapid.T, before, after []TrackRef) {
	for i, ref := range before {
		if ref != (TrackRef{}) && slices.Contains(after, ref) {
			require.Equal(t, ref, after[i], "moved")
		}
	}
}

// wishing says whether the command may move slots of the peer: its own wishes, slots it closed, or a join under its id.
func wishing(c Command, id PeerID) bool {
	switch c := c.(type) {
	case Subscribe:
		return c.Peer == id
	case Resize:
		return c.Peer == id
	case Join:
		return c.Peer == id
	default:
		return false
	}
}

// TestLargeRoom: in a room of 200 an ordinary command tells each peer once and touches no slots of receivers that are
// full; a leave refills those that saw the leaver and nobody else.
func TestLargeRoom(t *testing.T) {
	room := New(Config{})
	member := func(n int) Join {
		return Join{
			Peer: PeerID(n), CanPublish: true, CanSubscribe: true, AudioSlots: 3, VideoSlots: 9,
			Tracks: []Track{{ID: "mic", Kind: Audio, Source: Microphone}, {ID: "cam", Kind: Video, Source: Camera}},
		}
	}
	for n := 1; n <= 200; n++ {
		room.Step(0, member(n))
	}
	require.Len(t, room.Step(0, member(201)), 200+12, "a join: one event each, and the joiner's own slots")
	require.Len(t, room.Step(0, Mute{Peer: 7, ID: "mic", Muted: true}), 200)
	require.Len(t, room.Step(0, Leave{Peer: 201}), 200, "nobody saw the last one")
	// Everybody saw the first one, in two slots: told he left, two new tracks, the new map.
	require.Len(t, room.Step(0, Leave{Peer: 1}), 199*4)
}

func BenchmarkLeaveAndJoin200(b *testing.B) {
	room := New(Config{})
	join := func(n int) {
		room.Step(0, Join{
			Peer: PeerID(n), CanPublish: true, CanSubscribe: true, AudioSlots: 16, VideoSlots: 49,
			Tracks: []Track{{ID: "mic", Kind: Audio, Source: Microphone}, {ID: "cam", Kind: Video, Source: Camera}},
		})
	}
	for n := 1; n <= 200; n++ {
		join(n)
	}
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		room.Step(0, Leave{Peer: PeerID(n)})
		join(n + 200)
	}
}
