package wire

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestStreamBringsEveryFrameInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 3000)).Draw(t, "frames")
		var stream []byte
		for _, frame := range frames {
			stream = AppendFrame(stream, frame)
		}
		var from io.Reader = bytes.NewReader(stream)
		switch rapid.IntRange(0, 2).Draw(t, "pieces") {
		case 1:
			from = iotest.OneByteReader(from)
		case 2:
			from = iotest.DataErrReader(from)
		}
		reader := NewStreamReader(from, MaxClientFrame)
		for _, want := range frames {
			got, err := reader.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, want %d", len(got), len(want))
			}
		}
		if _, err := reader.Next(); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
	})
}

func TestStreamRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"a length beyond the limit": {[]byte{0x81, 0x80, 0x04}, ErrFrameTooLarge},
		"a length beyond 64 bits":   {bytes.Repeat([]byte{0xff}, 11), ErrBadFrame},
		"an end inside a length":    {[]byte{0x80}, io.ErrUnexpectedEOF},
		"an end inside a frame":     {[]byte{0x02, 0x00}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewStreamReader(bytes.NewReader(c.stream), MaxClientFrame).Next()
			require.ErrorIs(t, err, c.want)
		})
	}
}

// A peer that announces much and sends nothing costs us nothing.
func TestStreamHoldsWhatCameNotWhatWasAnnounced(t *testing.T) {
	announced := []byte{0xff, 0xff, 0x03} // 65,535
	reader := NewStreamReader(bytes.NewReader(append(announced, make([]byte, 100)...)), MaxClientFrame)
	_, err := reader.Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.LessOrEqual(t, len(reader.buf), idleBuffer)
}

func TestStreamLetsGoOfALargeBuffer(t *testing.T) {
	large := AppendFrame(nil, make([]byte, 60_000))
	reader := NewStreamReader(io.MultiReader(bytes.NewReader(large), bytes.NewReader(AppendFrame(nil, []byte("x")))), MaxClientFrame)
	_, err := reader.Next()
	require.NoError(t, err)
	got, err := reader.Next()
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	require.Len(t, reader.buf, idleBuffer)
}

func FuzzStream(f *testing.F) {
	f.Add([]byte{0x01, 'x', 0x00, 0x80, 0x01})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := NewStreamReader(bytes.NewReader(stream), MaxClientFrame)
		total := 0
		for {
			frame, err := reader.Next()
			if err != nil {
				break
			}
			total += len(frame)
		}
		require.LessOrEqual(t, total, len(stream))
		require.LessOrEqual(t, len(reader.buf), 4*MaxClientFrame)
	})
}

func TestAServerFrameIsAppendedAsItsBytesAre(t *testing.T) {
	frame := Reply(7, &ServerFrame_Error{Error: &Error{Message: "why"}})
	encoded, err := Binary.EncodeServer(frame)
	require.NoError(t, err)
	before := []byte("before")
	got, err := AppendServer(before, frame)
	require.NoError(t, err)
	require.Equal(t, AppendFrame(before, encoded), got)

	got, err = AppendServer(before, Reply(7, &ServerFrame_Error{Error: &Error{Message: "\xff"}}))
	require.ErrorIs(t, err, ErrBadFrame)
	require.Equal(t, before, got)
	got, err = AppendServer(before, Reply(7, &ServerFrame_Error{Error: &Error{Message: string(make([]byte, MaxServerFrame))}}))
	require.ErrorIs(t, err, ErrFrameTooLarge)
	require.Equal(t, before, got)
}
