package uplink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// encodings as publishers send them: packets of a frame, frames a second.
var encodings = []struct {
	name    string
	codec   codec.Codec
	packets int // of a frame
	bytes   int // of a packet's payload
	every   time.Duration
}{
	{"voice", codec.Opus, 1, 80, 20 * ms},
	{"180p", codec.VP8, 1, 500, time.Second / 30},
	{"360p", codec.VP8, 2, 830, time.Second / 30},
	{"720p", codec.VP8, 5, 1000, time.Second / 30},
	{"1080p", codec.VP8, 11, 1100, time.Second / 30},
}

// hold plays an encoding for so long and returns what its history holds then.
func hold(number int, lasts time.Duration) int {
	e := encodings[number]
	u := New(Config{SSRC: 1, Codec: e.codec, NACK: true})
	payload := make([]byte, e.bytes)
	payload[0], payload[1] = 0x10, 1 // of VP8: not a keyframe
	n := seq.Extended(first)
	for at := time.Duration(0); at < lasts; at += e.every {
		for i := range e.packets {
			h := packet.Header{SSRC: 1, Timestamp: uint32(at / 1000), Marker: i == e.packets-1}
			u.Handle(at, &h, n, payload, Extensions{}, nil)
			n++
		}
	}
	return u.Stats().HistoryBytes
}

// A ring grows with what it must keep, and no longer than that.
func TestRingHoldsAsMuchAsAnEncodingNeeds(t *testing.T) {
	for i, e := range encodings {
		second := e.packets * e.bytes * int(time.Second/e.every)
		if !e.codec.Video() {
			second /= 2 // of voice, half a second is kept
		}
		held := hold(i, 5*time.Second)
		require.Greater(t, held, second, e.name)
		require.Equal(t, held, hold(i, 10*time.Second), e.name)
	}
}

// BenchmarkRing reports what the history of an encoding holds, in bytes.
func BenchmarkRing(b *testing.B) {
	for i, e := range encodings {
		b.Run(e.name, func(b *testing.B) {
			held := 0
			for b.Loop() {
				held = hold(i, 3*time.Second)
			}
			b.ReportMetric(float64(held), "ring-B")
		})
	}
}
