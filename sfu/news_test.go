package sfu

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
)

// TestNewsReplacesOlderNews: a room that does not read gathers no more than one notice a topic.
func TestNewsReplacesOlderNews(t *testing.T) {
	n, anna, boris := newNews(), &Peer{}, &Peer{}
	for level := range uint8(100) {
		n.hear([]speaker.Speaker{{ID: 7, Level: level}})
		wanted := level%2 == 0
		n.tell(anna, LayersWanted{TrackID: "cam", Encodings: []EncodingWanted{{RID: "f", Wanted: wanted}}})
		n.tell(anna, CodecWanted{TrackID: "cam", Codec: codec.VP8, Wanted: wanted})
		n.tell(anna, CodecWanted{TrackID: "cam", Codec: codec.H264, Wanted: !wanted})
		n.tell(boris, LayersChanged{Slots: []SlotLayer{{MID: "4", Height: 180}, {MID: "5", Height: int(level)}}})
		n.tell(boris, LayersChanged{Slots: []SlotLayer{{MID: "4", Height: 360}}})
		n.tell(boris, PeerLeft{PeerID: "x"}) // not from a shard
	}
	<-n.wake
	speakers, spoke, notices := n.take()
	require.True(t, spoke)
	require.Equal(t, []plan.Speaker{{Peer: 7, Level: 99}}, speakers)
	require.Equal(t, []notice{
		{anna, LayersWanted{TrackID: "cam", Encodings: []EncodingWanted{{RID: "f", Wanted: false}}}},
		{anna, CodecWanted{TrackID: "cam", Codec: codec.VP8, Wanted: false}},
		{anna, CodecWanted{TrackID: "cam", Codec: codec.H264, Wanted: true}},
		{boris, LayersChanged{Slots: []SlotLayer{{MID: "5", Height: 99}, {MID: "4", Height: 360}}}},
	}, notices)
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
	p.pause(false)
	require.Empty(t, told)
	p.pause(true)
	p.pause(true)
	require.False(t, p.receives(LayersChanged{Slots: []SlotLayer{large}}))
	p.pause(false)
	require.Equal(t, []Event{
		LayersChanged{Slots: []SlotLayer{{MID: "4", Limit: PausedLimit}, {MID: "6", Limit: PausedLimit}}},
		LayersChanged{Slots: []SlotLayer{large}},
	}, told)
}
