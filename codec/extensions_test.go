package codec

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAudioLevel(t *testing.T) {
	l, ok := ReadAudioLevel([]byte{0x80 | 23})
	require.True(t, ok)
	require.Equal(t, AudioLevel{Level: 23, Voice: true}, l)
	for v := range 256 {
		l, ok := ReadAudioLevel([]byte{byte(v)})
		require.True(t, ok)
		require.Equal(t, []byte{byte(v)}, AppendAudioLevel(nil, l))
	}
	require.Equal(t, []byte{127}, AppendAudioLevel(nil, AudioLevel{Level: 200}))
	for _, b := range [][]byte{nil, {1, 2}} {
		_, ok = ReadAudioLevel(b)
		require.False(t, ok)
	}
}

// 3GPP TS 26.114 §7.4.5: 0 0 0 0 C F R1 R0.
func TestOrientation(t *testing.T) {
	for b, want := range map[byte]Orientation{
		0b0000: {},
		0b0001: {Rotation: 90},
		0b0110: {Rotation: 180, Mirrored: true},
		0b1011: {Rotation: 270, BackCamera: true},
	} {
		o, ok := ReadOrientation([]byte{b | 0xf0})
		require.True(t, ok)
		require.Equal(t, want, o)
		require.Equal(t, []byte{b}, AppendOrientation(nil, o))
	}
	for _, b := range [][]byte{nil, {1, 2}} {
		_, ok := ReadOrientation(b)
		require.False(t, ok)
	}
}

func TestCaptureTime(t *testing.T) {
	b := []byte{0xe0, 1, 2, 3, 0x80, 0, 0, 0}
	c, ok := ReadCaptureTime(b)
	require.True(t, ok)
	require.Equal(t, CaptureTime{NTP: 0xe001020380000000}, c)
	require.Equal(t, b, AppendCaptureTime(nil, c))

	b = append(b, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0)
	c, ok = ReadCaptureTime(b)
	require.True(t, ok)
	require.Equal(t, CaptureTime{NTP: 0xe001020380000000, Offset: -1 << 31, HasOffset: true}, c, "half a second back")
	require.Equal(t, b, AppendCaptureTime(nil, c))

	var theirs rtp.AbsCaptureTimeExtension
	require.NoError(t, theirs.Unmarshal(b))
	require.Equal(t, theirs.Timestamp, c.NTP)
	require.Equal(t, *theirs.EstimatedCaptureClockOffset, c.Offset)
	for n := range 20 {
		_, ok = ReadCaptureTime(make([]byte, n))
		require.Equal(t, n == 8 || n == 16, ok, n)
	}
}

func TestPlayoutDelay(t *testing.T) {
	d, ok := ReadPlayoutDelay([]byte{0x00, 0xa0, 0x14})
	require.True(t, ok)
	require.Equal(t, PlayoutDelay{Min: 100 * time.Millisecond, Max: 200 * time.Millisecond}, d)
	require.Equal(t, []byte{0x00, 0xa0, 0x14}, AppendPlayoutDelay(nil, d))
	for _, b := range [][]byte{nil, {0, 0}, {0, 0, 0, 0}, {0x00, 0xa0, 0x01}} {
		d, ok = ReadPlayoutDelay(b)
		require.False(t, ok)
		require.Equal(t, PlayoutDelay{}, d)
	}
	require.Equal(t, []byte{0, 0, 0}, AppendPlayoutDelay(nil, PlayoutDelay{Min: -time.Second, Max: -time.Second}))
	require.Equal(t, []byte{0xff, 0xff, 0xff}, AppendPlayoutDelay(nil, PlayoutDelay{Min: time.Hour, Max: time.Second}))

	rapid.Check(t, func(t *rapid.T) {
		d := PlayoutDelay{
			Min: time.Duration(rapid.Int64().Draw(t, "min")), Max: time.Duration(rapid.Int64().Draw(t, "max")),
		}
		b := AppendPlayoutDelay(nil, d)
		back, ok := ReadPlayoutDelay(b)
		require.True(t, ok, "what is written can be read")
		require.Equal(t, b, AppendPlayoutDelay(nil, back))
		var theirs rtp.PlayoutDelayExtension
		require.NoError(t, theirs.Unmarshal(b))
		require.Equal(t, time.Duration(theirs.MinDelay)*10*time.Millisecond, back.Min)
		require.Equal(t, time.Duration(theirs.MaxDelay)*10*time.Millisecond, back.Max)
	})
}

func TestReadLayersAllocation(t *testing.T) {
	a, ok := ReadLayersAllocation([]byte{0})
	require.True(t, ok)
	require.Equal(t, LayersAllocation{}, a, "nothing is sent")

	// One stream with one layer of two temporal ones, 100 and 150 kbit/s; leb128 of 150 is 96 01.
	a, ok = ReadLayersAllocation([]byte{0x01, 0b01_000000, 100, 0x96, 0x01})
	require.True(t, ok)
	want := LayersAllocation{Streams: 1}
	want.Layers[0][0] = AllocatedLayer{Temporal: 2, Rates: [4]uint32{100, 150}}
	require.Equal(t, want, a)

	// Simulcast of three, told on the second, one spatial layer each, with sizes; leb128 of 300 is ac 02.
	a, ok = ReadLayersAllocation([]byte{
		0b01_10_0001, 0b00_00_01_00, 50, 100, 0x96, 0x01, 0xac, 0x02,
		0, 159, 0, 89, 30, 1, 63, 0, 179, 30, 2, 127, 1, 103, 25,
	})
	require.True(t, ok)
	want = LayersAllocation{Stream: 1, Streams: 3, HasSizes: true}
	want.Layers[0][0] = AllocatedLayer{Temporal: 1, Rates: [4]uint32{50}, Width: 160, Height: 90, FrameRate: 30}
	want.Layers[1][0] = AllocatedLayer{Temporal: 1, Rates: [4]uint32{100}, Width: 320, Height: 180, FrameRate: 30}
	want.Layers[2][0] = AllocatedLayer{Temporal: 2, Rates: [4]uint32{150, 300}, Width: 640, Height: 360, FrameRate: 25}
	require.Equal(t, want, a)

	// Three streams of which the second is off and the third has the spatial layers 0 and 2.
	a, ok = ReadLayersAllocation([]byte{0b00_10_0000, 0b0001_0000, 0b0101_0000, 0, 10, 20, 30})
	require.True(t, ok)
	want = LayersAllocation{Streams: 3}
	want.Layers[0][0] = AllocatedLayer{Temporal: 1, Rates: [4]uint32{10}}
	want.Layers[2][0] = AllocatedLayer{Temporal: 1, Rates: [4]uint32{20}}
	want.Layers[2][2] = AllocatedLayer{Temporal: 1, Rates: [4]uint32{30}}
	require.Equal(t, want, a)

	a, ok = ReadLayersAllocation([]byte{0b01_01_0000, 0})
	require.True(t, ok, "two streams, both off")
	require.Equal(t, LayersAllocation{Stream: 1, Streams: 2}, a)
}

func TestReadLayersAllocationLiars(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                     nil,
		"stream beyond the count":     {0b01_00_0001, 0, 1},
		"masks missing":               {0b00_10_0000, 0b0001_0000},
		"temporal layers missing":     {0x01},
		"second byte of them missing": {0b00_01_1111, 0},
		"rates missing":               {0x01, 0b11_000000, 1, 2, 3},
		"endless rate":                {0x01, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
		"rate of 33 bits":             {0x01, 0, 0xff, 0xff, 0xff, 0xff, 0x1f},
		"rate cut short":              {0x01, 0, 0x96},
		"size cut short":              {0x01, 0, 1, 0, 159, 0, 89},
		"something behind the sizes":  {0x01, 0, 1, 0, 159, 0, 89, 30, 1},
	} {
		a, ok := ReadLayersAllocation(b)
		require.False(t, ok, name)
		require.Equal(t, LayersAllocation{}, a, name)
	}
}

// appendLayersAllocation writes an allocation with a mask for each stream.
func appendLayersAllocation(b []byte, a LayersAllocation) []byte {
	b = append(b, byte(a.Stream<<6|(a.Streams-1)<<4))
	var sent []AllocatedLayer
	masks := make([]byte, (a.Streams+1)/2)
	for i := range a.Streams {
		for spatial, l := range a.Layers[i] {
			if l.Temporal > 0 {
				sent = append(sent, l)
				masks[i/2] |= 1 << spatial << (4 - 4*(i%2))
			}
		}
	}
	b = append(b, masks...)
	temporal := make([]byte, (len(sent)+3)/4)
	for i, l := range sent {
		temporal[i/4] |= (l.Temporal - 1) << (6 - 2*(i%4))
	}
	b = append(b, temporal...)
	for _, l := range sent {
		for _, rate := range l.Rates[:l.Temporal] {
			b = binary.AppendUvarint(b, uint64(rate)) // the same as leb128
		}
	}
	for _, l := range sent {
		if a.HasSizes {
			b = binary.BigEndian.AppendUint16(b, l.Width-1)
			b = binary.BigEndian.AppendUint16(b, l.Height-1)
			b = append(b, l.FrameRate)
		}
	}
	return b
}

// Any allocation is read as it was written, and pion reads it alike.
func TestReadAnyLayersAllocation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := LayersAllocation{Streams: rapid.IntRange(1, 4).Draw(t, "streams")}
		want.Stream = rapid.IntRange(0, want.Streams-1).Draw(t, "stream")
		sizes := rapid.Bool().Draw(t, "sizes")
		count := 0
		for i := range want.Streams {
			for spatial := range MaxAllocatedSpatial {
				l := &want.Layers[i][spatial]
				if rapid.Bool().Draw(t, "off") {
					continue
				}
				count++
				l.Temporal = rapid.Uint8Range(1, 4).Draw(t, "temporal")
				for j := range l.Temporal {
					l.Rates[j] = rapid.Uint32().Draw(t, "rate")
				}
				if sizes {
					want.HasSizes = true
					l.Width, l.Height = rapid.Uint16Min(1).Draw(t, "width"), rapid.Uint16Min(1).Draw(t, "height")
					l.FrameRate = rapid.Uint8().Draw(t, "frame rate")
				}
			}
		}
		b := appendLayersAllocation(nil, want)
		got, ok := ReadLayersAllocation(b)
		require.True(t, ok)
		require.Equal(t, want, got)
		if count == 0 {
			return // pion wants another byte then
		}
		var theirs rtp.VLA
		_, err := theirs.Unmarshal(b)
		require.NoError(t, err)
		require.Equal(t, []int{theirs.RTPStreamID, theirs.RTPStreamCount}, []int{got.Stream, got.Streams})
		require.Len(t, theirs.ActiveSpatialLayer, count)
		for _, l := range theirs.ActiveSpatialLayer {
			ours := got.Layers[l.RTPStreamID][l.SpatialID]
			require.Len(t, l.TargetBitrates, int(ours.Temporal))
			for j, rate := range l.TargetBitrates {
				require.Equal(t, rate, int(ours.Rates[j]))
			}
			require.Equal(t, []int{l.Width, l.Height, l.Framerate}, []int{int(ours.Width), int(ours.Height), int(ours.FrameRate)})
		}
	})
}

func FuzzLayersAllocation(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{0x01, 0b01_000000, 100, 0x96, 0x01})
	f.Add([]byte{0b01_10_0000, 0x11, 0x10, 0b00_00_01_00, 50, 100, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) { checkLayersAllocation(t, b) })
}

func checkLayersAllocation(t require.TestingT, b []byte) {
	a, ok := ReadLayersAllocation(b)
	if !ok {
		require.Equal(t, LayersAllocation{}, a)
		return
	}
	require.True(t, a.Streams == 0 && a.Stream == 0 || a.Stream < a.Streams && a.Streams <= MaxAllocatedStreams)
	for i, stream := range a.Layers {
		for _, l := range stream {
			require.LessOrEqual(t, l.Temporal, uint8(4))
			require.True(t, l.Temporal > 0 || l == AllocatedLayer{}, "what is not sent says nothing")
			require.True(t, l.Temporal == 0 || i < a.Streams)
			require.Equal(t, a.HasSizes && l.Temporal > 0, l.Width > 0)
		}
	}
}
