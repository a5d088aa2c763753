package packet

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExtension(t *testing.T) {
	const oneByte, twoByte = profileOneByte, profileTwoByte
	for _, c := range []struct {
		name    string
		profile uint16
		block   []byte
		id      uint8
		want    []byte
		ok      bool
	}{
		{"one byte", oneByte, []byte{0x10, 7, 0, 0}, 1, []byte{7}, true},
		{"other id", oneByte, []byte{0x10, 7, 0, 0}, 2, nil, false},
		{"id 0 is never there", oneByte, []byte{0x00, 0, 0, 0}, 0, nil, false},
		{"after another and padding", oneByte, []byte{0x10, 7, 0, 0, 0x21, 8, 9, 0}, 2, []byte{8, 9}, true},
		{"beyond the block", oneByte, []byte{0x13, 7, 8, 9}, 1, nil, false},
		{"16 bytes", oneByte, append([]byte{0x1f}, make([]byte, 19)...), 1, make([]byte, 16), true},
		{"id 15 ends", oneByte, []byte{0xf0, 0, 0x10, 7}, 1, nil, false},
		{"id 15 itself", oneByte, []byte{0xf0, 9, 0, 0}, 15, nil, false},
		{"padding with a length ends", oneByte, []byte{0x01, 0, 0x10, 7}, 1, nil, false},
		{"before a broken one", oneByte, []byte{0x10, 7, 0x2f, 0}, 1, []byte{7}, true},
		{"two byte", twoByte, []byte{1, 2, 7, 8}, 1, []byte{7, 8}, true},
		{"two byte, application bits", twoByte | 5, []byte{0, 1, 1, 7}, 1, []byte{7}, true},
		{"two byte, empty", twoByte, []byte{1, 0, 2, 0}, 2, []byte{}, true},
		{"two byte, high id", twoByte, []byte{200, 1, 3, 0}, 200, []byte{3}, true},
		{"two byte, length missing", twoByte, []byte{0, 0, 0, 1}, 1, nil, false},
		{"two byte, beyond the block", twoByte, []byte{1, 3, 7, 8}, 1, nil, false},
		{"unknown profile", 0x1234, []byte{0x10, 7, 0, 0}, 1, nil, false},
	} {
		b := make([]byte, 16+len(c.block))
		PutHeader(b, Header{})
		b[0] |= extensionBit
		b[12], b[13], b[15] = byte(c.profile>>8), byte(c.profile), byte(len(c.block)/4)
		copy(b[16:], c.block)
		h, ok := ParseHeader(b)
		require.True(t, ok, c.name)
		got, ok := h.Extension(b, c.id)
		require.Equal(t, c.ok, ok, c.name)
		require.Equal(t, c.want, got, c.name)
		_, ok = h.Extension(b[:len(b)-1], c.id)
		require.False(t, ok, "a packet shorter than its header says")
	}
}

func TestPutExtensionsForm(t *testing.T) {
	for _, c := range []struct {
		name     string
		elements []Extension
		want     []byte
	}{
		{"one byte", []Extension{{1, []byte{9}}, {14, []byte{7, 8}}}, []byte{0xbe, 0xde, 0, 2, 0x10, 9, 0xe1, 7, 8, 0, 0, 0}},
		{"id 15", []Extension{{15, []byte{9}}}, []byte{0x10, 0, 0, 1, 15, 1, 9, 0}},
		{"empty data", []Extension{{1, nil}}, []byte{0x10, 0, 0, 1, 1, 0, 0, 0}},
		{"one long one", []Extension{{1, make([]byte, 17)}, {2, []byte{5}}}, append([]byte{0x10, 0, 0, 6, 1, 17}, append(make([]byte, 17), 2, 1, 5, 0, 0)...)},
	} {
		b := make([]byte, 100)
		for i := range b {
			b[i] = 0xaa // what stood in the send slot before
		}
		n := PutHeader(b, Header{})
		require.Equal(t, c.want, b[n:PutExtensions(b, n, c.elements)], c.name)
	}
}

func TestElements(t *testing.T) {
	type element struct {
		id   uint8
		data []byte
	}
	for _, c := range []struct {
		name    string
		profile uint16
		block   []byte
		want    []element
	}{
		{"one byte", profileOneByte, []byte{0x10, 7, 0, 0x21, 8, 9, 0, 0}, []element{{1, []byte{7}}, {2, []byte{8, 9}}}},
		{"the same id twice", profileOneByte, []byte{0x10, 7, 0x10, 8}, []element{{1, []byte{7}}, {1, []byte{8}}}},
		{"one byte, broken at last", profileOneByte, []byte{0x10, 7, 0x22, 8}, []element{{1, []byte{7}}}},
		{"two byte", profileTwoByte | 3, []byte{0, 15, 1, 7, 200, 0, 1, 0}, []element{{15, []byte{7}}, {200, []byte{}}, {1, []byte{}}}},
		{"two byte, length missing", profileTwoByte, []byte{1, 1, 7, 2}, []element{{1, []byte{7}}}},
		{"padding", profileTwoByte, []byte{0, 0, 0, 0}, nil},
		{"unknown profile", 0x2000, []byte{1, 1, 7, 2}, nil},
	} {
		b := make([]byte, 16+len(c.block))
		PutHeader(b, Header{})
		b[0] |= extensionBit
		b[12], b[13], b[15] = byte(c.profile>>8), byte(c.profile), byte(len(c.block)/4)
		copy(b[16:], c.block)
		h, ok := ParseHeader(b)
		require.True(t, ok, c.name)
		var got []element
		e := h.Elements(b)
		for e.Next() {
			got = append(got, element{e.ID, e.Data()})
		}
		require.Equal(t, c.want, got, c.name)
		require.False(t, e.Next(), "the end stays the end: "+c.name)
		short := h.Elements(b[:len(b)-1])
		require.False(t, short.Next(), c.name)
	}
}

func TestBlockRefuses(t *testing.T) {
	for _, c := range []struct {
		name        string
		header, dst int
		twoByte     bool
		id          uint8
		data        int
		want        int // the header's size in the end
	}{
		{"fits to the byte", 12, 20, false, 1, 3, 20},
		{"no room for the padding", 12, 19, false, 1, 2, 12},
		{"no room for the head", 12, 15, false, 1, 1, 12},
		{"id 0", 12, 100, true, 0, 1, 12},
		{"id 15 in the one-byte form", 12, 100, false, 15, 1, 12},
		{"17 bytes in the one-byte form", 12, 100, false, 1, 17, 12},
		{"none in the one-byte form", 12, 100, false, 1, 0, 12},
		{"none in the two-byte form", 12, 100, true, 1, 0, 20},
		{"256 bytes", 12, 1000, true, 1, 256, 12},
		{"less than nothing", 12, 1000, true, 1, -1, 12},
		{"no header", 0, 100, true, 1, 1, 0},
		{"header before the slice", -20, 100, true, 1, 1, -20},
	} {
		dst := make([]byte, c.dst)
		PutHeader(dst, Header{})
		before := bytes.Clone(dst)
		w := OpenBlock(dst, c.header, c.twoByte)
		data := w.Element(c.id, c.data)
		require.Equal(t, c.want, w.Close(), c.name)
		if c.want == c.header {
			require.Nil(t, data, c.name)
			require.Equal(t, before, dst, c.name)
			continue
		}
		require.Len(t, data, c.data, c.name)
		second := OpenBlock(dst, c.want, c.twoByte)
		require.Nil(t, second.Element(1, 1), "a block is there")
	}
	// No block is longer than its count of words can say.
	dst := make([]byte, 300_000)
	w := OpenBlock(dst, PutHeader(dst, Header{}), true)
	for w.Element(1, 255) != nil {
	}
	require.LessOrEqual(t, w.Close(), 12+4+4*0xffff)
	h, ok := ParseHeader(dst)
	require.True(t, ok)
	n := 0
	for e := h.Elements(dst); e.Next(); n++ {
	}
	require.Equal(t, 4*0xffff/257, n)
}
