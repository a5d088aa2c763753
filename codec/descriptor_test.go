package codec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
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

// The model's templates are those that the specification prints (§A.10.2.1 and §A.10.2.2: index, layers, differences,
// chains, decode targets, the best one first).
func TestModelIsTheSpecifications(t *testing.T) {
	for mode, rows := range map[string]string{
		"L1T3": `
			0 0 [] [0] SSS
			0 0 [4] [4] SSS
			0 1 [2] [2] SD-
			0 2 [1] [1] D--
			0 2 [1] [3] D--`,
		"L3T3": `
			0 0 [] [0 0 0] SSSSSSSSS
			0 0 [12] [12 11 10] RRRRRRSSS
			0 1 [6] [6 5 4] RR-RR-SD-
			0 2 [3] [3 2 1] R--R--D--
			0 2 [3] [9 8 7] R--R--D--
			1 0 [1] [1 1 1] SSSSSS---
			1 0 [12 1] [1 1 1] RRRSSS---
			1 1 [6 1] [7 6 5] RR-SD----
			1 2 [3 1] [4 3 2] R--D-----
			1 2 [3 1] [10 9 8] R--D-----
			2 0 [1] [2 1 1] SSS------
			2 0 [12 1] [2 1 1] SSS------
			2 1 [6 1] [8 7 6] SD-------
			2 2 [3 1] [5 4 3] D--------
			2 2 [3 1] [11 10 9] D--------`,
	} {
		var got []string
		for _, f := range newSVC(mode, 0).templates() {
			targets := []byte(f.targets)
			slices.Reverse(targets)
			got = append(got, fmt.Sprintf("%d %d %v %v %s", f.layer.Spatial, f.layer.Temporal, f.references, f.chains, targets))
		}
		require.Equal(t, strings.Fields(rows), strings.Fields(strings.Join(got, "\n")), mode)
	}
}

// Every frame of every mode is read as the model has it, from templates or written out, whatever else a descriptor holds.
func TestReadDescriptor(t *testing.T) {
	for _, mode := range svcModes {
		newSVC(mode, 65530).checkRead(t, func(picture int) bool { return picture%10 == 0 }, func(f svcFrame) written {
			return written{start: true, structure: f.key}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		m := newSVC(rapid.SampledFrom(svcModes).Draw(t, "mode"), rapid.Uint16().Draw(t, "first number"))
		offset := rapid.IntRange(0, 63).Draw(t, "offset")
		m.checkRead(t, func(int) bool { return rapid.IntRange(0, 9).Draw(t, "key") == 0 }, func(f svcFrame) written {
			w := drawWritten(t, m.spatial*m.temporal, f.key)
			w.offset = offset
			return w
		})
	})
}

// checkRead reads a stream of 20 pictures, the first of which is a keyframe.
func (m *svc) checkRead(t require.TestingT, key func(picture int) bool, write func(svcFrame) written) {
	all := uint32(1)<<(m.spatial*m.temporal) - 1
	active := all
	var s, inForce Structure
	for picture := range 20 {
		for _, f := range m.picture(picture == 0 || key(picture)) {
			w := write(f)
			b := m.describe(f, w)
			d, ok := s.ReadDescriptor(b)
			require.True(t, ok, "%s %+v % x", m.mode, f, b)
			if w.structure {
				active = all
			}
			if w.active != 0 {
				active = uint32(w.active)
			}
			require.Equal(t, Descriptor{
				Number: m.start + uint16(f.number), Start: true, End: w.end, Structure: w.structure, Layer: f.layer,
				Needed: f.set("DSR"), Switch: f.set("S"), Discardable: f.set("D"), Active: active,
			}, d)
			require.Equal(t, active, s.Active())
			m.checkAnswers(t, &s, b, f, d)
			if w.structure {
				m.checkStructure(t, &s, w)
				require.Equal(t, picture == 0 || w.resolutions != inForce.sized, !s.Equal(&inForce))
				inForce = s
			}
		}
	}
}

// checkAnswers asks for what a frame depends on.
func (m *svc) checkAnswers(t require.TestingT, s *Structure, b []byte, f svcFrame, d Descriptor) {
	numbers, n, ok := s.References(b)
	require.True(t, ok)
	require.Len(t, f.references, n)
	for i, distance := range f.references {
		require.Equal(t, d.Number-uint16(distance), numbers[i])
	}
	for c, want := range f.chains {
		distance, ok := s.ChainDistance(b, c)
		require.True(t, ok)
		require.Equal(t, want, int(distance))
		protected := d.Active>>(c*m.temporal)&(1<<m.temporal-1) != 0
		require.Equal(t, f.inChain[c] && protected, s.InChain(d, c))
	}
	for _, c := range []int{-1, m.spatial} {
		_, ok := s.ChainDistance(b, c)
		require.False(t, ok)
		require.False(t, s.InChain(d, c))
	}
}

func (m *svc) checkStructure(t require.TestingT, s *Structure, w written) {
	require.Equal(t, m.spatial*m.temporal, s.Targets())
	for i := range s.Targets() {
		require.Equal(t, Layer{uint8(i / m.temporal), uint8(i % m.temporal)}, s.Target(i))
		require.Equal(t, i/m.temporal, s.Chain(i))
		require.Equal(t, i, s.Best(s.Target(i), ^uint32(0)))
	}
	for _, i := range []int{-1, s.Targets(), 32} {
		require.Equal(t, Layer{}, s.Target(i))
		require.Equal(t, -1, s.Chain(i))
	}
	for layer := range uint8(5) {
		width, height := s.Resolution(layer)
		if !w.resolutions || int(layer) >= m.spatial {
			require.Zero(t, width+height)
			continue
		}
		require.Equal(t, []uint16{320 << layer, 180 << layer}, []uint16{width, height})
	}
}

func TestBestAndWithin(t *testing.T) {
	m := newSVC("L3T3", 0)
	var s Structure
	require.Equal(t, -1, s.Best(Everything, ^uint32(0)), "no structure")
	_, ok := s.ReadDescriptor(m.describe(m.picture(true)[0], written{start: true, structure: true}))
	require.True(t, ok)
	for _, c := range []struct {
		l      Layer
		active uint32
		best   int
		within uint32
	}{
		{Everything, 0b111_111_111, 8, 0b111_111_111},
		{Everything, 0b000_111_111, 5, 0b111_111_111},
		{Everything, 0b001_111_111, 6, 0b111_111_111}, // a larger picture before a smoother one
		{Layer{1, 1}, 0b111_111_111, 4, 0b000_011_011},
		{Layer{1, 1}, 0b111_100_111, 1, 0b000_011_011},
		{Layer{0, 9}, 0b111_111_111, 2, 0b000_000_111},
		{Layer{0, 0}, 0b111_111_110, -1, 0b000_000_001},
		{Layer{2, 2}, 0, -1, 0b111_111_111},
	} {
		require.Equal(t, c.best, s.Best(c.l, c.active), "%+v", c)
		require.Equal(t, c.within, s.Within(c.l), "%+v", c)
	}
}

// TestAlong: all frames of what comes along with a decode target are that target's too.
func TestAlong(t *testing.T) {
	for mode, along := range map[string][]uint32{
		"L2T2":     {0b0001, 0b0011, 0b0101, 0b1111},
		"L2T2_KEY": {0b0001, 0b0011, 0b0100, 0b1100},
		"S2T1":     {0b01, 0b10},
	} {
		m := newSVC(mode, 0)
		var s Structure
		require.Zero(t, s.Along(0), "no structure")
		_, ok := s.ReadDescriptor(m.describe(m.picture(true)[0], written{start: true, structure: true}))
		require.True(t, ok)
		for target, want := range along {
			require.Equal(t, want, s.Along(target), "%s %d", mode, target)
		}
		require.Zero(t, s.Along(-1)|s.Along(len(along)))
		require.Equal(t, s.Within(Everything)&^s.Within(Layer{0, 9}), s.Above(0), mode)
		require.Zero(t, s.Above(1))
	}
}

func TestReadDescriptorRefuses(t *testing.T) {
	m := newSVC("L2T2", 0)
	key := m.picture(true)
	begin := m.describe(key[0], written{start: true, structure: true, offset: 60})
	var s Structure
	_, ok := s.ReadDescriptor(begin)
	require.True(t, ok)
	_, ok = s.ReadDescriptor([]byte{60, 0, 1, 0x40 | 0b101})
	require.False(t, ok, "the mask's last bits are missing")
	inForce := s
	// frame takes the mandatory fields and the flags of a frame of template 60; more follows.
	frame := func(fields ...string) []byte {
		return packBits(append([]string{"11 111100", "0000000000000001"}, fields...)...)
	}
	none := strings.Repeat("0", 40)
	ones := strings.Repeat("1", 2000)
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"two bytes", begin[:2]},
		{"256 bytes", append(slices.Clone(begin), make([]byte, 256-len(begin))...)},
		{"a template before the first", []byte{59, 0, 1}},
		{"a template behind the last", []byte{(60 + 6) % 64, 0, 1}},
		{"own targets missing", frame("00100", "101")},
		{"own references missing", frame("00010", "10 0")},
		{"own references without end", frame("00010", "01 0000 01 000")},
		{"own chains missing", frame("00001", "00000001 000")},
		{"nine references", frame("00010", strings.Repeat("01 0000", 9), "00")},
		{"structure behind the first packet of a frame", m.describe(key[0], written{structure: true})},
		{"65 templates", frame("10000", "000000 00000", strings.Repeat("00", 64), "11", none, none, none)},
		{"five spatial layers", frame("10000", "000000 00000", strings.Repeat("10", 4), "11", none, none, none)},
		{"nine temporal layers", frame("10000", "000000 00000", strings.Repeat("01", 8), "11", none, none, none)},
		{"layers without end", frame("10000", "000000 00000", "00 00 00")},
		{"more indications than bits", frame("10000", "000000 11111", strings.Repeat("00", 63), "11", none)},
		{"nine references in a template", frame("10000", "111100 00000", "11", "10", ones)},
		{"more chains than bits", frame("10000", "111100 11111", strings.Repeat("00", 20), "11", strings.Repeat("10", 21*32), strings.Repeat("0", 21), "111111", none)},
		{"resolution missing", frame("10000", "111100 00000", "11", "10", "0", "0", "1", "0000")},
		{"not of the templates that it brings", frame("10000", "000000 00000", "11", "10", "0", "0", "0")},
	} {
		d, ok := s.ReadDescriptor(c.b)
		require.False(t, ok, c.name)
		require.Equal(t, Descriptor{}, d, c.name)
		require.True(t, s == inForce, "the structure is as before: "+c.name)
	}
	for n := range begin {
		_, ok := s.ReadDescriptor(begin[:n])
		require.Equal(t, n == mandatorySize, ok, "cut to %d bytes: the mandatory fields alone are a frame of this template", n)
	}
	// The smallest structure there is, and the sizes that no picture has.
	_, ok = s.ReadDescriptor(frame("10000", "111100 00000", "11", "10", "0", "0", "1", ones[:32]))
	require.True(t, ok)
	require.Equal(t, 1, s.Targets())
	require.Equal(t, -1, s.Chain(0), "no chains")
	width, height := s.Resolution(0)
	require.Equal(t, []uint16{65535, 65535}, []uint16{width, height})
}

// A late packet is read with a copy: what newer ones have told stays.
func TestReadDescriptorLate(t *testing.T) {
	m := newSVC("L1T3", 0)
	before := m.describe(m.picture(true)[0], written{start: true, structure: true})
	after := m.describe(m.picture(true)[0], written{start: true, structure: true, offset: 5})
	delta := m.describe(m.picture(false)[0], written{start: true, offset: 5})
	var s Structure
	_, ok := s.ReadDescriptor(after)
	require.True(t, ok)
	late := s
	_, ok = late.ReadDescriptor(before)
	require.True(t, ok)
	_, ok = s.ReadDescriptor(delta)
	require.True(t, ok)
	_, ok = late.ReadDescriptor(delta)
	require.False(t, ok, "the older structure does not know it")
}

func TestAppendDescriptor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newSVC(rapid.SampledFrom(svcModes).Draw(t, "mode"), rapid.Uint16().Draw(t, "first number"))
		targets := m.spatial * m.temporal
		var s Structure
		for picture := range 20 {
			for _, f := range m.picture(picture%12 == 0) {
				b := m.describe(f, drawWritten(t, targets, f.key))
				_, ok := s.ReadDescriptor(b)
				require.True(t, ok)
				active := uint32(rapid.IntRange(0, 1<<(targets+1)-1).Draw(t, "sent"))
				checkAppend(t, &s, b, rapid.Uint16().Draw(t, "number"), active)
			}
		}
	})
}

// checkAppend rewrites a descriptor that s has just read, and reads what comes out.
func checkAppend(t require.TestingT, s *Structure, b []byte, number uint16, active uint32) {
	was := *s
	want, ok := was.ReadDescriptor(b)
	require.True(t, ok)
	references, n, ok := s.References(b)
	require.True(t, ok)

	room := make([]byte, 0, MaxDescriptor+5)
	out := s.AppendDescriptor(append(room, "kept"...), b, number, active)
	require.Equal(t, "kept", string(out[:4]))
	out = out[4:]
	if active &= uint32(1)<<s.Targets() - 1; len(out) == 0 {
		require.NotZero(t, active)
		require.Greater(t, len(b)+5, MaxDescriptor)
		return
	}
	require.LessOrEqual(t, len(out), len(b)+5)
	read := *s
	got, ok := read.ReadDescriptor(out)
	require.True(t, ok, "% x from % x", out, b)
	moved := want
	moved.Number = number
	if active != 0 {
		moved.Active = active
	}
	require.Equal(t, moved, got)
	require.True(t, read.Equal(&was))
	again, m, ok := read.References(out)
	require.True(t, ok)
	require.Equal(t, n, m)
	for i := range n {
		require.Equal(t, references[i]-want.Number, again[i]-number)
	}
	for c := range int(s.chains) {
		x, ok := s.ChainDistance(b, c)
		require.True(t, ok)
		y, ok := read.ChainDistance(out, c)
		require.True(t, ok)
		require.Equal(t, x, y)
	}
	require.Equal(t, out, read.AppendDescriptor(nil, out, number, active), "written once more it is the same")
}

func TestAppendDescriptorExact(t *testing.T) {
	var s Structure
	_, ok := s.ReadDescriptor(handL1T3)
	require.True(t, ok)
	for _, c := range []struct {
		name   string
		b      []byte
		number uint16
		active uint32
		want   []byte
	}{
		{"number only", []byte{0x82, 0, 9}, 0x1234, 0, []byte{0x82, 0x12, 0x34}},
		{"mask", []byte{0x82, 0, 9}, 0x1234, 0b011, packBits("10000010", "0001001000110100", "01000", "011")},
		{"other mask", packBits("10000010", "0000000000001001", "01000", "111"), 1, 0b001, packBits("10000010", "0000000000000001", "01000", "001")},
		{"mask in front of own targets", packBits("10000010", "0000000000001001", "00100", "00 01 10"), 1, 0b011, packBits("10000010", "0000000000000001", "01100", "011", "00 01 10")},
		{"targets that are not there", []byte{0x82, 0, 9}, 1, 0b1000, []byte{0x82, 0, 1}},
		{"all of a structure", handL1T3, 7, 0b111, handL1T3},
		{"too short", []byte{0x82, 0}, 1, 0, nil},
		{"too short for a mask", []byte{0x82, 0}, 1, 1, nil},
		{"too long", make([]byte, 256), 1, 0, nil},
		{"mask on what is cut", packBits("10000010", "0000000000001001", "00001"), 1, 1, nil},
		{"own references", packBits("10000010", "0000000000001001", "00010", "01 0000 00"), 1, 0b001, packBits("10000010", "0000000000000001", "01010", "001", "01 0000 00")},
	} {
		got := s.AppendDescriptor(nil, c.b, c.number, c.active)
		require.Equal(t, c.want, got, c.name)
	}
	// A structure with part of its targets: the mask stands behind it.
	got := s.AppendDescriptor(nil, handL1T3, 7, 0b011)
	d, ok := s.ReadDescriptor(got)
	require.True(t, ok)
	require.Equal(t, uint32(0b011), d.Active)
	require.True(t, d.Structure)
	// The longest there is, and a mask that makes it too long: own references of 250 bytes cannot be, so zeros do.
	long := append([]byte{0x82, 0, 9}, make([]byte, 252)...)
	require.Len(t, s.AppendDescriptor(nil, long, 1, 0), 255)
	require.Len(t, s.AppendDescriptor(nil, long, 1, 1), 4, "padding is not copied where a mask is written")
	// Nothing without a structure to read it by.
	var empty Structure
	require.Empty(t, empty.AppendDescriptor(nil, []byte{0x82, 0, 9}, 1, 1))
}

func FuzzDescriptor(f *testing.F) {
	f.Add(handL1T3, []byte{0x82, 0, 9}, uint16(1), uint32(0))
	for _, mode := range svcModes {
		m := newSVC(mode, 65530)
		for _, custom := range []bool{false, true} {
			w := written{start: true, end: true, ownTargets: custom, ownReferences: custom, ownChains: custom}
			begin := w
			begin.structure, begin.resolutions = true, custom
			f.Add(m.describe(m.picture(true)[0], begin), m.describe(m.picture(false)[0], w), uint16(7), uint32(1))
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte, number uint16, active uint32) {
		var s Structure
		for _, b := range [][]byte{first, second} {
			before := s
			d, ok := s.ReadDescriptor(b)
			if !ok {
				require.Equal(t, Descriptor{}, d)
				require.True(t, s == before)
				s.References(b)
				for chain := range 33 {
					s.ChainDistance(b, chain)
				}
				s.AppendDescriptor(nil, b, number, active)
				continue
			}
			require.Zero(t, (d.Switch|d.Discardable)&^d.Needed)
			require.Zero(t, d.Switch&d.Discardable)
			all := uint32(1)<<s.Targets() - 1
			require.Zero(t, (d.Needed|d.Active)&^all)
			if best := s.Best(Everything, d.Active); d.Active != 0 {
				require.NotZero(t, d.Active>>best&1)
			}
			checkAppend(t, &s, b, number, active)
		}
	})
}

func TestDescriptorNoAllocations(t *testing.T) {
	m := newSVC("L3T3", 0)
	begin := m.describe(m.picture(true)[0], written{start: true, structure: true, ownTargets: true, ownReferences: true, ownChains: true})
	custom := m.describe(m.picture(false)[1], written{start: true, active: 0b111, ownTargets: true, ownReferences: true, ownChains: true})
	plain := m.describe(m.picture(false)[1], written{start: true})
	var s Structure
	out := make([]byte, 0, MaxDescriptor)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{begin, custom, plain} {
			d, ok := s.ReadDescriptor(b)
			_, n, known := s.References(b)
			_, chained := s.ChainDistance(b, 2)
			same := s
			if !ok || !known || !chained || n == 0 && !d.Structure || !s.Equal(&same) || s.Best(Everything, d.Active) < 0 {
				t.Fail()
			}
			if len(s.AppendDescriptor(out, b, 7, 0)) == 0 || len(s.AppendDescriptor(out, b, 7, 0b11)) == 0 {
				t.Fail()
			}
		}
	}))
}

// BenchmarkReadDescriptor is per packet; only keyframes' first packets carry a structure.
func BenchmarkReadDescriptor(b *testing.B) {
	benchmarkDescriptors(b, func(s *Structure, descriptor, _ []byte) bool {
		_, ok := s.ReadDescriptor(descriptor)
		return ok
	})
}

// BenchmarkAppendDescriptor is per packet and subscriber.
func BenchmarkAppendDescriptor(b *testing.B) {
	benchmarkDescriptors(b, func(s *Structure, descriptor, out []byte) bool {
		return len(s.AppendDescriptor(out, descriptor, 7, 0)) != 0
	})
}

// BenchmarkAppendDescriptorActive is for those who do not get every layer: with structures, and while the set changes.
func BenchmarkAppendDescriptorActive(b *testing.B) {
	benchmarkDescriptors(b, func(s *Structure, descriptor, out []byte) bool {
		return len(s.AppendDescriptor(out, descriptor, 7, 0b11)) != 0
	})
}

func benchmarkDescriptors(b *testing.B, do func(s *Structure, descriptor, out []byte) bool) {
	m := newSVC("L3T3", 0)
	begin := m.describe(m.picture(true)[0], written{start: true, structure: true, resolutions: true})
	delta := m.picture(false)[1]
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"plain", m.describe(delta, written{start: true})},
		{"mask", m.describe(delta, written{start: true, active: 0b111})},
		{"custom", m.describe(delta, written{start: true, active: 0b111, ownTargets: true, ownReferences: true, ownChains: true})},
		{"structure", begin},
	} {
		b.Run(c.name, func(b *testing.B) {
			var s Structure
			s.ReadDescriptor(begin)
			out := make([]byte, 0, MaxDescriptor)
			b.ReportAllocs()
			for b.Loop() {
				if !do(&s, c.b, out) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// As many decode targets as the format has.
func TestReadDescriptorManyTargets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		targets := rapid.IntRange(1, MaxDecodeTargets).Draw(t, "targets")
		indications := rapid.StringOfN(rapid.SampledFrom([]rune("-DSR")), targets, targets, -1)
		template, own := svcFrame{targets: indications.Draw(t, "template")}, svcFrame{targets: indications.Draw(t, "own")}
		chains := nonSymmetricBits(targets, targets+1) // a chain for each target, so that each is in its own
		for i := range targets {
			chains += nonSymmetricBits(i, targets)
		}
		active := rapid.Uint32Max(uint32(1)<<targets-1).Draw(t, "active")
		b := packBits("11 000000", "0000000000000001", "11100", "000000", fmt.Sprintf("%05b", targets-1), "11",
			targetBits(template.targets), "0", chains, strings.Repeat("0101", targets), "0",
			fmt.Sprintf("%0*b", targets, active), targetBits(own.targets))
		var s Structure
		d, ok := s.ReadDescriptor(b)
		require.True(t, ok)
		require.Equal(t, Descriptor{
			Number: 1, Start: true, End: true, Structure: true,
			Needed: own.set("DSR"), Switch: own.set("S"), Discardable: own.set("D"), Active: active,
		}, d)
		plain, ok := s.ReadDescriptor(b[:mandatorySize])
		require.True(t, ok)
		require.Equal(t, []uint32{template.set("DSR"), template.set("S"), template.set("D")}, []uint32{plain.Needed, plain.Switch, plain.Discardable})
		for i := range targets {
			require.Equal(t, i, s.Chain(i))
			distance, ok := s.ChainDistance(b, i)
			require.True(t, ok)
			require.Equal(t, uint8(5), distance)
			require.Equal(t, active>>i&1 != 0 && strings.ContainsRune("SR", rune(own.targets[i])), s.InChain(d, i))
		}
		checkAppend(t, &s, b, 7, rapid.Uint32().Draw(t, "sent"))
	})
}
