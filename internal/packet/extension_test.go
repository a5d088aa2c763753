package packet

import (
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
