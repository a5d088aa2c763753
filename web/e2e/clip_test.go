package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The clip: grey pictures that move, with their number in blocks of black and white along the top.
const (
	clipWidth, clipHeight = 640, 360
	clipRate              = 25
	clipFrames            = 5 * clipRate
	clipTone              = 660 // Hz
	codeBits              = 16
	codeSize              = clipWidth / codeBits
)

// picture is the luma of a frame, 16 (black) to 235.
type picture []byte

// drawPicture draws frame n: its number, and below it soft hills that wander, with edges in between.
func drawPicture(n int) picture {
	p := make(picture, clipWidth*clipHeight)
	code := codeOf(n)
	var across [clipWidth]float64
	for x := range across {
		across[x] = 126 + 50*math.Sin(float64(x+3*n)/40)
	}
	for y := range clipHeight {
		down := 40 * math.Cos(float64(y-2*n)/25)
		for x := range clipWidth {
			v := across[x] + down
			switch dx, dy := x-(100+2*n)%clipWidth, y-200; {
			case y < codeSize:
				v = 16 + 219*float64(code>>(codeBits-1-x/codeSize)&1)
			case dx*dx+dy*dy < 60*60:
				v = 210
			}
			p[y*clipWidth+x] = byte(v)
		}
	}
	return p
}

// codeOf puts a check of four bits behind a number of twelve.
func codeOf(n int) int { return n<<4 | (n*7+n>>4)&15 }

// number reads which frame a picture is; false where the blocks do not read as one.
func (p picture) number() (int, bool) {
	code := 0
	for i := range codeBits {
		v := p[codeSize/2*clipWidth+i*codeSize+codeSize/2]
		if v > 70 && v < 180 {
			return 0, false
		}
		code <<= 1
		if v >= 180 {
			code |= 1
		}
	}
	return code >> 4, codeOf(code>>4) == code
}

// ssim is the structural similarity of two pictures, 1 when they are the same: the mean over windows of 8×8 pixels
// (Wang, Bovik, Sheikh and Simoncelli, 2004).
func ssim(a, b picture) float64 {
	const window, step = 8, 4
	const c1, c2 = (0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255)
	sum, count := 0.0, 0
	for y := 0; y+window <= clipHeight; y += step {
		for x := 0; x+window <= clipWidth; x += step {
			var sa, sb, saa, sbb, sab float64
			for dy := range window {
				for dx := range window {
					i := (y+dy)*clipWidth + x + dx
					va, vb := float64(a[i]), float64(b[i])
					sa, sb, saa, sbb, sab = sa+va, sb+vb, saa+va*va, sbb+vb*vb, sab+va*vb
				}
			}
			const n = window * window
			ma, mb := sa/n, sb/n
			sum += (2*ma*mb + c1) * (2*(sab/n-ma*mb) + c2) / ((ma*ma + mb*mb + c1) * (saa/n - ma*ma + sbb/n - mb*mb + c2))
			count++
		}
	}
	return sum / float64(count)
}

// makeClip draws the frames and has them encoded, and a tone as long.
func makeClip(t *testing.T, dir string) (video, sound string, frames []picture) {
	t.Helper()
	video, sound = filepath.Join(dir, "clip.ivf"), filepath.Join(dir, "clip.ogg")
	var raw bytes.Buffer
	grey := bytes.Repeat([]byte{128}, clipWidth*clipHeight/2)
	for n := range clipFrames {
		frames = append(frames, drawPicture(n))
		raw.Write(frames[n])
		raw.Write(grey)
	}
	ffmpeg(t, &raw, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", fmt.Sprintf("%dx%d", clipWidth, clipHeight),
		"-r", fmt.Sprint(clipRate), "-i", "-", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8",
		"-b:v", "2M", "-g", fmt.Sprint(2*clipRate), "-auto-alt-ref", "0", video)
	raw.Reset()
	const rate = 48000
	for i := range clipFrames / clipRate * rate {
		v := int16(0.4 * math.MaxInt16 * math.Sin(2*math.Pi*clipTone*float64(i)/rate))
		raw.Write([]byte{byte(v), byte(v >> 8)})
	}
	ffmpeg(t, &raw, "-f", "s16le", "-ar", fmt.Sprint(rate), "-ac", "1", "-i", "-", "-c:a", "libopus", "-b:a", "48k", sound)
	return video, sound, frames
}

// ffmpeg runs it, wants not a word from it, and returns what it wrote.
func ffmpeg(t *testing.T, in *bytes.Buffer, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(findProgram(t, "ffmpeg", "ffmpeg"), append([]string{"-v", "error", "-xerror", "-y"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if in != nil {
		cmd.Stdin = in
	}
	require.NoError(t, cmd.Run(), "%v: %s", args, &errs)
	require.Empty(t, errs.String(), args)
	return out.Bytes()
}

// probed is what ffprobe finds in a file.
type probed struct {
	Streams []struct {
		Codec         string `json:"codec_name"`
		Width, Height int
		Frames        int `json:"nb_read_frames,string"`
	}
	Format struct {
		Duration float64 `json:",string"`
	}
}

func probe(t *testing.T, path string) probed {
	t.Helper()
	text, err := exec.Command(findProgram(t, "ffmpeg", "ffprobe"), "-v", "error", "-count_frames", "-of", "json",
		"-show_entries", "stream=codec_name,width,height,nb_read_frames:format=duration", path).Output()
	require.NoError(t, err, path)
	var p probed
	require.NoError(t, json.Unmarshal(text, &p), "%s", text)
	require.Len(t, p.Streams, 1)
	return p
}

// told is the part of the command's report that is looked at here.
type told struct {
	Sent, Received []struct {
		Who, Kind, File       string
		Packets, Frames, Lost int
		Width, Height         int
		Seconds               float64
	}
}

// TestClipsAndRecordings: the command plays a clip into a page, where it looks and sounds as it was made, and records what
// the browser's devices send, in files that decode.
func TestClipsAndRecordings(t *testing.T) {
	dir := t.TempDir()
	video, sound, frames := makeClip(t, dir)
	s, p := startServer(t), startChromium(t).tab(t)
	show(t, p, "bob", s.url+"/sdk-test.html")
	await(t, p, "the SDK is loaded", "window.tolkyn?.sdk")
	eval[string](t, p, `e2e.join({ name: "bob", room: "e2e" })`)
	await(t, p, "bob is connected", `e2e.room.state === "connected"`)

	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), buildServer(t), "call", "--server", s.url, "--room", "e2e", "--identity", "clip",
		"--name", "clip", "--play", video, "--play", sound, "--loop", "--record", filepath.Join(dir, "out"), "--json", "--quiet")
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Start())

	await(t, p, "the clip is heard", `Math.abs(e2e.frequency(e2e.slot("clip", "audio")) - %v) < 12`, clipTone)
	await(t, p, "the clip is seen", `e2e.sees("clip")?.frames > 10`)
	var worst, before float64 = 1, -1
	for range 10 {
		await(t, p, "the picture changes", `e2e.sees("clip").frames > %v`, before)
		before = eval[float64](t, p, `e2e.sees("clip").frames`)
		got := eval[struct {
			Width, Height int
			Pixels        []byte
		}](t, p, `e2e.grab(e2e.slot("clip", "video"))`)
		require.Equal(t, []int{clipWidth, clipHeight}, []int{got.Width, got.Height})
		luma := make(picture, len(got.Pixels))
		for i, v := range got.Pixels { // back to the range that video uses
			luma[i] = byte(16 + (int(v)*219+127)/255)
		}
		n, ok := luma.number()
		require.True(t, ok && n < clipFrames, "the timecode reads as %d", n)
		worst = min(worst, ssim(luma, frames[n]))
		require.Less(t, ssim(luma, frames[(n+clipFrames/2)%clipFrames]), 0.9, "another frame does not look like it")
	}
	t.Logf("worst SSIM %.3f", worst)
	require.GreaterOrEqual(t, worst, 0.9)
	await(t, p, "the clip has begun again", `e2e.sees("clip").frames > %v`, clipFrames+clipRate)

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C is a good end: %s", &errs)
	require.Empty(t, errs.String())
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
	var report told
	require.NoError(t, json.Unmarshal(out.Bytes(), &report), "%s", &out)
	t.Logf("%+v", report)
	require.Len(t, report.Sent, 2)
	require.InDelta(t, report.Sent[0].Seconds*clipRate, report.Sent[0].Frames, clipRate/2, "in real time")
	require.Len(t, report.Received, 2)
	for _, r := range report.Received {
		require.Equal(t, "bob", r.Who)
		require.Greater(t, r.Seconds, 0.9*clipFrames/clipRate)
		found := probe(t, r.File)
		require.Equal(t, r.Frames, found.Streams[0].Frames)
		require.InDelta(t, r.Seconds, found.Format.Duration, 0.1)
		if r.Kind == "video" {
			require.Equal(t, "vp8", found.Streams[0].Codec)
			require.True(t, strings.HasSuffix(r.File, ".ivf"))
			require.Greater(t, float64(r.Frames), 10*r.Seconds, "of 20 or 30 a second")
			// At the times of the file: at those of a guessed frame rate, two frames may fall together.
			ffmpeg(t, nil, "-i", r.File, "-vsync", "0", "-enc_time_base", "-1", "-f", "null", "-")
			continue
		}
		require.Equal(t, "opus", found.Streams[0].Codec)
		require.True(t, strings.HasSuffix(r.File, ".ogg"))
		loudest := 0
		for pcm := ffmpeg(t, nil, "-i", r.File, "-f", "s16le", "-"); len(pcm) > 1; pcm = pcm[2:] {
			loudest = max(loudest, int(int16(pcm[0])|int16(pcm[1])<<8))
		}
		require.Greater(t, loudest, 1000, "the fake microphone beeps")
	}
}
