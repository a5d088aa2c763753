package source

import (
	"encoding/hex"
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/clip"
)

var someStamp = Stamp{Sender: Sender(70_000, 3, 2), Frame: 4711, Sent: 1_793_000_000_123_456}

func drawStamp(t *rapid.T) Stamp {
	return Stamp{
		Sender: rapid.Uint32().Draw(t, "sender"),
		Frame:  rapid.Uint32().Draw(t, "frame"),
		Sent:   rapid.Int64Range(-1<<55, 1<<55-1).Draw(t, "sent"),
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

func TestAStampInBytes(t *testing.T) {
	require.Equal(t, "0111703200001267a7065eb95816f240cf392a56", hex.EncodeToString(someStamp.append(nil)))
}

func TestASenderSaysWho(t *testing.T) {
	require.Equal(t, []int{70_000, 3, 2}, []int{someStamp.Caller(), someStamp.Track(), someStamp.Layer()})
	rapid.Check(t, func(t *rapid.T) {
		caller := rapid.IntRange(0, MaxCaller).Draw(t, "caller")
		track, layer := rapid.IntRange(0, MaxTrack).Draw(t, "track"), rapid.IntRange(0, MaxLayer).Draw(t, "layer")
		s := Stamp{Sender: Sender(caller, track, layer)}
		require.Equal(t, []int{caller, track, layer}, []int{s.Caller(), s.Track(), s.Layer()})
	})
}

// TestTheLastPacketHasTheStamp: however long the frame, of the packets it is cut into the last has the whole stamp, and a
// receiver that put the frame together again has it too.
func TestTheLastPacketHasTheStamp(t *testing.T) {
	for size := 1; size < 3*clip.VP8Piece; size++ {
		frame := make([]byte, size)
		stamped := AppendVP8([]byte("before"), frame, someStamp)[len("before"):]
		require.Equal(t, frame, stamped[:size])
		got, ok := ReadVP8(stamped)
		require.True(t, ok)
		require.Equal(t, someStamp, got)
		parts := clip.PacketizeVP8(stamped, 1)
		var vp8 codecs.VP8Packet
		last, err := vp8.Unmarshal(parts[len(parts)-1])
		require.NoError(t, err)
		got, ok = ReadTail(last)
		require.True(t, ok, "of %d bytes", size)
		require.Equal(t, someStamp, got)
	}
}

func TestDamageIsSeen(t *testing.T) {
	frame := AppendVP8(nil, []byte("a frame of VP8"), someStamp)
	packet := AppendOpus(nil, []byte{0x78, 1, 2, 3}, someStamp)
	for bit := range 8 * StampSize {
		flip := func(b []byte) []byte {
			b = append([]byte(nil), b...)
			b[len(b)-1-bit/8] ^= 1 << (bit % 8)
			return b
		}
		_, ok := ReadVP8(flip(frame))
		require.False(t, ok, bit)
		_, ok = ReadOpus(flip(packet))
		require.False(t, ok, bit)
	}
	for n := range len(frame) {
		_, ok := ReadVP8(frame[:n])
		require.False(t, ok, n)
	}
	for n := range len(packet) {
		_, ok := ReadOpus(packet[:n])
		require.False(t, ok, n)
	}
}

func TestStampsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStamp(t)
		got, ok := ReadVP8(AppendVP8(nil, rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "frame"), s))
		require.True(t, ok)
		require.Equal(t, s, got)
		got, ok = ReadOpus(AppendOpus(nil, []byte{0x78, 1, 2, 3}, s))
		require.True(t, ok)
		require.Equal(t, s, got)
	})
}

func TestStampsNeedNoMemory(t *testing.T) {
	frame, packet, dst := make([]byte, 2000), make([]byte, 80), make([]byte, 0, 4000)
	packet[0] = 0x78
	found := 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, ok := ReadVP8(AppendVP8(dst, frame, someStamp)); ok {
			found++
		}
		if _, ok := ReadOpus(AppendOpus(dst, packet, someStamp)); ok {
			found++
		}
	}))
	require.Equal(t, 2*101, found)
}

func FuzzReadVP8(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendVP8(nil, []byte("a frame"), someStamp))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if s, ok := ReadVP8(frame); ok {
			require.Equal(t, frame[len(frame)-StampSize:], s.append(nil), "a stamp has one form")
		}
		got, ok := ReadVP8(AppendVP8(nil, frame, someStamp))
		require.True(t, ok)
		require.Equal(t, someStamp, got)
	})
}

func BenchmarkAppendVP8(b *testing.B) {
	frame, dst := make([]byte, 1667), make([]byte, 0, 2000)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendVP8(dst[:0], frame, someStamp)
	}
}

func BenchmarkReadTail(b *testing.B) {
	frame := AppendVP8(nil, make([]byte, 1667), someStamp)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ReadTail(frame)
	}
}

func BenchmarkReadOpus(b *testing.B) {
	packet := AppendOpus(nil, append([]byte{0x78}, make([]byte, 80)...), someStamp)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ReadOpus(packet)
	}
}
