package rtcp

import (
	"testing"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

var testEpoch = time.Unix(1_700_000_000, 0)

// reports takes all that r has to tell at now and reads it with pion.
func reports(t require.TestingT, r *CongestionRecorder, now time.Duration) []*pionrtcp.CCFeedbackReport {
	var all []*pionrtcp.CCFeedbackReport
	for {
		b := r.Append(nil, now, NTP(testEpoch.Add(now)), 1)
		if len(b) == 0 {
			return all
		}
		require.LessOrEqual(t, len(b), maxCongestionFeedback)
		only(t, b)
		f, ok := theirs(t, b)[0].(*pionrtcp.CCFeedbackReport)
		require.True(t, ok)
		require.Equal(t, uint32(1), f.SenderSSRC)
		require.Equal(t, uint32(NTP(testEpoch.Add(now))>>16), f.ReportTimestamp)
		all = append(all, f)
	}
}

// came is a metric of a packet that came so long before the report.
func came(before time.Duration, ecn packet.ECN) pionrtcp.CCFeedbackMetricBlock {
	return pionrtcp.CCFeedbackMetricBlock{Received: true, ECN: pionrtcp.ECN(ecn), ArrivalTimeOffset: uint16(before * 1024 / time.Second)}
}

func TestCongestionRecorder(t *testing.T) {
	const tick = 32 * time.Second / 1024 // a multiple of both clocks' units
	var r CongestionRecorder
	require.Empty(t, reports(t, &r, time.Second), "nothing came")

	now := time.Hour
	r.Handle(now-100*tick, 7, 65534, packet.ECT1)
	r.Handle(now-90*tick, 7, 65535, packet.CE)
	r.Handle(now-80*tick, 9, 5, packet.NotECT)
	r.Handle(now-70*tick, 7, 1, packet.ECT1) // 0 is lost
	all := reports(t, &r, now)
	require.Len(t, all, 1)
	lost := pionrtcp.CCFeedbackMetricBlock{}
	require.Equal(t, []pionrtcp.CCFeedbackReportBlock{
		{MediaSSRC: 7, BeginSequence: 65534, MetricBlocks: []pionrtcp.CCFeedbackMetricBlock{
			came(100*tick, packet.ECT1), came(90*tick, packet.CE), lost, came(70*tick, packet.ECT1),
		}},
		{MediaSSRC: 9, BeginSequence: 5, MetricBlocks: []pionrtcp.CCFeedbackMetricBlock{came(80*tick, packet.NotECT)}},
	}, all[0].ReportBlocks)
	require.Empty(t, reports(t, &r, now), "nothing came since")

	r.Handle(now, 7, 0, packet.ECT1) // late after all
	r.Handle(now, 7, 0, packet.ECT0) // again
	all = reports(t, &r, now)
	require.Len(t, all, 1)
	require.Equal(t, []pionrtcp.CCFeedbackReportBlock{
		{MediaSSRC: 7, BeginSequence: 0, MetricBlocks: []pionrtcp.CCFeedbackMetricBlock{came(0, packet.ECT1), came(70*tick, packet.ECT1)}},
	}, all[0].ReportBlocks)

	r.Handle(now, 7, 1, packet.CE) // a duplicate was marked
	all = reports(t, &r, now)
	require.Equal(t, []pionrtcp.CCFeedbackMetricBlock{came(70*tick, packet.CE)}, all[0].ReportBlocks[0].MetricBlocks)
	r.Handle(now, 7, 1, packet.CE)
	require.Empty(t, reports(t, &r, now))
}

func TestCongestionRecorderOfOldAndFuturePackets(t *testing.T) {
	var r CongestionRecorder
	r.Handle(time.Second, 7, 1, packet.NotECT)
	r.Handle(9*time.Second, 7, 2, packet.NotECT)
	r.Handle(10*time.Second, 7, 3, packet.NotECT)
	r.Handle(19*time.Second, 7, 4, packet.NotECT)
	metrics := reports(t, &r, 18*time.Second)[0].ReportBlocks[0].MetricBlocks
	require.Equal(t, []uint16{0x1ffe, 0x1ffe, 0x1ffe, 0x1fff}, []uint16{
		metrics[0].ArrivalTimeOffset, metrics[1].ArrivalTimeOffset, metrics[2].ArrivalTimeOffset, metrics[3].ArrivalTimeOffset,
	})
	r.Handle(18*time.Second, 7, 5, packet.NotECT)
	require.Equal(t, uint16(8189), reports(t, &r, 18*time.Second+8189*time.Second/1024)[0].ReportBlocks[0].MetricBlocks[0].ArrivalTimeOffset)
}

func TestCongestionReportsOfMuch(t *testing.T) {
	var r CongestionRecorder
	for s := range uint16(900) {
		for ssrc := range uint32(3) {
			r.Handle(time.Second, ssrc, s, packet.ECT1)
		}
	}
	told := map[uint32]int{}
	all := reports(t, &r, time.Second)
	require.Len(t, all, 6)
	for _, f := range all {
		for _, block := range f.ReportBlocks {
			require.Equal(t, uint16(told[block.MediaSSRC]), block.BeginSequence)
			told[block.MediaSSRC] += len(block.MetricBlocks)
		}
	}
	require.Equal(t, map[uint32]int{0: 900, 1: 900, 2: 900}, told)
}

func TestCongestionReportsAfterAnOutage(t *testing.T) {
	var r CongestionRecorder
	r.Handle(time.Second, 7, 100, packet.NotECT)
	reports(t, &r, time.Second)
	r.Handle(2*time.Second, 7, 100+3000, packet.NotECT)
	total := 0
	for _, f := range reports(t, &r, 2*time.Second) {
		total += len(f.ReportBlocks[0].MetricBlocks)
	}
	require.Equal(t, congestionWindow, total, "what lies further back is not told")
	r.Handle(2*time.Second, 7, 3100-congestionWindow, packet.NotECT)
	require.Empty(t, reports(t, &r, 2*time.Second), "too late")
	r.Handle(2*time.Second, 7, 3101-congestionWindow, packet.NotECT)
	require.NotEmpty(t, reports(t, &r, 2*time.Second))
}

func TestCongestionRecorderIsBounded(t *testing.T) {
	var r CongestionRecorder
	for ssrc := range uint32(1000) {
		r.Handle(time.Second+time.Duration(ssrc), ssrc, 1, packet.NotECT)
		r.Handle(time.Second+time.Duration(ssrc), 0, uint16(ssrc), packet.NotECT)
	}
	require.Len(t, r.streams, maxCongestionStreams)
	var ssrcs []uint32
	for _, f := range reports(t, &r, 2*time.Second) {
		for _, block := range f.ReportBlocks {
			ssrcs = append(ssrcs, block.MediaSSRC)
		}
	}
	require.Contains(t, ssrcs, uint32(0), "it never fell silent")
	require.Contains(t, ssrcs, uint32(999))
	require.NotContains(t, ssrcs, uint32(900))
}

// Under any loss, reordering and delay every packet of the window that came is told within a unit of its time, and none that
// did not come is told as received; and we read what pion reads.
func TestCongestionFeedbackTellsTheTruth(t *testing.T) {
	type key struct {
		ssrc uint32
		e    seq.Extended
	}
	rapid.Check(t, func(t *rapid.T) {
		var r CongestionRecorder
		var c Clock
		arrivals, marks, open := map[key]time.Duration{}, map[key]packet.ECN{}, map[key]bool{}
		models := map[uint32]*seq.Unwrapper{3: {}, 4: {}}
		highest := map[uint32]seq.Extended{3: 1<<16 + 10, 4: 1<<17 - 5}
		now := time.Duration(rapid.Int64Range(0, int64(40*time.Hour)).Draw(t, "start"))
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			for range rapid.IntRange(0, 100).Draw(t, "packets") {
				now += time.Duration(rapid.OneOf(rapid.IntRange(0, 5_000), rapid.IntRange(0, 100_000)).Draw(t, "wait")) * time.Microsecond
				ssrc := uint32(rapid.IntRange(3, 4).Draw(t, "ssrc"))
				step := rapid.OneOf(rapid.Just(1), rapid.Just(1), rapid.IntRange(-8, 8), rapid.IntRange(-600, 900)).Draw(t, "step")
				k := key{ssrc, highest[ssrc] + seq.Extended(int64(step))}
				if k.e < 1<<16 {
					continue
				}
				before, started := models[ssrc].Highest()
				ecn := packet.ECN(rapid.IntRange(0, 2).Draw(t, "ecn"))
				r.Handle(now, ssrc, k.e.Uint16(), ecn)
				k.e = models[ssrc].Unwrap(k.e.Uint16())
				models[ssrc].Accept(k.e)
				highest[ssrc] = max(highest[ssrc], k.e)
				if _, again := arrivals[k]; again || started && k.e+congestionWindow <= before {
					continue
				}
				arrivals[k], marks[k], open[k] = now, ecn, true
			}
			for {
				b := r.Append(nil, now, NTP(testEpoch.Add(now)), 1)
				if len(b) == 0 {
					break
				}
				require.LessOrEqual(t, len(b), maxCongestionFeedback)
				var read []pionrtcp.CCFeedbackMetricBlock
				for _, block := range theirs(t, b)[0].(*pionrtcp.CCFeedbackReport).ReportBlocks {
					read = append(read, block.MetricBlocks...)
				}
				for ssrc, a := range only(t, b).CongestionArrivals(&c, now) {
					k := key{ssrc, models[ssrc].Unwrap(a.Seq)}
					at, ok := arrivals[k]
					require.Equal(t, ok, a.Received)
					require.Equal(t, ok, read[0].Received)
					if ok {
						delete(open, k)
						require.Equal(t, marks[k], a.ECN)
						require.Equal(t, uint8(read[0].ECN), uint8(a.ECN))
						if a.Timed {
							// Our reading counts from an NTP time that is a multiple of the wrap.
							off := (a.At - at - time.Duration((testEpoch.Unix()+ntpEpoch)%65536)*time.Second) % timestampWrap
							require.Less(t, min(off.Abs(), timestampWrap-off.Abs()), offsetUnit)
						} else {
							require.Greater(t, now-at, 7900*time.Millisecond)
						}
					}
					read = read[1:]
				}
				require.Empty(t, read)
			}
			for k := range open {
				require.LessOrEqual(t, k.e+congestionWindow, highest[k.ssrc], "%d was never told", k.e)
				delete(open, k)
			}
		}
	})
}

func FuzzCongestionRecorder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 4, 0, 1, 0, 4})
	f.Add([]byte{0, 1, 0, 4, 0xff, 0xf0, 0xff, 0xff, 8, 0, 0, 1, 0x7f, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var r CongestionRecorder
		var s uint16
		var now time.Duration
		steps = steps[:min(len(steps), 1000)]
		for ; len(steps) >= 4; steps = steps[4:] {
			s += uint16(steps[0])<<8 | uint16(steps[1])
			now += time.Duration(int16(uint16(steps[2])<<8|uint16(steps[3]))) * time.Millisecond
			r.Handle(now, uint32(steps[2]), s, packet.ECN(steps[3]&3))
			if steps[3]&7 == 0 {
				reports(t, &r, now)
			}
		}
		reports(t, &r, now)
	})
}

func BenchmarkCongestionRecorder(b *testing.B) {
	var r CongestionRecorder
	dst := make([]byte, 0, 1500)
	s, now := uint16(0), time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		s++
		r.Handle(now, 7, s, packet.ECT1)
		if s%50 == 0 {
			dst = r.Append(dst[:0], now, 1<<48, 1)
		}
	}
}
