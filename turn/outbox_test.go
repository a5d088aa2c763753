package turn

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/framed"
)

// Whatever is added, taken in parts and left to grow old: what comes out is a stream of whole frames in order, and of those only
// what was late is missing.
func TestOutboxKeepsFramesWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		var stream []byte
		now := time.Now()
		sent, lateOnes := 0, 0
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				size := rapid.IntRange(0, 40).Draw(t, "size")
				o.add([]byte{0x40, byte(step), 0, byte(size)}, bytes.Repeat([]byte{byte(step)}, size), now, step%3 == 0)
				sent++
			case 2:
				b, count := o.head(rapid.IntRange(0, 100).Draw(t, "limit"))
				stream = append(stream, b...)
				o.drop(count)
			case 3:
				b, _ := o.head(100)
				n := rapid.IntRange(0, len(b)).Draw(t, "cut")
				stream = append(stream, b[:n]...)
				o.cut(n)
			case 4:
				now = now.Add(rapid.SampledFrom([]time.Duration{0, framed.Stale / 2, framed.Stale}).Draw(t, "age"))
				lateOnes += o.fresh(now)
			}
		}
		for o.len() > 0 {
			b, count := o.head(1000)
			stream = append(stream, b...)
			o.drop(count)
		}
		came, before := 0, -1
		for len(stream) > 0 {
			require.GreaterOrEqual(t, len(stream), 4)
			step, size := int(stream[1]), int(stream[3])
			require.Equal(t, byte(0x40), stream[0])
			require.Greater(t, step, before)
			before = step
			whole := (4 + size + 3) &^ 3
			require.GreaterOrEqual(t, len(stream), whole)
			require.Equal(t, bytes.Repeat([]byte{byte(step)}, size), stream[4:4+size])
			stream = stream[whole:]
			came++
		}
		require.Equal(t, sent, came+lateOnes)
	})
}

// blocked is a stream whose other end reads nothing, until it does.
type blocked struct {
	stream

	holds int
	took  int
}

func (s *blocked) Write(b []byte) (int, error) {
	s.took += len(b)
	return len(b), nil
}

func (s *blocked) full(time.Time) int { return s.holds }

// A reader stands still, and the lane comes seldom: all that was taken is late, and what has come since has filled the queue, so that
// more is refused and asks for no flush. It is to be flushed all the same, or nothing would ever leave again.
func TestAFullQueueIsFlushed(t *testing.T) {
	b := newBench(t, func(*Config) {})
	s := &blocked{holds: 1}
	c := &conn{lane: b.l, s: s}
	now := time.Now()
	fill := func() {
		for c.send([]byte{0x40, 0, 0, 0}, nil, now, false) {
		}
	}
	fill()
	done, err := c.flush(now)
	require.NoError(t, err)
	require.False(t, done)
	fill()
	now = now.Add(framed.Stale)
	done, err = c.flush(now)
	require.NoError(t, err)
	require.False(t, done, "what was taken is late, and as much waits")

	fill()
	s.holds = 0
	for range 3 {
		now = now.Add(lookEvery)
		done, err = c.flush(now)
		require.NoError(t, err)
	}
	require.True(t, done)
	require.Equal(t, queueFrames*4, s.took)
}
