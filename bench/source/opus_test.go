package source

import (
	"bytes"
	"encoding/hex"
	"maps"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/clip"
)

const someStampHex = "0111703200001267a7065eb95816f240cf392a56"

// TestAStampInEachCode: the bytes of a stamped packet, for packets of each code (RFC 6716 §3.2).
func TestAStampInEachCode(t *testing.T) {
	const ext = "f314" + someStampHex
	for name, c := range map[string]struct{ packet, want string }{
		"code 0":                   {"78aabbcc", "7b4116aabbcc" + ext},
		"code 0, nothing in it":    {"78", "7b4116" + ext},
		"code 1":                   {"79aabb", "7b4216aabb" + ext},
		"code 2":                   {"7a01aabbcc", "7bc21601aabbcc" + ext},
		"code 3, equal":            {"7b02aabb", "7b4216aabb" + ext},
		"code 3, of lengths":       {"7b830102aabbbbcccccc", "7bc3160102aabbbbcccccc" + ext},
		"code 3, empty padding":    {"7b4100aa", "7b4116aa" + ext},
		"code 3, zeros":            {"7b4103aa000000", "7b4119aa" + ext + "000000"},
		"code 3, DRED to the end":  {"7b4104aafc44010a", "7b411aaa" + ext + "fc44010a"},
		"code 3, extensions of #2": {"7bc20501aabb02070a0001", "7bc21b01aabb" + ext + "02070a0001"},
	} {
		packet := unhex(t, c.packet)
		stamped := AppendOpus(nil, packet, someStamp)
		require.Equal(t, c.want, hex.EncodeToString(stamped), name)
		got, ok := ReadOpus(stamped)
		require.True(t, ok, name)
		require.Equal(t, someStamp, got, name)
		before, _ := clip.OpusDuration(packet)
		after, ok := clip.OpusDuration(stamped)
		require.True(t, ok, name)
		require.Equal(t, before, after, name)
		_, ok = ReadOpus(packet)
		require.False(t, ok, name)
	}
}

func TestLongPaddingsStayWhole(t *testing.T) {
	for size := range 1100 {
		packet := []byte{0x7b, 0x41}
		rest := size
		for ; rest > 254; rest -= 254 {
			packet = append(packet, 255)
		}
		packet = append(append(packet, byte(rest)), "sound"...)
		padding := make([]byte, size)
		if size > 0 {
			padding[0] = 126 << 1 // to the end
		}
		packet = append(packet, padding...)
		got := AppendOpus(nil, packet, someStamp)
		s, ok := ReadOpus(got)
		require.True(t, ok, size)
		require.Equal(t, someStamp, s)
		p, ok := cutOpus(got)
		require.True(t, ok, size)
		require.Equal(t, "sound", string(p.frames))
		require.Equal(t, padding, p.padding[opusStamp:])
	}
}

func TestWhatCannotBeStampedStaysAsItIs(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                       "",
		"code 1 of an odd length":       "79aabbcc",
		"code 2 without a length":       "7a",
		"code 2, longer than it is":     "7a05aabb",
		"code 3 of no frames":           "7b00",
		"code 3 of 140 ms":              "7b07aabbccddeeffaa",
		"code 3, unequal":               "7b02aabbcc",
		"code 3, padding without end":   "7b41ffff",
		"code 3, padding of all and on": "7b4109aabb",
		"a repeat":                      "7b4203aabb0804ff",
	} {
		packet := unhex(t, text)
		require.Equal(t, append([]byte("before"), packet...), AppendOpus([]byte("before"), packet, someStamp), name)
		_, ok := ReadOpus(packet)
		require.False(t, ok, name)
	}
}

// TestOthersExtensionsAreSteppedOver: a stamp is found wherever it stands.
func TestOthersExtensionsAreSteppedOver(t *testing.T) {
	for name, before := range map[string]string{
		"a byte of padding": "01", "separators": "020305", "short": "0607aa", "long": "fd03aabbcc",
		"long, laced": "fdff00" + hex.EncodeToString(make([]byte, 255)), "another's with our id": "f301aa",
	} {
		padding := append(unhex(t, before), unhex(t, "f314"+someStampHex)...)
		packet := []byte{0x7b, 0x41}
		n := len(padding)
		for ; n > 254; n -= 254 {
			packet = append(packet, 255)
		}
		packet = append(append(packet, byte(n), 0xaa), padding...)
		got, ok := ReadOpus(packet)
		require.True(t, ok, name)
		require.Equal(t, someStamp, got)
	}
}

// join makes one packet of the frames of several, of one configuration and code 0 each.
func join(packets [][]byte, code byte) []byte {
	out := []byte{packets[0][0] | code}
	lengths := func(list [][]byte) {
		for _, p := range list {
			n := len(p) - 1
			if n >= 252 {
				out = append(out, byte(252+n&3), byte((n-252-n&3)/4))
				continue
			}
			out = append(out, byte(n))
		}
	}
	switch code {
	case 2:
		lengths(packets[:1])
	case 3:
		out = append(out, byte(len(packets))|0x80)
		lengths(packets[:len(packets)-1])
	}
	for _, p := range packets {
		out = append(out, p[1:]...)
	}
	return out
}

// TestStampedSoundIsTheSame: of packets of all codes, libopus makes the same samples with stamps and without, and a decoder
// that takes padding for sound does once they are stripped.
func TestStampedSoundIsTheSame(t *testing.T) {
	c, err := Load()
	require.NoError(t, err)
	voice := c.audios[0][Voice].Packets[20:220]
	plain := map[string][][]byte{}
	for _, p := range c.audios[0][Thin].Packets {
		plain["60 ms"] = append(plain["60 ms"], p.Data)
	}
	for i := 0; i+2 < len(voice); i += 3 {
		plain["code 0"] = append(plain["code 0"], voice[i].Data, voice[i+1].Data, voice[i+2].Data)
		same := [][]byte{voice[i].Data, voice[i].Data}
		plain["code 1"] = append(plain["code 1"], join(same, 1))
		group := [][]byte{voice[i].Data, voice[i+1].Data, voice[i+2].Data}
		if group[0][0] == group[1][0] && group[1][0] == group[2][0] {
			plain["code 2"] = append(plain["code 2"], join(group[:2], 2))
			plain["code 3"] = append(plain["code 3"], join(group, 3))
		}
		equal := []byte{voice[i].Data[0] | 3, 2}
		plain["code 3, equal"] = append(plain["code 3, equal"], append(append(equal, voice[i].Data[1:]...), voice[i].Data[1:]...))
	}
	var packets, stamped, stripped [][]byte
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		require.Greater(t, len(plain[name]), 10, name)
		packets = append(packets, plain[name]...)
	}
	for i, p := range packets {
		stamped = append(stamped, AppendOpus(nil, p, Stamp{Frame: uint32(i), Sent: someStamp.Sent}))
		require.Greater(t, len(stamped[i]), len(p))
		stripped = append(stripped, StripOpus(nil, stamped[i]))
	}
	want := decodeOpus(t, "libopus", packets)
	require.Greater(t, loudest(want), 3000)
	require.True(t, bytes.Equal(want, decodeOpus(t, "libopus", stamped)))
	require.True(t, bytes.Equal(decodeOpus(t, "opus", packets), decodeOpus(t, "opus", stripped)))
}

func loudest(pcm []byte) int {
	best := 0
	for i := 0; i+1 < len(pcm); i += 2 {
		best = max(best, int(int16(uint16(pcm[i])|uint16(pcm[i+1])<<8)))
	}
	return best
}

func decodeOpus(t *testing.T, decoder string, packets [][]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := clip.NewAudioWriter(&file, 1)
	require.NoError(t, err)
	at := int64(0)
	for _, p := range packets {
		require.NoError(t, w.Write(at, p))
		n, _ := clip.OpusDuration(p)
		at += int64(n)
	}
	require.NoError(t, w.Close())
	return ffmpeg(t, file.Bytes(), "-c:a", decoder, "-i", "-", "-f", "s16le", "-")
}

// ffmpeg runs it on in and wants not a word from it.
func ffmpeg(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error", "-threads", "1"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	require.NoError(t, cmd.Run(), "apt-get install -y ffmpeg: %s", &errs)
	require.Empty(t, errs.String())
	return out.Bytes()
}

func FuzzReadOpus(f *testing.F) {
	for _, text := range []string{"", "78aa", "79aabb", "7a01aabb", "7bc20501aabb02070a0001", "7b4203aabb0804ff", "7b4116aaf314" + someStampHex} {
		b, _ := hex.DecodeString(text)
		f.Add(b)
	}
	f.Fuzz(checkOpus)
}

func TestAnyPacketKeepsItsFrames(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		checkOpus(t, append([]byte{byte(rapid.IntRange(0, 255).Draw(r, "toc"))}, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "rest")...))
	})
}

// checkOpus: what a decoder takes has the same frames, lengths and padding after stamping; the rest stays as it is.
func checkOpus(t *testing.T, packet []byte) {
	_, _ = ReadOpus(packet)
	before, ok := cutOpus(packet)
	stamped := AppendOpus(nil, packet, someStamp)
	if !ok || repeats(before.padding) {
		require.True(t, bytes.Equal(packet, stamped))
		return
	}
	after, ok := cutOpus(stamped)
	require.True(t, ok)
	require.Equal(t, before.toc, after.toc)
	require.Equal(t, before.count, after.count)
	require.True(t, bytes.Equal(before.lengths, after.lengths))
	require.True(t, bytes.Equal(before.frames, after.frames))
	require.True(t, bytes.Equal(before.padding, after.padding[opusStamp:]))
	got, ok := ReadOpus(stamped)
	require.True(t, ok)
	require.Equal(t, someStamp, got)
	stripped, ok := cutOpus(StripOpus(nil, stamped))
	require.True(t, ok)
	require.True(t, bytes.Equal(before.frames, stripped.frames))
	require.True(t, bytes.Equal(before.lengths, stripped.lengths))
	require.True(t, bytes.Equal(before.padding, stripped.padding))
}
