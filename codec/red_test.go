package codec

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// redPayload packs blocks as RFC 2198 §3 draws them.
func redPayload(blocks ...REDBlock) []byte {
	var b []byte
	last := len(blocks) - 1
	for _, c := range blocks[:last] {
		b = binary.BigEndian.AppendUint32(b, 0x80000000|uint32(c.PayloadType)<<24|uint32(c.Offset)<<10|uint32(len(c.Data)))
	}
	b = append(b, blocks[last].PayloadType)
	for _, c := range blocks {
		b = append(b, c.Data...)
	}
	return b
}

func TestReadRED(t *testing.T) {
	// RFC 2198 §3: F, block PT, 14 bits of timestamp offset, 10 bits of length. Two copies of Opus, 40 and 20 ms old.
	blocks, n, ok := ReadRED([]byte{0xef, 0x1e, 0x00, 0x02, 0xef, 0x0f, 0x00, 0x01, 0x6f, 1, 2, 3, 4, 5, 6})
	require.True(t, ok)
	require.Equal(t, []REDBlock{
		{PayloadType: 111, Offset: 1920, Data: []byte{1, 2}},
		{PayloadType: 111, Offset: 960, Data: []byte{3}},
		{PayloadType: 111, Data: []byte{4, 5, 6}},
	}, blocks[:n])

	blocks, n, ok = ReadRED([]byte{0x6f, 9})
	require.True(t, ok, "no copies")
	require.Equal(t, []REDBlock{{PayloadType: 111, Data: []byte{9}}}, blocks[:n])

	longest := REDBlock{PayloadType: 127, Offset: 16383, Data: make([]byte, 1023)}
	blocks, n, ok = ReadRED(redPayload(longest, REDBlock{PayloadType: 1, Data: []byte{7}}))
	require.True(t, ok, "the most that the fields can say")
	require.Equal(t, longest, blocks[0])
	require.Equal(t, 2, n)

	blocks, n, ok = ReadRED([]byte{0xef, 0x0f, 0x00, 0x00, 0x6f, 1})
	require.True(t, ok, "an empty copy")
	require.Empty(t, blocks[0].Data)
	require.Equal(t, []byte{1}, blocks[n-1].Data)
}

func TestReadREDLiars(t *testing.T) {
	nine := make([]REDBlock, MaxREDBlocks+1)
	for i := range nine {
		nine[i] = REDBlock{PayloadType: 111, Data: []byte{1}}
	}
	_, n, ok := ReadRED(redPayload(nine[1:]...))
	require.True(t, ok)
	require.Equal(t, MaxREDBlocks, n)
	for name, payload := range map[string][]byte{
		"nothing":                       nil,
		"too many blocks":               redPayload(nine...),
		"headers only":                  {0xef, 0x0f, 0x00, 0x01},
		"header cut short":              {0xef, 0x0f, 0x00},
		"copy longer than the packet":   {0xef, 0x0f, 0x00, 0x05, 0x6f, 1, 2, 3},
		"nothing left for its own":      {0xef, 0x0f, 0x00, 0x02, 0x6f, 1, 2},
		"nothing but the last header":   {0x6f},
		"second copy longer than left":  {0xef, 0x0f, 0x00, 0x01, 0xef, 0x0f, 0x00, 0x04, 0x6f, 1, 2, 3, 4},
		"endless headers":               {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"last header where a copy ends": {0xef, 0x0f, 0x00, 0x01, 0xef},
	} {
		blocks, n, ok := ReadRED(payload)
		require.False(t, ok, name)
		require.Zero(t, n, name)
		require.Equal(t, [MaxREDBlocks]REDBlock{}, blocks, name)
	}
}

func TestReadREDReadsWhatIsPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, MaxREDBlocks).Draw(t, "blocks")
		blocks := make([]REDBlock, n)
		for i := range blocks {
			blocks[i] = REDBlock{
				PayloadType: rapid.Uint8Range(0, 127).Draw(t, "type"),
				Data:        rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data"),
			}
			if i < n-1 {
				blocks[i].Offset = rapid.Uint16Range(0, 16383).Draw(t, "offset")
			}
		}
		got, m, ok := ReadRED(redPayload(blocks...))
		require.True(t, ok)
		require.Equal(t, blocks, got[:m])
	})
}

func FuzzRED(f *testing.F) {
	f.Add([]byte{0xef, 0x1e, 0x00, 0x02, 0xef, 0x0f, 0x00, 0x01, 0x6f, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{0x6f, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		blocks, n, ok := ReadRED(payload)
		if !ok {
			return
		}
		require.Equal(t, payload, redPayload(blocks[:n]...), "packed again it is what it was")
	})
}

func TestAppendREDIsReadBack(t *testing.T) {
	blocks := []REDBlock{
		{PayloadType: 111, Offset: 16383, Data: bytes.Repeat([]byte{3}, 1023)},
		{PayloadType: 111, Offset: 960},
		{PayloadType: 96, Data: []byte{1, 2}},
	}
	payload, ok := AppendRED(nil, blocks)
	require.True(t, ok)
	require.Len(t, payload, REDSize(blocks))
	read, n, ok := ReadRED(payload)
	require.True(t, ok)
	require.Equal(t, 3, n)
	for i := range blocks {
		require.Equal(t, blocks[i].PayloadType, read[i].PayloadType)
		require.Equal(t, blocks[i].Offset, read[i].Offset)
		require.True(t, bytes.Equal(blocks[i].Data, read[i].Data))
	}
}

func TestAppendREDRefuses(t *testing.T) {
	own := REDBlock{PayloadType: 111, Data: []byte{1}}
	for name, blocks := range map[string][]REDBlock{
		"nothing":                nil,
		"nine blocks":            append(make([]REDBlock, MaxREDBlocks), own),
		"an empty own block":     {{PayloadType: 111}},
		"an own block of before": {{PayloadType: 111, Offset: 1, Data: []byte{1}}},
		"too long a copy":        {{PayloadType: 111, Offset: 960, Data: make([]byte, 1024)}, own},
		"too old a copy":         {{PayloadType: 111, Offset: 16384, Data: []byte{1}}, own},
		"no payload type":        {{PayloadType: 128, Offset: 960, Data: []byte{1}}, own},
	} {
		b, ok := AppendRED([]byte{9}, blocks)
		require.False(t, ok, name)
		require.Equal(t, []byte{9}, b, name)
	}
}
