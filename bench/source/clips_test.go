package source

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pion/opus"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/vp8"

	"github.com/tolkyn/tolkyn/bench/source/scene"
	"github.com/tolkyn/tolkyn/codec"
)

func load(t testing.TB) *Clips {
	t.Helper()
	c, err := Load()
	require.NoError(t, err)
	return c
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	all, err := Files()
	require.NoError(t, err)
	b, err := fs.ReadFile(all, name)
	require.NoError(t, err)
	return b
}

// TestTheClipsAreThoseThatWereMade: the list that the command wrote names each file and no other, and their bytes are the same.
func TestTheClipsAreThoseThatWereMade(t *testing.T) {
	var sums strings.Builder
	total := 0
	for n := range Scenes {
		var names []string
		for p := range Profile(Profiles) {
			names = append(names, AudioName(n, p))
		}
		names = append(names, MouthName(n), VideoName(n, Low), VideoName(n, Mid))
		if n == 0 {
			names = append(names, VideoName(n, High))
		}
		for _, name := range names {
			b := readFile(t, name)
			total += len(b)
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
		}
	}
	require.Equal(t, string(readFile(t, "SHA256SUMS")), sums.String())
	all, err := Files()
	require.NoError(t, err)
	found, err := fs.ReadDir(all, ".")
	require.NoError(t, err)
	require.Len(t, found, strings.Count(sums.String(), "\n")+1)
	require.Less(t, total, 4_000_000, "the repository stays small")
}

func TestTheClipsAreAsTheDocsSay(t *testing.T) {
	c := load(t)
	for n := range Scenes {
		for l := range Layer(Layers) {
			v := c.videos[n][l]
			w, h := l.Size()
			require.Equal(t, []int{w, h, LoopFrames}, []int{v.Width, v.Height, len(v.Frames)}, "%d %s", n, l)
			require.EqualValues(t, Loop.Seconds()*videoClock, v.Length())
			bytes := 0
			for i, f := range v.Frames {
				require.EqualValues(t, i*videoClock/FrameRate, f.At, "%d %s: all layers at the same times", n, l)
				require.Equal(t, i%KeyframeGap == 0, f.Keyframe, "%d %s: and keyframes at the same frames", n, l)
				b, err := v.Frame(i, nil)
				require.NoError(t, err)
				bytes += len(b)
				shown := b[0]>>4&1 == 1 // RFC 6386 §9.1
				require.True(t, shown, "every frame is shown")
			}
			require.InEpsilon(t, l.Bitrate(), float64(8*bytes)/Loop.Seconds(), 0.1, "%d %s", n, l)
		}
		for p := range Profile(Profiles) {
			a := c.audios[n][p]
			require.Len(t, a.Packets, int(Loop/p.PacketTime()))
			require.EqualValues(t, Loop.Seconds()*audioClock, a.Length())
			bytes, withCopy := 0, 0
			for i, packet := range a.Packets {
				require.Equal(t, time.Duration(i)*p.PacketTime(), time.Duration(packet.At)*time.Second/audioClock)
				bytes += len(packet.Data)
				read, ok := codec.ReadOpus(packet.Data)
				require.True(t, ok)
				if stamped, _ := codec.ReadOpus(AppendOpus(nil, packet.Data, someStamp)); read.FEC {
					require.True(t, stamped.FEC, "a stamp does not hide it")
					withCopy++
				}
			}
			rate := float64(8*bytes) / Loop.Seconds()
			require.LessOrEqual(t, rate, 1.05*float64(p.Bitrate()), "%d %s", n, p)
			require.GreaterOrEqual(t, rate, 0.7*float64(p.Bitrate()), "%d %s", n, p)
			if p.ExpectedLoss() > 0 {
				require.Greater(t, withCopy, len(a.Packets)*3/4, "all but the pauses")
			} else {
				require.Zero(t, withCopy)
			}
		}
	}
}

// TestTheCodeSurvivesTheCodec: in every picture of every clip.
func TestTheCodeSurvivesTheCodec(t *testing.T) {
	for n := range Scenes {
		for l := range Layer(Layers) {
			if l == High && n > 0 {
				continue
			}
			w, h := l.Size()
			top := h / 18 // enough for the blocks, and a tenth of the bytes
			luma := ffmpeg(t, readFile(t, VideoName(n, l)), "-c:v", "vp8", "-f", "ivf", "-i", "-", "-vf", fmt.Sprintf("crop=%d:%d:0:0", w, top&^1),
				"-pix_fmt", "gray", "-vsync", "0", "-f", "rawvideo", "-")
			size := w * (top &^ 1)
			require.Len(t, luma, LoopFrames*size)
			for i := range LoopFrames {
				got, ok := ReadBlocks(luma[i*size:(i+1)*size], w, w, h)
				require.True(t, ok, "%d %s, frame %d", n, l, i)
				require.Equal(t, Code{Scene: n, Layer: l, Frame: i}, got)
			}
		}
	}
}

// TestKeyframesLookAsTheyWereDrawn decodes in Go, with a stamp behind the frame.
func TestKeyframesLookAsTheyWereDrawn(t *testing.T) {
	c := load(t)
	for n := range Scenes {
		mouth := readFile(t, MouthName(n))
		require.Len(t, mouth, LoopFrames)
		for l := range Layer(Layers) {
			if l == High && n > 0 {
				continue
			}
			w, h := l.Size()
			const frame = 3 * KeyframeGap
			picture := decodeKeyframe(t, c, n, l, frame)
			code, ok := ReadBlocks(picture.Y, picture.YStride, w, h)
			require.True(t, ok)
			require.Equal(t, Code{Scene: n, Layer: l, Frame: frame}, code)
			drawn := scene.Draw(n, frame, LoopFrames, float64(mouth[frame])/255, w).YUV()
			other := scene.Draw(n, frame+20, LoopFrames, float64(mouth[frame+20])/255, w).YUV()
			require.Greater(t, psnr(picture, drawn, w, h), 29.0, "%d %s", n, l)
			require.Less(t, psnr(picture, other, w, h), 25.0, "%d %s: it is no other frame", n, l)
		}
	}
}

func decodeKeyframe(t *testing.T, c *Clips, n int, l Layer, frame int) *image.YCbCr {
	t.Helper()
	data, err := c.videos[n][l].Frame(frame, nil)
	require.NoError(t, err)
	data = AppendVP8(nil, data, someStamp)
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(data), len(data))
	_, err = d.DecodeFrameHeader()
	require.NoError(t, err)
	picture, err := d.DecodeFrame()
	require.NoError(t, err)
	return picture
}

// psnr compares brightness below the blocks, in dB.
func psnr(picture *image.YCbCr, drawn []byte, w, h int) float64 {
	sum, count := 0.0, 0
	for y := w / blocksAcross; y < h; y++ {
		for x := range w {
			d := float64(picture.Y[y*picture.YStride+x]) - float64(drawn[y*w+x])
			sum += d * d
			count++
		}
	}
	return 10 * math.Log10(255*255*float64(count)/sum)
}

// TestStampedPicturesAreTheSame: frame by frame, to the pixel.
func TestStampedPicturesAreTheSame(t *testing.T) {
	plain := readFile(t, VideoName(1, Low))
	stamped := append([]byte(nil), plain[:32]...)
	for rest := plain[32:]; len(rest) > 0; {
		size := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		frame := AppendVP8(nil, rest[12:12+size], someStamp)
		stamped = append(stamped, byte(len(frame)), byte(len(frame)>>8), byte(len(frame)>>16), 0)
		stamped = append(append(stamped, rest[4:12]...), frame...)
		rest = rest[12+size:]
	}
	for _, decoder := range []string{"vp8", "libvpx"} {
		digest := func(file []byte) string {
			return string(ffmpeg(t, file, "-c:v", decoder, "-f", "ivf", "-i", "-", "-vsync", "0", "-f", "framemd5", "-"))
		}
		want := digest(plain)
		require.Equal(t, LoopFrames, strings.Count(want, "\n0,"))
		require.Equal(t, want, digest(stamped), decoder)
	}
}

// TestVoicesAreHeard: each is loud enough, silent where the loop closes, and none is another.
func TestVoicesAreHeard(t *testing.T) {
	seen := map[[32]byte]bool{}
	for n := range Scenes {
		for p := range Profile(Profiles) {
			pcm := ffmpeg(t, readFile(t, AudioName(n, p)), "-c:a", "libopus", "-i", "-", "-f", "s16le", "-")
			require.Greater(t, loudest(pcm), 6000)
			require.Less(t, loudest(pcm[:2*2400]), 1000, "the first 50 ms")
			require.Less(t, loudest(pcm[len(pcm)-2*2400:]), 1000, "the last 50 ms")
			seen[sha256.Sum256(pcm)] = true
		}
	}
	require.Len(t, seen, Scenes*Profiles)
}

// TestADecoderInGoMakesTheSameOfTheVoices: recordings of calls are decoded by it. libopus is the judge, of SILK, CELT and hybrid, in
// packets of 20 and 60 ms, with in-band FEC and without.
func TestADecoderInGoMakesTheSameOfTheVoices(t *testing.T) {
	c := load(t)
	for n := range Scenes {
		for p := range Profile(Profiles) {
			d, err := opus.NewDecoderWithOutput(audioClock, 1)
			require.NoError(t, err)
			var packets [][]byte
			var got []int16
			for _, packet := range c.audios[n][p].Packets {
				packets = append(packets, packet.Data)
				out := make([]int16, 5760)
				samples, err := d.DecodeToInt16(packet.Data, out)
				require.NoError(t, err, "%d %s", n, p)
				got = append(got, out[:samples]...)
			}
			want := decodeOpus(t, "libopus", packets)
			var wrong, power float64
			// ffmpeg gives two channels, that are one, and leaves out what the encoder put before them.
			const frame, before = 4, 312
			require.Len(t, want, frame*(len(got)-before))
			for i, v := range got[before:] {
				w := float64(int16(uint16(want[frame*i]) | uint16(want[frame*i+1])<<8))
				wrong += (float64(v) - w) * (float64(v) - w)
				power += w * w
			}
			t.Logf("%d %s: %.1f dB", n, p, 10*math.Log10(power/max(wrong, 1)))
			require.Greater(t, power, 1e3*wrong, "%d %s: 30 dB", n, p)
		}
	}
}
