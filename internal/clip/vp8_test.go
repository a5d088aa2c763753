package clip

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// send makes packets of frames, numbered from 0.
func send(frames [][]byte) (out []*rtp.Packet) {
	for i, frame := range frames {
		parts := PacketizeVP8(frame, uint16(i))
		for j, part := range parts {
			out = append(out, &rtp.Packet{Payload: part, Header: rtp.Header{
				Version: 2, SequenceNumber: uint16(len(out)), Timestamp: uint32(i * 3000), Marker: j == len(parts)-1,
			}})
		}
	}
	return out
}

// TestOnlyWholeFramesComeOut: of a stream that lost any packets, frames come out as they went in or not at all, and none
// that leans on one that did not.
func TestOnlyWholeFramesComeOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var frames [][]byte
		for i := range rapid.IntRange(1, 30).Draw(t, "frames") {
			key := i == 0 || rapid.IntRange(0, 4).Draw(t, "key") == 0
			frames = append(frames, vp8(key, rapid.IntRange(12, 5000).Draw(t, "size"), byte(i)))
		}
		packets := send(frames)
		lose := rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "percent")
		whole := map[int]bool{}
		for i := range frames {
			whole[i] = true
		}
		var a Assembler
		var got []int
		gap := false
		for _, p := range packets {
			frame := int(p.Timestamp / 3000)
			if lose > 0 && rapid.IntRange(0, 99).Draw(t, "loss") < lose*3 {
				whole[frame], gap = false, true
				continue
			}
			if gap {
				a.Break()
				gap = false
			}
			if f, ok := a.Push(p); ok {
				require.Equal(t, frames[f.Timestamp/3000], f.Data)
				require.Equal(t, f.Data[0]&1 == 0, f.Keyframe)
				got = append(got, int(f.Timestamp/3000))
			}
		}
		var want []int
		flows := false
		for i, frame := range frames {
			flows = whole[i] && (flows || frame[0]&1 == 0)
			if flows {
				want = append(want, i)
			}
		}
		require.Equal(t, want, got)
	})
}

func TestAnAssemblerAsksForAKeyframe(t *testing.T) {
	packets := send([][]byte{vp8(false, 40, 1), vp8(true, 2000, 2), vp8(false, 40, 3), vp8(false, 2000, 4)})
	var a Assembler
	require.True(t, a.WantsKeyframe())
	a.Push(packets[0])
	require.True(t, a.WantsKeyframe())
	require.EqualValues(t, 1, a.Abandoned)
	a.Push(packets[1])
	require.False(t, a.WantsKeyframe(), "one is coming")
	f, ok := a.Push(packets[2])
	require.True(t, ok)
	require.Equal(t, []int{320, 180}, []int{f.Width, f.Height})
	require.False(t, a.WantsKeyframe())
	_, ok = a.Push(&rtp.Packet{})
	require.False(t, ok, "padding changes nothing")
	_, ok = a.Push(packets[3])
	require.True(t, ok)
	a.Push(packets[4])
	a.Push(packets[4]) // it begins again without an end
	require.True(t, a.WantsKeyframe())
	require.EqualValues(t, 2, a.Abandoned)
	_, ok = a.Push(&rtp.Packet{Payload: []byte{0x90}})
	require.False(t, ok, "malformed")
}

func TestPacketsOfAFrame(t *testing.T) {
	frame := vp8(true, 3*vp8Payload, 9)
	var back []byte
	for i, payload := range PacketizeVP8(frame, 0x7fff) {
		require.LessOrEqual(t, len(payload), vp8Payload)
		var p codecs.VP8Packet
		data, err := p.Unmarshal(payload)
		require.NoError(t, err)
		require.EqualValues(t, 0x7fff, p.PictureID)
		require.Equal(t, i == 0, p.S == 1)
		back = append(back, data...)
	}
	require.Equal(t, frame, back)
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0x90, 0x80, 0x81, 0x23, 0x10, 0, 0, 0x9d, 1, 0x2a, 1, 0, 1, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, marker bool) {
		var a Assembler
		for _, payload := range bytes.Split(b, []byte{0xff}) {
			frame, ok := a.Push(&rtp.Packet{Header: rtp.Header{Marker: marker}, Payload: payload})
			if ok {
				require.NotEmpty(t, frame.Data)
			}
		}
	})
}
