package rtcp

import (
	"testing"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/seq"
)

// feedback takes all that t has to tell and reads it with pion.
func feedback(t require.TestingT, recorder *TransportRecorder) []*pionrtcp.TransportLayerCC {
	var all []*pionrtcp.TransportLayerCC
	for {
		b := recorder.Append(nil, 1, 2)
		if len(b) == 0 {
			return all
		}
		require.LessOrEqual(t, len(b), maxTransportFeedback)
		only(t, b)
		f, ok := theirs(t, b)[0].(*pionrtcp.TransportLayerCC)
		require.True(t, ok)
		require.Equal(t, uint32(1), f.SenderSSRC)
		require.Equal(t, uint32(2), f.MediaSSRC)
		all = append(all, f)
	}
}

// told is what feedback says of one number.
type told struct {
	seq     uint16
	arrived bool
	at      time.Duration
}

// statuses unrolls feedback into one entry a number.
func statuses(t require.TestingT, f *pionrtcp.TransportLayerCC) []told {
	var symbols []uint16
	for _, chunk := range f.PacketChunks {
		switch c := chunk.(type) {
		case *pionrtcp.RunLengthChunk:
			for range c.RunLength {
				symbols = append(symbols, c.PacketStatusSymbol)
			}
		case *pionrtcp.StatusVectorChunk:
			symbols = append(symbols, c.SymbolList...)
		}
	}
	require.GreaterOrEqual(t, len(symbols), int(f.PacketStatusCount))
	at := time.Duration(f.ReferenceTime) * 64 * time.Millisecond
	deltas := f.RecvDeltas
	var all []told
	for i, symbol := range symbols {
		if i >= int(f.PacketStatusCount) {
			require.Equal(t, pionrtcp.TypeTCCPacketNotReceived, symbol)
			continue
		}
		entry := told{seq: f.BaseSequenceNumber + uint16(i)}
		if symbol != pionrtcp.TypeTCCPacketNotReceived {
			require.NotEmpty(t, deltas)
			require.Equal(t, symbol, deltas[0].Type)
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			entry.arrived, entry.at = true, at
			deltas = deltas[1:]
		}
		all = append(all, entry)
	}
	require.Empty(t, deltas)
	return all
}

func TestTransportFeedback(t *testing.T) {
	const ms = time.Millisecond
	var r TransportRecorder
	require.Empty(t, feedback(t, &r), "nothing came")

	r.Handle(1000*ms, 65534)
	r.Handle(1001*ms, 65535)
	r.Handle(1100*ms, 1) // 0 is lost; 99 ms is a large delta
	r.Handle(1100*ms, 1) // again
	all := feedback(t, &r)
	require.Len(t, all, 1)
	require.Equal(t, uint32(1000/64), all[0].ReferenceTime)
	require.Zero(t, all[0].FbPktCount)
	require.Equal(t, []told{{65534, true, 1000 * ms}, {65535, true, 1001 * ms}, {0, false, 0}, {1, true, 1100 * ms}}, statuses(t, all[0]))
	require.Empty(t, feedback(t, &r), "nothing came since")

	r.Handle(1150*ms, 4) // 2 and 3 are lost, which the sender must learn now
	all = feedback(t, &r)
	require.Len(t, all, 1)
	require.Equal(t, uint8(1), all[0].FbPktCount)
	require.Equal(t, []told{{2, false, 0}, {3, false, 0}, {4, true, 1150 * ms}}, statuses(t, all[0]))

	r.Handle(1160*ms, 3) // late after all
	r.Handle(1170*ms, 5)
	all = feedback(t, &r)
	require.Len(t, all, 1)
	require.Equal(t, []told{{3, true, 1160 * ms}, {4, true, 1150 * ms}, {5, true, 1170 * ms}}, statuses(t, all[0]))
}

func TestTransportFeedbackSplitsWhereADeltaDoesNotFit(t *testing.T) {
	var r TransportRecorder
	r.Handle(time.Second, 1)
	r.Handle(11*time.Second, 2)
	r.Handle(2*time.Second, 3)
	all := feedback(t, &r)
	require.Len(t, all, 3)
	for i, want := range []told{{1, true, time.Second}, {2, true, 11 * time.Second}, {3, true, 2 * time.Second}} {
		require.Equal(t, []told{want}, statuses(t, all[i]))
		require.Equal(t, uint8(i), all[i].FbPktCount)
	}
}

func TestTransportFeedbackAfterAnOutage(t *testing.T) {
	var r TransportRecorder
	r.Handle(time.Second, 100)
	feedback(t, &r)
	r.Handle(2*time.Second, 100+3000)
	all := feedback(t, &r)
	require.Len(t, all, 1)
	entries := statuses(t, all[0])
	require.Len(t, entries, transportWindow, "what lies further back is not told")
	require.Equal(t, told{3100, true, 2 * time.Second}, entries[len(entries)-1])

	r.Handle(2*time.Second, 3100-transportWindow)
	require.Empty(t, feedback(t, &r), "too late")
	r.Handle(2*time.Second, 3101-transportWindow)
	require.NotEmpty(t, feedback(t, &r))
}

// The reference time has 24 bits of 64 ms: it wraps after 298 hours, and deltas must not notice.
func TestTransportFeedbackAcrossTheTimeWrap(t *testing.T) {
	const wrap = 64 * time.Millisecond << 24
	var r TransportRecorder
	r.Handle(wrap-time.Millisecond, 1)
	r.Handle(wrap+time.Millisecond, 2)
	all := feedback(t, &r)
	require.Len(t, all, 1)
	require.Equal(t, uint32(1<<24-1), all[0].ReferenceTime)
	require.Equal(t, []told{{1, true, wrap - time.Millisecond}, {2, true, wrap + time.Millisecond}}, statuses(t, all[0]))
}

// Under any loss, reordering, duplication and delay, every number of the window that came is told with its time, none
// that did not come is told as arrived, and the feedback counts up by one.
func TestTransportFeedbackTellsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r TransportRecorder
		var model seq.Unwrapper
		arrivals := map[seq.Extended]time.Duration{}
		open := map[seq.Extended]bool{} // came, not told yet
		now := time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "start")).Truncate(transportTick)
		at := seq.Extended(1<<16 + rapid.IntRange(0, 65535).Draw(t, "first"))
		count := uint8(0)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			for range rapid.IntRange(0, 120).Draw(t, "packets") {
				now += transportTick * time.Duration(rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 1000), rapid.IntRange(0, 40_000)).Draw(t, "wait"))
				e := at + seq.Extended(rapid.OneOf(rapid.Just(1), rapid.Just(1), rapid.IntRange(-8, 8), rapid.IntRange(-600, 900), rapid.IntRange(-3000, 3000)).Draw(t, "step"))
				if e < 1<<16 {
					continue
				}
				highest, started := model.Highest()
				r.Handle(now, e.Uint16())
				e = model.Unwrap(e.Uint16())
				model.Accept(e)
				at = max(at, e)
				if _, again := arrivals[e]; again || started && e+transportWindow <= highest {
					continue
				}
				arrivals[e] = now
				open[e] = true
			}
			for _, f := range feedback(t, &r) {
				require.Equal(t, count, f.FbPktCount)
				count++
				entries := statuses(t, f)
				require.True(t, entries[len(entries)-1].arrived, "ends with one that came")
				for _, entry := range entries {
					e := model.Unwrap(entry.seq)
					came, ok := arrivals[e]
					require.Equal(t, ok, entry.arrived)
					if ok {
						require.Equal(t, came, entry.at)
						delete(open, e)
					}
				}
			}
			highest, _ := model.Highest()
			for e := range open {
				require.LessOrEqual(t, e+transportWindow, highest, "%d was never told", e)
				delete(open, e)
			}
		}
	})
}

// FuzzTransportRecorder reads its input as steps of number and time.
func FuzzTransportRecorder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 4, 0, 1, 0, 4})
	f.Add([]byte{0, 1, 0, 4, 0xff, 0xf0, 0xff, 0xff, 8, 0, 0, 1, 0x7f, 0xff, 0, 0})
	f.Add([]byte{0, 2, 0xff, 0xff, 0, 2, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var r TransportRecorder
		var s uint16
		var now time.Duration
		steps = steps[:min(len(steps), 1000)]
		for ; len(steps) >= 4; steps = steps[4:] {
			s += uint16(steps[0])<<8 | uint16(steps[1])
			now += time.Duration(int16(uint16(steps[2])<<8|uint16(steps[3]))) * transportTick
			r.Handle(now, s)
			if steps[3]&7 == 0 {
				for _, f := range feedback(t, &r) {
					require.NotEmpty(t, statuses(t, f))
				}
			}
		}
		for _, f := range feedback(t, &r) {
			require.NotEmpty(t, statuses(t, f))
		}
	})
}

func BenchmarkTransportRecorder(b *testing.B) {
	var r TransportRecorder
	dst := make([]byte, 0, 1500)
	s, now := uint16(0), time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		s++
		r.Handle(now, s)
		if s%50 == 0 {
			dst = r.Append(dst[:0], 1, 2)
		}
	}
}
