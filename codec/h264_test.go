package codec

import (
	"encoding/binary"
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// h264Sets are sequence parameter sets that x264 wrote, by profile and what they have in front of the size.
var h264Sets = []struct {
	name          string
	sps           string
	width, height uint16
}{
	{"baseline", "6742c01ed900a02ff970110000030001000003003c0f162e48", 640, 360},
	{"main", "674d4028eca03c0113f2e022000003000200000300781e30632c", 1920, 1080},
	{"high, cropped right and below", "6764000dacd941519e226c0440000003004000000f03c50a6580", 322, 182},
	{"high, interlaced", "67640028acd94078044fde0220000003002000000783e2c5b2c0", 1920, 1080},
	{"high, scaling matrix", "6764001eacd940a02ff970110000030001000003003c0f162d96", 640, 360},
	{"high, monochrome", "6764000af3651cfe3637016c80000003008000001e078912cb", 100, 100},
	{"high 10", "676e001ea6cd940a02ff970110000003001000000303c0f162d960", 640, 360},
	{"high 4:2:2", "677a000abcd94527888fc044000003000400000300f03c489658", 66, 50},
	{"high 4:4:4", "67f4000a919b2993c7476022000003000200000300781e244b2c", 35, 51},
}

// aggregate packs units into a STAP-A, RFC 6184 §5.7.1.
func aggregate(units ...[]byte) []byte {
	b := []byte{0x78}
	for _, u := range units {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(u))), u...)
	}
	return b
}

// Units by their header: F 80, NRI 60, type 1f (RFC 6184 §1.3).
func TestInspectH264(t *testing.T) {
	sps, pps := unhex(t, h264Sets[0].sps), []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
	idr, slice, loose := []byte{0x65, 0x88, 0x84}, []byte{0x41, 0x9a, 0x24}, []byte{0x01, 0x9e, 0x41}
	sei, aud := []byte{0x06, 0x05, 0x01}, []byte{0x09, 0xf0}
	key := Meta{Start: true, Keyframe: true, Entry: true, Width: 640, Height: 360}
	for _, c := range []struct {
		name    string
		payload []byte
		marker  bool
		want    Meta
	}{
		{"SPS alone", sps, false, key},
		{"PPS alone", pps, false, Meta{Start: true}},
		{"IDR behind its sets", idr, true, Meta{Start: true, End: true, Last: true}},
		{"slice", slice, true, Meta{Start: true, End: true, Last: true}},
		{"slice that nobody needs", loose, false, Meta{Start: true, Discardable: true}},
		{"SEI is of no layer", sei, false, Meta{Start: true}},
		{"end of sequence has a header only", []byte{0x0a}, false, Meta{Start: true}},

		{"sets together", aggregate(sps, pps), false, key},
		{"sets and picture", aggregate(sps, pps, idr), true, Meta{Start: true, End: true, Last: true, Keyframe: true, Entry: true, Width: 640, Height: 360}},
		{"delimiter, sets, SEI and picture", aggregate(aud, sps, pps, sei, idr), false, key},
		{"sets in front of a slice that is no IDR", aggregate(sps, pps, slice), false, Meta{Start: true}},
		{"IDR without sets", aggregate(sei, idr), false, Meta{Start: true}},
		{"two slices, one needed", aggregate(loose, slice), false, Meta{Start: true}},
		{"two slices, none needed", aggregate(aud, loose, loose), false, Meta{Start: true, Discardable: true}},

		{"first fragment of an IDR", []byte{0x7c, 0x85, 0x88}, false, Meta{Start: true}},
		{"middle fragment of an IDR", []byte{0x7c, 0x05, 0x88}, false, Meta{}},
		{"last fragment of an IDR", []byte{0x7c, 0x45, 0x88}, true, Meta{End: true, Last: true}},
		{"first fragment that nobody needs", []byte{0x1c, 0x81, 0x9e}, false, Meta{Start: true, Discardable: true}},
		{"middle fragment that nobody needs", []byte{0x1c, 0x01, 0x9e}, false, Meta{Discardable: true}},
		{"first fragment of an SPS", append([]byte{0x7c, 0x87}, sps[1:]...), false, key},
		{"middle fragment of an SPS", append([]byte{0x7c, 0x07}, sps[1:]...), false, Meta{}},
		{"SPS that cannot be read", []byte{0x67, 0x42, 0xc0, 0x1e}, false, Meta{Start: true, Keyframe: true, Entry: true}},
		{"SPS of a header only", []byte{0x67}, false, Meta{Start: true, Keyframe: true, Entry: true}},
	} {
		m, ok := H264.Inspect(c.payload, c.marker)
		require.True(t, ok, c.name)
		require.Equal(t, c.want, m, c.name)
	}
}

func TestInspectH264Malformed(t *testing.T) {
	for name, payload := range map[string][]byte{
		"type 0":                         {0x60, 1},
		"STAP-B":                         {0x79, 0, 1, 0, 1, 0x41},
		"MTAP16":                         {0x7a, 0, 1, 0, 1, 0x41},
		"MTAP24":                         {0x7b, 0, 1, 0, 1, 0x41},
		"FU-B":                           {0x7d, 0x85, 0, 1, 0x88},
		"type 30":                        {0x7e, 1},
		"type 31":                        {0x7f, 1},
		"forbidden bit":                  {0xe5, 0x88},
		"aggregate, forbidden bit":       {0xf8, 0, 1, 0x41},
		"aggregate of nothing":           {0x78},
		"aggregate, half a size":         {0x78, 0},
		"aggregate, empty unit":          {0x78, 0, 0},
		"aggregate, unit cut short":      {0x78, 0, 3, 0x41, 0x9a},
		"aggregate, half a size behind":  {0x78, 0, 1, 0x41, 0},
		"aggregate in an aggregate":      {0x78, 0, 4, 0x78, 0, 1, 0x41},
		"fragment in an aggregate":       {0x78, 0, 3, 0x7c, 0x85, 0x88},
		"fragment without header":        {0x7c},
		"fragment without data":          {0x7c, 0x85},
		"fragment that starts and ends":  {0x7c, 0xc5, 0x88},
		"fragment, forbidden bit":        {0xfc, 0x85, 0x88},
		"fragment of type 0":             {0x7c, 0x80, 0x88},
		"fragment of an aggregate":       {0x7c, 0x98, 0x88},
		"aggregate, forbidden bit in it": {0x78, 0, 1, 0xc1},
	} {
		m, ok := H264.Inspect(payload, false)
		require.False(t, ok, name)
		require.Equal(t, Meta{}, m, name)
	}
}

func TestH264Size(t *testing.T) {
	for _, c := range h264Sets {
		w, h := h264Size(unhex(t, c.sps))
		require.Equal(t, []uint16{c.width, c.height}, []uint16{w, h}, c.name)
	}
}

// spsWriter writes a sequence parameter set field by field, the other way round from how it is read.
type spsWriter struct {
	b    []byte
	free int
}

func (w *spsWriter) bits(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>i&1) << w.free
	}
}

func (w *spsWriter) golomb(v uint32) {
	n := 0
	for (v+1)>>n > 1 {
		n++
	}
	w.bits(0, n)
	w.bits(v+1, n+1)
}

func (w *spsWriter) signed(v int32) {
	if v > 0 {
		w.golomb(uint32(2*v - 1))
	} else {
		w.golomb(uint32(-2 * v))
	}
}

// escape puts emulation prevention bytes in, ITU-T H.264 §7.4.1.1.
func escape(header, b []byte) []byte {
	out, zeros := append([]byte{}, header...), 0
	for _, v := range b {
		if zeros >= 2 && v <= 3 {
			out, zeros = append(out, 3), 0
		}
		out = append(out, v)
		if v == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}

// Any set with any fields in front of the size tells the size.
func TestH264SizeOfAnySet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w spsWriter
		bit := func(name string) uint32 { return rapid.Uint32Range(0, 1).Draw(t, name) }
		profile := rapid.SampledFrom([]byte{66, 77, 88, 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}).Draw(t, "profile")
		w.golomb(rapid.Uint32Range(0, 31).Draw(t, "id"))
		chroma, separate := uint32(1), uint32(0)
		if profile != 66 && profile != 77 && profile != 88 {
			chroma = rapid.Uint32Range(0, 3).Draw(t, "chroma")
			w.golomb(chroma)
			lists := 8
			if chroma == 3 {
				separate = bit("separate")
				w.bits(separate, 1)
				lists = 12
			}
			w.golomb(rapid.Uint32Range(0, 6).Draw(t, "luma depth"))
			w.golomb(rapid.Uint32Range(0, 6).Draw(t, "chroma depth"))
			w.bits(bit("bypass"), 1)
			matrix := bit("matrix")
			w.bits(matrix, 1)
			for i := 0; matrix != 0 && i < lists; i++ {
				// One list is enough for what is read: a default one, or one that goes up and then repeats.
				present := bit("list")
				w.bits(present, 1)
				if present != 0 && bit("default list") != 0 {
					w.signed(-8)
				} else if present != 0 {
					w.signed(8)
					w.signed(1)
					w.signed(-17)
				}
			}
		}
		w.golomb(rapid.Uint32Range(0, 12).Draw(t, "frame num"))
		order := rapid.Uint32Range(0, 2).Draw(t, "order")
		w.golomb(order)
		switch order {
		case 0:
			w.golomb(rapid.Uint32Range(0, 12).Draw(t, "lsb"))
		case 1:
			w.bits(bit("delta"), 1)
			w.signed(rapid.Int32Range(-1000, 1000).Draw(t, "non ref"))
			w.signed(rapid.Int32Range(-1000, 1000).Draw(t, "bottom"))
			n := rapid.Uint32Range(0, 5).Draw(t, "cycle")
			w.golomb(n)
			for range n {
				w.signed(rapid.Int32Range(-1000, 1000).Draw(t, "ref"))
			}
		}
		w.golomb(rapid.Uint32Range(0, 16).Draw(t, "references"))
		w.bits(bit("gaps"), 1)
		columns, rows := rapid.Uint32Range(1, 256).Draw(t, "columns"), rapid.Uint32Range(1, 128).Draw(t, "rows")
		w.golomb(columns - 1)
		w.golomb(rows - 1)
		progressive := bit("progressive")
		w.bits(progressive, 1)
		if progressive == 0 {
			w.bits(bit("adaptive"), 1)
		}
		w.bits(1, 1)
		// ITU-T H.264 table 6-1 and equations 7-19 to 7-22.
		unitX, unitY := uint32(1), 2-progressive
		if separate == 0 && chroma != 0 {
			unitX *= []uint32{0, 2, 2, 1}[chroma]
			unitY *= []uint32{0, 2, 1, 1}[chroma]
		}
		width, height := columns*16, rows*16*(2-progressive)
		crop := bit("crop")
		w.bits(crop, 1)
		if crop != 0 {
			for i, size := range []*uint32{&width, &width, &height, &height} {
				n := rapid.Uint32Range(0, 3).Draw(t, "cut")
				w.golomb(n)
				*size -= n * []uint32{unitX, unitX, unitY, unitY}[i]
			}
		}
		w.bits(0, 1) // no VUI
		w.bits(1, 1) // stop bit
		sps := escape([]byte{0x67, profile, 0, 30}, w.b)
		gotW, gotH := h264Size(sps)
		require.Equal(t, []uint32{width, height}, []uint32{uint32(gotW), uint32(gotH)})
	})
}

// Sizes that no picture has, and sets that lie, tell nothing.
func TestH264SizeOfLiars(t *testing.T) {
	set := func(columns, rows, right uint32) []byte {
		var w spsWriter
		for _, v := range []uint32{0, 0, 2, 1} { // id, frame number, order, references
			w.golomb(v)
		}
		w.bits(0, 1)
		w.golomb(columns - 1)
		w.golomb(rows - 1)
		w.bits(0b111, 3) // progressive, direct, cropped
		for _, v := range []uint32{0, right, 0, 0} {
			w.golomb(v)
		}
		w.bits(1, 2)
		return escape([]byte{0x67, 66, 0, 30}, w.b)
	}
	w, h := h264Size(set(40, 22, 0))
	require.Equal(t, []uint16{640, 352}, []uint16{w, h})
	for name, sps := range map[string][]byte{
		"wider than any":        set(4096, 22, 0),
		"higher than any":       set(40, 1<<31, 0),
		"nothing left":          set(40, 22, 320),
		"more than all cut off": set(40, 22, 1<<31),
		"endless code":          {0x67, 66, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"chroma of no kind":     {0x67, 100, 0, 30, 0b1_00101_11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"endless cycle":         append([]byte{0x67, 66, 0, 30, 0b1_1_010_0_1_1, 0, 0, 0, 0x3f}, make([]byte, 300)...),
	} {
		w, h := h264Size(sps)
		require.Zero(t, w, name)
		require.Zero(t, h, name)
	}
}

func FuzzH264(f *testing.F) {
	for _, s := range h264Sets {
		f.Add(unhex(f, s.sps))
		f.Add(aggregate(unhex(f, s.sps), []byte{0x68, 0xcb}, []byte{0x65, 0x88}))
	}
	f.Add([]byte{0x7c, 0x85, 0x88})
	f.Add([]byte{0x01, 0x9e})
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, ok := H264.Inspect(payload, true)
		if !ok {
			require.Equal(t, Meta{}, m)
			return
		}
		if len(payload) == 0 {
			return
		}
		var theirs codecs.H264Packet
		_, err := theirs.Unmarshal(payload)
		require.NoError(t, err, "what we take, pion takes")
		require.True(t, !m.Keyframe || m.Start && m.Entry && !m.Discardable)
		require.Equal(t, m.Width == 0, m.Height == 0)
	})
}
