package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestInspectOpus(t *testing.T) {
	m, ok := Opus.Inspect([]byte{0xfc}, false)
	require.True(t, ok)
	require.Equal(t, Meta{Start: true, End: true}, m)
}

// RFC 6716 table 2: mode, bandwidth and frame size of the 32 configurations.
func TestReadOpusConfigurations(t *testing.T) {
	for _, c := range []struct {
		first     uint8 // configuration
		mode      OpusMode
		bandwidth uint16
		samples   []uint16 // of the configurations from first on
	}{
		{0, OpusSILK, 4000, []uint16{480, 960, 1920, 2880}},
		{4, OpusSILK, 6000, []uint16{480, 960, 1920, 2880}},
		{8, OpusSILK, 8000, []uint16{480, 960, 1920, 2880}},
		{12, OpusHybrid, 12000, []uint16{480, 960}},
		{14, OpusHybrid, 20000, []uint16{480, 960}},
		{16, OpusCELT, 4000, []uint16{120, 240, 480, 960}},
		{20, OpusCELT, 8000, []uint16{120, 240, 480, 960}},
		{24, OpusCELT, 12000, []uint16{120, 240, 480, 960}},
		{28, OpusCELT, 20000, []uint16{120, 240, 480, 960}},
	} {
		for i, samples := range c.samples {
			config := c.first + uint8(i)
			p, ok := ReadOpus([]byte{config << 3, 0, 0})
			require.True(t, ok)
			require.Equal(t, OpusPacket{Samples: samples, Bandwidth: c.bandwidth, Frames: 1, Channels: 1, Mode: c.mode}, p, config)
			p, ok = ReadOpus([]byte{config<<3 | 4, 0, 0})
			require.True(t, ok)
			require.Equal(t, uint8(2), p.Channels)
		}
	}
}

// TOC f8 is CELT, 20 ms, mono; its lower 2 bits are the code of the packing, RFC 6716 §3.2.
func TestReadOpusPacking(t *testing.T) {
	frame := func(n int) []byte { return make([]byte, n) }
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	for _, c := range []struct {
		name    string
		payload []byte
		frames  uint8
		dtx     bool
	}{
		{"code 0", join([]byte{0xf8}, frame(1275)), 1, false},
		{"code 0, nothing but the TOC", []byte{0xf8}, 1, true},
		{"code 0, one byte", []byte{0xf8, 0}, 1, true},
		{"code 1", join([]byte{0xf9}, frame(2550)), 2, false},
		{"code 1, nothing but the TOC", []byte{0xf9}, 2, true},
		{"code 2", join([]byte{0xfa, 2}, frame(5)), 2, false},
		{"code 2, long size", join([]byte{0xfa, 253, 1}, frame(257+3)), 2, false},
		{"code 2, nothing in the second", join([]byte{0xfa, 1}, frame(1)), 2, true},
		{"code 3, constant", join([]byte{0xfb, 3}, frame(6)), 3, false},
		{"code 3, 120 ms", join([]byte{0xfb, 6}, frame(6)), 6, true},
		{"code 3, variable", join([]byte{0xfb, 0x83, 1, 4}, frame(1+4+2)), 3, false},
		{"code 3, variable, one frame", join([]byte{0xfb, 0x81}, frame(7)), 1, false},
		{"code 3, padded", join([]byte{0xfb, 0x41, 3}, frame(5+3)), 1, false},
		{"code 3, nothing but padding", join([]byte{0xfb, 0x41, 3}, frame(3)), 1, true},
		{"code 3, much padding", join([]byte{0xfb, 0x41, 255, 2}, frame(5+256)), 1, false},
		{"code 3, variable and padded", join([]byte{0xfb, 0xc2, 1, 2}, frame(2+5+1)), 2, false},
	} {
		p, ok := ReadOpus(c.payload)
		require.True(t, ok, c.name)
		want := OpusPacket{Samples: 960 * uint16(c.frames), Bandwidth: 20000, Frames: c.frames, Channels: 1, Mode: OpusCELT, DTX: c.dtx}
		require.Equal(t, want, p, c.name)
	}
	for name, payload := range map[string][]byte{
		"R1: nothing":                     nil,
		"R2: longer than a frame":         join([]byte{0xf8}, frame(1276)),
		"R2: code 1, longer than a frame": join([]byte{0xf9}, frame(2552)),
		"R2: code 2, second longer":       join([]byte{0xfa, 0}, frame(1276)),
		"R2: code 3, longer":              join([]byte{0xfb, 1}, frame(1276)),
		"R3: odd":                         join([]byte{0xf9}, frame(3)),
		"R4: no size":                     {0xfa},
		"R4: half a size":                 {0xfa, 252},
		"R4: size beyond the packet":      {0xfa, 2, 0},
		"R5: no count":                    {0xfb},
		"R5: no frames":                   {0xfb, 0, 1},
		"R5: 140 ms":                      join([]byte{0xfb, 7}, frame(7)),
		"R5: 180 ms of SILK":              join([]byte{0x5b, 3}, frame(6)),
		"R6: no multiple":                 join([]byte{0xfb, 3}, frame(7)),
		"R6: more padding than there is":  {0xfb, 0x41, 3, 0, 0},
		"R6: no end of padding":           {0xfb, 0x41, 255, 255},
		"R6: no size of padding":          {0xfb, 0x41},
		"R7: sizes beyond the packet":     {0xfb, 0x83, 2, 2, 0, 0, 0},
		"R7: sizes missing":               {0xfb, 0x83, 2},
		"R7: half a size":                 {0xfb, 0x82, 252},
		"R7: sizes into the padding":      {0xfb, 0xc2, 2, 2, 0, 0, 0},
	} {
		p, ok := ReadOpus(payload)
		require.False(t, ok, name)
		require.Equal(t, OpusPacket{}, p, name)
	}
}

// The LBRR flags stand behind the voice activity flags of each channel, RFC 6716 §4.2.3: one VAD flag for 10 and 20 ms, two
// for 40 ms, three for 60 ms; mid channel first.
func TestReadOpusFEC(t *testing.T) {
	for _, c := range []struct {
		name   string
		toc    byte
		flags  byte
		fec    bool
		stereo bool
	}{
		{"20 ms", 9 << 3, 0b0_1_000000, true, false},
		{"20 ms, voice only", 9 << 3, 0b1_0_111111, false, false},
		{"10 ms", 8 << 3, 0b0_1_000000, true, false},
		{"40 ms", 10 << 3, 0b00_1_00000, true, false},
		{"40 ms, voice only", 10 << 3, 0b11_0_11111, false, false},
		{"60 ms", 11 << 3, 0b000_1_0000, true, false},
		{"60 ms, voice only", 11 << 3, 0b111_0_1111, false, false},
		{"20 ms, mid", 9<<3 | 4, 0b0_1_0_0_0000, true, true},
		{"20 ms, side", 9<<3 | 4, 0b0_0_0_1_0000, true, true},
		{"20 ms, voice in both", 9<<3 | 4, 0b1_0_1_0_1111, false, true},
		{"60 ms, side", 11<<3 | 4, 0b000_0_000_1, true, true},
		{"60 ms, voice in both", 11<<3 | 4, 0b111_0_111_0, false, true},
		{"40 ms, side", 10<<3 | 4, 0b00_0_00_1_00, true, true},
		{"hybrid", 15 << 3, 0b0_1_000000, true, false},
		{"CELT has none", 31 << 3, 0xff, false, false},
	} {
		p, ok := ReadOpus([]byte{c.toc, c.flags, 0, 0})
		require.True(t, ok, c.name)
		require.Equal(t, c.fec, p.FEC, c.name)
		require.Equal(t, c.stereo, p.Channels == 2, c.name)
	}
	p, ok := ReadOpus([]byte{9<<3 | 3, 0x82, 1, 0b0_1_000000, 0, 0})
	require.True(t, ok)
	require.True(t, p.FEC, "the first of two frames counts")
	p, ok = ReadOpus([]byte{9<<3 | 3, 0x82, 1, 0, 0b0_1_000000, 0})
	require.True(t, ok)
	require.False(t, p.FEC)
	p, ok = ReadOpus([]byte{9 << 3})
	require.True(t, ok)
	require.False(t, p.FEC, "an empty frame has no flags")
}

// The first bytes of packets that libopus made of a voice, told to expect loss or not.
func TestReadOpusOfLibopus(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet string
		want   OpusPacket
	}{
		{"20 ms, no loss told", "4810d81748d4", OpusPacket{Samples: 960, Bandwidth: 8000, Frames: 1, Channels: 1}},
		{"20 ms, loss told", "484143e65608", OpusPacket{Samples: 960, Bandwidth: 8000, Frames: 1, Channels: 1, FEC: true}},
		{"40 ms, loss told", "50fafff5097e", OpusPacket{Samples: 1920, Bandwidth: 8000, Frames: 1, Channels: 1, FEC: true}},
		{"60 ms, loss told", "58f51fdca76e", OpusPacket{Samples: 2880, Bandwidth: 8000, Frames: 1, Channels: 1, FEC: true}},
		{"hybrid, stereo", "7c01474cc715", OpusPacket{Samples: 960, Bandwidth: 20000, Frames: 1, Channels: 2, Mode: OpusHybrid}},
	} {
		p, ok := ReadOpus(unhex(t, c.packet))
		require.True(t, ok, c.name)
		require.Equal(t, c.want, p, c.name)
	}
}

func FuzzOpus(f *testing.F) {
	for _, p := range [][]byte{{0xf8, 1}, {0xf9, 1, 2}, {0xfa, 1, 2, 3}, {0xfb, 0x83, 1, 1, 0, 0, 0}, {0xfb, 0x41, 255, 0, 1}} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, payload []byte) { checkOpus(t, payload) })
}

func TestReadOpusAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkOpus(t, rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "payload")) })
}

func checkOpus(t require.TestingT, payload []byte) {
	p, ok := ReadOpus(payload)
	if !ok {
		require.Equal(t, OpusPacket{}, p)
		return
	}
	require.LessOrEqual(t, p.Samples, uint16(5760))
	require.GreaterOrEqual(t, p.Samples, uint16(120))
	require.Zero(t, p.Samples%uint16(p.Frames))
	require.False(t, p.FEC && p.Mode == OpusCELT)
	if payload[0]&3 == 0 {
		require.Equal(t, len(payload) <= 2, p.DTX, "what an encoder need not send (opus_encode)")
	}
}
