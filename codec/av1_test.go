package codec

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Sequence headers, AV1 §5.5.1: profile, still picture, reduced; then what stands before the size.
var (
	// As browsers write it: no timing, no display delay, one operating point.
	av1Plain = av1Sequence1280("000 0 0", "0", "0 00000", "000000000000 00101")
	// A still picture has only its level.
	av1Still = av1Sequence1280("000 1 1", "00101")
	// All that may stand before the size: timing with equal intervals (1 tick), a decoder model with delays of 8 bits,
	// display delays, and three operating points, two of a level that has a tier.
	av1Full = av1Sequence1280("000 0 0",
		"1", word(1000), word(30000), "1", "00101", // num_ticks_per_picture_minus_1 = 4
		"1", "00111", word(1), "01001", "01001",
		"1 00010",
		"000100000111", "01000 0", "1 00000001 00000010 0", "1 0011",
		"000100000011", "01001 1", "0", "0",
		"000100000001", "00101", "1 00000001 00000010 1", "0",
	)
)

// word is 32 bits.
func word(v uint32) string {
	b := make([]byte, 0, 32)
	for i := range 32 {
		b = append(b, '0'+byte(v>>(31-i)&1))
	}
	return string(b)
}

// av1Sequence1280 ends a sequence header with a size of 1280 by 720, in 11 and 10 bits, and what is behind it.
func av1Sequence1280(before ...string) []byte {
	return packBits(append(before, "1010 1001", "10011111111", "1011001111", "0110101")...)
}

// element is an OBU with a length in front, as all elements have but the last when W is not 0.
func element(o ...byte) []byte { return append([]byte{byte(len(o))}, o...) }

// sequenceOBU is a sequence header without and with obu_size.
func sequenceOBU(header []byte) []byte { return append([]byte{1 << 3}, header...) }

func sizedSequenceOBU(header []byte) []byte {
	return append([]byte{1<<3 | 2, byte(len(header))}, header...)
}

func TestInspectAV1(t *testing.T) {
	const (
		z, y, w1, w2, w3, n = 0x80, 0x40, 0x10, 0x20, 0x30, 0x08

		frameOBU  = 6 << 3
		layered   = 4
		layer2t1  = 1<<5 | 2<<3 // spatial 2, temporal 1
		keyShown  = 0x10        // shown, KEY_FRAME
		keyHidden = 0x00
		inter     = 0x30
		existing  = 0x90
	)
	size := Meta{Start: true, Width: 1280, Height: 720}
	key := size
	key.Keyframe, key.Entry = true, true
	layer := Layer{Spatial: 2, Temporal: 1}
	for _, c := range []struct {
		name    string
		payload []byte
		want    Meta
		ok      bool
	}{
		{"frame", []byte{w1, frameOBU, inter, 1, 2}, Meta{Start: true}, true},
		{"frame with a length", append([]byte{0}, element(frameOBU, inter, 1, 2)...), Meta{Start: true}, true},
		{"frame of a layer", []byte{w1 | y, frameOBU | layered, layer2t1, inter}, Meta{Start: true, HasLayer: true, Layer: layer}, true},
		{"rest of a frame", []byte{w1 | z, 0xff, 0xff}, Meta{}, true},
		{"rest of a frame and the next layer's", append(append([]byte{w2 | z}, element(0xff, 0xff)...), frameOBU|layered, layer2t1, inter), Meta{HasLayer: true, Layer: layer}, true},
		{"an empty rest", []byte{w1 | z}, Meta{}, true},
		{"nothing but that an OBU begins", []byte{w1 | y}, Meta{Start: true}, true},
		{"tile group", []byte{w1, obuTileGroup << 3, 1, 2}, Meta{}, true},
		{"redundant frame header", []byte{w1, obuRedundantFrameHeader << 3, 1}, Meta{}, true},
		{"tile list", []byte{w1, obuTileList << 3, 1}, Meta{}, true},

		{"sequence", append(append([]byte{w2 | n}, element(sequenceOBU(av1Plain)...)...), frameOBU, keyShown), key, true},
		{"sequence, sized OBU", append(append([]byte{w2 | n}, element(sizedSequenceOBU(av1Plain)...)...), frameOBU|2, 1, keyShown), key, true},
		{"sequence with all there is", append([]byte{w1 | n}, sequenceOBU(av1Full)...), key, true},
		{"sequence of a still picture", append(append([]byte{w2}, element(sequenceOBU(av1Still)...)...), frameOBU, 0xff), key, true},
		{"delimiter in front", append(append(append([]byte{n}, element(2<<3)...), element(sequenceOBU(av1Plain)...)...), element(frameOBU, keyShown)...), key, true},
		{"metadata in front of the frame", append(append(append([]byte{w3 | n}, element(sequenceOBU(av1Plain)...)...), element(5<<3, 1, 2)...), frameOBU, keyShown), key, true},
		{"sequence header alone", append([]byte{w1 | n}, sequenceOBU(av1Plain)...), key, true},
		{"no N, but a keyframe", append(append([]byte{w2}, element(sequenceOBU(av1Plain)...)...), frameOBU, keyShown), key, true},
		{"sequence header repeated in front of another frame", append(append([]byte{w2}, element(sequenceOBU(av1Plain)...)...), frameOBU, inter), size, true},
		{"in front of one not shown", append(append([]byte{w2}, element(sequenceOBU(av1Plain)...)...), frameOBU, keyHidden), size, true},
		{"in front of one shown again", append(append([]byte{w2}, element(sequenceOBU(av1Plain)...)...), frameOBU, existing), size, true},
		{"in front of nothing", append(append([]byte{w2 | y}, element(sequenceOBU(av1Plain)...)...), frameOBU), size, true},
		{"N without sequence header", []byte{w1 | n, frameOBU, keyShown}, Meta{Start: true}, true},
		{"keyframe without sequence header", []byte{w1, frameOBU, keyShown}, Meta{Start: true}, true},
		{"keyframe of a spatial layer that stands alone", append(append([]byte{w2}, element(sequenceOBU(av1Plain)...)...), frameOBU|layered, layer2t1, keyShown), Meta{Start: true, HasLayer: true, Layer: layer, Width: 1280, Height: 720}, true},
		{"sequence header that goes on", append([]byte{w1 | y | n}, sequenceOBU(av1Plain)[:5]...), Meta{Start: true, Keyframe: true, Entry: true}, true},

		{"aggregation header alone", []byte{0}, Meta{}, false},
		{"one element, and none there", []byte{w1}, Meta{}, false},
		{"two elements, and none there", []byte{w2}, Meta{}, false},
		{"two elements, and one there", append([]byte{w2}, element(frameOBU, inter)...), Meta{}, false},
		{"three elements, and two there", append(append([]byte{w3}, element(frameOBU, inter)...), element(frameOBU, inter)...), Meta{}, false},
		{"N on a rest", []byte{w1 | z | n, 1}, Meta{}, false},
		{"length beyond the packet", []byte{0, 3, frameOBU, inter}, Meta{}, false},
		{"length without end", []byte{0, 0x80, 0x80}, Meta{}, false},
		{"length of nine bytes", []byte{0, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, frameOBU, inter}, Meta{}, false},
		{"length of eight bytes", []byte{0, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, frameOBU, inter}, Meta{Start: true}, true},
		{"length beyond 32 bits", []byte{0, 0x80, 0x80, 0x80, 0x80, 0x10, frameOBU}, Meta{}, false},
		{"length that 32 bits take for less than none", []byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f, frameOBU}, Meta{}, false},
		{"empty OBU", append([]byte{0, 0}, element(frameOBU, inter)...), Meta{}, false},
		{"forbidden bit", []byte{w1, 0x80 | frameOBU}, Meta{}, false},
		{"extension missing", []byte{w1, frameOBU | layered}, Meta{}, false},
		{"extension in the next packet", []byte{w1 | y, frameOBU | layered}, Meta{Start: true}, true},
		{"obu_size beyond the element", []byte{w1, frameOBU | 2, 2, inter}, Meta{}, false},
		{"obu_size of what goes on", []byte{w1 | y, frameOBU | 2, 2, inter}, Meta{Start: true}, true},
		{"sequence header cut short", append([]byte{w1 | n}, sequenceOBU(av1Plain)[:5]...), Meta{}, false},
		{"timing without end", append([]byte{w1 | n}, sequenceOBU(packBits("000 0 0", "1", word(1), word(1), "1", word(0)))...), Meta{}, false},
	} {
		for _, marker := range []bool{false, true} {
			m, ok := AV1.Inspect(c.payload, marker)
			require.Equal(t, c.ok, ok, c.name)
			want := c.want
			want.End, want.Last = marker && ok, marker && ok
			require.Equal(t, want, m, c.name)
		}
	}
}

// A stranger's packets are understood: what it cuts and aggregates is one frame, or one sequence and its first frame.
func TestInspectAV1FromPion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layer := Layer{Spatial: rapid.Uint8Range(0, 3).Draw(t, "spatial"), Temporal: rapid.Uint8Range(0, 7).Draw(t, "temporal")}
		body := rapid.SliceOfN(rapid.Byte(), 10, 400).Draw(t, "frame")
		frame := append([]byte{obuFrame<<3 | 4 | 2, layer.Temporal<<5 | layer.Spatial<<3, byte(len(body)) | 0x80, byte(len(body) >> 7)}, body...)
		var stream []byte
		key := rapid.Bool().Draw(t, "key")
		if key {
			stream = append(stream, sizedSequenceOBU(av1Full)...)
		}
		stream = append(stream, frame...)
		payloads := (&codecs.AV1Payloader{}).Payload(uint16(rapid.IntRange(60, 300).Draw(t, "mtu")), stream)
		for i, p := range payloads {
			m, ok := AV1.Inspect(p, i == len(payloads)-1)
			require.True(t, ok)
			require.Equal(t, i == len(payloads)-1, m.Last)
			require.Equal(t, p[0]&av1Continues == 0, m.Start)
			require.Equal(t, i == 0 && key && (p[0]&av1Sequence != 0 || layer.Spatial == 0 && body[0]&0xf0 == 0x10), m.Keyframe, "% x", p[:10])
			if m.HasLayer {
				require.Equal(t, layer, m.Layer)
			}
			if i == 0 && key {
				require.Equal(t, []uint16{1280, 720}, []uint16{m.Width, m.Height})
			}
		}
	})
}

func FuzzAV1(f *testing.F) {
	for _, header := range [][]byte{av1Plain, av1Still, av1Full} {
		f.Add(slices.Concat([]byte{0x28}, element(sequenceOBU(header)...), []byte{0x34, 0x30, 0x10, 1, 2, 3}), true)
		f.Add(slices.Concat([]byte{0x08}, element(sizedSequenceOBU(header)...), element(0x32, 1, 0x10)), false)
	}
	f.Add([]byte{0x90, 1, 2, 3}, false)
	f.Add([]byte{0x50, 0x34, 0x30, 0x30}, false)
	f.Fuzz(func(t *testing.T, payload []byte, marker bool) {
		before := slices.Clone(payload)
		m, ok := AV1.Inspect(payload, marker)
		require.Equal(t, before, payload)
		if !ok || len(payload) == 0 {
			require.Equal(t, Meta{}, m)
			return
		}
		require.Equal(t, marker, m.Last)
		require.Equal(t, m.Keyframe, m.Entry)
		require.True(t, !m.Keyframe || m.Start)
		require.True(t, m.HasLayer || m.Layer == Layer{})
		// The same elements, all with their lengths in front (W is 0), say the same.
		all := []byte{payload[0] &^ 0x30}
		rest := payload[1:]
		for i := 1; len(rest) > 0; i++ {
			size, n := uint64(len(rest)), 0
			if i != int(payload[0]>>4&3) {
				size, n = binary.Uvarint(rest)
				require.Positive(t, n)
			}
			all = append(binary.AppendUvarint(all, size), rest[n:n+int(size)]...)
			rest = rest[n+int(size):]
		}
		if len(all) > 1 {
			again, ok := AV1.Inspect(all, marker)
			require.True(t, ok)
			require.Equal(t, m, again)
		}
	})
}

func TestAV1NoAllocations(t *testing.T) {
	payload := append(append([]byte{0x28}, element(sequenceOBU(av1Full)...)...), 0x34, 0x30, 0x10, 1, 2, 3)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if m, ok := AV1.Inspect(payload, false); !ok || !m.Keyframe {
			t.Fail()
		}
	}))
}

func BenchmarkInspectAV1(b *testing.B) {
	for _, c := range []struct {
		name    string
		payload []byte
	}{
		{"start", append([]byte{0x50, 0x34, 0x30, 0x30}, make([]byte, 1100)...)},
		{"rest", append([]byte{0x90}, make([]byte, 1100)...)},
		{"key", append(append(append([]byte{0x68}, element(sequenceOBU(av1Plain)...)...), 0x34, 0x30, 0x10), make([]byte, 1000)...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := AV1.Inspect(c.payload, false); !ok {
					b.Fatal("malformed")
				}
			}
		})
	}
}
