package jitter_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// ledger checks what must be true of every buffer whatever comes in.
type ledger struct {
	b        *jitter.Buffer
	period   int
	restarts uint64
	next     int64 // media from here on was not played yet
	began    bool
	media    uint64
	by       [5]uint64 // samples by action
	heard    map[int]bool
	latest   time.Duration
}

func newLedger(t require.TestingT, config jitter.Config) *ledger {
	b, err := jitter.New(config)
	require.NoError(t, err)
	if config.Rate == 0 {
		config.Rate = rate
	}
	return &ledger{b: b, period: config.Rate / 100, heard: map[int]bool{}}
}

func (l *ledger) pull(t require.TestingT, now time.Duration) {
	total := 0
	for _, part := range l.b.Pull(now).Parts {
		require.Positive(t, part.Samples)
		total += part.Samples
		l.by[part.Action] += uint64(part.Samples)
		if restarts := l.b.Stats().Restarts; restarts != l.restarts {
			l.restarts, l.began = restarts, false
		}
		switch part.Action {
		case jitter.Silence, jitter.Conceal:
			require.Zero(t, part.Media)
			require.GreaterOrEqual(t, part.Since, 0)
			continue
		case jitter.Play:
			require.Equal(t, part.Samples, part.Media)
		case jitter.Accelerate:
			require.Greater(t, part.Media, part.Samples)
		case jitter.Expand:
			require.Less(t, part.Media, part.Samples)
		}
		require.True(t, !l.began || part.Position >= l.next, "media is played in order and once")
		l.began, l.next = true, part.Position+int64(part.Media)
		require.GreaterOrEqual(t, part.Offset, 0)
		require.LessOrEqual(t, part.Offset+part.Media, part.Packet.Samples)
		require.Equal(t, part.Packet.Timestamp+uint32(part.Offset), uint32(part.Position))
		require.LessOrEqual(t, part.Arrived, now)
		l.media += uint64(part.Media)
		if id, ok := part.Packet.Value.(int); ok {
			l.heard[id] = true
		}
	}
	require.Equal(t, l.period, total)
	l.balance(t)
}

func (l *ledger) balance(t require.TestingT) {
	s := l.b.Stats()
	require.Equal(t, s.Pulled, s.Played+s.Concealed+s.Silent, "every sample slot is accounted for exactly once")
	require.Equal(t, l.by[jitter.Play]+l.by[jitter.Accelerate]+l.by[jitter.Expand], s.Played)
	require.GreaterOrEqual(t, l.by[jitter.Conceal], s.Concealed, "concealment becomes silence, never the other way")
	require.Equal(t, l.media, s.Played+s.Accelerated-s.Expanded)
	require.LessOrEqual(t, s.Open, s.Concealed)
	require.LessOrEqual(t, s.Target, time.Second)
}

// A stream over any path that loses, delays, doubles and swaps: each packet that comes is heard, or its verdict said no.
func TestAnyPath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SampledFrom([]int{120, 240, 480, 960, 1920, 2880}).Draw(t, "samples")
		length := time.Duration(samples) * time.Second / rate
		l := newLedger(t, jitter.Config{Min: rapid.SampledFrom([]time.Duration{0, 40 * ms}).Draw(t, "min")})
		firstNumber, firstTime := rapid.Uint16().Draw(t, "sequence"), rapid.Uint32().Draw(t, "timestamp")
		type coming struct {
			at time.Duration
			p  jitter.Packet
		}
		var all []coming
		media := 0
		for n := range rapid.IntRange(1, 120).Draw(t, "packets") {
			if rapid.IntRange(0, 40).Draw(t, "pause") == 40 {
				media += samples * rapid.IntRange(1, 40).Draw(t, "pause for")
			}
			p := jitter.Packet{
				Sequence: firstNumber + uint16(n), Timestamp: firstTime + uint32(media), Samples: samples, Value: n,
				Quiet: rapid.Bool().Draw(t, "quiet"),
			}
			sent := time.Duration(media) * time.Second / rate
			media += samples
			copies := rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 0, 2}).Draw(t, "copies")
			for range copies {
				delay := rapid.SampledFrom([]int{0, 0, 0, 5, 10, 30, 90, 300}).Draw(t, "delay")
				all = append(all, coming{sent + time.Duration(delay)*ms, p})
			}
		}
		end := time.Duration(media)*time.Second/rate + 600*ms
		accepted := map[int]bool{}
		refused := 0
		for now := time.Duration(0); now < end+length; now += jitter.Period {
			for i := range all {
				if c := all[i]; c.at > now-jitter.Period && c.at <= now {
					id := c.p.Value.(int)
					switch v := l.b.Insert(c.at, c.p); v {
					case jitter.Accepted:
						require.False(t, accepted[id], "a packet is taken once")
						accepted[id] = true
					case jitter.Duplicate:
						refused++
					default:
						require.Equal(t, jitter.Late, v)
						refused++
					}
				}
			}
			l.pull(t, now)
		}
		s := l.b.Stats()
		require.Equal(t, len(all), len(accepted)+refused)
		require.EqualValues(t, len(accepted), s.Accepted)
		require.EqualValues(t, refused, s.Late+s.Duplicate)
		require.Zero(t, s.Flushed+s.Overflowed+s.Strange+s.Invalid)
		unheard := 0
		for id := range accepted {
			if !l.heard[id] {
				unheard++
			}
		}
		require.LessOrEqual(t, uint64(unheard*samples), s.ConcealedLate, "what was taken is heard, or came when it was all concealed")
	})
}

// Arbitrary packets at arbitrary times: nothing panics, the sums hold, the bounds are kept.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 200, 14, 15, 16, 17, 18, 19, 20})
	f.Fuzz(func(t *testing.T, data []byte) { run(t, data) })
}

func TestAnyPackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { run(t, rapid.SliceOfN(rapid.Byte(), 0, 1500).Draw(t, "data")) })
}

// run reads data as packets and pulls: 9 bytes each.
func run(t require.TestingT, data []byte) {
	l := newLedger(t, jitter.Config{Packets: 16, Rate: 8000})
	var now time.Duration
	var number uint16
	var timestamp uint32
	for ; len(data) >= 9; data = data[9:] {
		flags := data[0]
		step := int8(data[1])
		if flags&1 == 0 { // mostly a stream, sometimes anything
			number += uint16(int16(step) / 32)
			timestamp += uint32(int32(step) * 5)
		} else {
			number = binary.BigEndian.Uint16(data[1:])
			timestamp = binary.BigEndian.Uint32(data[3:])
		}
		samples := int(data[7]) * 4
		if flags&2 != 0 {
			samples = 160
		}
		now += time.Duration(int8(data[8])) * ms / 4 // callers' clocks may go backward, ours does not
		l.latest = max(l.latest, now)
		l.b.Insert(now, jitter.Packet{
			Sequence: number, Timestamp: timestamp, Samples: samples, Copy: flags&12 == 12, Quiet: flags&16 != 0, Value: 1,
		})
		require.LessOrEqual(t, l.b.Stats().Held, 16)
		for range flags >> 6 {
			now += jitter.Period
			l.pullAt(t, now)
		}
	}
	l.pullAt(t, now)
}

// pullAt is pull without what depends on the clock going forward.
func (l *ledger) pullAt(t require.TestingT, now time.Duration) {
	if now < l.latest {
		now = l.latest
	}
	l.latest = now
	l.pull(t, now)
}
