package red

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
)

const ticks = 960 // 20 ms

// voice is a stream that begins with a number; silences are where so many packets' time passes before one.
type voice struct {
	first    uint16
	silences map[int]int
}

func (v voice) timestamp(n int) uint32 {
	at := n
	for before, long := range v.silences {
		if n >= before {
			at += long
		}
	}
	return uint32(at)*ticks - 5000 // over the wrap
}

func (v voice) frame(n int) []byte { return []byte{0x48, byte(n), byte(n >> 8)} } // SILK of 20 ms

// payload is the n-th packet's, with copies of those so far before it.
func (v voice) payload(t require.TestingT, n int, back ...int) []byte {
	var blocks []codec.REDBlock
	for _, b := range back {
		blocks = append(blocks, codec.REDBlock{PayloadType: 111, Offset: uint16(v.timestamp(n) - v.timestamp(n-b)), Data: v.frame(n - b)})
	}
	out, ok := codec.AppendRED(nil, append(blocks, codec.REDBlock{PayloadType: 111, Data: v.frame(n)}))
	require.True(t, ok)
	return out
}

func (v voice) take(t require.TestingT, s *Splitter, n int, back ...int) (copies []int) {
	own, filled, ok := s.Take(v.first+uint16(n), v.timestamp(n), v.payload(t, n, back...), true)
	require.True(t, ok)
	require.Equal(t, v.frame(n), own)
	for _, c := range filled {
		i := int(c.Sequence - v.first)
		require.Equal(t, v.frame(i), c.Payload)
		require.Equal(t, v.timestamp(i), c.Timestamp)
		copies = append(copies, i)
	}
	return copies
}

func TestCopiesFillHolesOnce(t *testing.T) {
	v, s := voice{first: 65533}, &Splitter{}
	require.Empty(t, v.take(t, s, 0))
	require.Empty(t, v.take(t, s, 1, 1), "it is there")
	require.Empty(t, v.take(t, s, 5, 4), "so is 1; 2 to 4 are missing")
	require.Equal(t, 3, s.Holes())
	require.Equal(t, []int{2, 4}, v.take(t, s, 6, 4, 2, 1))
	require.Equal(t, 1, s.Holes())
	require.Empty(t, v.take(t, s, 7, 5, 3), "filled before")
	require.Empty(t, v.take(t, s, 3), "late itself")
	require.Empty(t, v.take(t, s, 8, 5), "and no more missing")
}

func TestPlainPacketsPass(t *testing.T) {
	v, s := voice{}, &Splitter{}
	own, copies, ok := s.Take(0, v.timestamp(0), v.frame(0), false)
	require.True(t, ok)
	require.Empty(t, copies)
	require.Equal(t, v.frame(0), own)
	require.Equal(t, []int{1}, v.take(t, s, 2, 1))
}

func TestAHoleBehindSilence(t *testing.T) {
	v, s := voice{silences: map[int]int{3: 40}}, &Splitter{}
	for n := range 3 {
		v.take(t, s, n)
	}
	require.Equal(t, []int{3}, v.take(t, s, 4, 1), "the first after 0.8 s of silence")
}

func TestAStreamThatBeginsAnew(t *testing.T) {
	v, s := voice{}, &Splitter{}
	v.take(t, s, 0)
	v.take(t, s, 9)
	require.Equal(t, 8, s.Holes())
	other := voice{first: 30000}
	require.Empty(t, other.take(t, s, 3, 1))
	require.Zero(t, s.Holes())
	require.Equal(t, []int{4}, other.take(t, s, 5, 1))
}

func TestWhatLiesIsRefused(t *testing.T) {
	_, _, ok := new(Splitter).Take(1, 960, []byte{0x80 | 111, 0, 0, 9, 111, 1}, true)
	require.False(t, ok)
	_, _, ok = new(Splitter).Take(1, 960, nil, true)
	require.False(t, ok)
}

// Whatever is lost and however it is reordered: nothing comes twice, everything is what it was, and whatever had a copy under way in
// time is there.
func TestNothingComesTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, s := voice{first: rapid.Uint16().Draw(t, "first")}, &Splitter{}
		back := rapid.SampledFrom([][]int{{1}, {2, 1}, {2}, {4, 2}, {5, 2}, {3, 2, 1}}).Draw(t, "distances")
		came, due := map[int]bool{}, map[int]bool{}
		for n := range 60 {
			if n >= 6 && rapid.IntRange(0, 9).Draw(t, "lost") < 4 {
				continue
			}
			var copies []int
			if n >= 6 {
				copies = v.take(t, s, n, back...)
				for _, b := range back {
					due[n-b] = true
				}
			} else {
				copies = v.take(t, s, n)
			}
			for _, c := range append(copies, n) {
				require.False(t, came[c], "%d comes twice", c)
				came[c] = true
			}
		}
		for n := range due {
			require.True(t, came[n], "%d had a copy", n)
		}
	})
}

func FuzzSplitter(f *testing.F) {
	v := voice{}
	f.Add([]byte{0, 1, 2}, v.payload(f, 3, 2, 1))
	f.Fuzz(func(t *testing.T, numbers, payload []byte) {
		s := &Splitter{}
		for i, n := range numbers {
			own, copies, ok := s.Take(uint16(n)*257, uint32(n)*ticks, payload, i%3 > 0)
			if ok {
				require.LessOrEqual(t, len(own), len(payload))
				require.LessOrEqual(t, len(copies), codec.MaxREDBlocks)
			}
			require.LessOrEqual(t, s.Holes(), mostHoles)
		}
	})
}
