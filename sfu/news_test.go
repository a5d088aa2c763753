package sfu

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
)

// TestNewsReplacesOlderNews: a room that does not read gathers no more than one notice a topic.
func TestNewsReplacesOlderNews(t *testing.T) {
	n := newNews(2)
	anna := &Peer{tracks: map[string]publication{"cam": {track: 3}}}
	boris := &Peer{}
	boris.slots[1] = []peerSlot{{mid: "4", number: 1}, {mid: "5", number: 2}}
	n.hear(1, []speaker.Speaker{{ID: 8, Level: 98}, {ID: 9, Level: 120}})
	for level := range uint8(100) {
		n.hear(0, []speaker.Speaker{{ID: 7, Level: level}})
		wanted := level%2 == 0
		n.tell(notice{peer: anna, topic: topic{track: 3}, wanted: []shard.EncodingWanted{{RID: "f", Wanted: wanted}}})
		n.tell(notice{peer: anna, topic: topic{track: 3, codec: codec.VP8}, codec: wanted})
		n.tell(notice{peer: anna, topic: topic{track: 3, codec: codec.H264}, codec: !wanted})
		n.tell(notice{peer: anna, topic: topic{track: 4}}) // of a track that has ended
		n.tell(notice{peer: boris, changed: []shard.SlotLayer{{Slot: 1, Height: 180}, {Slot: 2, Height: uint16(level)}}})
		n.tell(notice{peer: boris, changed: []shard.SlotLayer{{Slot: 1, Height: 360}}})
		n.tell(notice{peer: boris, topic: topic{path: true}, thin: true})
	}
	<-n.wake
	speakers, spoke, notices := n.take()
	require.True(t, spoke)
	require.Equal(t, []plan.Speaker{{Peer: 7, Level: 99}, {Peer: 8, Level: 98}, {Peer: 9, Level: 120}}, speakers, "of both shards, each in its own order")
	var events []Event
	for _, n := range notices {
		events = append(events, n.event())
	}
	require.Equal(t, []Event{
		LayersWanted{TrackID: "cam", Encodings: []EncodingWanted{{RID: "f", Wanted: false}}},
		CodecWanted{TrackID: "cam", Codec: codec.VP8, Wanted: false},
		CodecWanted{TrackID: "cam", Codec: codec.H264, Wanted: true},
		nil,
		LayersChanged{Slots: []SlotLayer{{MID: "5", Height: 99}, {MID: "4", Height: 360}}},
		ProfileWanted{SaverProfile},
	}, events)
	_, spoke, notices = n.take()
	require.False(t, spoke)
	require.Empty(t, notices)
	require.Empty(t, n.wake)
}

// TestPausedSlotsSaySo: and when they are no longer, what they had; what a shard tells meanwhile waits until then.
func TestPausedSlotsSaySo(t *testing.T) {
	var told []Event
	p := &Peer{req: JoinRequest{Events: func(e Event) { told = append(told, e) }}}
	p.slots[1] = []peerSlot{{mid: "4"}, {mid: ""}, {mid: "6"}}
	small, large := SlotLayer{MID: "4", Height: 180, Limit: WishLimit}, SlotLayer{MID: "4", Height: 720, Limit: NoLimit}
	require.True(t, p.receives(LayersChanged{Slots: []SlotLayer{small, {MID: "2"}, {MID: "3"}}}))
	require.Len(t, p.layers, 1, "no slots have the other mids")
	shown := []plan.TrackRef{{Peer: 7, ID: "cam"}, {}, {}}
	p.pause(false, shown)
	require.Empty(t, told)
	p.pause(true, nil)
	p.pause(true, nil)
	require.False(t, p.receives(LayersChanged{Slots: []SlotLayer{large}}))
	p.pause(false, shown)
	p.pause(true, nil)
	p.pause(false, nil) // who was seen has left
	require.Equal(t, []Event{
		LayersChanged{Slots: []SlotLayer{{MID: "4", Limit: PausedLimit}, {MID: "6", Limit: PausedLimit}}},
		LayersChanged{Slots: []SlotLayer{large}},
		LayersChanged{Slots: []SlotLayer{{MID: "4", Limit: PausedLimit}, {MID: "6", Limit: PausedLimit}}},
	}, told)
}
