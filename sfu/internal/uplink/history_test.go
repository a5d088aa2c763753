package uplink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

func TestQuietVoiceIsCheap(t *testing.T) {
	u := New(Config{SSRC: 1, Codec: codec.Opus})
	require.Zero(t, u.Stats().HistoryBytes, "nothing before the first packet")
	for i := range 1000 {
		e := first + seq.Extended(i)
		u.Handle(time.Duration(i)*20*ms, &packet.Header{SSRC: 1, Timestamp: uint32(i) * 960}, e, make([]byte, 60), Extensions{}, nil)
	}
	require.Less(t, u.Stats().HistoryBytes, 6<<10)
	require.GreaterOrEqual(t, u.Head()-u.Tail(), uint64(25), "500 ms")
}

func TestHistoryReachesBackASecond(t *testing.T) {
	for _, c := range []struct {
		name    string
		every   time.Duration
		size    int
		packets uint64 // held in the end
	}{
		{"1 Mbit/s", 8 * ms, 1000, 125},
		{"5 Mbit/s", 1600 * time.Microsecond, 1000, 625},
		{"20 Mbit/s", 400 * time.Microsecond, 1000, 1024},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := New(Config{SSRC: 1, Codec: codec.VP8, NACK: true})
			payload := make([]byte, c.size)
			payload[0], payload[1] = 0x10, 1
			for i := range 8000 {
				u.Handle(time.Duration(i)*c.every, &packet.Header{SSRC: 1}, first+seq.Extended(i), payload, Extensions{}, nil)
			}
			held := u.Head() - u.Tail()
			require.GreaterOrEqual(t, held, c.packets)
			require.LessOrEqual(t, held, uint64(window))
			require.LessOrEqual(t, u.Stats().HistoryBytes, 2<<20+128<<10)
			if c.packets == 125 {
				require.LessOrEqual(t, u.Stats().HistoryBytes, 300<<10)
			}
		})
	}
}

func TestReleaseGivesMemoryBack(t *testing.T) {
	u := newTest(t, Config{})
	u.send(0, 1, 2)
	p := u.u.Find(first + 1)
	require.NotNil(t, p)
	u.u.Release()
	require.Zero(t, u.u.Stats().HistoryBytes)
	require.Nil(t, u.u.Find(first+1))
	require.Nil(t, u.u.At(1))
	require.Equal(t, u.u.Head(), u.u.Tail())
	u.send(3)
	require.NotNil(t, u.u.Find(first+3))
}

// Any stream of sizes, gaps, stragglers and pauses: what the history holds is exactly what was handed in.
func TestHistoryHoldsWhatCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := New(Config{SSRC: 1, Codec: codec.Opus, NACK: true, History: rapid.SampledFrom([]int{1, 40, 0, 1024}).Draw(t, "history")})
		type kept struct {
			e    seq.Extended
			size int
			fill byte
			dd   []byte
		}
		var all []kept
		came := map[seq.Extended]bool{}
		now, e := time.Duration(0), first
		for range rapid.IntRange(1, 600).Draw(t, "packets") {
			now += time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * ms
			n := e - seq.Extended(rapid.IntRange(0, 5).Draw(t, "late"))
			size := rapid.SampledFrom([]int{0, 1, 80, 700, MaxPayload}).Draw(t, "size")
			fill := byte(len(all))
			payload := make([]byte, size)
			for i := range payload {
				payload[i] = fill
			}
			descriptor := make([]byte, rapid.SampledFrom([]int{0, 0, 3, 90, 255}).Draw(t, "descriptor"))
			for i := range descriptor {
				descriptor[i] = ^fill
			}
			v := u.Handle(now, &packet.Header{SSRC: 1}, n, payload, Extensions{}, descriptor)
			if came[n] {
				require.Equal(t, Duplicate, v)
			} else {
				require.Equal(t, Stored, v)
				if size == 0 {
					descriptor = nil
				}
				all = append(all, kept{n, size, fill, descriptor})
			}
			came[n] = true
			e += seq.Extended(rapid.IntRange(1, 3).Draw(t, "step"))
			u.Poll(now)
		}
		require.Equal(t, uint64(len(all)), u.Head())
		require.Less(t, u.Tail(), u.Head(), "the newest packet is always there")
		for i := u.Tail(); i < u.Head(); i++ {
			p := u.At(i)
			require.Equal(t, all[i].e, p.Seq)
			require.Len(t, u.Payload(p), all[i].size)
			require.Equal(t, string(all[i].dd), string(u.Descriptor(p)))
			for _, b := range u.Payload(p) {
				require.Equal(t, all[i].fill, b)
			}
			if u.highest-p.Seq < seq.Extended(len(u.history.numbers)) {
				require.Same(t, p, u.Find(p.Seq))
			}
		}
	})
}

// Requests never name a packet that has come, are ascending, and stay within ten a packet, whatever arrives.
func TestRequestsAreOnlyForWhatIsMissing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := New(Config{SSRC: 1, RTXSSRC: 2, Codec: codec.VP8, NACK: true})
		u.SetRTT(time.Duration(rapid.IntRange(0, 400).Draw(t, "rtt")) * ms)
		came := map[uint16]bool{}
		tries := map[uint16]int{}
		var lastPLI time.Duration
		now, e := time.Hour, first
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 40).Draw(t, "ms")) * ms
			n := e - seq.Extended(rapid.IntRange(0, 8).Draw(t, "late"))
			u.Handle(now, &packet.Header{SSRC: 1, Marker: true}, n, delta(1), Extensions{}, nil)
			came[n.Uint16()] = true
			out := u.Poll(now)
			if out.PLI {
				if lastPLI != 0 {
					require.GreaterOrEqual(t, now-lastPLI, keyframeInterval)
				}
				lastPLI = now
			}
			if out.Next != 0 {
				require.Greater(t, out.Next, now)
			}
			for i, s := range out.NACK {
				require.False(t, came[s])
				if i > 0 {
					require.Positive(t, int16(s-out.NACK[i-1]))
				}
				tries[s]++
				require.LessOrEqual(t, tries[s], maxTries)
			}
			e += seq.Extended(rapid.SampledFrom([]int{1, 1, 1, 2, 5, 300}).Draw(t, "step"))
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	u := New(Config{SSRC: 1, Codec: codec.VP8, NACK: true})
	payload := make([]byte, 1100)
	payload[0], payload[1] = 0x10, 1
	h := packet.Header{SSRC: 1, Marker: true}
	handle := func(i int) {
		u.Handle(time.Duration(i)*ms, &h, first+seq.Extended(i), payload, Extensions{}, nil)
	}
	i := 0
	for ; i < 5000; i++ {
		handle(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		handle(i)
		i++
	}
}

func BenchmarkPollWithLoss(b *testing.B) {
	u := New(Config{SSRC: 1, Codec: codec.VP8, NACK: true})
	h := packet.Header{SSRC: 1, Marker: true}
	payload := delta(1)
	step := func(i int) {
		now := time.Duration(i) * ms
		u.Handle(now, &h, first+seq.Extended(i+i/10), payload, Extensions{}, nil)
		u.Poll(now)
	}
	i := 0
	for ; i < 5000; i++ {
		step(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		step(i)
		i++
	}
}

// The path of a packet allocates nothing once the rings have grown to the stream.
func TestHandleAndPollDoNotAllocate(t *testing.T) {
	u := New(Config{SSRC: 1, Codec: codec.VP8, NACK: true})
	h := packet.Header{SSRC: 1, Marker: true}
	payload := make([]byte, 1100)
	payload[0], payload[1] = 0x10, 1
	i := 0
	step := func() {
		now := time.Duration(i) * ms
		u.Handle(now, &h, first+seq.Extended(i+i/10), payload, Extensions{}, nil)
		u.Poll(now)
		i++
	}
	for range 5000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(2000, step))
}
