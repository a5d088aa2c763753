package shard

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// slotModel is what the slots of two viewers should show, after any commands and packets.
type slotModel struct {
	uplinks map[TrackID]bool // video?
	shown   map[[2]int]TrackID
	numbers map[TrackID]int // packets so far
	nextID  TrackID
}

func bothCodecs() []downlink.Payload {
	return []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}, {Codec: codec.VP8, PayloadType: 96}}
}

// TestSlotsKeepTheirBooks holds the shard's lists (who listens to an uplink, what a slot shows and what flows in it
// until the switch, who has packets to send) to a model over any order of publishing, unpublishing, assigning, packets
// with and without keyframes, slots that are opened anew, and departures.
func TestSlotsKeepTheirBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		defer func() {
			require.NoError(t, b.shard.Close())
			b.net.Close()
		}()
		for id := PeerID(1); id <= 4; id++ { // 1 and 2 publish, 3 and 4 watch
			b.shard.Post(AddPeer{ID: id})
		}
		b.ask(t, func(s *Shard) {
			for _, id := range []PeerID{3, 4} {
				p := s.peers[id]
				Keys{ID: id, Local: testKey(1, byte(id)), Remote: testKey(2, byte(id))}.apply(s, s.now())
				p.keyed -= downlink.Hold // so that video flows at once
				s.moveTo(s.now(), p, path{addr: netip.MustParseAddrPort("10.0.2.1:5000")})
				for slot := range 2 {
					OpenSlot{ID: id, Slot: slot, Video: slot == 1, Config: downlink.Config{
						SSRC: uint32(id)*100 + uint32(slot), Video: slot == 1,
						Payloads: bothCodecs(),
					}}.apply(s, s.now())
				}
			}
		})
		m := &slotModel{uplinks: map[TrackID]bool{}, shown: map[[2]int]TrackID{}, numbers: map[TrackID]int{}}
		for range rapid.IntRange(50, 200).Draw(t, "steps") {
			m.step(t, b)
			b.ask(t, func(s *Shard) { m.check(t, s) })
		}
	})
}

// ask runs a function in the loop and waits for it. A requirement that fails there fails here.
func (b *bench) ask(t require.TestingT, run func(s *Shard)) {
	done := make(chan any)
	require.True(t, b.shard.Post(Query{func(s *Shard) {
		defer func() { done <- recover() }()
		run(s)
	}}))
	if failed := <-done; failed != nil {
		panic(failed)
	}
}

func (m *slotModel) step(t *rapid.T, b *bench) {
	ids := make([]TrackID, 0, len(m.uplinks))
	for id := range m.uplinks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	pick := func(video bool) TrackID { // 0 among them
		of := []TrackID{0}
		for _, id := range ids {
			if m.uplinks[id] == video {
				of = append(of, id)
			}
		}
		return rapid.SampledFrom(of).Draw(t, "uplink")
	}
	forget := func(gone TrackID) {
		delete(m.uplinks, gone)
		for at, id := range m.shown {
			if id == gone {
				delete(m.shown, at)
			}
		}
	}
	switch rapid.IntRange(0, 13).Draw(t, "what") {
	case 13: // another m-line takes the place of a stopped one
		peer, slot := rapid.IntRange(3, 4).Draw(t, "peer"), rapid.IntRange(0, 1).Draw(t, "slot")
		delete(m.shown, [2]int{peer, slot})
		m.nextID++
		cfg := downlink.Config{SSRC: uint32(m.nextID) << 16, Video: slot == 1, Payloads: bothCodecs()}
		b.shard.Post(OpenSlot{ID: PeerID(peer), Slot: slot, Video: slot == 1, Config: cfg})

	case 0: // publish, a few at most, so that slots come back to what they showed; some say their SSRC only with the first packet
		if len(ids) == 5 {
			return
		}
		m.nextID++
		video := rapid.Bool().Draw(t, "video")
		c := uplink.Config{PayloadType: 111, Codec: codec.Opus}
		if video {
			c = uplink.Config{PayloadType: 96, Codec: codec.VP8}
		}
		if rapid.Bool().Draw(t, "named") {
			c.SSRC = uint32(m.nextID)
		}
		m.uplinks[m.nextID] = video
		b.shard.Post(Publish{ID: PeerID(1 + m.nextID%2), Track: m.nextID, Encodings: []Encoding{{Config: c}}})
	case 1: // unpublish
		if id := pick(rapid.Bool().Draw(t, "video")); id != 0 {
			forget(id)
			b.shard.Post(Unpublish{Track: id})
		}
	case 2, 3, 4, 5, 6: // assign
		peer, slot := rapid.IntRange(3, 4).Draw(t, "peer"), rapid.IntRange(0, 1).Draw(t, "slot")
		id := pick(slot == 1)
		delete(m.shown, [2]int{peer, slot})
		if id != 0 {
			m.shown[[2]int{peer, slot}] = id
		}
		b.shard.Post(Assign{ID: PeerID(peer), Slot: slot, Track: id, CSRC: uint32(id)})
	default: // a packet
		if id := pick(rapid.Bool().Draw(t, "video")); id != 0 {
			key := rapid.Bool().Draw(t, "keyframe")
			m.numbers[id]++
			n := m.numbers[id]
			b.ask(t, func(s *Shard) { s.arrives(s.tracks[id].encodings[0], n, key) })
		}
	}
}

// arrives does what receiveRTP does once a packet has been opened.
func (s *Shard) arrives(u *published, n int, key bool) {
	if u.up == nil {
		s.bind(u, uint32(u.track.id))
	}
	payload := []byte{0x78, 1, 2, 3}
	if u.cfg.Codec.Video() {
		payload = []byte{0x10, 1, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}
		if key {
			payload[1] = 0
		}
	}
	h := packet.Header{SSRC: u.cfg.SSRC, Sequence: uint16(n), Timestamp: uint32(n) * 3000, PayloadType: u.cfg.PayloadType, Marker: true, Size: 12}
	if u.up.Handle(s.now(), &h, 1<<16+seq.Extended(n), payload, uplink.Extensions{}, nil) == uplink.Stored {
		s.stored(s.now(), u, true)
	}
}

// check holds the loop's state to the model, between two turns.
func (m *slotModel) check(t *rapid.T, s *Shard) {
	require.Zero(t, s.stats.Faults)
	require.Len(t, s.tracks, len(m.uplinks))
	for _, t0 := range s.tracks {
		u := t0.encodings[0]
		for i, sl := range u.subs {
			require.NotContains(t, u.subs[:i], sl, "listens twice")
			require.True(t, sl.source == u || sl.old == u, "listens to what it neither shows nor showed")
		}
	}
	for _, id := range []PeerID{3, 4} {
		p := s.peers[id]
		for n, sl := range p.slots {
			want := m.shown[[2]int{int(id), n}]
			current, next := sl.down.Sources()
			if want == 0 {
				require.Nil(t, sl.source)
				require.Nil(t, sl.old)
				require.Nil(t, current)
				require.Nil(t, next)
				continue
			}
			require.NotNil(t, sl.source)
			require.Equal(t, want, sl.source.track.id)
			require.Contains(t, sl.source.subs, sl)
			if up := sl.source.up; up != nil {
				require.True(t, current == up || next == up, "shows neither now nor next what it was assigned")
			}
			if sl.old != nil {
				require.NotSame(t, sl.source, sl.old)
				require.Same(t, s.tracks[sl.old.track.id].encodings[0], sl.old, "shows an uplink that has ended")
				require.Contains(t, sl.old.subs, sl)
			} else {
				require.True(t, current == nil || current == sl.source.up)
			}
		}
		for c := range p.pending {
			for _, sl := range p.pending[c] {
				require.True(t, sl.pending)
				require.EqualValues(t, c, sl.class)
			}
			require.Equal(t, len(p.pending[c]) > 0, p.queued[c])
			require.Equal(t, p.queued[c], slices.Contains(s.ready[c].peers[s.ready[c].head:], p))
		}
	}
}
