package packet

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want Kind
	}{
		{nil, Unknown},
		{[]byte{0}, Unknown},
		{[]byte{0, 1}, STUN},
		{[]byte{3, 1}, STUN},
		{[]byte{4, 1}, Unknown},
		{[]byte{16, 0}, Unknown}, // ZRTP
		{[]byte{19, 0}, Unknown},
		{[]byte{20, 0}, DTLS},
		{[]byte{63, 0}, DTLS},
		{[]byte{64, 0}, Unknown}, // TURN channel
		{[]byte{127, 0}, Unknown},
		{[]byte{128, 0}, RTP},
		{[]byte{191, 96 | 0x80}, RTP},
		{[]byte{128, 191}, RTP},
		{[]byte{128, 192}, RTCP},
		{[]byte{129, 200}, RTCP},
		{[]byte{143, 223}, RTCP},
		{[]byte{128, 224}, RTP},
		{[]byte{192, 200}, Unknown},
	} {
		require.Equal(t, c.want, Classify(c.b), "% x", c.b)
	}
	require.Equal(t, "unknown stun dtls rtp rtcp",
		Unknown.String()+" "+STUN.String()+" "+DTLS.String()+" "+RTP.String()+" "+RTCP.String())
}

func TestParseHeader(t *testing.T) {
	fixed := []byte{0x80, 0xe0, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 7}
	with := func(first byte, more ...byte) []byte {
		b := append(bytes.Clone(fixed), more...)
		b[0] = first
		return b
	}
	base := Header{Sequence: 0x1234, Timestamp: 5, SSRC: 7, PayloadType: 96, Marker: true, Size: 12}
	for _, c := range []struct {
		name string
		b    []byte
		want Header
		ok   bool
	}{
		{"empty", nil, Header{}, false},
		{"eleven bytes", fixed[:11], Header{}, false},
		{"fixed", fixed, base, true},
		{"version 1", with(0x40), Header{}, false},
		{"version 3", with(0xc0), Header{}, false},
		{"CSRC missing", with(0x81, 1, 2, 3), Header{}, false},
		{"CSRC", with(0x81, 1, 2, 3, 4), Header{Sequence: 0x1234, Timestamp: 5, SSRC: 7, PayloadType: 96, Marker: true, Size: 16, CSRCCount: 1}, true},
		{"15 CSRCs missing", with(0x8f, make([]byte, 59)...), Header{}, false},
		{"extension header missing", with(0x90, 0xbe, 0xde, 0), Header{}, false},
		{"empty extension", with(0x90, 0xbe, 0xde, 0, 0), Header{Sequence: 0x1234, Timestamp: 5, SSRC: 7, PayloadType: 96, Marker: true, Size: 16, ExtProfile: 0xbede, ExtOffset: 16}, true},
		{"extension missing", with(0x90, 0xbe, 0xde, 0, 1, 1, 2, 3), Header{}, false},
		{"extension of 256 kB", with(0x90, 0xbe, 0xde, 0xff, 0xff, 1, 2, 3), Header{}, false},
		{"extension", with(0x90, 0x12, 0x34, 0, 1, 1, 2, 3, 4), Header{Sequence: 0x1234, Timestamp: 5, SSRC: 7, PayloadType: 96, Marker: true, Size: 20, ExtProfile: 0x1234, ExtOffset: 16, ExtSize: 4}, true},
	} {
		h, ok := ParseHeader(c.b)
		require.Equal(t, c.ok, ok, c.name)
		require.Equal(t, c.want, h, c.name)
	}
}

// Padding that lies has crashed whole servers: CVE-2025-49140.
func TestPayload(t *testing.T) {
	for _, c := range []struct {
		name    string
		padding bool
		payload []byte
		want    []byte
		ok      bool
	}{
		{"none", false, []byte{1, 2, 3}, []byte{1, 2, 3}, true},
		{"no payload at all", false, nil, []byte{}, true},
		{"one byte of padding", true, []byte{1, 2, 1}, []byte{1, 2}, true},
		{"padding only", true, []byte{0, 0, 3}, []byte{}, true},
		{"count of zero", true, []byte{1, 2, 0}, nil, false},
		{"one more than the payload", true, []byte{1, 2, 4}, nil, false},
		{"255 of 3", true, []byte{1, 2, 255}, nil, false},
		{"P bit without payload", true, nil, nil, false},
	} {
		b := make([]byte, 12, 64)
		PutHeader(b, Header{Padding: c.padding})
		b = append(b, c.payload...)
		h, ok := ParseHeader(b)
		require.True(t, ok)
		got, ok := h.Payload(b)
		require.Equal(t, c.ok, ok, c.name)
		require.Equal(t, c.want, got, c.name)
		_, ok = h.Payload(b[:11])
		require.False(t, ok)
	}
}

func TestCSRC(t *testing.T) {
	b := make([]byte, 12+15*4)
	n := PutHeader(b, Header{})
	for i := range uint32(16) {
		n = PutCSRC(b, n, 100+i)
	}
	require.Equal(t, len(b), n, "a sixteenth does not fit the header")
	h, ok := ParseHeader(b)
	require.True(t, ok)
	require.Equal(t, 15, h.CSRCCount)
	got, ok := h.CSRC(b, 14)
	require.True(t, ok)
	require.Equal(t, uint32(114), got)
	for _, i := range []int{-1, 15} {
		_, ok = h.CSRC(b, i)
		require.False(t, ok)
	}
	_, ok = h.CSRC(b[:20], 2)
	require.False(t, ok)
}

func TestPutRefusesWhatDoesNotFit(t *testing.T) {
	require.Zero(t, PutHeader(make([]byte, 11), Header{}))
	b := make([]byte, 20)
	n := PutHeader(b, Header{})
	want := bytes.Clone(b)
	require.Equal(t, n, PutCSRC(b[:15], n, 1))
	require.Equal(t, n, PutExtensions(b, n, nil))
	require.Equal(t, n, PutExtensions(b, n, []Extension{{ID: 0, Data: []byte{1}}}))
	require.Equal(t, n, PutExtensions(b, n, []Extension{{ID: 1, Data: make([]byte, 256)}}))
	require.Equal(t, n, PutExtensions(b, n, []Extension{{ID: 1, Data: make([]byte, 4)}}))
	require.Equal(t, want, b, "nothing was written")

	require.Equal(t, 20, PutExtensions(b, n, []Extension{{ID: 1, Data: make([]byte, 3)}}))
	require.Equal(t, 12, PutExtensions(b, 12, []Extension{{ID: 1, Data: []byte{1}}}), "a block is there")
	require.Equal(t, 12, PutCSRC(b, 12, 1), "extensions are there")
}

// What we write, pion reads alike, and the other way round.
func TestHeaderWithPionBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		twoByte := rapid.Bool().Draw(t, "two-byte form")
		maxID, minSize, maxSize := 14, 1, 16
		if twoByte {
			maxID, minSize, maxSize = 255, 0, 255
		}
		h := Header{
			Sequence: rapid.Uint16().Draw(t, "sequence"), Timestamp: rapid.Uint32().Draw(t, "timestamp"),
			SSRC: rapid.Uint32().Draw(t, "ssrc"), PayloadType: rapid.Uint8Range(0, 127).Draw(t, "pt"), Marker: rapid.Bool().Draw(t, "marker"),
		}
		csrcs := rapid.SliceOfN(rapid.Uint32(), 0, 15).Draw(t, "csrcs")
		ids := rapid.SliceOfNDistinct(rapid.Uint8Range(1, uint8(maxID)), 0, 6, rapid.ID).Draw(t, "ids")
		payload := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "payload")

		b := make([]byte, 2500)
		n := PutHeader(b, h)
		for _, c := range csrcs {
			n = PutCSRC(b, n, c)
		}
		var elements []Extension
		for _, id := range ids {
			elements = append(elements, Extension{ID: id, Data: rapid.SliceOfN(rapid.Byte(), minSize, maxSize).Draw(t, "data")})
		}
		n = PutExtensions(b, n, elements)
		b = b[:n+copy(b[n:], payload)]

		var theirs rtp.Packet
		require.NoError(t, theirs.Unmarshal(b))
		require.Equal(t, h.Sequence, theirs.SequenceNumber)
		require.Equal(t, h.Timestamp, theirs.Timestamp)
		require.Equal(t, h.SSRC, theirs.SSRC)
		require.Equal(t, h.PayloadType, theirs.PayloadType)
		require.Equal(t, h.Marker, theirs.Marker)
		require.Equal(t, payload, theirs.Payload)
		require.Len(t, theirs.CSRC, len(csrcs))
		for _, e := range elements {
			require.Equal(t, e.Data, append([]byte{}, theirs.GetExtension(e.ID)...))
		}

		again, err := theirs.Marshal()
		require.NoError(t, err)
		got, ok := ParseHeader(again)
		require.True(t, ok)
		require.Equal(t, h.Sequence, got.Sequence)
		require.Equal(t, h.SSRC, got.SSRC)
		for i, c := range csrcs {
			csrc, ok := got.CSRC(again, i)
			require.True(t, ok)
			require.Equal(t, c, csrc)
		}
		for _, e := range elements {
			data, ok := got.Extension(again, e.ID)
			require.True(t, ok)
			require.Equal(t, e.Data, append([]byte{}, data...))
		}
		read, ok := got.Payload(again)
		require.True(t, ok)
		require.Equal(t, payload, read)
	})
}

func TestNoAllocations(t *testing.T) {
	b := make([]byte, 200)
	sequence, level := []byte{1, 2}, []byte{0x85}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n := PutHeader(b, Header{Sequence: 7, SSRC: 9})
		n = PutCSRC(b, n, 5)
		PutExtensions(b, n, []Extension{{ID: 1, Data: sequence}, {ID: 2, Data: level}})
		h, _ := ParseHeader(b)
		data, ok := h.Extension(b, 2)
		ok = ok && data[0] == 0x85
		for e := h.Elements(b); e.Next(); {
			ok = ok && e.ID != 0
		}
		w := OpenBlock(b, PutHeader(b, Header{}), true)
		copy(w.Element(200, len(sequence)), sequence)
		n = w.Close()
		h, _ = ParseHeader(b)
		payload, _ := h.Payload(b)
		if !ok || len(payload) != len(b)-n {
			t.Fail()
		}
	}))
}
