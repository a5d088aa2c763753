package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
)

// quiet takes what comes for so long, answers checks unless the member is deaf, and counts.
func (m *member) quiet(d time.Duration) (checks, reports int) {
	batch := udp.NewBatch()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for {
			n, err := m.socket.Read(batch)
			if err != nil || n == 0 {
				break
			}
			for i := range batch.Len() {
				b, from := batch.Datagram(i)
				switch packet.Classify(b) {
				case packet.STUN:
					checks++
					if !m.deaf {
						m.socket.WriteTo(handshake.NewSecret(memberPwd).AppendResponse(nil, handshake.TransactionID(b[8:20]), from), from)
					}
				case packet.RTCP:
					reports++
				}
			}
		}
	}
	return checks, reports
}

// TestWhoSavesIsSentLittle in a silent room: a check and a report every 5 s, and as much as anybody when he no longer does.
func TestWhoSavesIsSentLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		m := b.member(1, 1)
		m.say()
		m.quiet(time.Second)
		checks, reports := m.quiet(time.Minute)
		require.Greater(t, checks, 19)
		require.Greater(t, reports, 58)

		b.shard.Post(Save{1, true})
		m.quiet(5 * time.Second)
		checks, reports = m.quiet(time.Minute)
		require.InDelta(t, 12, checks, 1)
		require.InDelta(t, 12, reports, 1)

		st, ok := b.shard.Stats()
		require.True(t, ok)
		require.Equal(t, 1, st.Saving)
		require.InDelta(t, 126, st.PeerTime.Seconds(), 1)

		b.shard.Post(Save{1, false})
		checks, reports = m.quiet(time.Minute)
		require.Greater(t, checks, 19)
		require.Greater(t, reports, 57)
		b.shard.Post(RemovePeer{ID: 1})
		st, ok = b.shard.Stats()
		require.True(t, ok)
		require.Zero(t, st.Saving)
		require.InDelta(t, 186, st.PeerTime.Seconds(), 1)
	})
}

// TestWhoSavesKeepsHisConsent: a check that is lost is followed by another at once, for 30 s without an answer end what is sent.
func TestWhoSavesKeepsHisConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		m := b.member(1, 1)
		b.shard.Post(Save{1, true})
		m.quiet(10 * time.Second)
		m.deaf = true
		checks, _ := m.quiet(20 * time.Second)
		require.Greater(t, checks, 14)
		m.deaf = false
		checks, _ = m.quiet(20 * time.Second)
		require.InDelta(t, 4, checks, 1)
	})
}

// TestWhoSavesIsNotProbed: padding is what he saves. And what his sound took while nothing told of it is no burst, once something
// does.
func TestWhoSavesIsNotProbed(t *testing.T) {
	for _, saves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchOf(t, &bwe.Config{})
			defer b.close()
			anna := b.member(1, 0)
			boris := b.member(2, 0)
			b.shard.Post(Save{2, saves})                                                            // as an answer has it: before its slots
			b.shard.Post(OpenSlot{ID: 2, Slot: 0, Video: true, CNAME: "c", Config: downlink.Config{ // its packets have numbers
				SSRC: 200, RTXSSRC: 202, Video: true, TransportSeqID: 3, Payloads: []downlink.Payload{{Codec: codec.VP8, PayloadType: 96, RTXPayloadType: 97}},
			}})
			b.shard.Post(OpenSlot{ID: 2, Slot: 1, CNAME: "c", Config: downlink.Config{
				SSRC: 201, Payloads: []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}},
			}})
			b.shard.Post(Assign{ID: 2, Slot: 1, Track: 1, CSRC: 1})
			for range 500 {
				anna.say()
				time.Sleep(20 * time.Millisecond)
				anna.listen()
				boris.listen()
			}
			require.Equal(t, 500, boris.heard[201])
			b.ask(t, func(s *Shard) {
				g := s.peers[2].congestion
				require.True(t, g.byPackets)
				require.Equal(t, !saves, s.stats.Probes > 0, "it would begin with a probe")
				require.Less(t, g.untold, 11*150, "of 200 ms at most")
			})
		})
	}
}

// TestAThinWayIsTold once, when it has carried less than a voice for 5 s, and never of who saves.
func TestAThinWayIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOf(t, &bwe.Config{Min: 10 * bwe.Kbps})
		defer b.close()
		var told []time.Time
		b.ask(t, func(s *Shard) {
			s.cfg.Thin = func(id PeerID) {
				require.EqualValues(t, 2, id)
				told = append(told, time.Now())
			}
		})
		anna, boris := b.member(1, 0), b.member(2, 1)
		b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1, CSRC: 1})
		tell := func(bits int64, d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				anna.say()
				anna.listen()
				boris.listen()
				boris.remb(bits)
			}
		}
		tell(500_000, 5*time.Second)
		require.Empty(t, told)
		tell(25_000, 4*time.Second)
		require.Empty(t, told, "it may be a moment only")
		tell(25_000, 3*time.Second)
		require.Len(t, told, 1)
		tell(25_000, 10*time.Second)
		require.Len(t, told, 1)
		b.shard.Post(Save{2, true})
		tell(500_000, 5*time.Second)
		tell(25_000, 10*time.Second)
		require.Len(t, told, 1)
		b.shard.Post(Save{2, false})
		tell(25_000, 10*time.Second)
		require.Len(t, told, 2)
	})
}
