package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
)

// TestNoCopiesOverTCP: what is lost there TCP sends again, and copies would wait in the same queue.
func TestNoCopiesOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOf(t, &bwe.Config{})
		defer b.close()
		anna := b.member(1, 0)
		boris := b.member(2, 0)
		b.shard.Post(OpenSlot{ID: 2, Slot: 0, CNAME: "c", Config: downlink.Config{
			SSRC: 201, RED: 63, Payloads: []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}},
		}})
		b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1, CSRC: 1})
		for range 50 {
			anna.say()
			time.Sleep(20 * time.Millisecond)
			boris.listen()
		}
		b.ask(t, func(s *Shard) {
			p, now := s.peers[2], s.now()
			p.hearing.path.Report(now, 30, 100)
			s.tendHearing(now, p)
			require.NotEqual(t, voice.Plain, p.hearing.mode)
			udp, tcp := p.destination, p.destination
			tcp.via = &transport{tcp: &tcpConn{}, stream: true}
			s.moveTo(now, p, tcp)
			require.Equal(t, voice.Plain, p.hearing.mode)
			require.Equal(t, voice.Plain, p.hearing.needs)
			s.moveTo(now, p, udp)
			require.NotEqual(t, voice.Plain, p.hearing.mode)
		})
	})
}
