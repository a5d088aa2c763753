package rtcp

import (
	"testing"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// transportMessage is feedback whose chunks and deltas follow base 10 and a reference time of 1 s (rounded down to 64 ms).
func transportMessage(count uint16, rest ...byte) Packet {
	body := []byte{0, 0, 0, 1, 0, 0, 0, 2, 0, 10, byte(count >> 8), byte(count), 0, 0, 15, 7}
	return Packet{Type: TypeRTPFB, Count: FmtTWCC, Body: append(body, rest...)}
}

// allArrivals is TransportArrivals with room for all; nil for none.
func allArrivals(p Packet, c *Clock, now time.Duration) []Arrival {
	return append([]Arrival(nil), p.TransportArrivals(c, now, make([]Arrival, 1<<16))...)
}

func transportArrivals(p Packet) []Arrival {
	return allArrivals(p, &Clock{}, time.Hour)
}

func TestTransportArrivals(t *testing.T) {
	const base = 15 * 64 * time.Millisecond
	at := func(s uint16, ticks int) Arrival {
		return Arrival{Seq: s, Received: true, Timed: true, At: base + time.Duration(ticks)*250*time.Microsecond}
	}
	lost := func(s uint16) Arrival { return Arrival{Seq: s} }
	for _, c := range []struct {
		name  string
		count uint16
		rest  []byte
		want  []Arrival
	}{
		{"a run of three", 3, []byte{0x20, 3, 4, 0, 255, 0}, []Arrival{at(10, 4), at(11, 4), at(12, 259)}},
		{"a run longer than the count", 1, []byte{0x3f, 0xff, 4, 0}, []Arrival{at(10, 4)}},
		{"runs of one, none, one", 2, []byte{0x20, 1, 0x20, 0, 0x00, 1, 4, 0}, []Arrival{at(10, 4), lost(11)}},
		{"one-bit symbols", 4, []byte{0xa8, 0, 4, 8}, []Arrival{at(10, 4), lost(11), at(12, 12), lost(13)}},
		{"two-bit symbols", 4, []byte{0xd2, 0x40, 1, 0xff, 0xfe, 2}, []Arrival{at(10, 1), lost(11), at(12, -1), at(13, 1)}},
		{"a run of large deltas", 2, []byte{0x40, 2, 0x80, 0, 0x7f, 0xff}, []Arrival{at(10, -32768), at(11, -1)}},
		{"a run of lost", 2, []byte{0x00, 2}, []Arrival{lost(10), lost(11)}},
		{"two chunks", 15, []byte{0xbf, 0xff, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, append(func() (all []Arrival) {
			for s := range uint16(14) {
				all = append(all, at(10+s, 0))
			}
			return all
		}(), at(24, 1))},
		{"padding without its bit", 1, []byte{0x20, 1, 4, 0}, []Arrival{at(10, 4)}},

		{"none", 0, nil, nil},
		{"none, with deltas", 0, []byte{1, 2, 3, 4}, nil},
		{"no chunk", 1, nil, nil},
		{"half a chunk", 1, []byte{0x20}, nil},
		{"chunks end before the count", 9, []byte{0x20, 8}, nil},
		{"runs of none only", 1, []byte{0x20, 0, 0x20, 0}, nil},
		{"a small delta is missing", 3, []byte{0x20, 3, 4, 5}, []Arrival{at(10, 4), at(11, 9)}},
		{"half of a large delta is missing", 2, []byte{0x40, 2, 0, 4, 0}, []Arrival{at(10, 4)}},
		{"a reserved status in a run", 2, []byte{0x60, 2, 1, 1}, nil},
		{"a reserved status in a vector", 3, []byte{0xd3, 0x40, 1, 1, 1, 1}, []Arrival{at(10, 1), lost(11)}},
	} {
		require.Equal(t, c.want, transportArrivals(transportMessage(c.count, c.rest...)), c.name)
	}

	whole := transportMessage(3, 0x20, 3, 4, 0, 255, 0)
	two := whole.TransportArrivals(&Clock{}, time.Hour, make([]Arrival, 2))
	require.Equal(t, []Arrival{at(10, 4), at(11, 4)}, two, "as many as there is room for")
	require.Empty(t, whole.TransportArrivals(&Clock{}, time.Hour, nil))
	for n := range 16 {
		require.Empty(t, transportArrivals(Packet{Type: TypeRTPFB, Count: FmtTWCC, Body: whole.Body[:n]}))
	}
	require.Empty(t, transportArrivals(Packet{Type: TypePSFB, Count: FmtTWCC, Body: whole.Body}))
	require.Empty(t, transportArrivals(Packet{Type: TypeRTPFB, Count: FmtNACK, Body: whole.Body}))
}

// What a clock reads of the message across the wrap of the reference time goes on.
func TestTransportArrivalsAcrossTheTimeWrap(t *testing.T) {
	const wrap = 64 * time.Millisecond << 24
	var r TransportRecorder
	var c Clock
	var got []time.Duration
	for s, now := range []time.Duration{wrap - 100*time.Millisecond, wrap + 50*time.Millisecond, 3 * wrap} {
		r.Handle(now, uint16(s))
		for _, a := range allArrivals(only(t, r.Append(nil, 1, 2)), &c, now-time.Hour) {
			if a.Received {
				got = append(got, a.At)
			}
		}
	}
	require.Equal(t, []time.Duration{wrap - 100*time.Millisecond, wrap + 50*time.Millisecond, 3 * wrap}, got)
}

// toldBy is what statuses reads of a message, as arrivals with a clock of its own.
func toldBy(t require.TestingT, f *pionrtcp.TransportLayerCC) []Arrival {
	var all []Arrival
	for _, entry := range statuses(t, f) {
		all = append(all, Arrival{Seq: entry.seq, Received: entry.arrived, Timed: entry.arrived, At: entry.at})
	}
	return all
}

// We read what we write, and what pion reads of it.
func TestTransportArrivalsOfAnyFeedback(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r TransportRecorder
		now := time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "start"))
		s := rapid.Uint16().Draw(t, "first")
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			now += transportTick * time.Duration(rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 40_000)).Draw(t, "wait"))
			s += uint16(rapid.OneOf(rapid.Just(1), rapid.IntRange(-8, 8), rapid.IntRange(0, 300)).Draw(t, "step"))
			r.Handle(now, s)
		}
		for {
			b := r.Append(nil, 1, 2)
			if len(b) == 0 {
				return
			}
			require.Equal(t, toldBy(t, theirs(t, b)[0].(*pionrtcp.TransportLayerCC)), transportArrivals(only(t, b)))
		}
	})
}

func FuzzTransportArrivals(f *testing.F) {
	f.Add(uint16(3), []byte{0x20, 3, 4, 0, 255, 0})
	f.Add(uint16(4), []byte{0xd2, 0x40, 1, 0xff, 0xfe, 2})
	f.Add(uint16(65535), []byte{0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff})
	f.Add(uint16(2), []byte{0x60, 2, 1, 1})
	f.Fuzz(func(t *testing.T, count uint16, rest []byte) {
		p := transportMessage(count, rest...)
		all := transportArrivals(p)
		require.LessOrEqual(t, len(all), int(count))
		received := 0
		for i, a := range all {
			require.Equal(t, 10+uint16(i), a.Seq)
			require.Equal(t, a.Received, a.Timed)
			if a.Received {
				received++
			}
		}
		require.LessOrEqual(t, received, len(rest))
	})
}

func BenchmarkTransportArrivals(b *testing.B) {
	var r TransportRecorder
	for s := range uint16(100) {
		r.Handle(time.Duration(s)*time.Millisecond, s)
	}
	reader := Read(r.Append(nil, 1, 2))
	p, _ := reader.Next()
	var c Clock
	var room [100]Arrival
	sum := 0
	b.ReportAllocs()
	for b.Loop() {
		for _, a := range p.TransportArrivals(&c, time.Second, room[:]) {
			sum += int(a.Seq)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/packet")
	_ = sum
}
