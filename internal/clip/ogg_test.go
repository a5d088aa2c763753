package clip

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/pion/webrtc/v4/pkg/media/oggreader"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// opus is a packet of 20 ms of CELT.
func opus(mark byte, size int) []byte {
	return append([]byte{0xf8}, bytes.Repeat([]byte{mark}, size)...)
}

func ogg(t require.TestingT, write func(w *AudioWriter)) []byte {
	var b bytes.Buffer
	w, err := NewAudioWriter(&b, 7)
	require.NoError(t, err)
	write(w)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestAudioReadsBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []AudioPacket
		at := int64(0)
		b := ogg(t, func(w *AudioWriter) {
			for i := range rapid.IntRange(1, 150).Draw(t, "packets") {
				p := opus(byte(i), rapid.IntRange(0, 1300).Draw(t, "size"))
				require.NoError(t, w.Write(at, p))
				want = append(want, AudioPacket{at, p})
				at += 960
			}
		})
		a, err := ReadAudio(bytes.NewReader(b))
		require.NoError(t, err)
		require.Equal(t, want, a.Packets)
		require.Equal(t, at, a.Length())
	})
}

// TestPositionsStayRightAcrossGaps: after a hole of any length, every packet is where its time says, but for less than
// what can be concealed; and another reader finds the same positions.
func TestPositionsStayRightAcrossGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type placed struct {
			at   int64
			mark byte
		}
		var want []placed
		var filled int64
		at := int64(0)
		b := ogg(t, func(w *AudioWriter) {
			for i := range rapid.IntRange(1, 40).Draw(t, "packets") {
				require.NoError(t, w.Write(at, opus(byte(i), 30)))
				want = append(want, placed{at, byte(i)})
				at += 960 + rapid.SampledFrom([]int64{0, 0, 0, 119, 120, 960, 5000, 48000, 480001}).Draw(t, "gap")
			}
			filled = w.Filled
		})
		a, err := ReadAudio(bytes.NewReader(b))
		require.NoError(t, err)
		got, empty := 0, int64(0)
		for _, p := range a.Packets {
			if len(p.Data) == 1 {
				n, ok := OpusDuration(p.Data)
				require.True(t, ok)
				empty += int64(n)
				continue
			}
			require.Equal(t, want[got].mark, p.Data[1])
			require.LessOrEqual(t, p.At, want[got].at)
			require.Greater(t, p.At, want[got].at-smallestGap)
			got++
		}
		require.Equal(t, len(want), got)
		require.Equal(t, filled, empty)

		theirs, _, err := oggreader.NewWith(bytes.NewReader(b))
		require.NoError(t, err, "checksums and headers are right")
		var last uint64
		for {
			_, page, err := theirs.ParseNextPage()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			require.GreaterOrEqual(t, page.GranulePosition, last)
			last = page.GranulePosition
		}
		require.EqualValues(t, a.Length(), last)
	})
}

func TestAudioKeepsTheGapsOfAFile(t *testing.T) {
	b := ogg(t, func(w *AudioWriter) {
		require.NoError(t, w.append(opus(1, 3), 960))
		require.NoError(t, w.flush(0, 1000+960)) // a stream cut out of a longer one
		require.NoError(t, w.append(opus(2, 3), 960))
		require.NoError(t, w.flush(0, 1000+960+4800+960))
		require.NoError(t, w.append(opus(3, 3), 960))
		w.end = 1 // the last page cuts the end off
	})
	a, err := ReadAudio(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, []AudioPacket{{0, opus(1, 3)}, {5760, opus(2, 3)}, {6720, opus(3, 3)}}, a.Packets)
}

func TestAudioSaysWhatIsWrong(t *testing.T) {
	good := ogg(t, func(w *AudioWriter) {
		for i := range int64(60) {
			require.NoError(t, w.Write(i*960, opus(byte(i), 40)))
		}
	})
	head := func(change func(packet []byte)) []byte {
		b := bytes.Clone(good)
		change(b[28:])
		var header [oggHeaderSize]byte
		copy(header[:], b)
		binary.LittleEndian.PutUint32(b[22:], oggChecksum(header, b[27:28], b[28:28+19]))
		return b
	}
	for want, b := range map[string][]byte{
		"the file is empty":        nil,
		"page 1: not an Ogg file":  []byte("RIFF and so on, more than a page's header"),
		"page 4: the file ends in": good[:len(good)-1],
		"checksum":                 append(bytes.Clone(good[:40]), append([]byte{9}, good[41:]...)...),
		"no sound":                 ogg(t, func(*AudioWriter) {}),
		"not Opus":                 head(func(p []byte) { p[0] = 'X' }),
		"version 16":               head(func(p []byte) { p[8] = 16 }),
		"6 channels, mapping 1":    head(func(p []byte) { p[9], p[18] = 6, 1 }),
		"more than one stream":     append(bytes.Clone(good), good...),
		"OggS":                     append(bytes.Clone(good), bytes.Repeat([]byte{1}, 40)...),
		"no Opus":                  ogg(t, func(w *AudioWriter) { w.lace([]byte{3}) }),
	} {
		_, err := ReadAudio(bytes.NewReader(b))
		require.ErrorContains(t, err, want)
	}
}

func TestOpusDurations(t *testing.T) {
	for _, c := range []struct {
		packet  []byte
		samples int
		ok      bool
	}{
		{nil, 0, false},
		{[]byte{0x00}, 480, true},              // SILK 10 ms
		{[]byte{0x18}, 2880, true},             // SILK 60 ms
		{[]byte{0x60}, 480, true},              // hybrid 10 ms
		{[]byte{0x78}, 960, true},              // hybrid 20 ms
		{[]byte{0x80}, 120, true},              // CELT 2.5 ms
		{[]byte{0xf8}, 960, true},              // CELT 20 ms
		{[]byte{0xf9}, 1920, true},             // two
		{[]byte{0xfb, 6}, 5760, true},          // six
		{[]byte{0xfb, 7}, 6720, false},         // more than 120 ms
		{[]byte{0xfb}, 0, false},               // how many?
		{[]byte{0xfb, 0x80}, 0, false},         // none
		{[]byte{0x83, 0x30, 1, 2}, 5760, true}, // 48 of 2.5 ms
	} {
		samples, ok := OpusDuration(c.packet)
		require.Equal(t, c.ok, ok, c.packet)
		if ok {
			require.Equal(t, c.samples, samples, c.packet)
		}
	}
}

func FuzzAudio(f *testing.F) {
	f.Add(ogg(f, func(w *AudioWriter) {
		for i := range int64(3) {
			require.NoError(f, w.Write(i*2000, opus(byte(i), 400)))
		}
	}), true)
	f.Add([]byte("OggS"), false)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			b = mendChecksums(bytes.Clone(b))
		}
		a, err := ReadAudio(bytes.NewReader(b))
		if err != nil {
			return
		}
		end := int64(0)
		for _, p := range a.Packets {
			require.GreaterOrEqual(t, p.At, end)
			n, ok := OpusDuration(p.Data)
			require.True(t, ok)
			end = p.At + int64(n)
		}
		require.Equal(t, end, a.Length())
	})
}

// mendChecksums makes the pages' checksums right, so that fuzzing gets past them.
func mendChecksums(b []byte) []byte {
	for rest := b; len(rest) >= oggHeaderSize && len(rest) >= oggHeaderSize+int(rest[26]); {
		segments, size := rest[oggHeaderSize:oggHeaderSize+int(rest[26])], 0
		for _, s := range segments {
			size += int(s)
		}
		end := oggHeaderSize + len(segments) + size
		if len(rest) < end {
			break
		}
		var header [oggHeaderSize]byte
		copy(header[:], rest)
		binary.LittleEndian.PutUint32(rest[22:], oggChecksum(header, segments, rest[oggHeaderSize+len(segments):end]))
		rest = rest[end:]
	}
	return b
}
