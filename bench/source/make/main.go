package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/bench/source/scene"
)

// voices of the scenes. The texts are our own; at these speeds each ends before the loop does.
var voices = [source.Scenes]struct{ voice, speed, pitch, text string }{
	{"en-us+f3", "150", "60", "Hello, this is A. The river runs past the old mill, and the evening light is warm."},
	{"en-gb+m3", "150", "30", "Good day, B is speaking. Seven grey horses crossed the wide steppe before the rain."},
	{"en-gb-scotland+f2", "150", "75", "Hi there, you hear C. Please bring two cups of tea and a little honey to the garden."},
	{"en-us+m7", "150", "15", "D is on the line. Tomorrow the train leaves at nine, from the platform near the bridge."},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: make FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	var sums bytes.Buffer
	write := func(name string, data []byte) error {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
		return os.WriteFile(filepath.Join(folder, name), data, 0o644)
	}
	for n := range source.Scenes {
		pcm, err := speak(n)
		if err != nil {
			return err
		}
		for profile := range source.Profile(source.Profiles) {
			data, err := encodeSound(pcm, profile)
			if err != nil {
				return err
			}
			if err := write(source.AudioName(n, profile), data); err != nil {
				return err
			}
		}
		mouth := mouths(pcm)
		if err := write(source.MouthName(n), mouth); err != nil {
			return err
		}
		top := source.Mid
		if n == 0 {
			top = source.High
		}
		raw := draw(n, top, mouth)
		for layer := range top + 1 {
			data, err := encodePictures(raw[layer], layer)
			if err != nil {
				return err
			}
			if err := write(source.VideoName(n, layer), data); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS"), sums.Bytes(), 0o644)
}

const (
	sampleRate = 48000
	// preSkip is what libopus puts before the sound (RFC 7845 §4.2): with it, the packets fill the loop to the sample.
	preSkip = 312
	samples = int(source.Loop/1e9)*sampleRate - preSkip
)

// speak returns a loop of mono samples, 16 bits little-endian.
func speak(n int) ([]byte, error) {
	v := voices[n]
	wave, err := pipe(nil, "espeak-ng", "-v", v.voice, "-s", v.speed, "-p", v.pitch, "--stdout", v.text)
	if err != nil {
		return nil, err
	}
	pcm, err := pipe(wave, "ffmpeg", "-v", "error", "-i", "-", "-af", "loudnorm=I=-20:TP=-3,adelay=100,apad", "-ar", fmt.Sprint(sampleRate),
		"-ac", "1", "-t", "12", "-f", "s16le", "-")
	if err != nil {
		return nil, err
	}
	for i := 2 * samples; i+1 < len(pcm); i += 2 {
		if v := int16(binary.LittleEndian.Uint16(pcm[i:])); v > 200 || v < -200 {
			return nil, fmt.Errorf("voice %d speaks for more than %d samples: make its text shorter", n, samples)
		}
	}
	return pcm[:2*samples], nil
}

// mouths is how far the mouth is open in each picture, 0 to 255: the loudness of its time.
func mouths(pcm []byte) []byte {
	out := make([]byte, source.LoopFrames)
	last := 0.0
	for i := range out {
		piece := pcm[i*len(pcm)/len(out)&^1 : (i+1)*len(pcm)/len(out)&^1]
		sum := 0.0
		for k := 0; k+1 < len(piece); k += 2 {
			v := float64(int16(binary.LittleEndian.Uint16(piece[k:]))) / 32768
			sum += v * v
		}
		loud := math.Sqrt(sum / float64(len(piece)/2))
		last = 0.35*last + 0.65*min(1, loud/0.2)
		out[i] = byte(255 * last)
	}
	return out
}

func encodeSound(pcm []byte, p source.Profile) ([]byte, error) {
	args := []string{
		"-v", "error", "-f", "s16le", "-ar", fmt.Sprint(sampleRate), "-ac", "1", "-i", "-",
		"-c:a", "libopus", "-b:a", fmt.Sprint(p.Bitrate()), "-vbr", "constrained", "-application", "voip",
		"-frame_duration", fmt.Sprint(p.PacketTime().Milliseconds()),
	}
	if loss := p.ExpectedLoss(); loss > 0 {
		args = append(args, "-fec", "1", "-packet_loss", fmt.Sprint(loss))
	}
	return pipe(pcm, "ffmpeg", append(args, "-flags", "+bitexact", "-fflags", "+bitexact", "-f", "ogg", "-")...)
}

// draw returns the pictures of a loop for each layer up to top, as ffmpeg takes them.
func draw(n int, top source.Layer, mouth []byte) [source.Layers][]byte {
	var raw [source.Layers][]byte
	width, _ := top.Size()
	for frame := range source.LoopFrames {
		picture := scene.Draw(n, frame, source.LoopFrames, float64(mouth[frame])/255, width)
		for layer := range top + 1 {
			w, _ := layer.Size()
			planes := picture.Shrink(w).YUV()
			source.Code{Scene: n, Layer: layer, Frame: frame}.DrawBlocks(planes, w, w)
			raw[layer] = append(raw[layer], planes...)
		}
	}
	return raw
}

// encodePictures encodes at a constant rate, as calls do, without frames that are never shown, and on one thread: then the
// result does not depend on the machine.
func encodePictures(raw []byte, l source.Layer) ([]byte, error) {
	w, h := l.Size()
	rate, gap := fmt.Sprint(l.Bitrate()), fmt.Sprint(source.KeyframeGap)
	return pipe(raw, "ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", fmt.Sprintf("%dx%d", w, h),
		"-r", fmt.Sprint(source.FrameRate), "-i", "-", "-c:v", "libvpx", "-deadline", "good", "-cpu-used", "1", "-threads", "1",
		"-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-lag-in-frames", "0",
		"-auto-alt-ref", "0", "-g", gap, "-keyint_min", gap, "-qmin", "4", "-qmax", "60",
		"-flags", "+bitexact", "-fflags", "+bitexact", "-f", "ivf", "-")
}

// pipe runs a program with in as its input and returns its output.
func pipe(in []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is not installed: apt-get install -y ffmpeg espeak-ng", name)
	} else if err != nil {
		return nil, fmt.Errorf("%s %q: %w: %s", name, args, err, &errs)
	}
	return out.Bytes(), nil
}
