package rtcp

import (
	"testing"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// streamArrival is what congestion control feedback tells of one packet of one stream.
type streamArrival struct {
	ssrc uint32
	Arrival
}

func congestionArrivals(p Packet) (all []streamArrival) {
	for ssrc, a := range p.CongestionArrivals(&Clock{}, time.Hour) {
		all = append(all, streamArrival{ssrc, a})
	}
	return all
}

// congestionMessage is a report of 10.5 s by its clock.
func congestionMessage(blocks ...byte) Packet {
	body := append([]byte{0, 0, 0, 1}, blocks...)
	return Packet{Type: TypeRTPFB, Count: FmtCCFB, Body: append(body, 0, 10, 0x80, 0)}
}

func TestCongestionArrivals(t *testing.T) {
	const report = 10500 * time.Millisecond
	at := func(s uint16, ecn packet.ECN, offset time.Duration) streamArrival {
		return streamArrival{7, Arrival{Seq: s, Received: true, Timed: true, At: report - offset*time.Second/1024, ECN: ecn}}
	}
	lost := func(s uint16) streamArrival { return streamArrival{7, Arrival{Seq: s}} }
	untimed := func(s uint16, at time.Duration) streamArrival {
		return streamArrival{7, Arrival{Seq: s, Received: true, At: at}}
	}
	for _, c := range []struct {
		name   string
		blocks []byte
		want   []streamArrival
	}{
		{"none", nil, nil},
		{"an empty block", []byte{0, 0, 0, 7, 0, 10, 0, 0}, nil},
		{"two packets", []byte{0, 0, 0, 7, 0xff, 0xff, 0, 2, 0xa0, 0, 0xe2, 0}, []streamArrival{at(65535, packet.ECT1, 0), at(0, packet.CE, 512)}},
		{"one packet and padding", []byte{0, 0, 0, 7, 0, 10, 0, 1, 0xc0, 1, 0, 0}, []streamArrival{at(10, packet.ECT0, 1)}},
		{"lost, with nonsense beside", []byte{0, 0, 0, 7, 0, 10, 0, 2, 0x7f, 0xff, 0x80, 1}, []streamArrival{lost(10), at(11, packet.NotECT, 1)}},
		{"no time", []byte{0, 0, 0, 7, 0, 10, 0, 2, 0x9f, 0xfe, 0x9f, 0xff}, []streamArrival{untimed(10, report-8190*time.Second/1024), untimed(11, report)}},
		{"longest time", []byte{0, 0, 0, 7, 0, 10, 0, 1, 0x9f, 0xfd, 0, 0}, []streamArrival{at(10, packet.NotECT, 8189)}},
		{
			"two blocks",
			[]byte{0, 0, 0, 7, 0, 10, 0, 1, 0x80, 1, 0, 0, 0, 0, 0, 8, 0, 20, 0, 1, 0x80, 2, 0, 0},
			[]streamArrival{at(10, packet.NotECT, 1), {8, at(20, packet.NotECT, 2).Arrival}},
		},
		{"a block that claims more", []byte{0, 0, 0, 7, 0, 10, 0, 3, 0x80, 1, 0x80, 1}, nil},
		{
			"a good one before it",
			[]byte{0, 0, 0, 7, 0, 10, 0, 1, 0x80, 1, 0, 0, 0, 0, 0, 8, 0, 20, 0xff, 0xff, 0x80, 2, 0, 0},
			[]streamArrival{at(10, packet.NotECT, 1)},
		},
		{"half a block", []byte{0, 0, 0, 7}, nil},
	} {
		require.Equal(t, c.want, congestionArrivals(congestionMessage(c.blocks...)), c.name)
	}
	whole := congestionMessage(0, 0, 0, 7, 0, 10, 0, 2, 0x80, 1, 0x80, 1)
	for range whole.CongestionArrivals(&Clock{}, 0) {
		break
	}
	for n := range 8 {
		require.Empty(t, congestionArrivals(Packet{Type: TypeRTPFB, Count: FmtCCFB, Body: whole.Body[:n]}))
	}
	require.Empty(t, congestionArrivals(Packet{Type: TypeRTPFB, Count: FmtTWCC, Body: whole.Body}))
	require.Empty(t, congestionArrivals(Packet{Type: TypePSFB, Count: FmtCCFB, Body: whole.Body}))
}

func TestCongestionArrivalsOfPion(t *testing.T) {
	b, err := pionrtcp.CCFeedbackReport{
		SenderSSRC: 1, ReportTimestamp: 65536 * 20,
		ReportBlocks: []pionrtcp.CCFeedbackReportBlock{
			{MediaSSRC: 3, BeginSequence: 65535, MetricBlocks: []pionrtcp.CCFeedbackMetricBlock{
				{Received: true, ECN: pionrtcp.ECNCE, ArrivalTimeOffset: 1024}, {}, {Received: true, ArrivalTimeOffset: 512},
			}},
			{MediaSSRC: 4, BeginSequence: 9, MetricBlocks: []pionrtcp.CCFeedbackMetricBlock{{Received: true}}},
		},
	}.Marshal()
	require.NoError(t, err)
	require.Equal(t, []streamArrival{
		{3, Arrival{Seq: 65535, Received: true, Timed: true, At: 19 * time.Second, ECN: packet.CE}},
		{3, Arrival{Seq: 0}},
		{3, Arrival{Seq: 1, Received: true, Timed: true, At: 19500 * time.Millisecond}},
		{4, Arrival{Seq: 9, Received: true, Timed: true, At: 20 * time.Second}},
	}, congestionArrivals(only(t, b)))
}

// The timestamp wraps every 18 hours.
func TestCongestionArrivalsAcrossTheTimeWrap(t *testing.T) {
	var c Clock
	var got []time.Duration
	for _, now := range []time.Duration{0, 20 * time.Hour, 30 * time.Hour, 61 * time.Hour} {
		var r CongestionRecorder
		r.Handle(now, 7, 1, packet.NotECT)
		for _, a := range only(t, r.Append(nil, now, NTP(testEpoch.Add(now)), 1)).CongestionArrivals(&c, now+time.Minute) {
			got = append(got, a.At)
		}
	}
	for i, hours := range []time.Duration{20, 30, 61} {
		require.Equal(t, hours*time.Hour, got[i+1]-got[0])
	}
}

func FuzzCongestionArrivals(f *testing.F) {
	f.Add([]byte{0, 0, 0, 7, 0, 10, 0, 1, 0x80, 1, 0, 0, 0, 0, 0, 8, 0, 20, 0, 1, 0x80, 2, 0, 0})
	f.Add([]byte{0, 0, 0, 7, 0, 10, 0, 3, 0x80, 1, 0x80, 1})
	f.Fuzz(func(t *testing.T, blocks []byte) {
		p := congestionMessage(blocks[:len(blocks)/4*4]...)
		all := congestionArrivals(p)
		require.LessOrEqual(t, len(all), len(blocks)/2)
		// What pion takes we read alike, but for its last block where that claims the timestamp.
		b := append([]byte{0x80 | FmtCCFB, TypeRTPFB, byte(len(p.Body) / 4 >> 8), byte(len(p.Body) / 4)}, p.Body...)
		var theirs pionrtcp.CCFeedbackReport
		if theirs.Unmarshal(b) != nil {
			return
		}
		size := len(p.Body) - 8
		for _, block := range theirs.ReportBlocks {
			if size -= 8 + 2*len(block.MetricBlocks); size < 0 {
				break
			}
			size -= len(block.MetricBlocks) % 2 * 2
			for i, m := range block.MetricBlocks {
				require.Equal(t, block.MediaSSRC, all[0].ssrc)
				require.Equal(t, block.BeginSequence+uint16(i), all[0].Seq)
				require.Equal(t, m.Received, all[0].Received)
				require.Equal(t, uint8(m.ECN), uint8(all[0].ECN))
				all = all[1:]
			}
		}
		require.Empty(t, all)
	})
}
