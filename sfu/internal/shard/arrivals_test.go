package shard

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

// TestAPublishersLossIsNoLossOfTheSubscriber: blocks of receiver reports, one after the other, and the holes in what the slot was
// given.
func TestAPublishersLossIsNoLossOfTheSubscriber(t *testing.T) {
	var r reception
	for i, c := range []struct {
		highest        uint32
		total          int32
		holes          int64
		lost, expected int
	}{
		{1000, 7, 0, 0, 0},            // the first one tells of a time that nobody knows
		{1100, 17, 0, 10, 100},        // all on its own path
		{1200, 27, 10, 0, 100},        // all on the publisher's
		{1300, 57, 30, 10, 100},       // ten of them
		{1400, 52, 20, 5, 100},        // late ones came: fewer are lost than before, and fewer are holes
		{1390, 9999, 20, 0, 0},        // going back
		{1500, -5, 20, 0, 110},        // more came than were sent
		{1600, 1 << 20, 20, 100, 100}, // more was lost than was sent
	} {
		lost, expected := r.since(&rtcp.ReportBlock{HighestSeq: c.highest, TotalLost: c.total}, c.holes)
		require.Equal(t, [2]int{c.lost, c.expected}, [2]int{lost, expected}, "report %d", i)
	}
}

// TestStreamsOwnNumbersFindTransportWideOnes, media's and repairs', as long as they are remembered.
func TestStreamsOwnNumbersFindTransportWideOnes(t *testing.T) {
	sl := &slot{down: downlink.New(downlink.Config{SSRC: 7, RTXSSRC: 8, Video: true}), own: new([2]ownNumbers)}
	for n := range uint64(2000) {
		sl.note(downlink.Out{Seq: 1<<16 + 65000, RTX: true}, 5000)
		out := downlink.Out{}
		out.Seq += 1<<16 + 65000
		for range n {
			out.Seq++
		}
		sl.note(out, 10_000+n)
	}
	for _, c := range []struct {
		ssrc   uint32
		seq    uint16
		number uint64
		ok     bool
	}{
		{7, uint16((65000 + 1999) & 0xffff), 11_999, true},
		{7, uint16((65000 + 1999 - numbersKept + 1) & 0xffff), 11_999 - numbersKept + 1, true},
		{7, uint16((65000 + 1999 - numbersKept) & 0xffff), 0, false}, // forgotten
		{7, uint16((65000 + 2000) & 0xffff), 0, false},               // never sent
		{8, 65000, 5000, true},
		{8, 65001, 0, false},
	} {
		number, ok := sl.numberOf(c.ssrc, c.seq)
		require.Equal(t, c.ok, ok, "%+v", c)
		if ok {
			require.Equal(t, c.number, number)
		}
	}
}

// TestWhatARungTakesOnTheWire: headers count, more of them where packets are small, and what is not known yet counts little.
func TestWhatARungTakesOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		rung  ladder.Rung
		least bool
		bits  bwe.Bitrate
	}{
		"packets are full":          {ladder.Rung{Bits: 8 * 1100 * 150, Rate: 30}, false, 8 * (1100 + packetOverhead) * 150},
		"a packet a picture":        {ladder.Rung{Bits: 8 * 300 * 30, Rate: 30}, false, 8 * (300 + packetOverhead) * 30},
		"a guess":                   {ladder.Rung{Bits: 1_000_000, Rate: 1, Guess: true}, false, 1_000_000 + 114*packetOverhead*8},
		"a guess, and nothing less": {ladder.Rung{Bits: 1_000_000, Rate: 1, Guess: true}, true, unmeasured + 12*packetOverhead*8},
		"nothing known":             {ladder.Rung{Rate: 1, Guess: true}, true, unmeasured + 12*packetOverhead*8},
	} {
		require.Equal(t, c.bits, onWire(&c.rung, c.rung.Bits, c.least), name)
	}
}

// remb sends a client's own estimate.
func (m *member) remb(bits int64) {
	b := make([]byte, 200)
	part := rtcp.AppendREMB(rtcp.AppendReceiverReport(b[:0], 1, nil), 1, bits, []uint32{uint32(m.id) * 100})
	m.put(b[:m.sealer.SealRTCP(b, len(part))])
}

// TestWhoTellsNothingIsNotBounded, and who sends REMB is from the first one on.
func TestWhoTellsNothingIsNotBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOf(t, &bwe.Config{})
		defer b.close()
		anna := b.member(1, 0)
		anna.films(7, 180, 270, 400) // 0.17, 0.26 and 0.38 Mbit/s: of what is sent, twice as much at most is believed
		boris := b.viewer(2, codec.VP8)
		boris.watch(7, 720)
		b.run(3*time.Second, anna, boris)
		require.EqualValues(t, 2, boris.saw[len(boris.saw)-1].mark)
		_, known := b.shard.Path(2)
		require.False(t, known)

		for range 30 {
			boris.remb(230_000)
			b.run(99*time.Millisecond, anna, boris)
		}
		require.EqualValues(t, 0, boris.saw[len(boris.saw)-1].mark)
		require.Equal(t, ladder.BandwidthLimit, b.lastLayer(2).Limit)
		path, known := b.shard.Path(2)
		require.True(t, known)
		require.LessOrEqual(t, path.Estimate, 230*bwe.Kbps)
		for range 100 {
			boris.remb(5_000_000)
			b.run(99*time.Millisecond, anna, boris)
		}
		require.EqualValues(t, 2, boris.saw[len(boris.saw)-1].mark)
		boris.requireSeamless(600 * time.Millisecond)
	})
}

// TestArrivalsWithoutATimeAreNoDelay: a receiver that reports by streams (RFC 8888) does not know of every third packet when it
// came. What it says instead, 8 s ago or now, would be a queue of seconds.
func TestArrivalsWithoutATimeAreNoDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		b.shard.Post(Query{func(s *Shard) { s.cfg.Congestion = &bwe.Config{} }})
		talker, m := b.member(1, 0), b.member(2, 0)
		b.shard.Post(OpenSlot{ID: 2, Slot: 0, CNAME: "c", CCFB: true, Config: downlink.Config{
			SSRC: 200, Payloads: []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}},
		}})
		b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1})
		batch, began := udp.NewBatch(), time.Now()
		untimed := 0
		for range 200 {
			talker.say()
			time.Sleep(20 * time.Millisecond)
			talker.listen()
			now := time.Since(began)
			n, err := m.socket.Read(batch)
			require.NoError(t, err)
			for k := range n {
				data, _ := batch.Datagram(k)
				h, ok := packet.ParseHeader(data)
				if packet.Classify(data) != packet.RTP || !ok {
					continue
				}
				const offset = 1 // in 1/1024 s
				metric := uint16(1<<15 | offset)
				switch h.Sequence % 6 {
				case 0:
					metric, untimed = 1<<15|0x1ffe, untimed+1
				case 3:
					metric, untimed = 1<<15|0x1fff, untimed+1
				}
				p := rtcp.AppendReceiverReport(make([]byte, 0, 200), 1, nil)
				p = append(p, 0x80|rtcp.FmtCCFB, rtcp.TypeRTPFB, 0, 5, 0, 0, 0, 1) // 5 words follow the first
				p = binary.BigEndian.AppendUint32(p, 200)
				p = binary.BigEndian.AppendUint16(p, h.Sequence)
				p = binary.BigEndian.AppendUint16(p, 1)
				p = binary.BigEndian.AppendUint16(p, metric)
				p = binary.BigEndian.AppendUint16(p, 0) // padding
				p = binary.BigEndian.AppendUint32(p, uint32(rtcp.NTP(began.Add(now))>>16))
				m.socket.WriteTo(p[:m.sealer.SealRTCP(p[:cap(p)], len(p))], b.shard.sock.LocalAddr())
			}
		}
		require.Greater(t, untimed, 50)
		path, known := b.shard.Path(2)
		require.True(t, known)
		require.Less(t, path.Queue, 30*time.Millisecond)
		require.Zero(t, path.Loss)
		require.GreaterOrEqual(t, path.Estimate, 300*bwe.Kbps)
	})
}
