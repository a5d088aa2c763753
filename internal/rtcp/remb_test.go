package rtcp

import (
	"math"
	"testing"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestREMB(t *testing.T) {
	for _, c := range []struct {
		rate, want int64
		ssrcs      []uint32
	}{
		{0, 0, nil},
		{-5, 0, []uint32{7}},
		{1, 1, []uint32{7}},
		{1<<18 - 1, 1<<18 - 1, []uint32{7, 8}},
		{1<<18 + 1, 1 << 18, []uint32{7}},
		{2_500_000, 2_500_000, []uint32{1, 2, 3}},
		{math.MaxInt64, (1<<18 - 1) << 45, nil},
	} {
		b := AppendREMB(nil, 5, c.rate, c.ssrcs)
		rate, ok := only(t, b).REMB()
		require.True(t, ok)
		require.Equal(t, c.want, rate)
		read := theirs(t, b)[0].(*pionrtcp.ReceiverEstimatedMaximumBitrate)
		require.Equal(t, uint32(5), read.SenderSSRC)
		if c.want > 0 { // pion reads 0 as 2^23
			require.Equal(t, float32(c.want), read.Bitrate)
		}
		require.ElementsMatch(t, c.ssrcs, read.SSRCs)
	}
	b := AppendREMB([]byte{}, 5, 1000, make([]uint32, 300))
	require.Len(t, theirs(t, b)[0].(*pionrtcp.ReceiverEstimatedMaximumBitrate).SSRCs, 255)
	_, ok := only(t, b).REMB()
	require.True(t, ok)
}

func TestREMBThatIsNone(t *testing.T) {
	good := only(t, AppendREMB(nil, 5, 100_000, []uint32{7, 8}))
	for n := range len(good.Body) {
		_, ok := Packet{Type: TypePSFB, Count: FmtREMB, Body: good.Body[:n]}.REMB()
		require.False(t, ok, "of %d bytes, it names two streams", n)
	}
	_, ok := Packet{Type: TypeRTPFB, Count: FmtREMB, Body: good.Body}.REMB()
	require.False(t, ok)
	_, ok = Packet{Type: TypePSFB, Count: FmtPLI, Body: good.Body}.REMB()
	require.False(t, ok)
	good.Body[8] = 'r'
	_, ok = good.REMB()
	require.False(t, ok, "other feedback of the application layer")
}

// The largest exponent would be 262,143 times 2^63.
func TestREMBBeyondAllNumbers(t *testing.T) {
	for _, c := range []struct {
		exponent, mantissa uint32
		want               int64
	}{{63, 1<<18 - 1, math.MaxInt64}, {63, 1, math.MaxInt64}, {63, 0, 0}, {62, 1, 1 << 62}, {46, 1<<18 - 1, math.MaxInt64}, {45, 1<<18 - 1, (1<<18 - 1) << 45}} {
		b := AppendREMB(nil, 5, 0, nil)
		word := c.exponent<<18 | c.mantissa
		b[17], b[18], b[19] = byte(word>>16), byte(word>>8), byte(word)
		rate, ok := only(t, b).REMB()
		require.True(t, ok)
		require.Equal(t, c.want, rate)
	}
}

func TestREMBOfPion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// pion counts in float32 and so rounds before it cuts: powers of two and what 18 bits hold are alike.
		rate := float32(rapid.Uint32Range(1, 1<<18-1).Draw(t, "mantissa")) * float32(math.Pow(2, float64(rapid.IntRange(0, 40).Draw(t, "exponent"))))
		b, err := (&pionrtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: rate, SSRCs: []uint32{1, 2}}).Marshal()
		require.NoError(t, err)
		got, ok := only(t, b).REMB()
		require.True(t, ok)
		require.Equal(t, int64(rate), got)
	})
}

func FuzzREMB(f *testing.F) {
	f.Add(AppendREMB(nil, 5, 100_000, []uint32{7, 8}))
	f.Add(AppendREMB(nil, 5, math.MaxInt64, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Read(b)
		p, ok := r.Next()
		if !ok {
			return
		}
		rate, ok := p.REMB()
		require.GreaterOrEqual(t, rate, int64(0))
		if ok && rate < math.MaxInt64 {
			again, _ := only(t, AppendREMB(nil, 5, rate, nil)).REMB()
			require.Equal(t, rate, again)
		}
	})
}
