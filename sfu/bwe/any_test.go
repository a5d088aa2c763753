package bwe

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// holds checks what must hold whatever was told.
func holds(t require.TestingT, e *Estimator, now time.Duration) {
	est := e.Poll(now)
	require.GreaterOrEqual(t, est.Target, e.cfg.Min)
	require.LessOrEqual(t, est.Target, e.cfg.Max)
	require.GreaterOrEqual(t, est.Lasts, est.Target)
	require.LessOrEqual(t, est.Lasts, e.cfg.Max)
	require.GreaterOrEqual(t, est.Pacing, est.Target)
	require.False(t, math.IsNaN(e.control.rate))
	require.True(t, est.Loss >= 0 && est.Loss <= 1, est.Loss)
	require.GreaterOrEqual(t, est.InFlight, 0)
	require.Positive(t, est.Window)
	require.True(t, est.Next == 0 || est.Next > now)
	require.GreaterOrEqual(t, est.Queue, time.Duration(0))
	if est.Probe.ID != 0 {
		require.Positive(t, est.Probe.Bytes)
		require.LessOrEqual(t, est.Probe.Rate, e.cfg.Max)
	}
}

func TestAnythingMayBeTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			Start: Bitrate(rapid.Int64Range(-1, 1e8).Draw(t, "start")), Min: Bitrate(rapid.Int64Range(-1, 1e7).Draw(t, "min")),
			Max: Bitrate(rapid.Int64Range(-1, 1e9).Draw(t, "max")), Priority: rapid.Float64().Draw(t, "priority"),
		}
		now := time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "now"))
		e := New(now, cfg)
		number := rapid.Uint64().Draw(t, "number")
		duration := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1e9))
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { holds(t, e, now) },
			"wait": func(t *rapid.T) {
				now += time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "wait"))
			},
			"sent": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "packets") {
					number += uint64(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 40000}).Draw(t, "step"))
					e.Sent(now, Packet{number, rapid.IntRange(-10, 70000).Draw(t, "size"), uint32(rapid.IntRange(0, 3).Draw(t, "probe"))})
					now += time.Duration(rapid.Int64Range(0, 1e7).Draw(t, "gap"))
				}
			},
			"feedback": func(t *rapid.T) {
				var results []Result
				from := number - uint64(rapid.IntRange(-5, 100).Draw(t, "back"))
				base := time.Duration(duration.Draw(t, "base"))
				for i := range rapid.IntRange(0, 100).Draw(t, "results") {
					results = append(results, Result{
						from + uint64(i), rapid.Bool().Draw(t, "received"),
						base + time.Duration(duration.Draw(t, "arrival")), rapid.Bool().Draw(t, "untimed"), rapid.Bool().Draw(t, "marked"),
					})
				}
				e.Feedback(now, results)
			},
			"report":    func(t *rapid.T) { e.Report(now, rapid.Int().Draw(t, "lost"), rapid.Int().Draw(t, "expected")) },
			"remb":      func(t *rapid.T) { e.REMB(now, Bitrate(rapid.Int64().Draw(t, "remb"))) },
			"wants":     func(t *rapid.T) { e.Wants(now, Bitrate(rapid.Int64().Draw(t, "wants"))) },
			"roundtrip": func(t *rapid.T) { e.RoundTrip(now, time.Duration(rapid.Int64().Draw(t, "rtt"))) },
			"new path":  func(*rapid.T) { e.NewPath(now) },
		})
	})
}

// FuzzEstimator takes bytes as calls: one for what, the rest for with what.
func FuzzEstimator(f *testing.F) {
	f.Add([]byte{0, 1, 200, 0, 1, 200, 1, 2, 50, 4, 0, 3, 9, 1, 1, 7})
	f.Add([]byte{5, 0, 0, 6, 255, 255, 7, 1, 1, 0, 200, 9, 1, 1, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		now, number := time.Duration(0), uint64(0)
		e := New(now, Config{Min: 100 * Kbps, Max: 10 * Mbps})
		for ; len(data) >= 3; data = data[3:] {
			what, a, b := data[0]%9, data[1], data[2]
			now += time.Duration(data[0]) * 200 * time.Microsecond
			n := int(binary.BigEndian.Uint16(data[1:]))
			switch what {
			case 0, 1:
				for range int(a)%32 + 1 {
					number++
					e.Sent(now, Packet{number, int(b) * 6, uint32(b) % 4})
				}
			case 2, 3:
				var results []Result
				for i := range uint64(a) % 64 {
					results = append(results, Result{number - uint64(b)%64 + i, (i+uint64(b))%7 > 0, now + time.Duration(n)*ms, i%5 == 1, a%3 == 0})
				}
				e.Feedback(now, results)
			case 4:
				now += time.Duration(n) * ms
			case 5:
				e.Report(now, int(a), int(b))
			case 6:
				e.REMB(now, Bitrate(n)*Kbps)
			case 7:
				e.Wants(now, Bitrate(n)*Kbps)
			case 8:
				e.NewPath(now)
			}
			holds(t, e, now)
		}
	})
}

// steady plays a call of 100 packets a report over a path without a queue.
type steady struct {
	e       *Estimator
	now     time.Duration
	number  uint64
	results []Result
}

func (s *steady) report() {
	s.results = s.results[:0]
	for range 100 {
		s.now += time.Millisecond
		s.number++
		s.e.Sent(s.now, Packet{Number: s.number, Size: 1200})
		s.results = append(s.results, Result{Number: s.number, Received: true, Arrival: s.now})
	}
	s.e.Feedback(s.now+50*ms, s.results)
	s.e.Poll(s.now + 50*ms)
}

func TestAPacketAllocatesNothing(t *testing.T) {
	s := steady{e: New(0, Config{})}
	for range 100 {
		s.report()
	}
	require.Zero(t, testing.AllocsPerRun(100, s.report))
}

// A packet that is sent and told of, a hundredth of a report and a Poll with it.
func BenchmarkPacket(b *testing.B) {
	s := steady{e: New(0, Config{})}
	for range 100 {
		s.report()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 100 {
		s.report()
	}
}
