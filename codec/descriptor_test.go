package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// handL1T3 is the keyframe of L1T3 (§A.10.2.1), its decode targets in the order of libwebrtc: 7.5, 15, 30 frames a second.
//
//	first, last, template 0, number 7 | structure, no mask, nothing custom
//	offset 0, 3 targets | layers: same, T1, T2, same, end
//	DTIs SSS SSS -DS --D --D | differences none 4 2 1 1
//	chains 1 of ns(4), protected by ns(1) each | distances 0 4 2 1 3 | resolution 640x360
var handL1T3 = packBits(
	"1 1 000000 0000000000000111", "10000",
	"000000 00010", "00 01 01 00 11",
	"101010 101010 000110 000001 000001", "0 100110 100010 100000 100000",
	"01", "", "0000 0100 0010 0001 0011", "1 0000001001111111 0000000101100111",
)

// packBits packs zeros and ones into bytes, the last filled up with zeros; blanks are for the reader.
func packBits(fields ...string) []byte {
	var b []byte
	n := 0
	for _, field := range fields {
		for _, c := range field {
			if c == ' ' {
				continue
			}
			if n&7 == 0 {
				b = append(b, 0)
			}
			b[n>>3] |= byte(c-'0') << (7 - n&7)
			n++
		}
	}
	return b
}

func TestReadDescriptorByHand(t *testing.T) {
	var s Structure
	require.Zero(t, s.Targets())
	_, ok := s.ReadDescriptor([]byte{0xc1, 0, 8})
	require.False(t, ok, "no structure has come")
	d, ok := s.ReadDescriptor(handL1T3)
	require.True(t, ok)
	require.Equal(t, Descriptor{Number: 7, Start: true, End: true, Structure: true, Needed: 7, Switch: 7, Active: 7}, d)
	require.Equal(t, []Layer{{0, 0}, {0, 1}, {0, 2}}, []Layer{s.Target(0), s.Target(1), s.Target(2)})
	width, height := s.Resolution(0)
	require.Equal(t, []uint16{640, 360}, []uint16{width, height})
	width, _ = s.Resolution(1)
	require.Zero(t, width)

	d, ok = s.ReadDescriptor([]byte{0x82, 0, 9})
	require.True(t, ok)
	require.Equal(t, Descriptor{Number: 9, Start: true, Layer: Layer{0, 1}, Needed: 6, Switch: 4, Discardable: 2, Active: 7}, d)
	numbers, n, ok := s.References([]byte{0x82, 0, 9})
	require.True(t, ok)
	require.Equal(t, []uint16{7}, numbers[:n])
	distance, ok := s.ChainDistance([]byte{0x84, 0, 10}, 0)
	require.True(t, ok)
	require.Equal(t, uint8(3), distance)
}
