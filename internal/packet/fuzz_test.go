package packet

import (
	"testing"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

// seeds are packets that lie in their lengths, and some that do not.
func seeds(f *testing.F) {
	f.Add([]byte{0x80, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3})
	f.Add([]byte{0xa0, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 255})                       // padding beyond the packet
	f.Add([]byte{0xa0, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3})                                  // P bit and no payload
	f.Add([]byte{0x8f, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4})                      // 15 CSRCs
	f.Add([]byte{0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0xff, 0xff})          // 256 kB of extensions
	f.Add([]byte{0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3}) // element beyond the block
	f.Add([]byte{0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 1, 0x20, 5, 9})
	f.Add([]byte{0x90, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0x00, 0, 1, 1, 1, 7, 2, 9})
}

func FuzzParseHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		Classify(b)
		h, ok := ParseHeader(b)
		if !ok {
			require.Equal(t, Header{}, h)
			return
		}
		require.LessOrEqual(t, h.Size, len(b))
		require.LessOrEqual(t, h.ExtOffset+h.ExtSize, h.Size)
		for i := range h.CSRCCount {
			_, ok := h.CSRC(b, i)
			require.True(t, ok)
		}
		if payload, ok := h.Payload(b); ok {
			require.LessOrEqual(t, h.Size+len(payload), len(b))
		}
		// What pion takes, it reads as we do.
		var theirs rtp.Packet
		if theirs.Unmarshal(b) == nil {
			require.Equal(t, theirs.SequenceNumber, h.Sequence)
			require.Equal(t, theirs.SSRC, h.SSRC)
			require.Len(t, theirs.CSRC, h.CSRCCount)
			if payload, ok := h.Payload(b); ok {
				require.Equal(t, len(theirs.Payload), len(payload))
			}
		}
	})
}

func FuzzExtension(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseHeader(b)
		if !ok {
			return
		}
		var elements []Extension
		for id := range 256 {
			if data, ok := h.Extension(b, uint8(id)); ok {
				require.LessOrEqual(t, len(data), 255)
				elements = append(elements, Extension{ID: uint8(id), Data: data})
			}
		}
		// Whatever was found can be written and found again.
		dst := make([]byte, 12+4+256*257)
		n := PutHeader(dst, h)
		dst = dst[:PutExtensions(dst, n, elements)]
		again, ok := ParseHeader(dst)
		require.True(t, ok)
		for _, e := range elements {
			data, ok := again.Extension(dst, e.ID)
			require.True(t, ok)
			require.Equal(t, e.Data, data)
		}
		// One walk finds what the searches found, each first of its id.
		var first [256]bool
		walked := 0
		for e := h.Elements(b); e.Next(); {
			if !first[e.ID] {
				first[e.ID] = true
				data, ok := h.Extension(b, e.ID)
				require.True(t, ok)
				require.Equal(t, e.Data(), data)
				walked++
			}
		}
		require.Len(t, elements, walked)
		// A header of another packet must not lead outside this one.
		for n := range len(b) {
			h.Extension(b[:n], 1)
			h.Payload(b[:n])
		}
	})
}
