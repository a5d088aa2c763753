package fec_test

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/sfu/fec"
)

const (
	mediaSSRC  = 0x11223344
	repairSSRC = 0x55667788
)

func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	require.NoError(t, err)
	return b
}

// repairPacket closes the group as a whole repair packet.
func repairPacket(t testing.TB, e *fec.Encoder, number uint16) []byte {
	t.Helper()
	b := make([]byte, 16+e.Size())
	n := packet.PutHeader(b, packet.Header{Sequence: number, SSRC: repairSSRC, PayloadType: 49})
	n = packet.PutCSRC(b, n, mediaSSRC)
	size := e.Size()
	require.Equal(t, size, e.Put(b[n:]))
	return b
}

// TestGoldenShort: the layout of RFC 8627 §4.2.2.1 by hand, two packets across the rollover, one with an extension.
func TestGoldenShort(t *testing.T) {
	first := octets(t, "80 60 ffff 00000001 11223344 aabbcc")
	second := octets(t, "90 e0 0000 00000003 11223344 bede0001 10050000 01")
	var e fec.Encoder
	require.True(t, e.Add(first))
	require.True(t, e.Add(second))
	b := make([]byte, e.Size())
	require.Equal(t, len(b), e.Put(b))
	//                      X   M   3^9  1^3      base mask  aabbcc ^ bede00, and what the second has beyond
	require.Equal(t, octets(t, "10 80 000a 00000002 ffff 6000 1465cc 011005000001"), b)
}

// TestGoldenMasks: the bits beside every border of the three masks, and which k bits stand before them.
func TestGoldenMasks(t *testing.T) {
	for offsets, mask := range map[[3]uint16]string{
		{0, 1, 14}:    "6001",
		{0, 14, 15}:   "c001 40000000",
		{0, 15, 45}:   "c000 40000001",
		{0, 45, 46}:   "c000 80000001 8000000000000000",
		{0, 64, 109}:  "c000 80000000 0000200000000001",
		{0, 108, 109}: "c000 80000000 0000000000000003",
	} {
		var e fec.Encoder
		for _, o := range offsets {
			require.True(t, e.Add(media(100+o, nil)))
		}
		b := make([]byte, e.Size())
		require.Equal(t, len(b), e.Put(b))
		require.Equal(t, octets(t, mask), b[10:], "offsets %v", offsets)
	}
}

// media is a packet of the protected stream.
func media(number uint16, body []byte) []byte {
	b := make([]byte, 12+len(body))
	packet.PutHeader(b, packet.Header{Sequence: number, Timestamp: uint32(number) * 3000, SSRC: mediaSSRC, PayloadType: 96})
	copy(b[12:], body)
	return b
}

func TestEncoderTakesNoOther(t *testing.T) {
	var e fec.Encoder
	require.Zero(t, e.Put(make([]byte, 100)), "an empty group")
	require.True(t, e.Add(media(10, []byte{1})))
	require.False(t, e.Add(media(10, []byte{1})), "twice")
	require.False(t, e.Add(media(9, nil)), "before the base")
	require.False(t, e.Add(media(10+fec.Span, nil)), "beyond the mask")
	require.False(t, e.Add(make([]byte, 11)), "too short")
	require.False(t, e.Add(media(11, make([]byte, fec.MaxPacket))), "too long")
	require.False(t, e.Add(make([]byte, 20)), "version 0")
	require.True(t, e.Add(media(10+fec.Span-1, nil)))
	require.Equal(t, 2, e.Count())
	require.Zero(t, e.Put(make([]byte, e.Size()-1)), "too short a place")
	require.Equal(t, 2, e.Count(), "the group goes on")
}

// anyPacket is a packet with whatever RTP allows.
func anyPacket(t *rapid.T, number uint16) []byte {
	b := make([]byte, 12, fec.MaxPacket)
	marker := rapid.Bool().Draw(t, "marker")
	packet.PutHeader(b, packet.Header{
		Sequence: number, Timestamp: rapid.Uint32().Draw(t, "timestamp"), SSRC: mediaSSRC, Marker: marker,
		PayloadType: rapid.Uint8Range(0, 127).Draw(t, "type"),
	})
	csrcs := rapid.IntRange(0, 3).Draw(t, "csrcs")
	b[0] |= uint8(csrcs)
	b = append(b, make([]byte, 4*csrcs)...)
	if rapid.Bool().Draw(t, "extension") {
		b[0] |= 0x10
		b = append(b, 0xbe, 0xde, 0, 1, 0x10, rapid.Byte().Draw(t, "level"), 0, 0)
	}
	b = append(b, rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "payload")...)
	if rapid.Bool().Draw(t, "padding") {
		b[0] |= 0x20
		b = append(b, 0, 0, 3)
	}
	return b
}

// TestAnyOneComesBack: whichever packet of a group is lost, in whatever order the others and the parity come.
func TestAnyOneComesBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var e fec.Encoder
		number := rapid.Uint16().Draw(rt, "first")
		var all [][]byte
		for range rapid.IntRange(1, 20).Draw(rt, "packets") {
			p := anyPacket(rt, number)
			if !e.Add(p) {
				break // beyond the mask
			}
			all = append(all, p)
			number += rapid.Uint16Range(1, 20).Draw(rt, "step")
		}
		parity := repairPacket(t, &e, 1)
		lost := rapid.IntRange(0, len(all)-1).Draw(rt, "lost")
		d := fec.NewDecoder(mediaSSRC)
		d.Media(0, media(numberOf(all[0])-1, nil)) // so that there is a stream
		got := [][]byte(nil)
		order := rapid.Permutation(indices(len(all)+1)).Draw(rt, "order")
		for _, i := range order {
			switch {
			case i == lost:
			case i == len(all):
				require.True(rt, d.Repair(0, parity))
			default:
				require.True(rt, d.Media(0, all[i]))
			}
			for p, ok := d.Next(0); ok; p, ok = d.Next(0) {
				got = append(got, append([]byte(nil), p...))
			}
		}
		require.Equal(rt, [][]byte{all[lost]}, got)
		require.False(rt, d.Media(0, all[lost]), "once only")
		require.True(rt, d.Has(numberOf(all[lost])))
	})
}

func numberOf(p []byte) uint16 { return binary.BigEndian.Uint16(p[2:]) }

func indices(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// TestBurstsOfInterleavedGroups: of n groups that interleave, any burst of n or fewer comes back.
func TestBurstsOfInterleavedGroups(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		groups := rapid.IntRange(1, 8).Draw(rt, "groups")
		count := groups * rapid.IntRange(1, 13).Draw(rt, "rows")
		first := rapid.Uint16().Draw(rt, "first")
		encoders := make([]fec.Encoder, groups)
		var all [][]byte
		for i := range count {
			p := anyPacket(rt, first+uint16(i))
			require.True(rt, encoders[i%groups].Add(p))
			all = append(all, p)
		}
		burst := rapid.IntRange(1, groups).Draw(rt, "burst")
		at := rapid.IntRange(0, count-burst).Draw(rt, "at")
		d := fec.NewDecoder(mediaSSRC)
		d.Media(0, media(first-1, nil))
		for i, p := range all {
			if i < at || i >= at+burst {
				require.True(rt, d.Media(0, p))
			}
		}
		got := map[uint16][]byte{}
		for i := range encoders {
			require.True(rt, d.Repair(0, repairPacket(t, &encoders[i], uint16(i))))
			for p, ok := d.Next(0); ok; p, ok = d.Next(0) {
				require.NotContains(rt, got, numberOf(p))
				got[numberOf(p)] = append([]byte(nil), p...)
			}
		}
		require.Len(rt, got, burst)
		for _, p := range all[at : at+burst] {
			require.Equal(rt, p, got[numberOf(p)])
		}
	})
}

// TestOneCompletesAnother: two are lost of a row; a column brings one back, and with it the row the other.
func TestOneCompletesAnother(t *testing.T) {
	var row, column fec.Encoder
	d := fec.NewDecoder(mediaSSRC)
	for i := range uint16(10) {
		p := media(i, []byte{byte(i), 7})
		require.True(t, row.Add(p))
		if i == 3 || i == 5 {
			require.True(t, column.Add(p))
		}
		if i != 3 && i != 7 {
			require.True(t, d.Media(0, p))
		}
	}
	require.True(t, d.Repair(0, repairPacket(t, &row, 0)))
	_, ok := d.Next(0)
	require.False(t, ok, "two of one group")
	require.True(t, d.Repair(0, repairPacket(t, &column, 1)))
	for _, number := range []uint16{3, 7} {
		p, ok := d.Next(0)
		require.True(t, ok)
		require.Equal(t, media(number, []byte{byte(number), 7}), p)
	}
	_, ok = d.Next(0)
	require.False(t, ok)
	require.EqualValues(t, 2, d.Stats().Recovered)
}

// TestWhatCameByRTX counts as come, and is not computed with.
func TestWhatCameByRTX(t *testing.T) {
	var e fec.Encoder
	d := fec.NewDecoder(mediaSSRC)
	for i := range uint16(4) {
		require.True(t, e.Add(media(i, []byte{byte(i)})))
	}
	require.True(t, d.Media(0, media(0, []byte{0})))
	require.True(t, d.Came(1))
	require.False(t, d.Came(1))
	require.True(t, d.Media(0, media(3, []byte{3})))
	require.True(t, d.Repair(0, repairPacket(t, &e, 0)))
	_, ok := d.Next(0)
	require.False(t, ok, "2 is missing, and 1 is not as it was")
	require.EqualValues(t, 1, d.Stats().Useless)
}

// TestOldAge: what has waited for a second is given up, and packets older than that are not computed with.
func TestOldAge(t *testing.T) {
	lost := func(at time.Duration) bool {
		var e fec.Encoder
		d := fec.NewDecoder(mediaSSRC)
		for i := range uint16(3) {
			require.True(t, e.Add(media(i, []byte{byte(i)})))
		}
		require.True(t, d.Media(0, media(0, []byte{0})))
		require.True(t, d.Repair(0, repairPacket(t, &e, 0)))
		require.True(t, d.Media(at, media(2, []byte{2})))
		_, ok := d.Next(at)
		return !ok
	}
	require.False(t, lost(time.Second))
	require.True(t, lost(time.Second+1))
}

// TestStreamBegunAnew: numbers that fall far behind are another beginning, and nothing of before is mixed in.
func TestStreamBegunAnew(t *testing.T) {
	d := fec.NewDecoder(mediaSSRC)
	for i := range uint16(300) {
		require.True(t, d.Media(0, media(20000+i, nil)))
	}
	for i := range uint16(300) {
		require.True(t, d.Media(0, media(100+i, nil)), "%d", i)
	}
	require.False(t, d.Media(0, media(399, nil)))
}

// TestLyingRepairs: what is no repair packet of ours is refused, and what computes to no packet is not given out.
func TestLyingRepairs(t *testing.T) {
	var e fec.Encoder
	for i := range uint16(2) {
		require.True(t, e.Add(media(i, []byte{1, 2, 3})))
	}
	good := repairPacket(t, &e, 0)
	for what, change := range map[string]func(b []byte) []byte{
		"retransmission":  func(b []byte) []byte { b[16] |= 0x80; return b },
		"fixed rows":      func(b []byte) []byte { b[16] |= 0x40; return b },
		"another stream":  func(b []byte) []byte { b[12]++; return b },
		"no CSRC":         func(b []byte) []byte { b[0] &^= 0x0f; return b },
		"two CSRCs":       func(b []byte) []byte { b[0]++; return b },
		"empty mask":      func(b []byte) []byte { b[26], b[27] = 0, 0; return b },
		"cut in its mask": func(b []byte) []byte { b[26] |= 0x80; return b[:30] },
		"far away":        func(b []byte) []byte { b[24] = 0x40; return b },
		"far ahead":       func(b []byte) []byte { b[25] = fec.Span + 1; return b },
	} {
		d := fec.NewDecoder(mediaSSRC)
		require.True(t, d.Media(0, media(0, []byte{1, 2, 3})))
		require.False(t, d.Repair(0, change(append([]byte(nil), good...))), what)
		require.EqualValues(t, 1, d.Stats().Malformed, what)
	}
	for what, change := range map[string]func(b []byte) []byte{
		"longer than the parity":  func(b []byte) []byte { b[18] = 1; return b },
		"shorter than its packet": func(b []byte) []byte { return b[:len(b)-1] },
		"15 CSRCs in 3 bytes":     func(b []byte) []byte { b[16] |= 0x0f; return b },
		"an extension of 3 bytes": func(b []byte) []byte { b[16] |= 0x10; return b },
		"more padding than there": func(b []byte) []byte { b[16] |= 0x20; b[len(b)-1] = 0xff ^ 3; return b },
	} {
		d := fec.NewDecoder(mediaSSRC)
		require.True(t, d.Media(0, media(0, []byte{1, 2, 3})))
		require.True(t, d.Repair(0, change(append([]byte(nil), good...))), what)
		_, ok := d.Next(0)
		require.False(t, ok, what)
		require.EqualValues(t, 1, d.Stats().Impossible, what)
		require.True(t, d.Came(1), "%s: it may still come", what)
	}
	d := fec.NewDecoder(mediaSSRC)
	require.False(t, d.Repair(0, good), "before the stream")
}

// FuzzDecoder feeds the decoder a stream in which anything may lie: it must not panic, and what it gives out is RTP of the stream
// and counts as come.
func FuzzDecoder(f *testing.F) {
	var e fec.Encoder
	for i := range uint16(3) {
		e.Add(media(i, []byte{byte(i), 1}))
	}
	good := repairPacket(f, &e, 0)
	f.Add(append([]byte{0, byte(len(good))}, good...))
	f.Add([]byte{1, 14, 0x80, 96, 0, 1, 0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, 5, 6})
	f.Fuzz(func(t *testing.T, input []byte) {
		d := fec.NewDecoder(mediaSSRC)
		d.Media(0, media(0, []byte{0, 1}))
		now := time.Duration(0)
		for number := uint16(1); len(input) > 2; number++ {
			kind, size := input[0], min(int(input[1]), len(input)-2)
			p := input[2 : 2+size]
			input = input[2+size:]
			now += time.Duration(kind>>2) * time.Millisecond
			switch kind & 3 {
			case 0:
				d.Repair(now, p)
			case 1:
				d.Media(now, p)
			case 2:
				if size >= 4 {
					d.Came(numberOf(p))
				}
			default:
				d.Media(now, media(number, p))
			}
			for p, ok := d.Next(now); ok; p, ok = d.Next(now) {
				h, read := packet.ParseHeader(p)
				if !read || h.SSRC != mediaSSRC || len(p) > fec.MaxPacket || d.Media(now, append([]byte(nil), p...)) {
					t.Fatalf("gave out %x", p)
				}
			}
		}
	})
}

// BenchmarkEncoder adds packets of 1,100 bytes, and closes a group with each twelfth; an operation is a packet.
func BenchmarkEncoder(b *testing.B) {
	p, dst := media(0, make([]byte, 1088)), make([]byte, fec.MaxPacket)
	var e fec.Encoder
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for n := 0; b.Loop(); n++ {
		binary.BigEndian.PutUint16(p[2:], uint16(n))
		if !e.Add(p) {
			b.Fatal("refused")
		}
		if e.Count() == 12 && e.Put(dst) == 0 {
			b.Fatal("not written")
		}
	}
}

// BenchmarkDecoder takes packets of 1,100 bytes, 5 % of which are lost, in groups of 12; an operation is a packet.
func BenchmarkDecoder(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	d, dst := fec.NewDecoder(mediaSSRC), make([]byte, 16+fec.MaxHeader+fec.MaxPacket)
	packet.PutCSRC(dst, packet.PutHeader(dst, packet.Header{SSRC: repairSSRC}), mediaSSRC)
	p := media(0, make([]byte, 1088))
	var e fec.Encoder
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	recovered := 0
	for n := 0; b.Loop(); n++ {
		now := time.Duration(n) * 3 * time.Millisecond
		binary.BigEndian.PutUint16(p[2:], uint16(n))
		e.Add(p)
		if random.Float64() >= 0.05 {
			d.Media(now, p)
		}
		if e.Count() == 12 {
			d.Repair(now, dst[:16+e.Put(dst[16:])])
		}
		for _, ok := d.Next(now); ok; _, ok = d.Next(now) {
			recovered++
		}
	}
	b.ReportMetric(float64(recovered)/float64(b.N), "recovered/op")
}
