package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// typical are payloads as a call has them most: not a keyframe's first packet, but for the ones that say so.
func typical(t testing.TB) []struct {
	name    string
	codec   Codec
	payload []byte
} {
	body := make([]byte, 1100)
	with := func(head ...byte) []byte { return append(head, body...) }
	sps := unhex(t, h264Sets[2].sps)
	return []struct {
		name    string
		codec   Codec
		payload []byte
	}{
		{"opus", Opus, with(0x78, 0x3f)[:80]},
		{"vp8", VP8, with(0x90, 0xe0, 0x92, 0x34, 0x56, 0xa0, 0x31)},
		{"vp8-key", VP8, append([]byte{0x90, 0xe0, 0x92, 0x34, 0x56, 0x00}, with(keyframe640x360...)...)},
		{"vp9", VP9, with(0xe8, 0x92, 0x34, 0b010_1_001_1, 0x56, 0x86)},
		{"vp9-flexible", VP9, with(0xf8, 0x92, 0x34, 0b010_1_001_1, 0x03, 0x04, 0x86)},
		{"vp9-key", VP9, append([]byte{0xaa, 0x92, 0x34, 0, 0x56, 0b010_11_000, 0, 160, 0, 90, 1, 64, 0, 180, 2, 128, 1, 104, 4, 0, 0x54, 1, 0x34, 2, 0x54, 1}, with(unhex(t, vp9Headers[0].header)...)...)},
		{"h264", H264, with(0x7c, 0x01)},
		{"h264-key", H264, aggregate(sps, []byte{0x68, 0xeb, 0xe3}, with(0x65, 0x88))},
	}
}

func BenchmarkInspect(b *testing.B) {
	for _, c := range typical(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := c.codec.Inspect(c.payload, true); !ok {
					b.Fatal("malformed")
				}
			}
		})
	}
}

func BenchmarkReadOpus(b *testing.B) {
	payload := append([]byte{0x48, 0x40}, make([]byte, 60)...)
	b.ReportAllocs()
	for b.Loop() {
		ReadOpus(payload)
	}
}

func BenchmarkReadRED(b *testing.B) {
	payload := append([]byte{0xef, 0x1e, 0x00, 0x3c, 0xef, 0x0f, 0x00, 0x3c, 0x6f}, make([]byte, 180)...)
	b.ReportAllocs()
	for b.Loop() {
		ReadRED(payload)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, c := range typical(t) {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			m, ok := c.codec.Inspect(c.payload, true)
			if !ok {
				panic(c.name + " is malformed")
			}
			switch c.codec {
			case VP8:
				RewriteVP8(c.payload, m, m.PictureID+1, m.TL0+1)
			case VP9:
				RewriteVP9(c.payload, m, m.PictureID+1, m.TL0+1)
			}
		}), c.name)
	}
	red := []byte{0xef, 0x0f, 0x00, 0x01, 0x6f, 1, 2}
	allocation := []byte{0b01_10_0001, 0b00_00_01_00, 50, 100, 0x96, 0x01, 0xac, 0x02}
	buffer := make([]byte, 0, 16)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		ReadOpus([]byte{0xfb, 0x83, 1, 4, 0, 0, 0, 0, 0, 0})
		ReadRED(red)
		ReadLayersAllocation(allocation)
		ReadVP9Structure([]byte{0x0a, 0b001_10_000, 1, 64, 0, 180, 2, 128, 1, 104, 0x82})
		c, _ := ReadCaptureTime(buffer[:8])
		AppendCaptureTime(buffer, c)
		d, _ := ReadPlayoutDelay(buffer[:3])
		AppendPlayoutDelay(buffer, d)
	}))
}
