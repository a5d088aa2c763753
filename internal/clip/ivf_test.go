package clip

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// vp8 is a frame that everything here takes for VP8: only its first bytes are read.
func vp8(key bool, size int, mark byte) []byte {
	b := bytes.Repeat([]byte{mark}, max(size, 12))
	b[0] = 0x11
	if key {
		copy(b, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00})
	}
	return b
}

// file is an io.WriteSeeker in memory.
type file struct {
	bytes []byte
	at    int
}

func (f *file) Write(b []byte) (int, error) {
	f.bytes = append(f.bytes[:f.at], append(bytes.Clone(b), f.bytes[min(len(f.bytes), f.at+len(b)):]...)...)
	f.at += len(b)
	return len(b), nil
}

func (f *file) Seek(offset int64, _ int) (int64, error) {
	f.at = int(offset)
	return offset, nil
}

func ivf(t require.TestingT, at []int64, frames [][]byte) []byte {
	var f file
	w, err := NewVideoWriter(&f, 320, 180)
	require.NoError(t, err)
	for i, frame := range frames {
		require.NoError(t, w.Write(at[i], frame))
	}
	require.NoError(t, w.Close())
	return f.bytes
}

func TestVideoReadsBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "frames")
		var frames [][]byte
		var at []int64
		now := int64(0)
		for i := range n {
			frames = append(frames, vp8(i == 0 || rapid.Bool().Draw(t, "key"), rapid.IntRange(12, 3000).Draw(t, "size"), byte(i)))
			at = append(at, now)
			now += rapid.Int64Range(1, 90000*60).Draw(t, "pause")
		}
		b := ivf(t, at, frames)
		v, err := ReadVideo(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		require.EqualValues(t, v.Length(), binary.LittleEndian.Uint32(b[24:]), "the header has the length")
		require.Equal(t, []int{320, 180, n}, []int{v.Width, v.Height, len(v.Frames)})
		var buf []byte
		for i, frame := range frames {
			require.Equal(t, at[i], v.Frames[i].At)
			require.Equal(t, frame[0]&1 == 0, v.Frames[i].Keyframe)
			buf, err = v.Frame(i, buf)
			require.NoError(t, err)
			require.Equal(t, frame, buf)
		}
	})
}

func TestVideoTimesAreExact(t *testing.T) {
	b := ivf(t, []int64{5, 6, 7, 7}, [][]byte{vp8(true, 40, 1), vp8(false, 40, 2), vp8(false, 40, 3), vp8(false, 40, 4)})
	binary.LittleEndian.PutUint32(b[16:], 30000) // 29.97 frames a second
	binary.LittleEndian.PutUint32(b[20:], 1001)
	v, err := ReadVideo(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	require.Equal(t, []int64{0, 3003, 6006, 6007}, []int64{v.Frames[0].At, v.Frames[1].At, v.Frames[2].At, v.Frames[3].At})
	require.EqualValues(t, 6008, v.Length())
}

func TestVideoSaysWhatIsWrong(t *testing.T) {
	good := ivf(t, []int64{0, 3000}, [][]byte{vp8(true, 40, 1), vp8(false, 40, 2)})
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	for want, b := range map[string][]byte{
		"empty or was cut off":                  nil,
		"shorter than an IVF header":            good[:20],
		"does not begin with DKIF":              with(func(b []byte) []byte { b[0] = 'X'; return b }),
		`codec "AV01", want VP80`:               with(func(b []byte) []byte { copy(b[8:], "AV01"); return b }),
		"time base 1/0":                         with(func(b []byte) []byte { clear(b[16:20]); return b }),
		"header says it has 3 bytes":            with(func(b []byte) []byte { b[6] = 3; return b }),
		"no frames":                             good[:32],
		"frame 2, at byte 84: the file ends":    good[:len(good)-1],
		"frame 2, at byte 84: the file ends in": good[:90],
		"frame 1, at byte 32: it says it has 4294967295 bytes": with(func(b []byte) []byte {
			copy(b[32:], "\xff\xff\xff\xff")
			return b
		}),
		"frame 1, at byte 32: a clip must begin with a keyframe":  with(func(b []byte) []byte { b[44] |= 1; return b }),
		"frame 1, at byte 32: it is a VP8 keyframe without":       with(func(b []byte) []byte { b[47] = 0; return b }),
		"frame 2, at byte 84: it has time 0, the first one 1":     ivf(t, []int64{1, 0}, [][]byte{vp8(true, 40, 1), vp8(false, 40, 2)}),
		"frame 3, at byte 136: it is earlier than the one before": ivf(t, []int64{0, 9, 1}, [][]byte{vp8(true, 40, 1), vp8(false, 40, 2), vp8(false, 40, 3)}),
		"frame 2, at byte 84: it has time 18446744073709551615": with(func(b []byte) []byte {
			copy(b[88:], "\xff\xff\xff\xff\xff\xff\xff\xff")
			return b
		}),
	} {
		_, err := ReadVideo(bytes.NewReader(b), int64(len(b)))
		require.ErrorContains(t, err, want)
	}
	// Its reader's own errors come through.
	_, err := ReadVideo(failing{}, 100)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	// A file that shrinks under us.
	v, err := ReadVideo(bytes.NewReader(good), int64(len(good)))
	require.NoError(t, err)
	v.from = bytes.NewReader(good[:60])
	_, err = v.Frame(1, nil)
	require.ErrorContains(t, err, "became shorter")
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

// Whatever a file holds, reading it ends with a clip that can be played or an error.
func FuzzVideo(f *testing.F) {
	f.Add(ivf(f, []int64{0, 3000}, [][]byte{vp8(true, 40, 1), vp8(false, 40, 2)}))
	f.Add([]byte("DKIF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ReadVideo(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		reel, before := v.Reel(false), int64(-1)
		var data []byte
		for {
			i, at, ok := reel.Next()
			if !ok {
				require.GreaterOrEqual(t, at, before)
				return
			}
			require.Greater(t, at, before)
			before = at
			data, err = v.Frame(i, data)
			require.NoError(t, err)
			require.NotEmpty(t, data)
			require.NotEmpty(t, PacketizeVP8(data, uint16(i)))
			reel.Played()
		}
	})
}
