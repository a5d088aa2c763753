package frame_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/turn/internal/frame"
)

// channel is a ChannelData message with n bytes of data, as a datagram has it.
func channel(number uint16, n int) []byte {
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	for i := range n {
		b = append(b, byte(i)|1)
	}
	return b
}

// read feeds each piece and returns copies of the frames.
func read(r *frame.Reader, pieces ...[]byte) (frames [][]byte, err error) {
	for _, b := range pieces {
		for {
			var f []byte
			f, b, err = r.Next(b)
			if err != nil {
				return frames, err
			}
			if len(f) == 0 {
				break
			}
			frames = append(frames, bytes.Clone(f))
		}
	}
	return frames, nil
}

// TestWhereverItIsCut: what is read does not depend on how the stream came in pieces.
func TestWhereverItIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want [][]byte
		var stream []byte
		for range rapid.IntRange(1, 8).Draw(t, "frames") {
			if rapid.Bool().Draw(t, "stun") {
				m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
				m.Add(stun.AttrData, make([]byte, rapid.IntRange(0, 1400).Draw(t, "size")))
				want, stream = append(want, m.Raw), append(stream, m.Raw...)
				continue
			}
			b := channel(uint16(rapid.IntRange(0x4000, 0x4FFF).Draw(t, "number")), rapid.IntRange(0, 1596).Draw(t, "size"))
			want, stream = append(want, b), frame.Pad(append(stream, b...), len(b))
		}
		r := &frame.Reader{}
		var got [][]byte
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "piece")
			frames, err := read(r, stream[:n:n])
			require.NoError(t, err)
			got, stream = append(got, frames...), stream[n:]
		}
		require.Equal(t, want, got)
		require.False(t, r.Within())
	})
}

func TestWhatNoFrameBegins(t *testing.T) {
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"the length that wraps": {[]byte{0x40, 0, 0xFF, 0xFC, 0, 0, 0, 0, 0}, frame.ErrTooLong},
		"a byte too long":       {[]byte{0x40, 0, 0x06, 0x3D}, frame.ErrTooLong},
		"giant STUN":            {[]byte{0, 1, 0xFF, 0xFC}, frame.ErrTooLong},
		"STUN of odd length":    {[]byte{0, 1, 0, 1}, frame.ErrForeign},
		"no cookie":             {[]byte{0, 1, 0, 0, 1, 2, 3, 4}, frame.ErrForeign},
		"TLS":                   {[]byte{22, 3, 1}, frame.ErrForeign},
		"HTTP":                  {[]byte("GET / HTTP/1.1\r\n"), frame.ErrTooLong},
		"RTP":                   {[]byte{0x80, 111}, frame.ErrForeign},
		"rubbish behind STUN":   {append(bytes.Clone(request), 0x80), frame.ErrForeign},
	} {
		_, err := read(&frame.Reader{}, c.b)
		require.ErrorIs(t, err, c.want, name)
		r := &frame.Reader{}
		for i := range c.b {
			if _, err = read(r, c.b[i:i+1]); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, c.want, "%s, byte by byte", name)
	}
	_, err := read(&frame.Reader{}, channel(0x4000, frame.MaxSize-4))
	require.NoError(t, err, "the longest frame")
}

// TestTornFrame: the end of a stream in the middle of a frame is told from one behind it.
func TestTornFrame(t *testing.T) {
	r := &frame.Reader{}
	whole := channel(0x4001, 5)
	_, err := read(r, whole[:7])
	require.NoError(t, err)
	require.True(t, r.Within())
	frames, err := read(r, whole[7:])
	require.NoError(t, err)
	require.Len(t, frames, 1)
	require.False(t, r.Within(), "padding that does not come tears nothing")
}

// TestWholeFramesAreNotCopied, nor is anything allocated for them.
func TestWholeFramesAreNotCopied(t *testing.T) {
	r := &frame.Reader{}
	b := bytes.Repeat(frame.Pad(channel(0x4000, 121), 125), 10)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n := 0
		for f, rest, err := r.Next(b); len(f) > 0 && err == nil; f, rest, err = r.Next(rest) {
			n++
		}
		if n != 10 {
			panic("frames are missing")
		}
	}))
}

// TestFramesInPiecesCostNoMemory once there are spares, and readers that hold a frame each get a buffer each.
func TestFramesInPiecesCostNoMemory(t *testing.T) {
	var spares frame.Spares
	one, two := &frame.Reader{Spares: &spares}, &frame.Reader{Spares: &spares}
	first, second := frame.Pad(channel(0x4000, 1001), 1005), stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	next := func(r *frame.Reader, b []byte) []byte {
		f, _, err := r.Next(b)
		if err != nil {
			panic(err)
		}
		return f
	}
	both := func() {
		next(one, first[:3])
		next(two, second[:1])
		f, g := next(one, first[3:]), next(two, second[1:])
		if !bytes.Equal(f, first[:1005]) || !bytes.Equal(g, second) {
			panic("a frame is another's")
		}
		next(one, first)
		next(two, nil)
	}
	both()
	require.Zero(t, testing.AllocsPerRun(100, both))
}

// FuzzReader: no bytes make it panic, hold more than a frame, or give out other bytes than it got.
func FuzzReader(f *testing.F) {
	f.Add(channel(0x4000, 3), uint8(2))
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw, uint8(9))
	f.Add([]byte{0x40, 0, 0xFF, 0xFC, 0, 0, 0, 0, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		whole, wholeErr := read(&frame.Reader{}, b)
		r := &frame.Reader{}
		var frames [][]byte
		var err error
		for rest := b; len(rest) > 0 && err == nil; {
			n := min(int(piece)+1, len(rest))
			var some [][]byte
			some, err = read(r, rest[:n])
			frames, rest = append(frames, some...), rest[n:]
		}
		require.Equal(t, whole, frames)
		require.Equal(t, wholeErr, err)
		total := 0
		for _, f := range frames {
			require.LessOrEqual(t, len(f), frame.MaxSize)
			total += len(f)
		}
		require.LessOrEqual(t, total, len(b))
	})
}
